"""Schemas of what no validator checks offline, written from the public references of each.

They are apart from the types that write: a field that is spelled wrong there is found here.
LeaderWorkerSet: the API leaderworkerset.x-k8s.io/v1 of kubernetes-sigs/lws. SkyPilot: its task and
service YAML, 0.14.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import AliasGenerator, BaseModel, ConfigDict, Field, PositiveInt
from pydantic.alias_generators import to_camel


class Strict(BaseModel):
    """Nothing but its fields, and nothing of another type."""

    model_config = ConfigDict(extra="forbid", strict=True)


class OfCluster(Strict):
    """Keys are spelled `likeThis`."""

    model_config = ConfigDict(alias_generator=AliasGenerator(validation_alias=to_camel))


class RollingUpdateConfiguration(OfCluster):
    """In groups, or shares of them."""

    partition: int | None = None
    max_unavailable: int | str | None = None
    max_surge: int | str | None = None


class RolloutStrategy(OfCluster):
    """How groups are replaced."""

    type: Literal["RollingUpdate"]
    rolling_update_configuration: RollingUpdateConfiguration | None = None


class NetworkConfig(OfCluster):
    """Names of the pods."""

    subdomain_policy: Literal["Shared", "UniquePerReplica"]


class SubGroupPolicy(OfCluster):
    """Parts of a group."""

    sub_group_policy_type: Literal["LeaderWorker", "LeaderExcluded"] | None = None
    sub_group_size: PositiveInt | None = None


class LeaderWorkerTemplate(OfCluster):
    """A group."""

    leader_template: dict[str, Any] | None = None
    worker_template: dict[str, Any]
    size: PositiveInt | None = None
    restart_policy: (
        Literal["Default", "RecreateGroupOnPodRestart", "RecreateGroupAfterStart", "None"] | None
    ) = None
    sub_group_policy: SubGroupPolicy | None = None
    volume_claim_templates: list[dict[str, Any]] | None = None
    persistent_volume_claim_retention_policy: dict[str, str] | None = None


class LeaderWorkerSetSpec(OfCluster):
    """The set."""

    replicas: int | None = None
    leader_worker_template: LeaderWorkerTemplate
    rollout_strategy: RolloutStrategy | None = None
    startup_policy: Literal["LeaderCreated", "LeaderReady"] | None = None
    network_config: NetworkConfig | None = None


class LeaderWorkerSet(OfCluster):
    """The whole object."""

    api_version: Literal["leaderworkerset.x-k8s.io/v1"]
    kind: Literal["LeaderWorkerSet"]
    metadata: dict[str, Any]
    spec: LeaderWorkerSetSpec


class SkyResources(Strict):
    """`resources`."""

    accelerators: str = Field(pattern=r"^[A-Za-z0-9._-]+:[1-9]\d*$")
    disk_size: PositiveInt
    ports: PositiveInt


class SkyProbe(Strict):
    """`service.readiness_probe`."""

    path: str = Field(pattern="^/")
    initial_delay_seconds: int
    timeout_seconds: int


class SkyService(Strict):
    """`service`."""

    readiness_probe: SkyProbe
    replicas: PositiveInt


class SkyTask(Strict):
    """The whole task."""

    name: str = Field(pattern="^[a-z][a-z0-9-]*$")
    resources: SkyResources
    service: SkyService | None = None
    envs: dict[str, str]
    secrets: dict[str, str | None]
    setup: str
    run: str
