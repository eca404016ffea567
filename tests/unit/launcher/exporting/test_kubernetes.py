"""Manifests of Kubernetes: by its own schemas, and for what no schema says."""

from __future__ import annotations

import json
from typing import Any

import kubernetes_validate
import pytest

from launcher.engines.select import default_engine
from tests.unit.launcher.exporting.scenes import (
    COMMIT,
    PINNED,
    documents,
    exported,
    of_kind,
    server_container,
)

# The oldest that has what is used, as far as the schemas go back, and the newest.
VERSIONS = ("1.30", "1.37")
DRAFT = ("--speculative-algorithm", "EAGLE3", "--speculative-draft-model-path", "org/Draft")
ARGUMENTS = {
    "one": PINNED,
    "unpinned": ("--preset", "glm-4.5-air-fp8"),
    "several": (*PINNED, "--replicas", "3"),
    "without a key": (*PINNED, "--replicas", "2", "--insecure"),
    "another account": (*PINNED, "--run-as", "1000", "--storage-class", "fast"),
    "with a draft": (
        *(*PINNED, *DRAFT, "--storage-gib", "200"),
        *("--environment", "NCCL_DEBUG=INFO", "--trust-remote-code"),
    ),
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("case", ARGUMENTS)
def test_the_clusters_own_schemas_take_every_object(case: str, version: str) -> None:
    for document in documents("kubernetes", *ARGUMENTS[case]):
        kubernetes_validate.validate(document, version, strict=True)


def test_those_schemas_find_a_typing_error() -> None:
    document = of_kind(documents("kubernetes", *PINNED), "Deployment")
    container = document["spec"]["template"]["spec"]["containers"][0]
    container["readynessProbe"] = container.pop("readinessProbe")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, VERSIONS[0], strict=True)


def deployment(*arguments: str) -> dict[str, Any]:
    return of_kind(documents("kubernetes", *PINNED, *arguments), "Deployment")


def test_the_three_probes_are_three_questions() -> None:
    container = server_container(
        deployment("--start-timeout-seconds", "605", "--health-interval-seconds", "7.5")["spec"][
            "template"
        ]
    )
    probes = default_engine().probes
    starting, ready, alive = (
        container[f"{name}Probe"] for name in ("startup", "readiness", "liveness")
    )
    assert starting["httpGet"]["path"] == ready["httpGet"]["path"] == probes.generates
    assert alive["httpGet"]["path"] == probes.answers
    # The start gets the time of the configuration, rounded up.
    assert starting["periodSeconds"] * starting["failureThreshold"] == 610
    # Longer than the engine takes to say no, which by default is an answer after a second.
    assert ready["timeoutSeconds"] > probes.answer_seconds
    assert ready["periodSeconds"] == 8
    # A minute without an answer is no reason to kill what computes.
    assert alive["periodSeconds"] * alive["failureThreshold"] >= 120


def test_a_busy_server_answers_the_question_that_would_kill_it() -> None:
    """The variable makes one route answer without asking the GPUs; the engine's file says which."""
    container = server_container(deployment()["spec"]["template"])
    environment = {one["name"]: one.get("value") for one in container["env"]}
    assert environment["SGLANG_ENABLE_HEALTH_ENDPOINT_GENERATION"] == "false"


def test_a_stop_has_the_time_of_the_configuration() -> None:
    pod = deployment("--drain-timeout-seconds", "100.2", "--stop-timeout-seconds", "20")["spec"][
        "template"
    ]["spec"]
    assert pod["terminationGracePeriodSeconds"] == 5 + 121
    (container,) = pod["containers"]
    assert container["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", "5"]


def test_one_server_never_waits_for_its_own_gpus() -> None:
    assert deployment()["spec"]["strategy"] == {"type": "Recreate"}


@pytest.mark.parametrize(
    ("arguments", "gpus"),
    [
        ((), "2"),
        (("--tp-size", "4"), "4"),
        (("--tp-size", "2", "--pp-size", "2", "--dp-size", "2"), "8"),
        (("--tp-size", "2", "--", "--base-gpu-id", "4"), "6"),
    ],
)
def test_a_pod_gets_as_many_gpus_as_the_ranks_need(arguments: tuple[str, ...], gpus: str) -> None:
    container = server_container(deployment(*arguments)["spec"]["template"])
    assert container["resources"]["limits"] == {"nvidia.com/gpu": gpus}


def test_the_weights_lie_on_a_volume_of_the_pinned_commit() -> None:
    found = documents("kubernetes", *PINNED)
    pod = of_kind(found, "Deployment")["spec"]["template"]["spec"]
    (download,) = pod["initContainers"]
    words = [*download["command"], *download["args"]]
    assert words[:5] == ["hf", "download", "zai-org/GLM-4.5-Air-FP8", "--revision", COMMIT]
    assert "*.safetensors" in words
    assert "*.bin" not in words
    assert "*.py" not in words
    server = server_container({"spec": pod})
    assert server["args"][server["args"].index("--revision") + 1] == COMMIT
    environment = {one["name"]: one.get("value") for one in server["env"]}
    assert environment["HF_HUB_OFFLINE"] == "1"
    loaded = {one["name"]: one.get("value") for one in download["env"]}
    assert loaded["HF_HOME"] == environment["HF_HOME"]
    claim = of_kind(found, "PersistentVolumeClaim")
    # 110e9 bytes and a twentieth, 16 GiB, up to the next ten.
    assert claim["spec"]["resources"]["requests"] == {"storage": "130Gi"}
    (volume,) = [one for one in pod["volumes"] if "persistentVolumeClaim" in one]
    assert volume["persistentVolumeClaim"] == {"claimName": claim["metadata"]["name"]}
    (mount,) = [one for one in server["volumeMounts"] if one["name"] == volume["name"]]
    assert environment["HF_HOME"].startswith(mount["mountPath"])


