"""A server that fails is started again, or given up, and nothing of it is ever left."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from launcher.cli.running.up import make_way
from launcher.engines.sglang.watching.prober import HttpProber
from launcher.errors import (
    CrashLoopError,
    ServerExitedError,
    ServerHungError,
    StateError,
    StopError,
)
from launcher.state.events import (
    Event,
    ProbeFailed,
    ProcessLost,
    ServerAdopted,
    ServerCrashed,
    ServerFailed,
    ServerReady,
    ServerStopped,
    StateChanged,
)
from launcher.state.record import RunRecord, StandByRecord
from launcher.state.states import ServerState
from launcher.state.store import RunStore
from launcher.supervision.mailbox import Request
from launcher.supervision.server.scratch import scratch_name
from launcher.supervision.stop import stop_server
from launcher.supervision.supervisor import Outcome
from launcher.system import shared_memory
from launcher.system.process import boot_id, wait_until_gone
from tests.unit.launcher.examples import dead_process
from tests.unit.launcher.scenes import Scene

PATIENCE_SECONDS = 60.0
ON_FAILURE: dict[str, Any] = {"restart": "on-failure", "restart_delay_seconds": 0.01}


def stop_at_ready(scene: Scene, number: int) -> None:
    """Ask for a stop when the server is ready for the n-th time."""
    seen = 0

    def react(event: Event) -> None:
        nonlocal seen
        if isinstance(event, ServerReady):
            seen += 1
            if seen == number:
                scene.supervisor.request(Request.STOP)

    scene.react = react  # type: ignore[method-assign]


def test_a_server_that_crashes_after_it_was_ready_is_started_again(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "crash", str(tmp_path / "count"), "2", "7", **ON_FAILURE)
    stop_at_ready(scene, 3)

    assert scene.run() is Outcome.STOPPED

    failure = ["STARTING", "READY", "BACKOFF"]
    assert scene.states == [*failure, *failure, "STARTING", "READY", "STOPPING", "STOPPED"]
    crashed = scene.of(ServerCrashed)
    assert [event.failures for event in crashed] == [1, 2]
    assert {event.allowed for event in crashed} == {5}
    assert "exit code 7" in crashed[0].problem
    assert len({event.run_id for event in scene.of(ServerReady)}) == 3
    assert scene.record.restarts == 2
    scene.assert_nothing_is_left()


def test_too_many_failures_in_a_row_are_the_end(tmp_path: Path) -> None:
    scene = Scene(
        tmp_path, "crash", str(tmp_path / "count"), "99", "7", restart_limit=3, **ON_FAILURE
    )
    with pytest.raises(CrashLoopError, match=r"3 times in a row.*exit code 7"):
        scene.run()
    assert len(scene.of(ServerCrashed)) == 2
    assert scene.states[-1] == "FATAL"
    (failed,) = scene.of(ServerFailed)
    assert failed.exit_code == CrashLoopError.exit_code
    assert scene.record.last_failure is not None
    scene.assert_nothing_is_left()


def test_a_run_that_serves_long_enough_earns_its_restarts_back(tmp_path: Path) -> None:
    scene = Scene(
        tmp_path, "crash", str(tmp_path / "count"), "4", "7",
        restart_limit=2, restart_window_seconds=0.1, **ON_FAILURE,
    )  # fmt: skip
    stop_at_ready(scene, 5)
    assert scene.run() is Outcome.STOPPED
    assert [event.failures for event in scene.of(ServerCrashed)] == [1, 1, 1, 1]


def test_a_first_start_that_fails_for_an_unknown_cause_is_not_repeated(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "fail-to-start", str(tmp_path / "count"), "1", **ON_FAILURE)
    with pytest.raises(ServerExitedError, match="unknown"):
        scene.run()
    assert scene.states == ["STARTING", "FATAL"]


def test_a_start_that_was_killed_from_outside_is_repeated(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "never-ready", **ON_FAILURE)
    kills = 0

    def react(event: Event) -> None:
        nonlocal kills
        if isinstance(event, StateChanged) and event.state == "BACKOFF":
            scene.supervisor.request(Request.STOP)
        elif event.kind == "server.phase" and kills == 0:
            kills += 1
            assert scene.record.server is not None
            scene.record.server.send_signal(signal.SIGKILL)

    scene.react = react  # type: ignore[method-assign]
    assert scene.run() is Outcome.CANCELLED
    assert scene.states == ["STARTING", "BACKOFF", "STOPPED"]
    assert scene.of(ServerCrashed)[0].cause is not None


@pytest.mark.parametrize(
    ("policy", "code", "restarted"),
    [
        ("never", "7", False),
        ("on-failure", "7", True),
        ("on-failure", "0", False),
        ("always", "0", True),
    ],
)
def test_the_policy_says_what_is_started_again(
    tmp_path: Path, policy: str, code: str, *, restarted: bool
) -> None:
    scene = Scene(
        tmp_path, "crash", str(tmp_path / "count"), "1", code,
        restart=policy, restart_delay_seconds=0.01,
    )  # fmt: skip
    stop_at_ready(scene, 2)
    if restarted:
        assert scene.run() is Outcome.STOPPED
    else:
        with pytest.raises(ServerExitedError):
            scene.run()
        assert scene.states == ["STARTING", "READY", "EXITED"]
    assert bool(scene.of(ServerCrashed)) is restarted


def test_a_stop_ends_the_pause_before_a_restart(tmp_path: Path) -> None:
    scene = Scene(
        tmp_path, "crash", str(tmp_path / "count"), "9", "7",
        restart="always", restart_delay_seconds=600,
    )  # fmt: skip
    react_to_the_second_crash(scene, Request.STOP)
    assert scene.run() is Outcome.STOPPED
    assert scene.states == [*2 * ["STARTING", "READY", "BACKOFF"], "STOPPED"]
    assert isinstance(scene.events[-1], ServerStopped)


def test_a_request_to_restart_ends_the_pause_too(tmp_path: Path) -> None:
    scene = Scene(
        tmp_path, "crash", str(tmp_path / "count"), "2", "7",
        restart="always", restart_delay_seconds=600,
    )  # fmt: skip
    react_to_the_second_crash(scene, Request.RESTART)
    assert scene.run() is Outcome.STOPPED
    assert len(scene.of(ServerReady)) == 3


def test_a_stop_that_comes_with_a_crash_starts_nothing(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "crash", str(tmp_path / "count"), "9", "7", **ON_FAILURE)
    scene.reactions[ServerCrashed] = Request.STOP
    assert scene.run() is Outcome.STOPPED
    assert scene.states == ["STARTING", "READY", "BACKOFF", "STOPPED"]


def test_a_port_that_somebody_took_is_not_asked_with_our_key(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "crash", str(tmp_path / "count"), "1", "7", **ON_FAILURE)
    others: list[socket.socket] = []

    def react(event: Event) -> None:
        if isinstance(event, ServerCrashed):
            if event.failures == 1:
                others.append(socket.create_server(("127.0.0.1", scene.config.port)))
            else:
                others.pop().close()
        if isinstance(event, ServerReady) and len(scene.of(ServerReady)) == 2:
            assert scene.record.last_failure == scene.of(ServerCrashed)[1].problem
            scene.supervisor.request(Request.STOP)

    scene.react = react  # type: ignore[method-assign]
    assert scene.run() is Outcome.STOPPED
    assert [event.error for event in scene.of(ServerCrashed)] == [
        "ServerExitedError",
        "PortInUseError",
    ]


def react_to_the_second_crash(scene: Scene, request: Request) -> None:
    """The first has no pause. A third start that is ready is the end."""

    def react(event: Event) -> None:
        if isinstance(event, ServerCrashed) and event.failures == 2:
            scene.supervisor.request(request)
        if isinstance(event, ServerReady) and len(scene.of(ServerReady)) == 3:
            scene.supervisor.request(Request.STOP)

    scene.react = react  # type: ignore[method-assign]


def test_a_server_that_stops_answering_is_restarted_with_its_stacks_in_the_log(
    tmp_path: Path,
) -> None:
    stalled = tmp_path / "stalled"
    scene = Scene(
        tmp_path, "stall", str(stalled),
        health_interval_seconds=0.05, health_timeout_seconds=0.2, health_failures=3, **ON_FAILURE,
    )  # fmt: skip
    scene.launch.command.environment["PYTHONFAULTHANDLER"] = "1"  # type: ignore[index]

    def react(event: Event) -> None:
        if isinstance(event, ServerReady):
            if len(scene.of(ServerReady)) == 1:
                stalled.touch()
            else:
                scene.supervisor.request(Request.STOP)
        if isinstance(event, ServerCrashed):
            stalled.unlink()

    scene.react = react  # type: ignore[method-assign]
    assert scene.run() is Outcome.STOPPED
    assert scene.states[:4] == ["STARTING", "READY", "UNHEALTHY", "BACKOFF"]
    assert [event.failures for event in scene.of(ProbeFailed)] == [1, 2, 3]
    crashed = scene.of(ServerCrashed)[0]
    assert crashed.error == ServerHungError.__name__
    assert "health probe" in crashed.evidence[-1]
    former = scene.store.log_file.with_name("server.log.1").read_text()
    assert "Fatal Python error: Aborted" in former
    # Not which ones: the dump looks at threads that run on, and may itself be cut short.
    assert "most recent call first" in former


def test_a_server_that_stands_still_by_a_signal_is_named_as_such(tmp_path: Path) -> None:
    scene = Scene(
        tmp_path, "serve",
        health_interval_seconds=0.05, health_timeout_seconds=0.2, health_failures=2,
    )  # fmt: skip

    def react(event: Event) -> None:
        if isinstance(event, ServerReady):
            assert scene.record.server is not None
            scene.record.server.send_signal(signal.SIGSTOP)

    scene.react = react  # type: ignore[method-assign]
    scene.config = scene.config.model_copy()
    with pytest.raises(ServerHungError) as caught:
        scene.run()
    assert scene.record.server is not None
    assert f"SIGSTOP): process {scene.record.server.pid}" in caught.value.evidence[-1]
    scene.assert_nothing_is_left()


def test_a_stall_that_passes_is_no_reason_to_restart(tmp_path: Path) -> None:
    stalled = tmp_path / "stalled"
    scene = Scene(
        tmp_path, "stall", str(stalled),
        health_interval_seconds=0.05, health_timeout_seconds=0.2, health_failures=1000,
    )  # fmt: skip

    def react(event: Event) -> None:
        if isinstance(event, ServerReady):
            stalled.touch()
        if isinstance(event, ProbeFailed) and event.failures == 3:
            stalled.unlink()
        if isinstance(event, StateChanged) and scene.states[-2:] == ["UNHEALTHY", "READY"]:
            scene.supervisor.request(Request.STOP)

    scene.react = react  # type: ignore[method-assign]
    assert scene.run() is Outcome.STOPPED
    assert scene.states == ["STARTING", "READY", "UNHEALTHY", "READY", "STOPPING", "STOPPED"]


def test_probes_that_fail_while_others_get_their_answers_count_for_nothing(tmp_path: Path) -> None:
    stalled = tmp_path / "stalled"
    scene = Scene(
        tmp_path, "busy", str(stalled),
        health_interval_seconds=0.01, health_timeout_seconds=0.2, health_failures=1,
    )  # fmt: skip

    def react(event: Event) -> None:
        if isinstance(event, ServerReady):
            stalled.touch()
            # The log may be silent for longer than the interval, and a probe then fails.
            signal.setitimer(signal.ITIMER_REAL, 3.0)

    before = signal.signal(signal.SIGALRM, lambda *_: scene.supervisor.request(Request.STOP))
    scene.react = react  # type: ignore[method-assign]
    try:
        assert scene.run() is Outcome.STOPPED
    finally:
        signal.signal(signal.SIGALRM, before)
    assert scene.states == ["STARTING", "READY", "STOPPING", "STOPPED"]


def test_batches_in_the_log_do_not_speak_for_a_server_that_answers_nobody(tmp_path: Path) -> None:
    """A detokenizer that stands still: the scheduler computes on, and says so."""
    stalled = tmp_path / "stalled"
    scene = Scene(
        tmp_path, "mute", str(stalled),
        health_interval_seconds=0.05, health_timeout_seconds=0.2, health_failures=3,
    )  # fmt: skip

    def react(event: Event) -> None:
        if isinstance(event, ServerReady):
            stalled.touch()

    scene.react = react  # type: ignore[method-assign]
    with pytest.raises(ServerHungError):
        scene.run()
    assert scene.states == ["STARTING", "READY", "UNHEALTHY", "EXITED"]
    scene.assert_nothing_is_left()


def test_a_collector_that_stands_still_is_replaced_and_the_server_serves_on(
    tmp_path: Path,
) -> None:
    scene = Scene(
        tmp_path, "serve",
        health_interval_seconds=0.05, health_timeout_seconds=0.2, health_failures=3,
    )  # fmt: skip
    stopped: list[Any] = []

    def stop_when_replaced() -> None:
        while scene.record.collector == stopped[0]:
            time.sleep(0.02)
        scene.supervisor.request(Request.STOP)

    def react(event: Event) -> None:
        if isinstance(event, ServerReady):
            collector = scene.record.collector
            assert collector is not None
            stopped.append(collector)
            collector.send_signal(signal.SIGSTOP)
            threading.Thread(target=stop_when_replaced, daemon=True).start()

    scene.react = react  # type: ignore[method-assign]
    assert scene.run() is Outcome.STOPPED
    assert scene.states == ["STARTING", "READY", "STOPPING", "STOPPED"]
    assert scene.record.collector not in [None, *stopped]
    scene.assert_nothing_is_left()


def test_a_rank_that_is_lost_ends_the_server_although_it_lives(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "lose-rank")
    with pytest.raises(ServerExitedError) as caught:
        scene.run()
    (lost,) = scene.of(ProcessLost)
    assert lost.title == "sglang::scheduler_TP0"
    assert caught.value.problem.startswith(f"sglang::scheduler_TP0 (process {lost.pid}) ended")
    scene.assert_nothing_is_left()


def test_a_rank_that_is_lost_during_the_start_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("launcher.engines.sglang.watching.processes.SLOW_FALLOUT_SECONDS", 0.2)
    scene = Scene(tmp_path, "lose-rank-loading", hang_timeout_seconds=4.0)
    with pytest.raises(ServerExitedError, match="sglang::scheduler_TP0"):
        scene.run()
    assert len(scene.of(ProcessLost)) == 1
    assert scene.states == ["STARTING", "FATAL"]
    scene.assert_nothing_is_left()


def test_a_start_in_which_nothing_moves_is_told_from_a_slow_one(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "hang", hang_timeout_seconds=1.0)
    with pytest.raises(ServerHungError, match="importing the engine"):
        scene.run()
    assert scene.states == ["STARTING", "FATAL"]
    scene.assert_nothing_is_left()


def test_requests_that_outlast_the_drain_are_aborted_and_then_the_server_ends_itself(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path, "keep-requests", drain_timeout_seconds=0.2, stop_timeout_seconds=60)
    scene.reactions[ServerReady] = Request.STOP
    assert scene.run() is Outcome.STOPPED
    (stopped,) = scene.of(ServerStopped)
    assert not stopped.killed
    assert "aborted" in scene.store.log_file.read_text()


RUN_AND_DIE = """
import os, signal, sys
from pathlib import Path
from launcher.state.events import ServerReady
from launcher.engines.launch import Launch
from launcher.state.store import RunRecord, RunStore
from launcher.state.states import ServerState
from launcher.supervision.supervisor import Supervisor
from dataclasses import replace

