"""What stands around pods, whatever makes them: the way to them, and their volumes. Pure."""

from __future__ import annotations

from launcher.exporting.kubernetes.objects import (
    ClaimSpec,
    ClaimTemplate,
    Service,
    ServicePort,
    ServiceSpec,
)
from launcher.exporting.kubernetes.pods import Metadata, Resources
from launcher.exporting.kubernetes.server import PORT_NAME, STORAGE, Part, labels_of
from launcher.exporting.request import Export


def claim_spec(export: Export) -> ClaimSpec:
    """The volume of one pod."""
    return ClaimSpec(
        storage_class_name=export.choices.storage_class,
        resources=Resources(requests={"storage": f"{export.storage_gib}Gi"}),
    )


def claim_template(export: Export) -> ClaimTemplate:
    """The same, of which each pod gets its own."""
    return ClaimTemplate(metadata=Metadata(name=STORAGE), spec=claim_spec(export))


def service(export: Export, part: Part, name: str, *, headless: bool = False) -> Service:
    """The way to the pods of a part.

    Args:
        export: what is served.
        part: which pods.
        name: by which clients find them.
        headless: it gives each pod a name, and no address of its own.
    """
    return Service(
        metadata=Metadata(name=name, labels=labels_of(export, part)),
        spec=ServiceSpec(
            cluster_ip="None" if headless else None,
            selector=labels_of(export, part),
            ports=[ServicePort(name=PORT_NAME, port=export.config.port, target_port=PORT_NAME)],
        ),
    )