def test_shared_memory_is_memory() -> None:
    pod = deployment()["spec"]["template"]["spec"]
    (mount,) = [
        one
        for one in server_container({"spec": pod})["volumeMounts"]
        if one["mountPath"] == "/dev/shm"  # noqa: S108
    ]
    (volume,) = [one for one in pod["volumes"] if one["name"] == mount["name"]]
    assert volume["emptyDir"]["medium"] == "Memory"


def test_keys_are_named_and_never_there() -> None:
    text = exported("kubernetes", *PINNED, "--replicas", "2")
    assert "--config" in text
    assert "kubectl create secret generic default-keys" in text
    found = documents("kubernetes", *PINNED, "--replicas", "2")
    gateway = server_container(of_kind(found, "Deployment")["spec"]["template"])
    at = gateway["args"].index("--api-key")
    assert gateway["args"][at + 1] == "$(SPECSERVE_API_KEY)"
    (variable,) = [one for one in gateway["env"] if one["name"] == "SPECSERVE_API_KEY"]
    assert variable["valueFrom"] == {"secretKeyRef": {"name": "default-keys", "key": "api-key"}}


def test_without_a_key_no_secret_is_asked_for() -> None:
    text = exported("kubernetes", *PINNED, "--insecure", "--replicas", "2")
    assert "default-keys" not in text
    assert "--api-key" not in text
    assert "whoever reaches the port may use the server" in text


def test_several_servers_stand_behind_a_gateway_that_finds_them() -> None:
    found = documents("kubernetes", *PINNED, "--replicas", "3", "--policy", "cache_aware")
    servers = of_kind(found, "StatefulSet")
    assert servers["spec"]["replicas"] == 3
    labels = servers["spec"]["template"]["metadata"]["labels"]
    arguments = server_container(of_kind(found, "Deployment")["spec"]["template"])["args"]
    begin = arguments.index("--selector") + 1
    selector = arguments[begin : begin + len(labels)]
    assert dict(one.split("=") for one in selector) == labels
    assert arguments[arguments.index("--policy") + 1] == "cache_aware"
    # Clients reach the gateway by the name that one server alone has.
    services = {one["metadata"]["name"]: one for one in found if one["kind"] == "Service"}
    assert (
        services["default"]["spec"]["selector"]
        == of_kind(found, "Deployment")["spec"]["selector"]["matchLabels"]
    )
    assert services["default-server"]["spec"]["clusterIP"] == "None"
    account = of_kind(found, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"]
    (subject,) = of_kind(found, "RoleBinding")["subjects"]
    assert subject["name"] == account == of_kind(found, "ServiceAccount")["metadata"]["name"]
    (rule,) = of_kind(found, "Role")["rules"]
    assert rule["resources"] == ["pods"]
    assert set(rule["verbs"]) <= {"get", "list", "watch"}


def test_only_the_gateway_may_ask_the_cluster() -> None:
    found = documents("kubernetes", *PINNED, "--replicas", "2")
    servers = of_kind(found, "StatefulSet")["spec"]["template"]["spec"]
    assert servers["automountServiceAccountToken"] is False


def test_what_looks_like_a_variable_of_the_cluster_stays_text() -> None:
    made = deployment("--served-model-name", "a$(HOME)b", "--environment", "NCCL_NET=$(HOME)")
    container = server_container(made["spec"]["template"])
    assert "a$$(HOME)b" in container["args"]
    assert {"name": "NCCL_NET", "value": "$$(HOME)"} in container["env"]


def test_an_account_of_its_own_may_write_its_volume() -> None:
    pod = deployment("--run-as", "1234")["spec"]["template"]["spec"]
    context = pod["securityContext"]
    assert (context["runAsUser"], context["fsGroup"], context["runAsNonRoot"]) == (1234, 1234, True)
    (container,) = pod["containers"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False


def test_none_of_the_launchers_own_variables_is_set() -> None:
    text = json.dumps(documents("kubernetes", *PINNED, "--strict-tool-calls"))
    for name in ("SPECSERVE_GLM_PARSERS", "SPECSERVE_REDACT", "SPT_NOENV", "PYTHONFAULTHANDLER"):
        assert name not in text
    assert "SGLANG_TOOL_STRICT_LEVEL" in text


def test_one_server_at_a_time_may_be_taken_from_several() -> None:
    several = documents("kubernetes", *PINNED, "--replicas", "3")
    budget = of_kind(several, "PodDisruptionBudget")["spec"]
    servers = of_kind(several, "StatefulSet")["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["selector"] == servers["selector"]
    # Of one, it would keep a node from being emptied at all.
    kinds = {document["kind"] for document in documents("kubernetes", *PINNED)}
    assert "PodDisruptionBudget" not in kinds


def test_memory_is_asked_for_by_the_ranks_of_a_machine() -> None:
    asked = []
    for size in ("2", "8"):
        container = server_container(deployment("--tp-size", size)["spec"]["template"])
        asked.append(container["resources"]["requests"]["memory"])
    assert asked == ["4Gi", "8Gi"]
