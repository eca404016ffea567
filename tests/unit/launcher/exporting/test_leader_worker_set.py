"""One model over several machines: what a group needs that a single server does not."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import kubernetes_validate
import pytest

from launcher.engines.select import default_engine
from launcher.errors import InvalidValueError, UnexportableError, UnimportableError
from launcher.importing.recognise import launches_of_file
from tests.unit.launcher.exporting.scenes import (
    PINNED,
    documents,
    exported,
    of_kind,
    run,
    server_container,
)
from tests.unit.launcher.exporting.strict import LeaderWorkerSet

LARGE = (*PINNED, "--tp-size", "16")
VERSION = "1.37"


def group(*arguments: str) -> dict[str, Any]:
    made = of_kind(documents("leaderworkerset", *LARGE, *arguments), "LeaderWorkerSet")
    return dict(made["spec"]["leaderWorkerTemplate"])


@pytest.mark.parametrize("arguments", [(), ("--replicas", "2"), ("--insecure", "--run-as", "1000")])
def test_its_parts_are_what_the_cluster_takes(arguments: tuple[str, ...]) -> None:
    for document in documents("leaderworkerset", *LARGE, *arguments):
        if document["kind"] != "LeaderWorkerSet":
            kubernetes_validate.validate(document, VERSION, strict=True)
            continue
        made = LeaderWorkerSet.model_validate(document).spec.leader_worker_template
        for template in (made.leader_template, made.worker_template):
            assert template is not None
            pod = {"apiVersion": "v1", "kind": "Pod", **template}
            kubernetes_validate.validate(pod, VERSION, strict=True)
        for claim in made.volume_claim_templates or []:
            whole = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", **claim}
            kubernetes_validate.validate(whole, VERSION, strict=True)
        assert made.restart_policy == "RecreateGroupOnPodRestart"


def test_the_machines_meet_at_the_leader_within_a_finite_time() -> None:
    template = group("--nnodes", "4")
    assert template["size"] == 4
    for part in ("leaderTemplate", "workerTemplate"):
        arguments = server_container(template[part])["args"]
        options = dict(pairwise(arguments))
        assert options["--nnodes"] == "4"
        assert options["--node-rank"] == "$(LWS_WORKER_INDEX)"
        assert options["--dist-init-addr"] == "$(LWS_LEADER_ADDRESS):20000"
        assert options["--dist-timeout"] == "1800"
        assert server_container(template[part])["resources"]["limits"] == {"nvidia.com/gpu": "4"}


def test_the_time_to_meet_is_not_below_what_large_gpus_take() -> None:
    arguments = server_container(group("--start-timeout-seconds", "60")["leaderTemplate"])["args"]
    assert arguments[arguments.index("--dist-timeout") + 1] == "600"


def test_a_follower_is_never_killed_by_a_probe() -> None:
    template = group()
    follower = server_container(template["workerTemplate"])
    assert follower.keys().isdisjoint({"livenessProbe", "startupProbe"})
    assert follower["readinessProbe"]["httpGet"]["path"] == default_engine().probes.joined
    leader = server_container(template["leaderTemplate"])
    assert leader.keys() >= {"livenessProbe", "startupProbe", "readinessProbe"}


def test_a_follower_may_wait_for_its_leader_as_long_as_that_may_take_to_end() -> None:
    template = group()
    leader, follower = (template[part]["spec"] for part in ("leaderTemplate", "workerTemplate"))
    key = "terminationGracePeriodSeconds"
    assert follower[key] >= leader[key]


def test_each_machine_knows_its_address_and_interface() -> None:
    for part in ("leaderTemplate", "workerTemplate"):
        container = server_container(group("--interface", "net1")[part])
        variables = {one["name"]: one for one in container["env"]}
        assert variables["NCCL_SOCKET_IFNAME"]["value"] == "net1"
        assert variables["GLOO_SOCKET_IFNAME"]["value"] == "net1"
        address = variables["SGLANG_HOST_IP"]["valueFrom"]
        assert address == {"fieldRef": {"fieldPath": "status.podIP"}}


def test_an_interface_of_the_configuration_is_kept() -> None:
    given = ("--environment", "NCCL_SOCKET_IFNAME=ib0")
    container = server_container(group(*given)["leaderTemplate"])
    variables = {one["name"]: one.get("value") for one in container["env"]}
    assert variables["NCCL_SOCKET_IFNAME"] == "ib0"
    assert variables["GLOO_SOCKET_IFNAME"] == "eth0"


@pytest.mark.parametrize("replicas", ["1", "2"])
def test_clients_reach_leaders_alone(replicas: str) -> None:
    found = documents("leaderworkerset", *LARGE, "--replicas", replicas)
    template = of_kind(found, "LeaderWorkerSet")["spec"]["leaderWorkerTemplate"]
    leader = template["leaderTemplate"]["metadata"]["labels"]
    follower = template["workerTemplate"]["metadata"]["labels"]
    if replicas == "1":
        selector = of_kind(found, "Service")["spec"]["selector"]
    else:
        arguments = server_container(of_kind(found, "Deployment")["spec"]["template"])["args"]
        begin = arguments.index("--selector") + 1
        selector = dict(one.split("=") for one in arguments[begin : begin + 3])
    assert selector.items() <= leader.items()
    assert not selector.items() <= follower.items()
    # The controller makes a service of the set's own name.
    names = [one["metadata"]["name"] for one in found if one["kind"] == "Service"]
    assert of_kind(found, "LeaderWorkerSet")["metadata"]["name"] not in names


def test_nobody_else_reaches_the_ports_on_which_data_is_unpickled() -> None:
    found = documents("leaderworkerset", *LARGE)
    policy = of_kind(found, "NetworkPolicy")["spec"]
    name = of_kind(found, "LeaderWorkerSet")["metadata"]["name"]
    own = {"matchLabels": {"leaderworkerset.sigs.k8s.io/name": name}}
    assert policy["podSelector"] == own
    within, clients = policy["ingress"]
    assert within == {"from": [{"podSelector": own}]}
    assert clients == {"ports": [{"port": "http"}]}
    assert "network has to be private" in exported("leaderworkerset", *LARGE)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--tp-size", "3"), "make 3 ranks, which do not divide among nnodes 2"),
        (("--tp-size", "2", "--dp-size", "2"), "whole copies"),
    ],
)
def test_ranks_that_do_not_divide_are_refused(arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(InvalidValueError, match=said):
        run("leaderworkerset", *PINNED, *arguments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--", "--base-gpu-id", "1"), "--base-gpu-id"),
        (("--nnodes", "1"), "two machines or more"),
        (("--node-rank", "1"), "for all machines"),
        (("--dist-init-addr", "10.0.0.1:25000"), "dist_init_addr is set"),
        (("--network-interface", "eth1"), "network_interface is set"),
    ],
)
def test_what_the_manifest_itself_says_is_refused(arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(UnexportableError, match=said):
        run("leaderworkerset", *PINNED, *arguments)


@pytest.mark.parametrize("kind", ["kubernetes", "compose", "skypilot"])
def test_several_machines_are_for_a_leader_worker_set(kind: str) -> None:
    with pytest.raises(UnexportableError, match="servers of one machine each"):
        run(kind, *PINNED, "--nnodes", "2")


def test_weights_that_may_differ_between_machines_are_refused() -> None:
    with pytest.raises(UnexportableError, match="2 machines download it") as refused:
        run("leaderworkerset", "--preset", "glm-4.5-air-fp8")
    assert "--revision COMMIT" in refused.value.action


def test_the_way_back_is_refused_with_its_reason() -> None:
    with pytest.raises(UnimportableError, match="serves one model from 2 nodes"):
        launches_of_file(exported("leaderworkerset", *LARGE), "made.yaml", {}, None)
