"""What holds pods, and what leads to them, as far as it is written here.

Source: the Kubernetes API, v1.35: core/v1, apps/v1, rbac.authorization.k8s.io/v1,
networking.k8s.io/v1, policy/v1. `kubernetes-validate --strict` holds what is made of them against
its schemas.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from launcher.exporting.document import CamelNode
from launcher.exporting.kubernetes.pods import Labels, Metadata, PodTemplate, Resources


class Selector(CamelNode):
    """LabelSelector."""

    match_labels: Labels


class Recreate(CamelNode):
    """DeploymentStrategy."""

    type: Literal["Recreate"] = "Recreate"


class DeploymentSpec(CamelNode):
    """DeploymentSpec."""

    replicas: int
    strategy: Recreate | None = None
    progress_deadline_seconds: int | None = None
    selector: Selector
    template: PodTemplate


class Deployment(CamelNode):
    """Deployment."""

    api_version: Literal["apps/v1"] = "apps/v1"
    kind: Literal["Deployment"] = "Deployment"
    metadata: Metadata
    spec: DeploymentSpec


class ClaimSpec(CamelNode):
    """PersistentVolumeClaimSpec."""

    access_modes: list[Literal["ReadWriteOnce"]] = Field(default=["ReadWriteOnce"])
    storage_class_name: str | None = None
    resources: Resources


class ClaimTemplate(CamelNode):
    """PersistentVolumeClaimTemplate."""

    metadata: Metadata
    spec: ClaimSpec


class Claim(CamelNode):
    """PersistentVolumeClaim."""

    api_version: Literal["v1"] = "v1"
    kind: Literal["PersistentVolumeClaim"] = "PersistentVolumeClaim"
    metadata: Metadata
    spec: ClaimSpec


class StatefulSetSpec(CamelNode):
    """StatefulSetSpec."""

    service_name: str
    replicas: int
    pod_management_policy: Literal["Parallel"] = "Parallel"
    selector: Selector
    template: PodTemplate
    volume_claim_templates: list[ClaimTemplate]


class StatefulSet(CamelNode):
    """StatefulSet."""

    api_version: Literal["apps/v1"] = "apps/v1"
    kind: Literal["StatefulSet"] = "StatefulSet"
    metadata: Metadata
    spec: StatefulSetSpec


class ServicePort(CamelNode):
    """ServicePort."""

    name: str
    port: int
    target_port: str


class ServiceSpec(CamelNode):
    """ServiceSpec; `cluster_ip` "None" makes a headless one."""

    type: Literal["ClusterIP"] = "ClusterIP"
    cluster_ip: Literal["None"] | None = Field(default=None, serialization_alias="clusterIP")
    selector: Labels
    ports: list[ServicePort]


class Service(CamelNode):
    """Service."""

    api_version: Literal["v1"] = "v1"
    kind: Literal["Service"] = "Service"
    metadata: Metadata
    spec: ServiceSpec


class ServiceAccount(CamelNode):
    """ServiceAccount."""

    api_version: Literal["v1"] = "v1"
    kind: Literal["ServiceAccount"] = "ServiceAccount"
    metadata: Metadata


class Rule(CamelNode):
    """PolicyRule."""

    api_groups: list[str]
    resources: list[str]
    verbs: list[str]


class Role(CamelNode):
    """Role."""

    api_version: Literal["rbac.authorization.k8s.io/v1"] = "rbac.authorization.k8s.io/v1"
    kind: Literal["Role"] = "Role"
    metadata: Metadata
    rules: list[Rule]


class RoleReference(CamelNode):
    """RoleRef."""

    api_group: Literal["rbac.authorization.k8s.io"] = "rbac.authorization.k8s.io"
    kind: Literal["Role"] = "Role"
    name: str


class Subject(CamelNode):
    """Subject."""

    kind: Literal["ServiceAccount"] = "ServiceAccount"
    name: str


class RoleBinding(CamelNode):
    """RoleBinding."""

    api_version: Literal["rbac.authorization.k8s.io/v1"] = "rbac.authorization.k8s.io/v1"
    kind: Literal["RoleBinding"] = "RoleBinding"
    metadata: Metadata
    role_ref: RoleReference
    subjects: list[Subject]


class PolicyPort(CamelNode):
    """NetworkPolicyPort."""

    port: str


class Peer(CamelNode):
    """NetworkPolicyPeer."""

    pod_selector: Selector


class Ingress(CamelNode):
    """NetworkPolicyIngressRule; without peers from everywhere, without ports to all of them."""

    ports: list[PolicyPort] | None = None
    peers: list[Peer] | None = Field(default=None, serialization_alias="from")


class NetworkPolicySpec(CamelNode):
    """NetworkPolicySpec."""

    pod_selector: Selector
    policy_types: list[Literal["Ingress"]] = Field(default=["Ingress"])
    ingress: list[Ingress]


class NetworkPolicy(CamelNode):
    """NetworkPolicy."""

    api_version: Literal["networking.k8s.io/v1"] = "networking.k8s.io/v1"
    kind: Literal["NetworkPolicy"] = "NetworkPolicy"
    metadata: Metadata
    spec: NetworkPolicySpec


class DisruptionSpec(CamelNode):
    """PodDisruptionBudgetSpec."""

    max_unavailable: int
    selector: Selector


class DisruptionBudget(CamelNode):
    """PodDisruptionBudget."""

    api_version: Literal["policy/v1"] = "policy/v1"
    kind: Literal["PodDisruptionBudget"] = "PodDisruptionBudget"
    metadata: Metadata
    spec: DisruptionSpec
