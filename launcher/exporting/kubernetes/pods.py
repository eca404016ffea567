"""Pods and their parts, as far as they are written here.

Source: the Kubernetes API, v1.35, core/v1. `kubernetes-validate --strict` holds what is made of
them against its schemas.
"""

from __future__ import annotations

from typing import Literal

from launcher.exporting.document import CamelNode

Labels = dict[str, str]
"""Keys and values by which objects are found."""


class Metadata(CamelNode):
    """ObjectMeta."""

    name: str | None = None
    labels: Labels | None = None
    annotations: dict[str, str] | None = None


class KeySelector(CamelNode):
    """SecretKeySelector; `optional`: a pod starts without it."""

    name: str
    key: str
    optional: bool | None = None


class FieldSelector(CamelNode):
    """ObjectFieldSelector."""

    field_path: str


class Source(CamelNode):
    """EnvVarSource."""

    secret_key_ref: KeySelector | None = None
    field_ref: FieldSelector | None = None


class Variable(CamelNode):
    """EnvVar."""

    name: str
    value: str | None = None
    value_from: Source | None = None


class HttpGet(CamelNode):
    """HTTPGetAction."""

    path: str
    port: str


class Probe(CamelNode):
    """Probe; times are in whole seconds."""

    http_get: HttpGet
    initial_delay_seconds: int | None = None
    period_seconds: int
    timeout_seconds: int
    failure_threshold: int
    termination_grace_period_seconds: int | None = None


class Exec(CamelNode):
    """ExecAction."""

    command: list[str]


class Handler(CamelNode):
    """LifecycleHandler."""

    exec: Exec


class Lifecycle(CamelNode):
    """Lifecycle."""

    pre_stop: Handler


class Capabilities(CamelNode):
    """Capabilities."""

    drop: list[str]


class ContainerSecurity(CamelNode):
    """SecurityContext."""

    allow_privilege_escalation: bool = False
    capabilities: Capabilities = Capabilities(drop=["ALL"])


class SeccompProfile(CamelNode):
    """SeccompProfile."""

    type: Literal["RuntimeDefault"] = "RuntimeDefault"


class PodSecurity(CamelNode):
    """PodSecurityContext."""

    run_as_non_root: bool | None = None
    run_as_user: int | None = None
    run_as_group: int | None = None
    fs_group: int | None = None
    fs_group_change_policy: Literal["OnRootMismatch"] | None = None
    seccomp_profile: SeccompProfile = SeccompProfile()


class Resources(CamelNode):
    """ResourceRequirements."""

    requests: dict[str, str] | None = None
    limits: dict[str, str] | None = None


class ContainerPort(CamelNode):
    """ContainerPort."""

    name: str
    container_port: int


class VolumeMount(CamelNode):
    """VolumeMount."""

    name: str
    mount_path: str
    read_only: bool | None = None


class Container(CamelNode):
    """Container."""

    name: str
    image: str
    command: list[str]
    args: list[str]
    env: list[Variable] | None = None
    ports: list[ContainerPort] | None = None
    resources: Resources | None = None
    volume_mounts: list[VolumeMount] | None = None
    startup_probe: Probe | None = None
    readiness_probe: Probe | None = None
    liveness_probe: Probe | None = None
    lifecycle: Lifecycle | None = None
    security_context: ContainerSecurity = ContainerSecurity()


class EmptyDir(CamelNode):
    """EmptyDirVolumeSource."""

    medium: Literal["Memory"]
    size_limit: str


class ClaimSource(CamelNode):
    """PersistentVolumeClaimVolumeSource."""

    claim_name: str


class SecretItem(CamelNode):
    """KeyToPath."""

    key: str
    path: str


class SecretSource(CamelNode):
    """SecretVolumeSource; `default_mode` in decimal, as JSON has no octal numbers.

    `optional` is the cluster's default; podman 4.3.1 crashes where it is not said.
    """

    secret_name: str
    default_mode: int
    items: list[SecretItem]
    optional: bool = False


class Volume(CamelNode):
    """Volume."""

    name: str
    empty_dir: EmptyDir | None = None
    persistent_volume_claim: ClaimSource | None = None
    secret: SecretSource | None = None


class PodSpec(CamelNode):
    """PodSpec."""

    service_account_name: str | None = None
    automount_service_account_token: bool = False
    termination_grace_period_seconds: int
    security_context: PodSecurity = PodSecurity()
    init_containers: list[Container] | None = None
    containers: list[Container]
    volumes: list[Volume] | None = None


class PodTemplate(CamelNode):
    """PodTemplateSpec."""

    metadata: Metadata
    spec: PodSpec
