"""What the parts of one run share."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from launcher.config.server_config import ServerConfig
from launcher.engines.engine import Engine
from launcher.engines.launch import Launch
from launcher.engines.prober import Prober
from launcher.engines.select import engine_of
from launcher.nodes.group import Group
from launcher.state.store import RunStore
from launcher.supervision.journal import Journal
from launcher.supervision.mailbox import Mailbox, Request
from launcher.supervision.run.messages import PortTaken
from launcher.supervision.server.process import ServerProcess, spawn
from launcher.supervision.server.stand_by import Holder, Nobody
from launcher.supervision.watches.listener import GuardedProber
from launcher.supervision.watches.phase_history import PhaseHistory, history_file
from launcher.system.members import find_members
from launcher.system.process import ProcessIdentity

# How long the processes have to print the stacks of their threads.
STACKS_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What a run reaches outside itself; tests put something else in their place."""

    spawner: Callable[..., ServerProcess] = spawn
    make_prober: Callable[[ServerConfig, dict[str, str]], Prober] = lambda config, keys: engine_of(
        config
    ).make_prober(config, keys)
    history: PhaseHistory = field(default_factory=lambda: PhaseHistory(history_file()))


@dataclass(slots=True)
class RunContext:
    """One run: what it was given, and what its parts tell each other.

    Only the loop's thread writes.

    Attributes:
        launch: what to run.
        store: its folder; the caller holds the lock.
        journal: takes the record and the events.
        mailbox: brings everything that happens.
        dependencies: for tests.
        run_id: in the environment of each of the server's processes.
        stand_by: the process that waits to be the server of the next run.
        engine: what is served by.
        prober: asks the server.
        leader: its first process; None before that is there.
        ready_at: when it began to serve, in monotonic seconds; None before.
        stopping: what was asked for, once somebody has asked.
        last_words: what was found before the server was ended, or empty.
        group: the machines that serve together with this one; None where it serves alone.
        ended_node: that of them whose server ended, and why.
        is_alone: this one is being stopped, and another of them has ended.
    """

    launch: Launch
    store: RunStore
    journal: Journal
    mailbox: Mailbox
    dependencies: Dependencies
    run_id: str
    stand_by: Holder = field(default_factory=Nobody)
    engine: Engine = field(init=False)
    prober: Prober = field(init=False)
    leader: ProcessIdentity | None = None
    ready_at: float | None = None
    stopping: Request | None = None
    last_words: str = ""
    group: Group | None = None
    ended_node: tuple[int, str] | None = None
    is_alone: bool = False

    def __post_init__(self) -> None:
        self.engine = engine_of(self.config)
        self.prober = GuardedProber(
            self.dependencies.make_prober(self.config, self.launch.keys),
            host=self.config.host,
            port=self.config.port,
            members=self._find_members,
            on_stranger=lambda holder: self.mailbox.put(PortTaken(self.run_id, holder)),
        )

    def _find_members(self) -> list[ProcessIdentity]:
        return [] if self.leader is None else find_members(self.leader, self.run_id)

    @property
    def config(self) -> ServerConfig:
        """What is served."""
        return self.launch.config

    @property
    def served_seconds(self) -> float:
        """How long it has served; 0.0 where it never did."""
        return 0.0 if self.ready_at is None else time.monotonic() - self.ready_at
