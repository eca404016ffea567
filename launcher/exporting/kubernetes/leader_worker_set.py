"""One model over several machines: a LeaderWorkerSet. Pure.

Source: github.com/kubernetes-sigs/lws, API leaderworkerset.x-k8s.io/v1; `volumeClaimTemplates`
since its version 0.7.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final, Literal

from launcher.engines.containers import MachineGroup
from launcher.exporting.document import CamelNode, Node
from launcher.exporting.kubernetes.around import claim_template, service
from launcher.exporting.kubernetes.gateway import gateway_objects
from launcher.exporting.kubernetes.objects import (
    ClaimTemplate,
    Ingress,
    NetworkPolicy,
    NetworkPolicySpec,
    Peer,
    PolicyPort,
    Selector,
)
from launcher.exporting.kubernetes.pods import Labels, Metadata, PodTemplate
from launcher.exporting.kubernetes.server import (
    PORT_NAME,
    labels_of,
    server_template,
)
from launcher.exporting.request import Export

# Of the machines' first meeting; beside any port that a configuration may have by default.
START_PORT: Final = 20_000
# Below that, the first use of large GPUs was seen to take longer than the others wait.
SHORTEST_WAIT_SECONDS: Final = 600
SET_LABEL: Final = "leaderworkerset.sigs.k8s.io/name"
# The controller sets them in each container, before all others.
LEADER: Final = "$(LWS_LEADER_ADDRESS)"
RANK: Final = "$(LWS_WORKER_INDEX)"


class RollingUpdate(CamelNode):
    """RollingUpdateConfiguration, in groups."""

    max_unavailable: int = 1
    max_surge: int = 0


class RolloutStrategy(CamelNode):
    """RolloutStrategy."""

    type: Literal["RollingUpdate"] = "RollingUpdate"
    rolling_update_configuration: RollingUpdate = RollingUpdate()


class LeaderWorkerTemplate(CamelNode):
    """LeaderWorkerTemplate."""

    size: int
    restart_policy: Literal["RecreateGroupOnPodRestart"] = "RecreateGroupOnPodRestart"
    leader_template: PodTemplate
    worker_template: PodTemplate
    volume_claim_templates: list[ClaimTemplate]


class LeaderWorkerSetSpec(CamelNode):
    """LeaderWorkerSetSpec; a leader is ready only once its workers are, so none waits for it."""

    replicas: int
    startup_policy: Literal["LeaderCreated"] = "LeaderCreated"
    rollout_strategy: RolloutStrategy = RolloutStrategy()
    leader_worker_template: LeaderWorkerTemplate


class LeaderWorkerSet(CamelNode):
    """LeaderWorkerSet."""

    api_version: Literal["leaderworkerset.x-k8s.io/v1"] = "leaderworkerset.x-k8s.io/v1"
    kind: Literal["LeaderWorkerSet"] = "LeaderWorkerSet"
    metadata: Metadata
    spec: LeaderWorkerSetSpec


def leader_worker_set_documents(export: Export) -> list[Node]:
    """The set, the way to its leaders, and who may reach its pods."""
    return list(_documents(export))


def _documents(export: Export) -> Iterator[Node]:
    # The controller makes a service of the set's name, so clients get another one.
    set_name = f"{export.name}-group"
    yield _policy(export, set_name)
    if export.choices.replicas == 1:
        yield service(export, "leader", export.name)
    yield LeaderWorkerSet(
        metadata=Metadata(name=set_name, labels=labels_of(export, "leader")),
        spec=LeaderWorkerSetSpec(
            replicas=export.choices.replicas, leader_worker_template=_template(export)
        ),
    )
    if export.choices.replicas > 1:
        yield from gateway_objects(export, "leader")


def _template(export: Export) -> LeaderWorkerTemplate:
    wait = max(SHORTEST_WAIT_SECONDS, math.ceil(export.config.start_timeout_seconds))
    group = MachineGroup(
        size=export.config.nnodes,
        rank=RANK,
        address=f"{LEADER}:{START_PORT}",
        timeout_seconds=wait,
    )
    return LeaderWorkerTemplate(
        size=export.config.nnodes,
        leader_template=server_template(export, "leader", group=group),
        worker_template=server_template(export, "worker", group=group),
        volume_claim_templates=[claim_template(export)],
    )


def _policy(export: Export, set_name: str) -> NetworkPolicy:
    """The machines unpickle what they send each other: nobody else may reach those ports."""
    pods: Labels = {SET_LABEL: set_name}
    return NetworkPolicy(
        metadata=Metadata(name=set_name, labels=labels_of(export, "leader")),
        spec=NetworkPolicySpec(
            pod_selector=Selector(match_labels=pods),
            ingress=[
                Ingress(peers=[Peer(pod_selector=Selector(match_labels=pods))]),
                Ingress(ports=[PolicyPort(port=PORT_NAME)]),
            ],
        ),
    )
