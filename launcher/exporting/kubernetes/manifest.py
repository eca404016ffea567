"""One server as a Deployment, several as a StatefulSet behind the gateway. Pure.

A volume for each server, which no other may write: one Deployment has one. Several pods of a
Deployment would share it, so several are a StatefulSet, which makes a claim for each.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from launcher.exporting.document import Node
from launcher.exporting.kubernetes.around import claim_spec, claim_template, service
from launcher.exporting.kubernetes.gateway import gateway_objects
from launcher.exporting.kubernetes.objects import (
    Claim,
    Deployment,
    DeploymentSpec,
    DisruptionBudget,
    DisruptionSpec,
    Recreate,
    Selector,
    StatefulSet,
    StatefulSetSpec,
)
from launcher.exporting.kubernetes.pods import Metadata
from launcher.exporting.kubernetes.server import (
    STORAGE,
    labels_of,
    server_template,
)
from launcher.exporting.request import Export

# On top of the start: the first download. The cluster then only says that it takes long.
_DOWNLOAD_SECONDS: Final = 3600


def kubernetes_documents(export: Export) -> list[Node]:
    """All objects, in an order in which they can be made."""
    return list(_one(export) if export.choices.replicas == 1 else _several(export))


def _one(export: Export) -> Iterator[Node]:
    labels = labels_of(export, "server")
    metadata = Metadata(name=export.name, labels=labels)
    claim = f"{export.name}-{STORAGE}"
    yield Claim(metadata=Metadata(name=claim, labels=labels), spec=claim_spec(export))
    yield service(export, "server", export.name)
    yield Deployment(
        metadata=metadata,
        spec=DeploymentSpec(
            replicas=1,
            # A new pod beside the old one would wait for GPUs and a volume that the old one has.
            strategy=Recreate(),
            progress_deadline_seconds=export.start_seconds + _DOWNLOAD_SECONDS,
            selector=Selector(match_labels=labels),
            template=server_template(export, "server", claim=claim),
        ),
    )


def _several(export: Export) -> Iterator[Node]:
    labels = labels_of(export, "server")
    name = f"{export.name}-server"
    yield service(export, "server", name, headless=True)
    yield StatefulSet(
        metadata=Metadata(name=name, labels=labels),
        spec=StatefulSetSpec(
            service_name=name,
            replicas=export.choices.replicas,
            selector=Selector(match_labels=labels),
            template=server_template(export, "server"),
            volume_claim_templates=[claim_template(export)],
        ),
    )
    # Whoever empties a node takes one server at a time, and waits for it to be ready elsewhere.
    yield DisruptionBudget(
        metadata=Metadata(name=name, labels=labels),
        spec=DisruptionSpec(max_unavailable=1, selector=Selector(match_labels=labels)),
    )
    yield from gateway_objects(export, "server")
