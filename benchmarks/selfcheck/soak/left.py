"""What kills leave: processes, files, folders and shared memory that nobody needs any more."""

from __future__ import annotations

import time
from collections.abc import Collection
from pathlib import Path
from typing import Final

from benchmarks.selfcheck.soak.watch import Watch
from launcher.errors import AlreadyRunningError
from launcher.state.record import RunRecord
from launcher.state.store import RunStore
from launcher.supervision.server.scratch import scratch_name
from launcher.system.members import find_members
from launcher.system.ports import describe_listener, find_listener, is_listening
from launcher.system.process import wait_until_gone
from launcher.system.shared_memory import segments_named_after, segments_of

GRACE_SECONDS: Final = 5.0
# Each look at shared memory goes through all processes.
_POLL_SECONDS: Final = 0.2
# managers/load_snapshot.py and utils/stale_shm_cleanup.py of sglang; the others are Python's
# own names for its shared memory and semaphores, which SGLang uses too.
SEGMENT_KINDS: Final = {
    "sglang_": "SGLang's",
    "sgl_shm_": "SGLang's",
    "psm_": "Python's shared memory",
    "sem.mp-": "a semaphore of Python's multiprocessing",
}
_SCRATCH: Final = scratch_name("")
# It is to outlive the run: launcher/supervision/server/scratch.py.
_TORCH_CACHE: Final = "torchinductor_"


class NewSegments:
    """Names in shared memory that were not there before the server was ever started.

    Args:
        folder: where segments have their names.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._before = names_in(folder)
        self._told: frozenset[str] = frozenset()

    def all(self) -> frozenset[str]:
        """Those that are there now."""
        return names_in(self._folder) - self._before

    def left(self, watch: Watch) -> list[str]:
        """Those that nobody shares who serves or stands by, in words; each is told once."""
        deadline = time.monotonic() + GRACE_SECONDS
        while True:
            watch.look()
            # In this order: what the server makes between the two is no matter.
            found = self.all() - self._told
            found = found and found - _shared_by(watch.record, self._folder)
            # One may be about to be removed, or to be mapped.
            if not found or time.monotonic() > deadline:
                break
            time.sleep(_POLL_SECONDS)
        self._told |= found
        return [f"{_describe_segment(name, watch)}, is left" for name in sorted(found)]


def _shared_by(record: RunRecord, folder: Path) -> set[str]:
    """What a run that serves shares, or the process that stands by for the next one."""
    runs = [(record.server, record.run_id)]
    if record.stand_by is not None:
        runs.append((record.stand_by.process, record.stand_by.run_id))
    segments = set(record.segments)
    for leader, run_id in runs:
        segments |= segments_named_after(run_id, folder)
        if leader is not None:
            segments |= segments_of(find_members(leader, run_id), folder)
    return {segment.name for segment in segments}


def problems_of(watch: Watch, store: RunStore, before: RunRecord | None) -> list[str]:
    """What ought not to be once a server is back, shared memory apart.

    Args:
        watch: knows the run that serves.
        store: its state folder.
        before: of the run before; None where the same one serves on.
    """
    now = watch.record
    problems = []
    if before is not None and before.server is not None:
        left = [one.pid for one in find_members(before.server, before.run_id)]
        if left:
            problems.append(f"of the run before, processes {left} are left")
        if before.collector is not None and before.collector.is_alive():
            problems.append(f"its collector, process {before.collector.pid}, is left")
    if store.secrets_file.exists():
        problems.append(f"{store.secrets_file.name} is left")
    assert now.server is not None  # noqa: S101  # it is READY
    members = {one.pid for one in find_members(now.server, now.run_id)}
    port = int(now.base_url.rpartition(":")[2])
    listener = find_listener(port)
    if listener is None or listener.pid not in members:
        problems.append(f"port {port} belongs to {describe_listener(port)}")
    return problems


def leftovers(
    watch: Watch, store: RunStore, new_segments: Collection[str], temporary: Path
) -> list[str]:
    """What is left of a server that was stopped, in words.

    Args:
        watch: knows its processes.
        store: its state folder.
        new_segments: names in shared memory that were not there before it was ever started.
        temporary: where its runs have their temporary folders; nobody else makes any there.
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
    left += [_describe_segment(name, watch) for name in sorted(new_segments)]
    return left + [
        f"folder {name}, the temporary one of a run"
        for name in sorted(names_in(temporary))
        if name.startswith(_SCRATCH)
    ]


def other_temporary_names(temporary: Path) -> list[str]:
    """What else is in the temporary folder, in words: no run of ours has to remove it."""
    return [
        f"{name} (torch's cache)" if name.startswith(_TORCH_CACHE) else name
        for name in sorted(names_in(temporary))
        if not name.startswith(_SCRATCH)
    ]


def _describe_segment(name: str, watch: Watch) -> str:
    whose = next(
        (kind for prefix, kind in SEGMENT_KINDS.items() if name.startswith(prefix)),
        "of an unknown kind",
    )
    seen = "seen" if name in watch.segments else "never seen"
    return f"shared memory {name}: {whose}, {seen} by the supervisor"


def names_in(folder: Path) -> frozenset[str]:
    """What a folder holds."""
    return frozenset(path.name for path in folder.iterdir())