launch = replace(Launch.from_json(sys.stdin.read()), detached={detached})
store = RunStore("scene", root=Path({root!r}))

def emit(event):
    if isinstance(event, ServerReady):
        os.kill(os.getpid(), signal.SIGKILL)

with store.lock():
    Supervisor(launch, store, emit).run()
"""


def run_until_the_supervisor_is_killed(scene: Scene, *, detached: bool) -> None:
    code = RUN_AND_DIE.format(detached=detached, root=str(scene.store.folder.parent))
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        input=scene.launch.to_json(), text=True, capture_output=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr


def test_in_the_foreground_a_server_dies_with_its_supervisor(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "serve")
    run_until_the_supervisor_is_killed(scene, detached=False)
    record = scene.record
    assert record.server is not None
    assert record.collector is not None
    assert wait_until_gone(record.server, timeout_seconds=10)
    assert wait_until_gone(record.collector, timeout_seconds=10)
    scene.assert_nothing_is_left()
    assert scene.record.live_state == "DEAD"


@pytest.mark.parametrize("command", ["up", "down"])
def test_what_a_dead_server_shared_is_taken_back_by_the_next_command(
    tmp_path: Path, command: str
) -> None:
    scene = Scene(tmp_path, "serve")
    run_until_the_supervisor_is_killed(scene, detached=False)
    record = scene.record
    assert record.server is not None
    assert wait_until_gone(record.server, timeout_seconds=10)
    left = shared_memory.ROOT / f"specserve_test_{os.getpid()}"
    left.write_bytes(b"a queue")
    status = left.stat()
    segment = shared_memory.Segment(
        name=left.name, inode=status.st_ino, device=status.st_dev, boot_id=boot_id()
    )
    scene.store.write(record.model_copy(update={"segments": (segment,)}))
    try:
        make_way(scene.store, scene.record) if command == "up" else stop_server(scene.store)
        assert not left.exists()
        assert scene.record.live_state == "STOPPED"
    finally:
        left.unlink(missing_ok=True)


def test_in_the_background_it_serves_on_and_is_taken_over(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "serve")
    run_until_the_supervisor_is_killed(scene, detached=True)
    orphan = scene.record
    assert orphan.can_be_adopted
    assert orphan.live_state == "ORPHANED"

    scene.supervisor = scene.supervise(adopted=orphan)
    scene.reactions[ServerReady] = Request.STOP
    assert scene.run() is Outcome.STOPPED

    assert isinstance(scene.of(ServerAdopted)[0], ServerAdopted)
    assert {event.run_id for event in scene.events} == {orphan.run_id}
    assert scene.states == ["READY", "STOPPING", "STOPPED"]
    assert orphan.collector is not None
    assert not orphan.collector.is_alive()
    scene.assert_nothing_is_left()


def test_what_stood_by_under_the_supervisor_that_was_killed_leaves_no_folder(
    tmp_path: Path,
) -> None:
    """It has ended by itself; the server's own folder stays while it serves."""
    scene = Scene(tmp_path, "serve")
    run_until_the_supervisor_is_killed(scene, detached=True)
    own = Path(scene.record.environment["TMPDIR"])
    run_id = secrets.token_hex(8)
    left = own.with_name(scratch_name(run_id))
    left.mkdir()
    stood_by = StandByRecord(process=dead_process(), run_id=run_id, ready=True, memory_bytes=None)
    scene.store.write(scene.record.model_copy(update={"stand_by": stood_by}))
    scene.supervisor = scene.supervise(adopted=scene.record)
    there: list[tuple[bool, bool]] = []

    def react(event: Event) -> None:
        if isinstance(event, ServerReady):
            there.append((left.exists(), own.exists()))
            scene.supervisor.request(Request.STOP)

    scene.react = react  # type: ignore[method-assign]
    assert scene.run() is Outcome.STOPPED
    assert there == [(False, True)]
    assert not own.exists()


