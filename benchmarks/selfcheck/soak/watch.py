"""What a soak sees: the events and processes of its server, and what is left of them in the end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from launcher.errors import AlreadyRunningError
from launcher.state.events import Event, EventReader, PhaseProgress, ServerAdopted
from launcher.state.record import RunRecord
from launcher.state.store import RunStore
from launcher.system.members import find_members
from launcher.system.ports import describe_listener, is_listening
from launcher.system.process import ProcessIdentity, command_line, wait_until_gone

POLL_SECONDS: Final = 0.01
GRACE_SECONDS: Final = 5.0
# managers/load_snapshot.py and utils/stale_shm_cleanup.py of sglang; the others are Python's
# own names for its shared memory and semaphores, which SGLang uses too.
SEGMENT_KINDS: Final = {
    "sglang_": "SGLang's",
    "sgl_shm_": "SGLang's",
    "psm_": "Python's shared memory",
    "sem.mp-": "a semaphore of Python's multiprocessing",
}


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


def leftovers(watch: Watch, store: RunStore, new_segments: Collection[str]) -> list[str]:
    """What is left of a server that was stopped, in words.

    Args:
        watch: knows its processes.
        store: its state folder.
        new_segments: names in shared memory that were not there before it was ever started.
    """
    if not watch.has_record:
        return []
    left = []
    for run_id, server in watch.runs.items():
        left += [f"process {one.pid} of run {run_id}" for one in find_members(server, run_id)]
    for keeper in watch.keepers:
        # A collector ends when nobody can print any more, and takes a moment for it.
        if not wait_until_gone(keeper, timeout_seconds=GRACE_SECONDS):
            left.append(f"process {keeper.pid}, a supervisor or collector")
    record = watch.record
    port = int(record.base_url.rpartition(":")[2])
    if is_listening("127.0.0.1", port):
        left.append(f"port {port} is open: {describe_listener(port)}")
    try:
        with store.lock():
            pass
    except AlreadyRunningError:
        left.append("the lock is held")
    left += [f"file {file.name}" for file in store.folder.glob(".*.partial")]
    if store.secrets_file.exists():
        left.append(f"file {store.secrets_file.name}")
    for name in sorted(new_segments):
        whose = next(
            (kind for prefix, kind in SEGMENT_KINDS.items() if name.startswith(prefix)),
            "of an unknown kind",
        )
        seen = "seen" if name in watch.segments else "never seen"
        left.append(f"shared memory {name}: {whose}, {seen} by the supervisor")
    return left


def names_in(folder: Path) -> frozenset[str]:
    """What a folder holds."""
    return frozenset(path.name for path in folder.iterdir())


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
