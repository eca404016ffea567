"""All that a supervisor needs to know, computed before it begins; crosses to a detached one."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launcher.config.gateway_config import parse_config
from launcher.config.server_config import ServerConfig
from launcher.memory.report import PlannedMemory
from launcher.nodes.facts import NodeFacts
from launcher.nodes.network import NodeNetwork
from launcher.system.hardware import Gpu


@dataclass(frozen=True, slots=True)
class Command:
    """What is executed, and which variables are added to the launcher's own environment."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]

    @property
    def server_arguments(self) -> tuple[str, ...]:
        """The arguments after `python -m MODULE`."""
        return self.argv[self.argv.index("-m") + 2 :]

    def shell(self) -> str:
        """The command as one would type it, a flag with its values on each line."""
        variables = [f"{key}={shlex.quote(value)}" for key, value in self.environment.items()]
        start = self.argv.index("-m") + 2
        lines = [*variables, shlex.join(self.argv[:start])]
        for argument in self.argv[start:]:
            if argument.startswith("--"):
                lines.append(f"  {argument}")
            else:
                lines[-1] += f" {shlex.quote(argument)}"
        return " \\\n".join(lines)


@dataclass(frozen=True, slots=True)
class CommandTarget:
    """The machine and the files that a command is for, besides the configuration.

    Attributes:
        python: interpreter that has the engine installed.
        cpus: processors that the server may use.
        gpus: where to serve; none: the first ones that the driver shows.
        secrets_file: the file from which the engine reads its keys; None where there is no key.
        python_path: the caller's PYTHONPATH.
        no_proxy: the hosts that go round the caller's proxies, parted by commas; None where there
            are no proxies.
        network: to the other machines that serve with this one; None for one alone.
    """

    python: str
    cpus: tuple[int, ...]
    gpus: tuple[Gpu, ...] = ()
    secrets_file: Path | None = None
    python_path: str = ""
    no_proxy: str | None = None
    network: NodeNetwork | None = None


@dataclass(frozen=True, slots=True)
class Launch:
    """A server that passed every check.

    `keys` are what the engine reads from the secrets file: `admin-api-key`, and `api-key` where
    clients need one. `history_key` says which earlier starts took about as long; `model_commit` is
    the commit of the repository that is served, where it is one. `planned` is None where the
    model's memory cannot be planned. `stand_by`: a process waits for the next run. `nodes`: what
    has to be the same on the machines that serve together; None where it serves alone.
    """

    config: ServerConfig
    command: Command
    keys: dict[str, str]
    versions: dict[str, str]
    detached: bool
    history_key: str = ""
    model_commit: str | None = None
    planned: PlannedMemory | None = None
    stand_by: bool = False
    nodes: NodeFacts | None = None

    @property
    def dies_with_launcher(self) -> bool:
        """Whether the kernel ends its processes with their supervisor, however that ends."""
        wanted = self.config.die_with_launcher
        return not self.detached if wanted is None else wanted

    def to_json(self) -> str:
        """For the standard input of a detached supervisor: it holds the keys, so never a file."""
        return json.dumps(
            {
                "config": self.config.model_dump(mode="json"),
                "argv": self.command.argv,
                "environment": dict(self.command.environment),
                "keys": self.keys,
                "versions": self.versions,
                "history_key": self.history_key,
                "model_commit": self.model_commit,
                "planned": self.planned.model_dump() if self.planned else None,
                "stand_by": self.stand_by,
                "nodes": self.nodes.model_dump() if self.nodes else None,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Launch:
        """Read back what `to_json` wrote; whoever reads it is detached."""
        fields: dict[str, Any] = json.loads(text)
        planned, nodes = fields["planned"], fields["nodes"]
        return cls(
            config=parse_config(fields["config"]),
            command=Command(tuple(fields["argv"]), fields["environment"]),
            keys=fields["keys"],
            versions=fields["versions"],
            detached=True,
            history_key=fields["history_key"],
            model_commit=fields["model_commit"],
            planned=PlannedMemory.model_validate(planned) if planned else None,
            stand_by=fields["stand_by"],
            nodes=NodeFacts.model_validate(nodes, strict=False) if nodes else None,
        )


def history_key(
    config: ServerConfig,
    *,
    gpu_names: Sequence[str],
    cpu_model: str,
    cpus: int,
    engine_version: str,
) -> str:
    """A digest of what decides how long a start takes.

    Args:
        config: what is served.
        gpu_names: the GPUs that it may use, in their order; they count where it runs on them.
        cpu_model: the processor's name, as `read_cpu_model` reads it.
        cpus: how many processors it may use.
        engine_version: the engine's.
    """
    machine = list(gpu_names) if config.device == "cuda" else [cpu_model, cpus]
    decides = [
        config.model_path,
        config.revision,
        config.device,
        machine,
        *(config.tp_size, config.pp_size, config.dp_size, config.enable_dp_attention),
        *(config.ep_size, config.quantization, config.attention_backend),
        config.dtype,
        config.speculative_algorithm,
        config.speculative_draft_model_path,
        engine_version,
    ]
    return hashlib.sha256(json.dumps(decides).encode()).hexdigest()[:32]
