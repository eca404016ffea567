"""What a soak sees of a server, and that it sees all that is left of one."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.selfcheck.soak import left as left_module
from benchmarks.selfcheck.soak.left import NewSegments, leftovers, other_temporary_names
from benchmarks.selfcheck.soak.watch import Watch
from launcher.cli.display.starting import events_writer
from launcher.engines.launch import Command
from launcher.state.events import PhaseProgress
from launcher.state.record import StandByRecord
from launcher.state.states import ServerState
from launcher.state.store import RunStore
from launcher.supervision.server.process import spawn
from launcher.system.members import kill_members
from launcher.system.process import ProcessIdentity
from tests.unit.launcher.examples import make_record

# Maps a file as a segment is mapped, and goes on.
SHARES = """
import mmap, signal, sys
with open(sys.argv[1], "r+b") as file:
    mapped = mmap.mmap(file.fileno(), 4096)
print("mapped", flush=True)
signal.pause()
"""


@pytest.fixture
def stopped(tmp_path: Path) -> RunStore:
    """The folder of a server that was stopped."""
    store = RunStore("scene", root=tmp_path / "servers")
    store.create()
    temporary_of(store).mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    dead = ProcessIdentity.of(os.getpid()).model_copy(update={"start_ticks": 1})
    store.write(
        make_record(
            tmp_path, name=store.name, state=ServerState.STOPPED, supervisor=dead, server=dead,
            base_url=f"http://127.0.0.1:{port}",
        )
    )  # fmt: skip
    return store


def temporary_of(store: RunStore) -> Path:
    """Where its runs would have their temporary folders."""
    return store.folder.parent.with_name("tmp")


def wait_for(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 60
    while not (holds := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return holds


def look_for_leftovers(store: RunStore, *new_segments: str) -> list[str]:
    watch = Watch(store)
    watch.look()
    return leftovers(watch, store, new_segments, temporary_of(store))


def test_nothing_is_left_of_a_server_that_is_gone(stopped: RunStore) -> None:
    assert look_for_leftovers(stopped) == []


def test_a_folder_of_a_run_is_left_and_a_cache_is_not(stopped: RunStore) -> None:
    temporary = temporary_of(stopped)
    for name in ("specserve-0123456789abcdef", "torchinductor_me", "tmp1"):
        (temporary / name).mkdir()
    assert look_for_leftovers(stopped) == [
        "folder specserve-0123456789abcdef, the temporary one of a run"
    ]
    assert other_temporary_names(temporary) == ["tmp1", "torchinductor_me (torch's cache)"]


def test_what_the_run_that_serves_shares_is_not_left(
    stopped: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What its processes have mapped, and what is named after it or the one that stands by."""
    monkeypatch.setattr(left_module, "GRACE_SECONDS", 0.0)
    known = stopped.read()
    assert known is not None
    folder = tmp_path / "segments"
    folder.mkdir()
    (folder / "before").touch()
    segments = NewSegments(folder)
    next_id = "fedcba9876543210"
    names = {"mapped", f"sem.mp-{known.run_id}", f"sglang_{next_id}", "psm_of_nobody"}
    for name in names:
        (folder / name).write_bytes(bytes(4096))
    out = tmp_path / "output"
    with out.open("wb") as output:
        alive = spawn(
            Command((sys.executable, "-c", SHARES, str(folder / "mapped")), {}),
            run_id=known.run_id, cwd=tmp_path, output=output.fileno(), die_with_parent=False,
        )  # fmt: skip
    stands_by = StandByRecord(
        process=known.supervisor, run_id=next_id, ready=True, memory_bytes=None
    )
    stopped.write(known.model_copy(update={"server": alive.identity, "stand_by": stands_by}))
    watch = Watch(stopped)
    try:
        assert wait_for(lambda: out.read_bytes() != b"")
        assert [what.partition(":")[0] for what in segments.left(watch)] == [
            "shared memory psm_of_nobody"
        ]
        assert segments.left(watch) == []
        assert segments.all() == names
    finally:
        kill_members(alive.identity, known.run_id, timeout_seconds=30.0)
        alive.wait()


def test_everything_that_is_left_is_found(stopped: RunStore, tmp_path: Path) -> None:
    segment = "sglang_loads_0123456789ab.shm"
    known = stopped.read()
    assert known is not None
    # A collector is one by its command line.
    words = ("collector.py", str(stopped.log_file))
    with (tmp_path / "output").open("wb") as output:
        alive = spawn(
            Command((sys.executable, "-c", "import signal; signal.pause()", *words), {}),
            run_id=known.run_id, cwd=tmp_path, output=output.fileno(), die_with_parent=False,
        )  # fmt: skip
    stopped.write(known.model_copy(update={"server": alive.identity, "collector": alive.identity}))
    stopped.secrets_file.touch()
    (stopped.folder / ".run.json.1.partial").touch()
    port = int(known.base_url.rpartition(":")[2])
    try:
        with stopped.lock(), socket.create_server(("127.0.0.1", port)):
            left = look_for_leftovers(stopped, segment)
    finally:
        kill_members(alive.identity, known.run_id, timeout_seconds=30.0)
        alive.wait()
    for what in (
        f"process {alive.identity.pid} of run {known.run_id}",
        f"process {alive.identity.pid}, a supervisor or collector",
        f"port {port} is open",
        "the lock is held",
        "file .run.json.1.partial",
        "file secrets.yaml",
        f"shared memory {segment}: SGLang's, never seen",
    ):
        assert [line for line in left if line.startswith(what)], (what, left)


def test_a_watch_follows_the_runs_of_a_server(stopped: RunStore) -> None:
    watch = Watch(stopped)
    known = stopped.read()
    assert known is not None
    server = ProcessIdentity.of(os.getpid())
    for run_id, phase in (("a", "warm-up"), ("b", "loading weights")):
        run = {"run_id": run_id, "server": server, "supervisor": server}
        stopped.write(known.model_copy(update=run))
        events_writer(stopped)(PhaseProgress(run_id=run_id, elapsed_seconds=1.0, phase=phase))
        # This process is its supervisor while it holds the lock.
        with stopped.lock():
            watch.look()
        assert watch.record.run_id == run_id
        assert watch.phase() == phase
    assert watch.runs == {"a": server, "b": server}
    assert not watch.is_adopted()
