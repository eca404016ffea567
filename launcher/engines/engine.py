"""What an engine is to the launcher: all in which one engine differs from another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from launcher.config.arguments.options import OwnOption, TakenOver
    from launcher.config.server_config import ServerConfig
    from launcher.engines.causes import CauseTable
    from launcher.engines.containers import ContainerLaunch, MachineGroup, ProbePaths
    from launcher.engines.launch import Command, CommandTarget
    from launcher.engines.phases import Progress
    from launcher.engines.prober import Completer, Prober
    from launcher.memory.lines import Device, Settings
    from launcher.memory.plan import MemoryPlan
    from launcher.memory.shape import ModelShape
    from launcher.metrics.table import MetricTable
    from launcher.system.activity import EngineChild
    from launcher.system.process import ProcessIdentity


class StartLog(Protocol):
    """The output of one start, read line by line into phases and figures.

    With several ranks, the first speaks for all. A phase never goes back.
    """

    progress: Progress
    context_length_tokens: int | None
    kv_cache_tokens: int | None
    max_running_requests: int | None
    fired_up: bool  # the engine says that it is ready

    def feed(self, line: str) -> Progress | None:
        """Take one line; returns the progress where it changed."""


class Engine(Protocol):
    """One engine. An implementation holds at most where it is: each method is a fact or a function.

    Attributes:
        name: for people.
        distribution: the package that pip knows it by.
        verified_version: the version with which this launcher is verified.
        causes: why it ends, in the order of the search.
    """

    name: str
    distribution: str
    verified_version: str
    causes: CauseTable

    @property
    def metrics(self) -> MetricTable | None:
        """What it calls each quantity that is watched; None where nothing is."""

    # Before a start

    @property
    def interpreter(self) -> Path:
        """The Python that has it, or would have it."""

    def installed_version(self) -> str:
        """The version that is installed, read without importing it.

        Raises:
            EngineMissingError: it is not installed.
        """

    def versions(self) -> dict[str, str]:
        """Versions of all packages that decide what a run does, for the run record."""

    def make_command(self, config: ServerConfig, target: CommandTarget) -> Command:
        """The command that serves a configuration; never a key in it."""

    def check_command(self, command: Command, config: ServerConfig, version: str) -> None:
        """Compare a command with the command line of that version of the engine.

        Raises:
            UnknownFlagError: the engine would refuse it.
            SecretInArgumentsError: the arguments of the user hold a key.
            ConfigError: they repeat what a field of the configuration sets.
            EngineBrokenError: the installed version cannot be asked.
        """

    def take_over(self, arguments: Sequence[str], version: str) -> TakenOver:
        """Which fields the engine's own arguments stand for, in any spelling that it takes.

        Args:
            arguments: for the engine, as users have them.
            version: of the engine.

        Raises:
            EngineBrokenError: the installed version cannot be asked.
        """

    def own_option(self, name: str, version: str) -> OwnOption | None:
        """What a name is among the engine's own options; None where it is none of them.

        Args:
            name: of an option with its dashes, or of a key, with dashes or underscores.
            version: of the engine.

        Raises:
            EngineBrokenError: the installed version cannot be asked.
        """

    def near_options(self, name: str, version: str) -> tuple[str, ...]:
        """Options of the engine's own that are spelled much like a name, the nearest first.

        Args:
            name: of an option, with its dashes.
            version: of the engine.

        Raises:
            EngineBrokenError: the installed version cannot be asked.
        """

    def refuse_speculation(
        self, config: ServerConfig, draft_architecture: str | None
    ) -> str | None:
        """Why the engine cannot speculate so on a CPU, or None where it can."""

    def refuse_model(self, config: ServerConfig, content: Mapping[str, Any]) -> str | None:
        """Why the engine cannot run a model on the device that is asked for.

        Args:
            config: what to serve.
            content: of the model's `config.json`.

        Returns:
            A sentence; None where nothing speaks against it.
        """

    def missing_package(self, config: ServerConfig) -> tuple[str, str] | None:
        """What an option needs and this environment lacks, and what to install; None if nothing."""

    def misread_variable(self, environment: Mapping[str, str]) -> tuple[str, str] | None:
        """A variable of the engine's whose value it cannot read, and what it takes, or None."""

    def why_unread(self, variable: str) -> str | None:
        """Why a variable that is named like the engine's own has no effect; None where it has."""

    # While it starts and serves

    def start_log(self, config: ServerConfig) -> StartLog:
        """A reader for the output of a start."""

    def make_prober(self, config: ServerConfig, keys: Mapping[str, str]) -> Prober:
        """What asks a running server, with its keys."""

    def children(self, members: Iterable[ProcessIdentity]) -> tuple[EngineChild, ...]:
        """The processes without any of which the server is broken, with their titles."""

    def shows_progress(self, line: str) -> bool:
        """Whether a line of output shows that requests advance, and not just a health probe."""

    def fallout_seconds(self, config: ServerConfig, *, served: bool) -> float:
        """How long the engine may still explain itself after it lost a process."""

    # Of servers that somebody else has started

    def read_config(self, lines: Sequence[str]) -> ServerConfig:
        """What a server was started with, as far as its own output tells; defaults elsewhere."""

    def in_own_words(self, text: str) -> str:
        """Advice that names this launcher's options, in the engine's own."""


class ModelEngine(Engine, Protocol):
    """An engine that serves a model, and not others that do."""

    def make_completer(self, config: ServerConfig, keys: Mapping[str, str]) -> Completer:
        """What gets answers of a running server, with its keys."""

    # Of its memory, before a start

    def plan_memory(
        self, model: str, shape: ModelShape, device: Device, settings: Settings
    ) -> MemoryPlan:
        """Plan one rank as this engine divides its memory."""

    def memory_settings(self, config: ServerConfig, settings: Settings) -> Settings:
        """The settings of a plan, with what this engine reads of a configuration in its own way.

        Args:
            config: what to serve.
            settings: what all engines read alike.
        """

    def uncounted_option(self, config: ServerConfig, quantization: str | None) -> str | None:
        """What changes the memory of a rank and is in no plan, as it was written; None if nothing.

        Args:
            config: what to serve.
            quantization: the checkpoint's own.
        """


class ContainerEngine(ModelEngine, Protocol):
    """An engine that says of itself how it runs in containers, where nobody of ours watches it.

    Attributes:
        image: of the verified version, for containers.
        requirement: the same version for pip.
        probes: what an orchestrator asks it.
        keys_name: what a file of keys is called where an orchestrator hands it over.
        container_variables: those that `container_launch` sets beside the configuration's own.
    """

    image: str
    requirement: str
    probes: ProbePaths
    keys_name: str
    container_variables: frozenset[str]

    def container_launch(
        self, config: ServerConfig, *, keys_file: str | None, group: MachineGroup | None = None
    ) -> ContainerLaunch:
        """What a container runs that serves a configuration on GPUs; never a key in it.

        Args:
            config: what to serve.
            keys_file: where the container finds the keys; None where there is no key.
            group: the machines that serve it together; None for one alone.
        """

    def draft_revision(self, config: ServerConfig) -> str | None:
        """The revision of the draft model's repository, where the arguments name one."""

    def with_draft_revision(self, config: ServerConfig, revision: str) -> ServerConfig:
        """The configuration with an argument that names it."""
