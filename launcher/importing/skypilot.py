"""SkyPilot tasks: a script with variables. Source: SkyPilot's reference of the task YAML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from launcher.importing.container import as_text, environment_of
from launcher.importing.definition import Definition, refuse, unknown


def is_task(document: Mapping[str, Any]) -> bool:
    """Whether a document is a task."""
    return isinstance(document.get("run"), str)


def definition(document: Mapping[str, Any]) -> tuple[str, Definition]:
    """A task's script, and what is known of where it runs.

    Raises:
        UnimportableError: it runs on several machines.
    """
    nodes = document.get("num_nodes", 1)
    if isinstance(nodes, int) and nodes > 1:
        raise refuse(
            f"The task runs on {nodes} nodes, and the launcher watches a server on one machine.",
            "Import a definition for one machine, or keep this one as it is.",
        )
    environment = dict(environment_of(document.get("envs")))
    environment = {name: value or unknown(f"${{{name}}}") for name, value in environment.items()}
    environment |= dict.fromkeys(environment_of(document.get("secrets")), unknown("secret"))
    count = _gpus(document)
    dropped = [
        f"{key}: SkyPilot's; prepare this machine by hand"
        for key in ("setup", "file_mounts", "workdir", "service")
        if key in document
    ]
    made = Definition(
        argv=(),
        environment=environment,
        name=as_text(document.get("name")),
        dropped=tuple(dropped),
    )
    if count:
        made = Definition(
            made.argv,
            {**environment, "SKYPILOT_NUM_GPUS_PER_NODE": count},
            name=made.name,
            dropped=made.dropped,
        )
    return str(document["run"]), made


def _gpus(document: Mapping[str, Any]) -> str:
    """How many GPUs a machine of the task has, as written; "" where that is not said."""
    resources = document.get("resources")
    given = resources.get("accelerators") if isinstance(resources, dict) else None
    if isinstance(given, dict):
        return next((as_text(number) for number in given.values()), "")
    if isinstance(given, str):
        return given.partition(":")[2] or "1"
    return ""
