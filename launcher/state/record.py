"""The record of one run of a server, as supervisors write it and everybody reads it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from launcher.errors import StateError
from launcher.memory.report import MemoryRecord
from launcher.state.states import RUNNING_STATES, SERVING_STATES, ServerState
from launcher.system.members import find_leader, find_members
from launcher.system.process import ProcessIdentity
from launcher.system.shared_memory import Segment

if TYPE_CHECKING:
    from launcher.config.server_config import ServerConfig

SCHEMA_VERSION: Final = 1


class StandByRecord(BaseModel):
    """A process that has imported the engine, and waits to be the server of the next run."""

    model_config = ConfigDict(frozen=True)

    process: ProcessIdentity
    # Of the run that it was started for.
    run_id: str
    # It has imported everything.
    ready: bool
    # Its own memory, and its part of what it shares.
    memory_bytes: int | None


class RunRecord(BaseModel):
    """One run of a server, as the clients and benchmarks find it."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    schema_version: Literal[1] = SCHEMA_VERSION
    name: str
    run_id: str
    state: ServerState
    detached: bool
    base_url: str
    served_model_name: str
    model_path: str
    # Of the repository that `model_path` names; the folder is in `command`.
    model_commit: str | None = None
    api_key_file: Path | None
    # There while the server runs. The user's own, or one in the server's folder.
    admin_key_file: Path | None = None
    started_at: datetime
    # STOPPING, in order to start again.
    restarting: bool = False
    ready_seconds: float | None = None
    context_length_tokens: int | None = None
    kv_cache_tokens: int | None = None
    max_running_requests: int | None = None
    memory: MemoryRecord = MemoryRecord()
    restarts: int = 0
    last_failure: str | None = None
    last_failure_at: datetime | None = None
    next_start_at: datetime | None = None
    supervisor: ProcessIdentity
    server: ProcessIdentity | None = None
    collector: ProcessIdentity | None = None
    stand_by: StandByRecord | None = None
    # What is wrong with its speculation, a sentence; None where nothing is.
    speculation_alarm: str | None = None
    segments: tuple[Segment, ...] = ()
    dropped_lines: int = 0
    exit: str | None = None
    command: tuple[str, ...]
    environment: dict[str, str]
    versions: dict[str, str]
    config: dict[str, Any]
    log_file: Path
    events_file: Path
    # What whoever reads it finds out, and no file says: `launcher.state.foreign.confirm`, and
    # `RunStore.read`. Its supervisor lives where its processes cannot be seen.
    elsewhere: str | None = Field(default=None, exclude=True)
    # Since then the supervisor could not write it.
    unwritten_since: datetime | None = Field(default=None, exclude=True)

    def read_config(self) -> ServerConfig:
        """The configuration that was served.

        Raises:
            StateError: another version of this project wrote it.
        """
        # Imported here: building that model takes longer than all else that `status` does.
        from launcher.config.gateway_config import parse_config  # noqa: PLC0415

        try:
            return parse_config(self.config)
        except ValidationError as error:
            raise StateError(
                f"The configuration in the record of {self.name!r} is another version's "
                f"({error.error_count()} fields do not fit).",
                action="Start the server anew with `python -m launcher up`.",
            ) from error

    @property
    def leader(self) -> ProcessIdentity | None:
        """The server's first process; found by the run's id where its supervisor was killed first.

        Between the start of that process and the record of it, SIGKILL may come, or a full disk.
        """
        return self.server or find_leader(self.run_id)

    @property
    def is_supervised(self) -> bool:
        """Whether the supervisor that wrote this still lives."""
        return self.state in RUNNING_STATES and (
            self.elsewhere is not None or self.supervisor.is_alive()
        )

    @property
    def is_running(self) -> bool:
        """Whether somebody, supervised or not, still serves under this name."""
        return self.is_supervised or self.is_orphaned

    @property
    def is_orphaned(self) -> bool:
        """Whether a process of the server lives on without its supervisor.

        That was killed, or has given up on a process that did not die.
        """
        if (
            self.state not in RUNNING_STATES | {ServerState.FATAL}
            or self.elsewhere is not None
            or self.supervisor.is_alive()
        ):
            return False
        leader = self.leader
        return leader is not None and (leader.is_alive() or bool(find_members(leader, self.run_id)))

    @property
    def is_unread(self) -> bool:
        """Whether the server lives, and the process does not that writes its log."""
        return (
            self.server is not None
            and self.collector is not None
            and not self.collector.is_alive()
            # Asked last: the collector ends after the server.
            and self.server.is_alive()
        )

    @property
    def can_be_adopted(self) -> bool:
        """Whether another supervisor can take the server over: it has been ready, and serves."""
        return (
            self.state in SERVING_STATES
            and self.server is not None
            and self.elsewhere is None
            and not self.supervisor.is_alive()
            and self.server.is_alive()
        )

    @property
    def live_state(self) -> str:
        """The state with what the record cannot know: that its writer died."""
        if self.is_orphaned:
            return "ORPHANED"
        if self.state in RUNNING_STATES and not self.is_supervised:
            return "DEAD"
        return self.state.value
