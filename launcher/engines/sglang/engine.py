"""SGLang, as the launcher sees an engine."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from launcher.config.arguments.options import OwnOption, TakenOver
from launcher.config.ranks import ranks_of
from launcher.config.server_config import ServerConfig
from launcher.engines.common.fields import refuse_fields
from launcher.engines.containers import ContainerLaunch, MachineGroup
from launcher.engines.launch import Command, CommandTarget
from launcher.engines.prober import Prober
from launcher.engines.sglang import container, prerequisites, version
from launcher.engines.sglang.causes import foreign
from launcher.engines.sglang.causes.table import CAUSES
from launcher.engines.sglang.command import build_command, check_arguments
from launcher.engines.sglang.options import memory
from launcher.engines.sglang.options.flags import load_flag_table
from launcher.engines.sglang.plugins.cpu import settings as cpu_settings
from launcher.engines.sglang.takeover.fields import near_options, own_option, take_over
from launcher.engines.sglang.watching import processes
from launcher.engines.sglang.watching.metrics import METRICS
from launcher.engines.sglang.watching.phases import SGLangStartLog, shows_progress
from launcher.engines.sglang.watching.prober import FollowerProber, HttpProber
from launcher.errors import InvalidValueError
from launcher.memory.lines import Device, Settings
from launcher.memory.plan import MemoryPlan, plan_memory
from launcher.memory.shape import ModelShape
from launcher.metrics.table import MetricTable
from launcher.system.activity import EngineChild
from launcher.system.process import ProcessIdentity

# What a module takes from its config as it is, and transformers does not always write.
_READ_WITHOUT_DEFAULT: Final = {
    "Gemma2ForCausalLM": ("hidden_act", "models/gemma2.py"),
    "DeepseekV2ForCausalLM": ("moe_layer_freq", "models/deepseek_v2.py"),
    "DeepseekV3ForCausalLM": ("moe_layer_freq", "models/deepseek_v2.py"),
}
# Fields that other engines have -> the nearest that SGLang has.
LACKING: Final = {
    "gpu_memory_utilization": "the nearest is mem_fraction_static, which leaves out what graphs "
    "and activations take.",
    "engine_python": "it runs beside the launcher; `uv sync` installs it there.",
}


class SGLangEngine:
    """See `launcher.engines.engine.Engine`, which says what each method is for."""

    name = "SGLang"
    distribution = "sglang"
    verified_version = version.VERIFIED_VERSION
    causes = CAUSES
    metrics: MetricTable | None = METRICS
    image = container.IMAGE
    requirement = container.REQUIREMENT
    probes = container.PROBES
    keys_name = container.KEYS_NAME
    container_variables = container.CONTAINER_VARIABLES

    @property
    def interpreter(self) -> Path:
        """The launcher's own: it is installed beside it."""
        return Path(sys.executable)

    def installed_version(self) -> str:
        """Read from the installed distribution."""
        return version.installed_sglang_version()

    def versions(self) -> dict[str, str]:
        """SGLang's, torch's, FlashInfer's and transformers', and our own."""
        return version.installed_versions()

    def make_command(self, config: ServerConfig, target: CommandTarget) -> Command:
        """`python -m sglang.launch_server` with its flags; keys by its `--config` file."""
        upstream = cpu_settings.upstream_kernels_installed()
        return build_command(config, target, upstream_cpu_kernels=upstream)

    def check_command(self, command: Command, config: ServerConfig, version: str) -> None:
        """By what it has of our fields, by its parser, and by what is in a file of draft steps."""
        refuse_fields(config, self.name, LACKING)
        check_arguments(command, config.extra_args, load_flag_table(version))
        flaw = prerequisites.flaw_of_adaptive_file(config)
        if flaw is not None:
            raise InvalidValueError(
                f"{flaw}.", action="Mend --speculative-adaptive-config, or leave it out."
            )

    def take_over(self, arguments: Sequence[str], version: str) -> TakenOver:
        """By the parser of that version, as a table."""
        return take_over(arguments, load_flag_table(version))

    def own_option(self, name: str, version: str) -> OwnOption | None:
        """By the same table."""
        return own_option(name, load_flag_table(version))

    def near_options(self, name: str, version: str) -> tuple[str, ...]:
        """By the same table."""
        return near_options(name, load_flag_table(version))

    def refuse_speculation(
        self, config: ServerConfig, draft_architecture: str | None
    ) -> str | None:
        """By what was seen to run with our kernels."""
        if config.speculative_algorithm is None:
            return None
        return cpu_settings.refuse_reason(config.speculative_algorithm, draft_architecture)

    def refuse_model(self, config: ServerConfig, content: Mapping[str, Any]) -> str | None:
        """By what its modules read, and by what was seen to fail with our kernels."""
        names = content.get("architectures")
        name = names[0] if isinstance(names, list) and names and isinstance(names[0], str) else None
        field, module = _READ_WITHOUT_DEFAULT.get(name or "", ("", ""))
        if field and content.get(field) is None:
            return f"SGLang reads {field} from the config.json of {name} ({module}); here is none."
        if config.device != "cpu" or cpu_settings.upstream_kernels_installed():
            return None
        return cpu_settings.refuse_model(name, content)

    def missing_package(self, config: ServerConfig) -> tuple[str, str] | None:
        """By a table of what SGLang's own options import."""
        return prerequisites.missing_package(config)

    def misread_variable(self, environment: Mapping[str, str]) -> tuple[str, str] | None:
        """By the list in its own sources."""
        return prerequisites.misread_variable(environment)

    def why_unread(self, variable: str) -> str | None:
        """By a look for its name in the installed sources."""
        return prerequisites.why_unread(variable)

    def start_log(self, config: ServerConfig) -> SGLangStartLog:
        """Follows the lines that the verified version prints."""
        return SGLangStartLog(first_rank=ranks_of(config).first_tensor_here)

    def make_prober(self, config: ServerConfig, keys: Mapping[str, str]) -> Prober:
        """Asks over HTTP, with the user's key, and the admin key for admin routes."""
        if config.is_follower:
            return FollowerProber(config.base_url)
        return self.make_completer(config, keys)

    def make_completer(self, config: ServerConfig, keys: Mapping[str, str]) -> HttpProber:
        """The same, of a server that generates text."""
        return HttpProber(config.base_url, keys.get("api-key"), keys.get("admin-api-key"))

    def plan_memory(
        self, model: str, shape: ModelShape, device: Device, settings: Settings
    ) -> MemoryPlan:
        """A static fraction of what is free before the load."""
        return plan_memory(model, shape, device, settings)

    def memory_settings(self, config: ServerConfig, settings: Settings) -> Settings:  # noqa: ARG002
        """It reads no other."""
        return settings

    def uncounted_option(self, config: ServerConfig, quantization: str | None) -> str | None:
        """By a table of its own options."""
        return memory.uncounted_option(config, quantization)

    def children(self, members: Iterable[ProcessIdentity]) -> tuple[EngineChild, ...]:
        """Those that SGLang gave a title."""
        return processes.engine_children(members)

    def shows_progress(self, line: str) -> bool:
        """A batch that was decoded."""
        return shows_progress(line)

    def fallout_seconds(self, config: ServerConfig, *, served: bool) -> float:
        """SGLang looks after its children once a second, and then ends itself."""
        return processes.fallout_seconds(config, served=served)

    def container_launch(
        self, config: ServerConfig, *, keys_file: str | None, group: MachineGroup | None = None
    ) -> ContainerLaunch:
        """The same command, without what switches the launcher's plugins on."""
        return container.container_launch(config, keys_file=keys_file, group=group)

    def draft_revision(self, config: ServerConfig) -> str | None:
        """By its own option, which has no field."""
        return container.draft_revision(config)

    def with_draft_revision(self, config: ServerConfig, revision: str) -> ServerConfig:
        """The same option, at the end."""
        return container.with_draft_revision(config, revision)

    def read_config(self, lines: Sequence[str]) -> ServerConfig:
        """By its line `server_args=`, or by the ranks that speak."""
        return foreign.read_config(lines)

    def in_own_words(self, text: str) -> str:
        """Flags without the dashes that pass them through, `hf download` instead of `pull`."""
        return foreign.in_own_words(text)


SGLANG: Final = SGLangEngine()
