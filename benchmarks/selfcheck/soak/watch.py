"""What a soak sees: the events and processes of its server."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from launcher.state.events import Event, EventReader, PhaseProgress, ServerAdopted
from launcher.state.record import RunRecord
from launcher.state.store import RunStore
from launcher.system.process import ProcessIdentity, command_line

POLL_SECONDS: Final = 0.01


@dataclass(frozen=True, slots=True)
class Seen:
    """An event, and when it was read: at most `POLL_SECONDS` and a little after it was written."""

    at: float
    event: Event


class Watch:
    """Follows the events and the record of a server, and remembers every process that they name."""

    def __init__(self, store: RunStore) -> None:
        self.history: list[Seen] = []
        self.runs: dict[str, ProcessIdentity] = {}
        self.keepers: set[ProcessIdentity] = set()
        self.segments: set[str] = set()
        self._store = store
        self._reader = EventReader(store.events_file)
        self._read_at: tuple[int, int] | None = None
        self._record: RunRecord | None = None

    @property
    def has_record(self) -> bool:
        """Whether there was a record at the last look."""
        return self._record is not None

    @property
    def record(self) -> RunRecord:
        """The record as it was at the last look."""
        assert self._record is not None  # noqa: S101  # a start has been waited for
        return self._record

    def look(self) -> None:
        """Read what is new."""
        self.history += [Seen(time.monotonic(), event) for event in self._reader.read()]
        with contextlib.suppress(FileNotFoundError):
            stat = self._store.record_file.stat()
            # It is replaced as a whole, and parsing it again and again would load the machine.
            if (mark := (stat.st_ino, stat.st_mtime_ns)) != self._read_at:
                self._read_at = mark
                self._record = self._store.read()
                self._remember(self.record)

    def await_stand_by(self, seconds: float) -> None:
        """Wait until a process stands by; a kill that comes before that is one as well."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.look()
            if (found := self.record.stand_by) is not None and found.ready:
                return
            time.sleep(POLL_SECONDS)

    def _remember(self, record: RunRecord) -> None:
        self.keepers.add(record.supervisor)
        self.segments |= {segment.name for segment in record.segments}
        if record.server is not None:
            self.runs[record.run_id] = record.server
        if record.collector is not None:
            self.keepers.add(record.collector)

    def phase(self) -> str:
        """The phase that the current start is in."""
        return next(
            seen.event.phase
            for seen in reversed(self.history)
            if isinstance(seen.event, PhaseProgress) and seen.event.run_id == self.record.run_id
        )

    def is_adopted(self) -> bool:
        """Whether the server of the record had another supervisor before."""
        return any(
            isinstance(seen.event, ServerAdopted) and seen.event.run_id == self.record.run_id
            for seen in self.history
        )


def title_of(process: ProcessIdentity) -> str:
    """What a process is, in a word or two."""
    if words := command_line(process.pid):
        line = " ".join(words)
        for sign, name in (
            ("resource_tracker", "resource tracker"),
            ("spawn_main", "child without a title yet"),
            ("sglang.launch_server", "HTTP process"),
            ("launcher supervise", "supervisor"),
            ("collector.py", "collector"),
        ):
            if sign in line:
                return name
        return Path(words[0].strip()).name
    return "ended"
