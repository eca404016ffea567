"""Scenes that tests share: a supervisor over a stand-in, with what it emitted."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, TypeVar

from launcher.config.server_config import ServerConfig
from launcher.engines.launch import Command, Launch
from launcher.serving import free_port
from launcher.state.events import (
    Event,
    StateChanged,
)
from launcher.state.record import RunRecord
from launcher.state.store import RunStore
from launcher.supervision.mailbox import Request
from launcher.supervision.run.context import Dependencies
from launcher.supervision.supervisor import Outcome, Supervisor
from launcher.system.members import find_members

STANDIN = Path(__file__).with_name("standin.py")


E = TypeVar("E", bound=Event)


class Scene:
    """A supervisor over a stand-in, with what it emitted."""

    def __init__(
        self,
        tmp_path: Path,
        *behaviour: str,
        keys: bool = False,
        stand_by: bool = False,
        **fields: Any,
    ) -> None:
        self.port = free_port()
        defaults = {
            "model_path": "/m",
            "served_model_name": "m",
            "device": "cpu",
            "port": self.port,
            "restart": "never",
            "drain_timeout_seconds": 0.0,
        }
        self.config = ServerConfig.model_validate(defaults | fields)
        self.store = RunStore("scene", root=tmp_path / "servers")
        self.store.create()
        self.events: list[Event] = []
        self.reactions: dict[type[Event], Request] = {}
        argv = (sys.executable, str(STANDIN), str(self.port), *behaviour)
        self.launch = Launch(
            config=self.config,
            command=Command(argv, {}),
            keys={"api-key": "s3cret-key-of-the-user", "admin-api-key": "s3cret-admin"}
            if keys
            else {},
            versions={},
            detached=False,
            stand_by=stand_by,
        )
        self.supervisor = self.supervise()

    def supervise(self, *, adopted: RunRecord | None = None, **seams: Any) -> Supervisor:
        """A supervisor of this scene."""
        return Supervisor(
            self.launch, self.store, self._emit, adopted=adopted, dependencies=Dependencies(**seams)
        )

    def _emit(self, event: Event) -> None:
        self.events.append(event)
        self.react(event)

    def react(self, event: Event) -> None:
        """Ask for what the test wants at this event."""
        for kind, request in self.reactions.items():
            if isinstance(event, kind):
                self.supervisor.request(request)

    def of(self, kind: type[E]) -> list[E]:
        """The events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def run(self) -> Outcome:
        with self.store.lock():
            return self.supervisor.run()

    @property
    def states(self) -> list[str]:
        return [event.state for event in self.events if isinstance(event, StateChanged)]

    @property
    def record(self) -> RunRecord:
        record = self.store.read()
        assert record is not None
        return record

    def assert_nothing_is_left(self) -> None:
        assert self.record.server is not None
        assert find_members(self.record.server, self.record.run_id) == []
        assert not self.store.secrets_file.exists()


def make_launch(*behaviour: str, **fields: Any) -> Launch:
    port = free_port()
    config = ServerConfig.model_validate(
        {"model_path": "/m", "served_model_name": "m", "device": "cpu", "port": port} | fields
    )
    argv = (sys.executable, str(STANDIN), str(port), *behaviour)
    return Launch(config, Command(argv, {}), {}, {}, detached=True)
