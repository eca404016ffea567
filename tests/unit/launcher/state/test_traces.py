"""What lives under a name without a record is found by its lock and by its processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from launcher.errors import AlreadyRunningError
from launcher.state.store import RunStore
from launcher.state.traces import find_trace, find_traces
from launcher.supervision.stop import clear_up, stop_server
from launcher.system.locks import LockHolder
from launcher.system.process import ProcessIdentity
from tests.unit.launcher.examples import make_record

RUN_ID = "0123456789abcdef"
SLEEP = "import signal; print(1, flush=True); signal.pause()"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"
CAN_UNSHARE = (
    subprocess.run(["/usr/bin/env", "unshare", "-pf", "true"], check=False, capture_output=True)
    .returncode
    == 0
)  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    store = RunStore("a", root=tmp_path / "servers")
    store.create()
    return store


class Processes:
    """Processes that sleep, each in a session of its own."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def start(self, cwd: Path, run_id: str | None, program: str = SLEEP) -> subprocess.Popen[bytes]:
        variables = {} if run_id is None else {"SPECSERVE_RUN_ID": run_id}
        child = self._stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-c", program], cwd=cwd, env={**os.environ, **variables},
                stdout=subprocess.PIPE, start_new_session=True,
            )
        )  # fmt: skip
        self._stack.callback(child.kill)
        assert child.stdout is not None
        assert child.stdout.readline()
        return child


@pytest.fixture
def processes() -> Iterator[Processes]:
    with ExitStack() as stack:
        yield Processes(stack)


@pytest.mark.parametrize("folder_is_removed", [False, True])
def test_a_server_without_record_and_supervisor_is_found_and_ended(
    store: RunStore, processes: Processes, *, folder_is_removed: bool
) -> None:
    server = processes.start(store.folder, RUN_ID)
    if folder_is_removed:
        shutil.rmtree(store.folder)

    (trace,) = find_traces(store.folder.parent)
    assert (trace.store.name, trace.holder) == ("a", None)
    assert (set(trace.run_ids), trace.pids) == ({RUN_ID}, (server.pid,))

    report = stop_server(store)
    assert (report.was, report.stopped) == (None, True)
    assert server.wait() == -signal.SIGTERM
    assert find_trace(store) is None
    assert not stop_server(store).stopped


def test_a_server_that_ignores_the_request_is_killed(
    store: RunStore, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("launcher.supervision.server.strays.DRAIN_SECONDS", 0.1)
    server = processes.start(store.folder, RUN_ID, DEAF)
    assert stop_server(store).stopped
    assert server.wait() == -signal.SIGKILL


def test_one_that_stands_still_is_killed_and_not_waited_for(
    store: RunStore, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Longer than this test may take.
    monkeypatch.setattr("launcher.supervision.server.strays.DRAIN_SECONDS", 3600.0)
    server = processes.start(store.folder, RUN_ID)
    server.send_signal(signal.SIGSTOP)
    assert stop_server(store).stopped
    assert server.wait() == -signal.SIGKILL


@pytest.mark.parametrize(
    ("run_id", "place"),
    [(None, "a"), ("0123", "a"), ("g" * 16, "a"), (RUN_ID, "."), (RUN_ID, ".."), (RUN_ID, "b")],
)
def test_a_stranger_is_nobody_s_and_is_not_signalled(
    store: RunStore, processes: Processes, run_id: str | None, place: str
) -> None:
    """One that works in the folder, or inherited the variable, but not both."""
    (store.folder.parent / "b").mkdir()
    stranger = processes.start(store.folder.parent / place, run_id)
    assert find_trace(store) is None
    assert not stop_server(store).stopped
    assert stranger.poll() is None


def test_a_name_with_a_record_is_no_trace(store: RunStore, processes: Processes) -> None:
    processes.start(store.folder, RUN_ID)
    store.write(make_record(store.folder, name="a"))
    assert find_traces(store.folder.parent) == []


def test_whoever_holds_the_lock_is_named_and_nothing_is_ended_beside_him(
    store: RunStore, processes: Processes
) -> None:
    server = processes.start(store.folder, RUN_ID)
    with store.lock():
        trace = find_trace(store)
        assert trace is not None
        assert trace.holder is not None
        assert (trace.holder.pid, trace.holder.is_here) == (os.getpid(), True)
        with pytest.raises(AlreadyRunningError, match=f"process {os.getpid()} holds its lock"):
            clear_up(RunStore("a", root=store.folder.parent))
        # The folder may have gone with the lock.
        shutil.rmtree(store.folder)
        with pytest.raises(AlreadyRunningError, match=f"process {os.getpid()} holds its lock"):
            clear_up(RunStore("a", root=store.folder.parent))
        assert not store.folder.exists()
    assert server.poll() is None


LOOK = """
import os, sys
from pathlib import Path
from launcher.errors import AlreadyRunningError
from launcher.state.store import RunStore
from launcher.supervision.stop import clear_up, stop_server
store = RunStore("a", root=Path(sys.argv[1]))
record = store.read()
if record is not None:
    print(record.live_state, record.elsewhere, record.can_be_adopted)
for act in (stop_server, clear_up):
    try:
        act(store)
    except AlreadyRunningError as error:
        print(error.problem)
"""


@pytest.mark.skipif(not CAN_UNSHARE, reason="another namespace takes root")
@pytest.mark.parametrize("state", ["STARTING", "READY", "STOPPING"])
def test_from_another_container_a_server_is_said_to_run_elsewhere(
    store: RunStore, state: str
) -> None:
    store.write(make_record(store.folder, name="a", state=state))
    command = ["unshare", "-pf", "--mount-proc", sys.executable, "-c", LOOK]
    with store.lock():
        said = subprocess.run(
            [*command, str(store.folder.parent)], capture_output=True, text=True, check=True
        ).stdout.splitlines()
    assert said[0].startswith(f"{state} in another container")
    assert said[0].endswith("False")
    assert len(said) == 3
    assert all("runs at http://127.0.0.1:8000 in another container" in line for line in said[1:])


@pytest.mark.skipif(not CAN_UNSHARE, reason="another namespace takes root")
def test_from_another_container_a_dead_server_is_dead(store: RunStore) -> None:
    store.write(make_record(store.folder, name="a", state="READY"))
    command = ["unshare", "-pf", "--mount-proc", sys.executable, "-c", LOOK]
    said = subprocess.run(
        [*command, str(store.folder.parent)], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert said == ["DEAD None False"]


@pytest.mark.parametrize("reaped", [False, True], ids=["on its way out", "gone"])
def test_a_supervisor_that_was_just_killed_does_not_run_elsewhere(
    store: RunStore,
    monkeypatch: pytest.MonkeyPatch,
    reaped: bool,  # noqa: FBT001 - of a table
) -> None:
    supervisor = subprocess.Popen(["/bin/sleep", "600"])
    identity = ProcessIdentity.of(supervisor.pid)
    store.create()
    store.write(make_record(store.folder, name="a", state="READY", supervisor=identity))
    supervisor.kill()
    os.waitid(os.P_PID, supervisor.pid, os.WEXITED | os.WNOWAIT)
    if reaped:
        supervisor.wait()
    # Its threads end one by one, and show no files meanwhile: how long that takes is the kernel's.
    unseen = LockHolder(None, is_here=False)
    monkeypatch.setattr("launcher.state.foreign.find_holder", lambda _: unseen)
    record = store.read()
    supervisor.wait()
    assert record is not None
    assert (record.elsewhere is not None) == reaped
    assert (record.live_state == "READY") == reaped