def test_a_server_that_was_taken_over_and_crashes_is_started_again(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "serve", **ON_FAILURE)
    run_until_the_supervisor_is_killed(scene, detached=True)
    orphan = scene.record
    scene.supervisor = scene.supervise(adopted=orphan)

    def react(event: Event) -> None:
        if isinstance(event, ServerReady):
            if event.run_id == orphan.run_id:
                assert orphan.server is not None
                orphan.server.send_signal(signal.SIGKILL)
            else:
                scene.supervisor.request(Request.STOP)

    scene.react = react  # type: ignore[method-assign]
    assert scene.run() is Outcome.STOPPED
    assert scene.states[:3] == ["READY", "BACKOFF", "STARTING"]
    scene.assert_nothing_is_left()


def test_the_collector_of_a_server_that_was_taken_over_is_replaced(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "serve")
    run_until_the_supervisor_is_killed(scene, detached=True)
    orphan = scene.record
    scene.supervisor = scene.supervise(adopted=orphan)

    def react(event: Event) -> None:
        if isinstance(event, ServerReady):
            assert orphan.collector is not None
            orphan.collector.send_signal(signal.SIGKILL)
            threading.Thread(target=stop_once_replaced).start()

    def stop_once_replaced() -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while scene.record.collector == orphan.collector and time.monotonic() < deadline:
            time.sleep(0.02)
        scene.supervisor.request(Request.STOP)

    scene.react = react  # type: ignore[method-assign]
    assert scene.run() is Outcome.STOPPED
    assert scene.record.collector not in {None, orphan.collector}
    scene.assert_nothing_is_left()


