"""What happens to a server, as frozen values, and their reader.

The supervisor emits them; the display, `up --json` and the events file consume them. A line of
the events file is one event: `{"event": "server.ready", "run_id": "...", "elapsed_seconds": 41.2,
...}`. Names and fields are stable.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar, Final

from pydantic import ConfigDict, TypeAdapter

from launcher.state.states import ServerState
from launcher.system import private
from launcher.system.files import cannot_read
from launcher.system.foreign import parse_json

POLL_SECONDS: Final = 0.05
# The longest of ours have a hundred lines of evidence; what is longer is none.
LONGEST_LINE_CHARACTERS: Final = 1024**2
_READ_BYTES: Final = 16 * 1024**2


def time_of_day() -> str:
    """Now, in ISO 8601 and UTC, for people."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonEvent:
    """Something that happens, as a line of JSON."""

    kind: ClassVar[str]

    def to_json(self) -> str:
        """One line, without a newline."""
        return json.dumps({"event": self.kind, **dataclasses.asdict(self)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(JsonEvent):
    """Base of all events of a server.

    `run_id` says which run of the server it belongs to; `elapsed_seconds` is the time since that
    run's start, by the monotonic clock.
    """

    # How it is read back: a truth value is no number, and a number no text.
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(
        strict=True, extra="forbid", allow_inf_nan=False
    )

    run_id: str
    elapsed_seconds: float
    at: str = field(default_factory=time_of_day)


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChanged(Event):
    """The server moved to another state."""

    kind: ClassVar[str] = "server.state"
    state: ServerState


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseProgress(Event):
    """The server entered a phase of its start, or counted on in it.

    `done` and `total` are None in a phase that has no count.
    """

    kind: ClassVar[str] = "server.phase"
    phase: str
    done: int | None = None
    total: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerReady(Event):
    """The server has generated a token."""

    kind: ClassVar[str] = "server.ready"
    base_url: str
    served_model_name: str
    context_length_tokens: int | None
    kv_cache_tokens: int | None
    max_running_requests: int | None
    speculation: str
    planned_kv_cache_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStopped(Event):
    """The server was asked to stop, and no process of it is left."""

    kind: ClassVar[str] = "server.stopped"
    killed: bool
    restarting: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StartSlow(Event):
    """A phase of the start takes longer than it used to, and there is work going on in it."""

    kind: ClassVar[str] = "server.slow"
    phase: str
    phase_seconds: float
    usual_seconds: float | None
    summary: str
    work: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeFailed(Event):
    """The server, which has been ready, did not generate a token in time."""

    kind: ClassVar[str] = "server.probe_failed"
    failures: int
    allowed: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessLost(Event):
    """A process that the server cannot do without has ended."""

    kind: ClassVar[str] = "server.process_lost"
    pid: int
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeculationJudged(Event):
    """Speculation went wrong, or does not any more: then `alarm` is None.

    `alarm` is the kind, in words; `acceptance_length` is that of the last minutes.
    """

    kind: ClassVar[str] = "server.speculation"
    alarm: str | None
    sentence: str
    acceptance_length: float | None
    running_requests: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAdopted(Event):
    """Another supervisor has taken over a server whose own was killed."""

    kind: ClassVar[str] = "server.adopted"
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLost(Event):
    """Nobody reads what the server prints any more, until it is started again."""

    kind: ClassVar[str] = "server.log_lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerCrashed(Event):
    """The server failed, nothing of it is left, and it will be started again.

    `cause` is the diagnosis' name for it, or None where it is unknown. `failures` counts those in a
    row; at `allowed` it is given up.
    """

    kind: ClassVar[str] = "server.crashed"
    error: str
    problem: str
    cause: str | None
    evidence: tuple[str, ...]
    failures: int
    allowed: int
    restart_in_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StartPostponed(Event):
    """The system refuses the supervisor what a start needs, as room on a disk; it waits for that.

    This is no failure of the server, and is not counted as one. After `gives_up_in_seconds` more it
    is given up.
    """

    kind: ClassVar[str] = "server.postponed"
    error: str
    problem: str
    evidence: tuple[str, ...]
    attempts: int
    restart_in_seconds: float
    gives_up_in_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFailed(Event):
    """The server ended by itself or was not ready in time, and is not started again."""

    kind: ClassVar[str] = "server.failed"
    error: str
    exit_code: int
    problem: str
    action: str
    evidence: tuple[str, ...]


_KINDS: dict[str, type[Event]] = {
    event.kind: event
    for event in (
        *(StateChanged, PhaseProgress, StartSlow, ServerReady, ProbeFailed, ProcessLost),
        *(
            SpeculationJudged,
            ServerAdopted,
            LogLost,
            ServerCrashed,
            StartPostponed,
            ServerStopped,
            ServerFailed,
        ),
    )
}


def parse_event(line: str) -> Event:
    """Read back what `Event.to_json` wrote.

    Raises:
        ValueError: the line is not an event, for example because it is not complete yet.
    """
    fields = parse_json(line)
    if not isinstance(fields, dict):
        raise ValueError("an event is a JSON object")  # noqa: TRY004  # the line is bad, not the type
    kind = str(fields.pop("event", None))
    if kind not in _KINDS:
        raise ValueError(f"unknown event {kind!r}")
    # A `ValidationError` is a `ValueError`.
    return _reader_of(kind).validate_json(json.dumps(fields))


@functools.cache
def _reader_of(kind: str) -> TypeAdapter[Event]:
    return TypeAdapter(_KINDS[kind])


class EventReader:
    """Events that are written from now on.

    Make it before what writes them is started or signalled, so that none is missed.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        # What is no file of ours is set aside before anything is written: `RunStore.lock`.
        self._offset = file.stat().st_size if private.is_usable(file) and file.exists() else 0
        self._rest = ""

    def read(self) -> list[Event]:
        """The events that are complete and not yet read.

        Raises:
            StateError: the file cannot be read, or is none of ours.
        """
        try:
            with private.open_to_read(self._file) as file:
                file.seek(self._offset)
                content = file.read(_READ_BYTES)
                self._offset = file.tell()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise cannot_read(self._file, error) from error
        *lines, rest = (self._rest + content.decode("utf-8", "replace")).split("\n")
        self._rest = rest[:LONGEST_LINE_CHARACTERS]
        events = []
        for line in lines:
            # A full disk may have cut one; the state is in the record all the same.
            with contextlib.suppress(ValueError):
                events.append(parse_event(line))
        return events
