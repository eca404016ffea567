"""vLLM, as the launcher sees an engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launcher.config.arguments.options import OwnOption, TakenOver
from launcher.config.server_config import ServerConfig
from launcher.engines.common.environments import environment_of
from launcher.engines.common.flags import FlagTable
from launcher.engines.launch import Command, CommandTarget
from launcher.engines.vllm import prerequisites, version
from launcher.engines.vllm.causes import foreign
from launcher.engines.vllm.causes.table import CAUSES
from launcher.engines.vllm.command import build_command
from launcher.engines.vllm.options.flags import load_flag_table
from launcher.engines.vllm.takeover import fields, memory
from launcher.engines.vllm.watching import processes
from launcher.engines.vllm.watching.metrics import METRICS
from launcher.engines.vllm.watching.phases import VllmStartLog, shows_progress
from launcher.engines.vllm.watching.prober import VllmProber
from launcher.errors import EngineNotInstalledError
from launcher.memory.lines import Device, Settings
from launcher.memory.plan import MemoryPlan
from launcher.memory.shape import ModelShape
from launcher.memory.vllm.plan import plan_memory
from launcher.system.activity import EngineChild
from launcher.system.process import ProcessIdentity


@dataclass(frozen=True, slots=True)
class VllmEngine:
    """See `launcher.engines.engine.Engine`, which says what each method is for.

    Attributes:
        device: for which it is to compute.
        engine_python: of an environment that the user names; None: the one that
            `engine install vllm` made.
    """

    device: str = "cuda"
    engine_python: Path | None = None

    name = "vLLM"
    distribution = version.OFFICIAL
    verified_version = version.VERIFIED_VERSION
    causes = CAUSES
    metrics = METRICS

    @property
    def interpreter(self) -> Path:
        """The user's, or that of the environment that is or would be installed."""
        if self.engine_python is not None:
            return self.engine_python
        build = version.FOR_CPU if self.device == "cpu" else version.OFFICIAL
        return environment_of(build, version.VERIFIED_VERSION).python

    def installed_version(self) -> str:
        """By the metadata in the environment; its interpreter is asked, vLLM not imported."""
        found = self.versions()
        install = f"`python -m launcher engine install vllm --device {self.device}`"
        named = self.engine_python is not None
        if (installed := found.get(version.OFFICIAL)) is None:
            where = f"The environment of {self.interpreter} has no vLLM."
            missing = (
                f"vLLM {version.VERIFIED_VERSION} is not installed for the device {self.device}: "
                f"there is no {self.interpreter}."
            )
            raise EngineNotInstalledError(
                where if named else missing,
                action=f"Install it into an environment of its own: {install}, or name a Python "
                "that has it: --engine-python PATH.",
            )
        for_cpus = version.FOR_CPU in found
        if for_cpus != (self.device == "cpu"):
            build = version.FOR_CPU if for_cpus else version.OFFICIAL
            raise EngineNotInstalledError(
                f"The environment of {self.interpreter} has the distribution {build}, which does "
                f"not compute on the device {self.device}.",
                action=f"Use another --device, or {install} and no --engine-python.",
            )
        return installed

    def versions(self) -> dict[str, str]:
        """vLLM's, torch's and transformers' in its environment, and our own."""
        python = self.interpreter
        return dict(version.versions_of(python)) if python.exists() else {}

    def make_command(self, config: ServerConfig, target: CommandTarget) -> Command:
        """Our own start module in vLLM's environment, which gives vLLM its keys from a file."""
        return build_command(config, target)

    def check_command(self, command: Command, config: ServerConfig, version: str) -> None:
        """By what vLLM has of our fields, and by the parser of that version, as a table."""
        fields.check_arguments(command, config, self._table(version))

    def take_over(self, arguments: Sequence[str], version: str) -> TakenOver:
        """By the parser of that version, as a table."""
        return fields.take_over(arguments, self._table(version))

    def own_option(self, name: str, version: str) -> OwnOption | None:
        """By the same table."""
        return fields.own_option(name, self._table(version))

    def near_options(self, name: str, version: str) -> tuple[str, ...]:
        """By the same table."""
        return fields.near_options(name, self._table(version))

    def refuse_speculation(
        self,
        config: ServerConfig,  # noqa: ARG002
        draft_architecture: str | None,  # noqa: ARG002
    ) -> str | None:
        """Its kernels are its own: nothing speaks against it."""
        return None

    def refuse_model(
        self,
        config: ServerConfig,  # noqa: ARG002
        content: Mapping[str, Any],  # noqa: ARG002
    ) -> str | None:
        """VLLM looks at its models itself, within a minute."""
        return None

    def missing_package(self, config: ServerConfig) -> tuple[str, str] | None:  # noqa: ARG002
        """Not looked up: vLLM's own packages came with it."""
        return None

    def misread_variable(self, environment: Mapping[str, str]) -> tuple[str, str] | None:
        """By what vLLM makes of those that are set most."""
        return prerequisites.misread_variable(environment)

    def why_unread(self, variable: str) -> str | None:
        """By a look for its name in the list of the verified version."""
        return prerequisites.why_unread(variable)

    def start_log(self, config: ServerConfig) -> VllmStartLog:
        """Follows the lines that the verified version prints."""
        del config
        return VllmStartLog()

    def make_prober(self, config: ServerConfig, keys: Mapping[str, str]) -> VllmProber:
        """Asks over HTTP, with the user's key."""
        return VllmProber(config.base_url, config.served_model_name, keys.get("api-key"))

    def make_completer(self, config: ServerConfig, keys: Mapping[str, str]) -> VllmProber:
        """The same."""
        return self.make_prober(config, keys)

    def plan_memory(
        self, model: str, shape: ModelShape, device: Device, settings: Settings
    ) -> MemoryPlan:
        """A share of all memory, less what a profile run takes."""
        return plan_memory(model, shape, device, settings)

    def memory_settings(self, config: ServerConfig, settings: Settings) -> Settings:
        """With its utilization, or the KV cache that is asked for."""
        return memory.memory_settings(config, settings)

    def uncounted_option(self, config: ServerConfig, quantization: str | None) -> str | None:
        """By a table of its own options."""
        return memory.uncounted_option(config, quantization)

    def children(self, members: Iterable[ProcessIdentity]) -> tuple[EngineChild, ...]:
        """Those that vLLM gave a title."""
        return processes.engine_children(members)

    def shows_progress(self, line: str) -> bool:
        """A throughput that probes alone do not make."""
        return shows_progress(line)

    def fallout_seconds(self, config: ServerConfig, *, served: bool) -> float:  # noqa: ARG002
        """It ends itself about a second after its core."""
        return processes.fallout_seconds(served=served)

    def read_config(self, lines: Sequence[str]) -> ServerConfig:
        """By its line `non-default args`."""
        return foreign.read_config(lines)

    def in_own_words(self, text: str) -> str:
        """Flags of vLLM's for the launcher's own."""
        return foreign.in_own_words(text)

    def _table(self, version: str) -> FlagTable:
        return load_flag_table(version, self.interpreter)
