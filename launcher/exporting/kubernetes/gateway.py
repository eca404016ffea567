"""The gateway in a cluster: it finds the servers by their labels. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from launcher.exporting import gateway
from launcher.exporting.document import Node
from launcher.exporting.keys import KEY_VARIABLE
from launcher.exporting.kubernetes.around import service
from launcher.exporting.kubernetes.objects import (
    Deployment,
    DeploymentSpec,
    Role,
    RoleBinding,
    RoleReference,
    Rule,
    Selector,
    ServiceAccount,
    Subject,
)
from launcher.exporting.kubernetes.pods import (
    Container,
    ContainerPort,
    FieldSelector,
    HttpGet,
    KeySelector,
    Metadata,
    PodSpec,
    PodTemplate,
    Probe,
    Source,
    Variable,
)
from launcher.exporting.kubernetes.server import (
    API_KEY,
    PORT_NAME,
    Part,
    keys_secret,
    labels_of,
)
from launcher.exporting.request import Export
from launcher.exporting.timing import BEFORE_STOP_SECONDS, timing_of

_NAMESPACE_VARIABLE = "POD_NAMESPACE"
_READY_PERIOD_SECONDS = 5
_ALIVE_PERIOD_SECONDS = 20
_TIMEOUT_SECONDS = 5
_FAILURES = 3


def gateway_name(export: Export) -> str:
    """Of all its objects."""
    return f"{export.name}-gateway"


def gateway_objects(export: Export, workers: Part) -> Iterator[Node]:
    """The gateway, the way to it, and what it may look at.

    Args:
        export: what is served.
        workers: the pods that answer.
    """
    name, labels = gateway_name(export), labels_of(export, "gateway")
    metadata = Metadata(name=name, labels=labels)
    yield ServiceAccount(metadata=metadata)
    rule = Rule(api_groups=[""], resources=["pods"], verbs=["get", "list", "watch"])
    yield Role(metadata=metadata, rules=[rule])
    yield RoleBinding(
        metadata=metadata, role_ref=RoleReference(name=name), subjects=[Subject(name=name)]
    )
    # Clients keep the name that one server alone would have.
    yield service(export, "gateway", export.name)
    yield Deployment(
        metadata=metadata,
        spec=DeploymentSpec(
            replicas=1,
            selector=Selector(match_labels=labels),
            template=PodTemplate(
                metadata=Metadata(labels=labels),
                spec=PodSpec(
                    service_account_name=name,
                    automount_service_account_token=True,
                    termination_grace_period_seconds=BEFORE_STOP_SECONDS
                    + timing_of(export).drain
                    + gateway.STOP_MARGIN_SECONDS,
                    containers=[_container(export, workers)],
                ),
            ),
        ),
    )


def _container(export: Export, workers: Part) -> Container:
    selector = [f"{key}={value}" for key, value in labels_of(export, workers).items()]
    # Only an argument takes the key; the cluster fills it in, so that no manifest has it.
    key = ["--api-key", f"$({KEY_VARIABLE})"] if export.has_keys else []
    return Container(
        name="gateway",
        image=export.choices.gateway_image,
        command=list(gateway.PROGRAM),
        args=[
            *gateway.gateway_arguments(export),
            *("--discovery-provider", "kubernetes", "--selector", *selector),
            *("--service-discovery-port", str(export.config.port)),
            *("--service-discovery-namespace", f"$({_NAMESPACE_VARIABLE})", *key),
        ],
        env=list(_environment(export)),
        ports=[ContainerPort(name=PORT_NAME, container_port=export.config.port)],
        readiness_probe=_probe(gateway.READY_PATH, _READY_PERIOD_SECONDS),
        liveness_probe=_probe(gateway.ALIVE_PATH, _ALIVE_PERIOD_SECONDS),
    )


def _environment(export: Export) -> Iterator[Variable]:
    field = FieldSelector(field_path="metadata.namespace")
    yield Variable(name=_NAMESPACE_VARIABLE, value_from=Source(field_ref=field))
    if export.has_keys:
        reference = KeySelector(name=keys_secret(export), key=API_KEY)
        yield Variable(name=KEY_VARIABLE, value_from=Source(secret_key_ref=reference))


def _probe(path: str, period_seconds: int) -> Probe:
    return Probe(
        http_get=HttpGet(path=path, port=PORT_NAME),
        period_seconds=period_seconds,
        timeout_seconds=_TIMEOUT_SECONDS,
        failure_threshold=_FAILURES,
    )
