"""A task of SkyPilot, or a service of SkyServe where there are several replicas. Pure.

Source: SkyPilot's reference of the task YAML and of the service YAML, 0.14.
"""

from __future__ import annotations

import math
import shlex
from typing import Final

from launcher.exporting.document import Node
from launcher.exporting.download import download_command, offline
from launcher.exporting.keys import KEY_VARIABLE, write_keys
from launcher.exporting.request import Export
from launcher.exporting.timing import timing_of

_ENVIRONMENT: Final = "~/sglang"
# The system, the drivers, and the engine with CUDA.
_SYSTEM_GIB: Final = 100
_PYTHON_VERSION: Final = "3.11"


class Resources(Node):
    """`resources`; `disk_size` in GB."""

    accelerators: str
    disk_size: int
    ports: int


class ReadinessProbe(Node):
    """`service.readiness_probe`."""

    path: str
    initial_delay_seconds: int
    timeout_seconds: int


class ServicePolicy(Node):
    """`service`."""

    readiness_probe: ReadinessProbe
    replicas: int


class Task(Node):
    """A task."""

    name: str
    resources: Resources
    service: ServicePolicy | None = None
    envs: dict[str, str] | None = None
    secrets: dict[str, str | None] | None = None
    setup: str
    run: str

    def as_data(self) -> dict[str, object]:
        """As of every part; a secret without a value is one that the caller has to give."""
        data = super().as_data()
        if self.secrets is not None:
            data["secrets"] = dict(self.secrets)
        return data


def skypilot_task(export: Export) -> Task:
    """The whole task."""
    several = export.choices.replicas > 1
    launch = export.engine.container_launch(export.config, keys_file=None)
    key: dict[str, str | None] = {KEY_VARIABLE: None} if export.has_keys else {}
    return Task(
        name=export.name,
        resources=Resources(
            accelerators=f"{export.choices.gpu}:{export.gpus}",
            disk_size=export.storage_gib + _SYSTEM_GIB,
            ports=export.config.port,
        ),
        service=_service(export) if several else None,
        envs=dict(launch.environment) or None,
        # An empty one is as good as none; `--secret HF_TOKEN` gives it for gated models.
        secrets={**key, "HF_TOKEN": ""},
        setup=_setup(export),
        run=_run(export),
    )


def _service(export: Export) -> ServicePolicy:
    return ServicePolicy(
        readiness_probe=ReadinessProbe(
            path=export.engine.probes.generates,
            initial_delay_seconds=math.ceil(export.config.start_timeout_seconds),
            timeout_seconds=timing_of(export).timeout,
        ),
        replicas=export.choices.replicas,
    )


def _setup(export: Export) -> str:
    requirement = shlex.quote(export.engine.requirement)
    lines = [
        "set -eu",
        'export PATH="$HOME/.local/bin:$PATH"',
        f"uv venv --seed --python {_PYTHON_VERSION} {_ENVIRONMENT}",
        f"uv pip install --python {_ENVIRONMENT}/bin/python {requirement}",
    ]
    for weights in export.weights:
        program, *arguments = download_command(weights, export)
        lines.append(f"{_ENVIRONMENT}/bin/{program} {shlex.join(arguments)}")
    return "\n".join(lines) + "\n"


def _run(export: Export) -> str:
    keys = f"~/{export.engine.keys_name}"
    launch = export.engine.container_launch(export.config, keys_file=None)
    lines = ["set -eu", *(f"export {name}={value}" for name, value in offline(launch).items())]
    options = []
    if export.has_keys:
        # An empty key would be read as none.
        given = f'"${{{KEY_VARIABLE}:?give it by --secret {KEY_VARIABLE}}}"'
        lines += ["umask 077", write_keys(keys, api_key=given)]
        options.append(f"{launch.keys_option} {keys}")
    _, *module = launch.program
    for word in launch.arguments:
        if word.startswith("--") or not options:
            options.append(shlex.quote(word))
        else:
            options[-1] += f" {shlex.quote(word)}"
    command = f"exec {_ENVIRONMENT}/bin/python {shlex.join(module)}"
    lines.append(" \\\n  ".join([command, *options]))
    return "\n".join(lines) + "\n"