def test_down_stops_what_a_killed_supervisor_left_with_its_collector(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "serve")
    run_until_the_supervisor_is_killed(scene, detached=True)
    assert stop_server(scene.store).stopped
    assert scene.record.collector is not None
    assert not scene.record.collector.is_alive()
    scene.assert_nothing_is_left()


def test_zombies_that_come_to_the_supervisor_are_reaped(tmp_path: Path) -> None:
    """A grandchild whose parent is killed becomes ours; a container's init may reap nobody."""
    scene = Scene(tmp_path, "orphan")
    scene.reactions[ServerReady] = Request.STOP
    scene.run()
    assert scene.record.server is not None
    session = scene.record.server.pid
    zombies = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session:
            zombies.append(stat)
    assert zombies == []


def test_one_server_that_falls_leaves_another_alone(tmp_path: Path) -> None:
    other = Scene(tmp_path / "other", "serve")
    run_until_the_supervisor_is_killed(other, detached=True)
    before = other.record
    scene = Scene(tmp_path, "crash", str(tmp_path / "count"), "2", "7", **ON_FAILURE)
    stop_at_ready(scene, 3)
    try:
        assert scene.run() is Outcome.STOPPED
        assert other.record == before
        assert before.server is not None
        assert before.server.is_alive()
        assert HttpProber(before.base_url).generate(1, timeout_seconds=30)
    finally:
        stop_server(other.store)
    other.assert_nothing_is_left()


