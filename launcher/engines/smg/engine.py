"""The gateway, as the launcher sees an engine."""

# Most of what is asked of an engine is about a model, and has the same answer whatever is given.
# ruff: noqa: ARG002

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from launcher.config.arguments.options import OwnOption, TakenOver
from launcher.config.gateway_config import GatewayConfig
from launcher.config.server_config import ServerConfig
from launcher.engines.launch import Command, CommandTarget
from launcher.engines.phases import Phase, Progress
from launcher.engines.smg import version
from launcher.engines.smg.causes import CAUSES
from launcher.engines.smg.command import build_command, check_arguments
from launcher.engines.smg.prober import GatewayProber
from launcher.metrics.table import MetricTable
from launcher.system.activity import EngineChild
from launcher.system.process import ProcessIdentity


@dataclass(slots=True)
class GatewayLog:
    """A start without phases: it takes a second, and then waits for its first server."""

    progress: Progress = field(default_factory=lambda: Progress(Phase.WARM_UP))
    context_length_tokens: int | None = None
    kv_cache_tokens: int | None = None
    max_running_requests: int | None = None
    fired_up: bool = False

    def feed(self, line: str) -> Progress | None:
        """Take one line."""
        return None


class GatewayEngine:
    """See `launcher.engines.engine.Engine`: what asks of a model has no answer here."""

    name = "smg"
    distribution = version.DISTRIBUTION
    verified_version = version.VERIFIED_VERSION
    causes = CAUSES
    metrics: MetricTable | None = None

    @property
    def interpreter(self) -> Path:
        """The launcher's own: it is installed beside it."""
        return Path(sys.executable)

    def installed_version(self) -> str:
        """Read from the installed distribution."""
        return version.installed_version()

    def versions(self) -> dict[str, str]:
        """Python's, smg's and our own."""
        return version.versions()

    def make_command(self, config: ServerConfig, target: CommandTarget) -> Command:
        """Our own start module, which gives smg its keys from a file."""
        return build_command(_gateway(config), target)

    def check_command(self, command: Command, config: ServerConfig, version: str) -> None:
        """By what the launcher sets; smg's own parser looks at the rest within a second."""
        check_arguments(_gateway(config))

    def take_over(self, arguments: Sequence[str], version: str) -> TakenOver:
        """None of its arguments is a field."""
        return TakenOver((), tuple(arguments))

    def own_option(self, name: str, version: str) -> OwnOption | None:
        """Not looked up."""
        return None

    def near_options(self, name: str, version: str) -> tuple[str, ...]:
        """Not looked up."""
        return ()

    def refuse_speculation(
        self,
        config: ServerConfig,
        draft_architecture: str | None,
    ) -> str | None:
        """It does not speculate."""
        return None

    def refuse_model(self, config: ServerConfig, content: Mapping[str, Any]) -> str | None:
        """It runs none."""
        return None

    def missing_package(self, config: ServerConfig) -> tuple[str, str] | None:
        """It is one wheel."""
        return None

    def misread_variable(self, environment: Mapping[str, str]) -> tuple[str, str] | None:
        """Not looked at."""
        return None

    def why_unread(self, variable: str) -> str | None:
        """Not looked at."""
        return None

    def start_log(self, config: ServerConfig) -> GatewayLog:
        """Without phases."""
        return GatewayLog()

    def make_prober(self, config: ServerConfig, keys: Mapping[str, str]) -> GatewayProber:
        """Asks over HTTP, with the admin key."""
        return GatewayProber(config.base_url, keys.get("admin-api-key"))

    def children(self, members: Iterable[ProcessIdentity]) -> tuple[EngineChild, ...]:
        """It is one process."""
        return ()

    def shows_progress(self, line: str) -> bool:
        """It does not print requests."""
        return False

    def fallout_seconds(self, config: ServerConfig, *, served: bool) -> float:
        """It has no process to lose."""
        return 0.0

    def read_config(self, lines: Sequence[str]) -> ServerConfig:
        """Its log does not tell.

        Raises:
            NotImplementedError: always; `engine_of_output` names it for no log.
        """
        raise NotImplementedError

    def in_own_words(self, text: str) -> str:
        """As it is."""
        return text


def _gateway(config: ServerConfig) -> GatewayConfig:
    if not isinstance(config, GatewayConfig):
        raise TypeError(f"{type(config).__name__} is no configuration of a gateway")
    return config


SMG: Final = GatewayEngine()