def test_a_clock_that_jumps_by_a_day_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = 0
    real: Callable[[], float] = time.time

    def jumping() -> float:
        nonlocal days
        days += 1
        return real() + days * (86_400 if days % 2 else -86_400)

    monkeypatch.setattr(time, "time", jumping)
    scene = Scene(tmp_path, "serve", health_interval_seconds=0.05, start_timeout_seconds=60)

    def react(event: Event) -> None:
        jumping()
        if isinstance(event, ServerReady):
            signal.setitimer(signal.ITIMER_REAL, 1.0)

    before = signal.signal(signal.SIGALRM, lambda *_: scene.supervisor.request(Request.STOP))
    scene.react = react  # type: ignore[method-assign]
    try:
        assert scene.run() is Outcome.STOPPED
    finally:
        signal.signal(signal.SIGALRM, before)
    assert scene.states == ["STARTING", "READY", "STOPPING", "STOPPED"]
    assert not scene.of(ServerStopped)[0].killed


def test_a_disk_that_is_full_does_not_end_a_server_that_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records cannot be written while it is full, and a restart works all the same."""
    scene = Scene(tmp_path, "crash", str(tmp_path / "count"), "1", "7", **ON_FAILURE)
    real = RunStore.write

    def full(store: RunStore, record: RunRecord) -> None:
        if record.state != "STOPPED":
            raise StateError("No space left on device.", action="Free some.")
        real(store, record)

    def react(event: Event) -> None:
        if isinstance(event, ServerReady):
            monkeypatch.setattr(RunStore, "write", full)
            if len(scene.of(ServerReady)) == 2:
                scene.supervisor.request(Request.STOP)

    scene.react = react  # type: ignore[method-assign]
    assert scene.run() is Outcome.STOPPED
    assert scene.record.state == "STOPPED"
    scene.assert_nothing_is_left()


def test_nothing_is_started_beside_what_does_not_die(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a process that hangs in a driver: the next `up` tries once more, and says so."""
    scene = Scene(tmp_path, "serve", stop_timeout_seconds=0.1)
    run_until_the_supervisor_is_killed(scene, detached=True)
    stuck = scene.record.model_copy(update={"state": ServerState.FATAL})
    scene.store.write(stuck)
    assert stuck.server is not None
    assert stuck.live_state == "ORPHANED"
    assert not stuck.can_be_adopted
    with monkeypatch.context() as patch:
        patch.setattr(signal, "pidfd_send_signal", lambda *_: None)
        patch.setattr(
            "launcher.supervision.server.end.kill_members", lambda *_, **__: [stuck.server]
        )
        with pytest.raises(StopError, match=str(stuck.server.pid)):
            make_way(scene.store, stuck)
    make_way(scene.store, stuck)
    assert not stuck.server.is_alive()
    assert scene.record.state == "STOPPED"
