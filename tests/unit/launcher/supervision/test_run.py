"""A run of a server that misbehaves: what the record, the events and the processes look like."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from launcher.errors import (
    AlreadyRunningError,
    EngineBrokenError,
    ServerExitedError,
    SpawnError,
    StartTimeoutError,
    StateError,
    StopError,
)
from launcher.state.events import (
    Event,
    PhaseProgress,
    ServerFailed,
    ServerReady,
    ServerStopped,
    StateChanged,
)
from launcher.state.store import RunStore
from launcher.supervision.mailbox import Request
from launcher.supervision.server.process import ChildProcess, spawn
from launcher.supervision.stop import stop_server
from launcher.supervision.supervisor import Outcome
from launcher.system.members import kill_members
from launcher.system.process import ProcessIdentity
from tests.unit.launcher.examples import make_record
from tests.unit.launcher.scenes import Scene


def test_a_server_is_ready_when_it_has_generated_a_token_and_then_stops_on_request(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path, "serve")
    scene.reactions[ServerReady] = Request.STOP

    assert scene.run() is Outcome.STOPPED

    assert scene.states == ["STARTING", "READY", "STOPPING", "STOPPED"]
    ready = next(event for event in scene.events if isinstance(event, ServerReady))
    assert ready.context_length_tokens == 4096
    assert ready.kv_cache_tokens == 16384
    assert ready.max_running_requests == 48
    assert scene.record.state == "STOPPED"
    assert scene.record.exit == "killed by SIGTERM"
    assert scene.record.ready_seconds is not None
    scene.assert_nothing_is_left()


def test_phases_are_reported_in_order_and_with_their_count(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "serve")
    scene.reactions[ServerReady] = Request.STOP
    scene.run()
    seen = [
        (event.phase, event.done, event.total)
        for event in scene.events
        if isinstance(event, PhaseProgress)
    ]
    assert seen == [
        ("importing the engine", None, None),
        ("loading weights", None, None),
        ("loading weights", 1, 2),
        ("loading weights", 2, 2),
        ("KV cache", None, None),
        ("warm-up", None, None),
    ]


def test_a_stop_before_it_is_ready_cancels_the_start(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "never-ready")
    scene.reactions[PhaseProgress] = Request.STOP
    assert scene.run() is Outcome.CANCELLED
    assert scene.states == ["STARTING", "STOPPING", "STOPPED"]
    scene.assert_nothing_is_left()


def test_an_exit_before_it_is_ready_is_fatal_and_shows_the_last_lines(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "exit-before-ready", "3")
    with pytest.raises(ServerExitedError, match="in the phase 'warm-up'.*exit code 3") as caught:
        scene.run()
    assert caught.value.evidence[-1] == "RuntimeError: out of ideas"
    assert scene.states == ["STARTING", "FATAL"]
    failed = scene.events[-1]
    assert isinstance(failed, ServerFailed)
    assert failed.exit_code == ServerExitedError.exit_code
    assert scene.record.exit == "exit code 3"
    scene.assert_nothing_is_left()


def test_variables_that_may_have_broken_a_start_are_named_without_their_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SGLANG_EXTERNAL_MODEL_PACKAGE", "swordfish")
    with pytest.raises(ServerExitedError, match="The cause is unknown") as caught:
        Scene(tmp_path, "exit-before-ready", "3").run()
    assert "your " in caught.value.action
    assert "SGLANG_EXTERNAL_MODEL_PACKAGE" in caught.value.action
    said = (caught.value.problem, caught.value.action, *caught.value.evidence)
    assert not any("swordfish" in text for text in said)


def test_an_exit_with_code_0_before_it_is_ready_is_no_success(tmp_path: Path) -> None:
    with pytest.raises(ServerExitedError, match="exit code 0"):
        Scene(tmp_path, "exit-before-ready", "0").run()


def test_an_exit_after_it_was_ready_is_told_apart(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "exit-after-ready", "7")
    with pytest.raises(ServerExitedError, match="while it served.*exit code 7"):
        scene.run()
    assert scene.states == ["STARTING", "READY", "EXITED"]
    scene.assert_nothing_is_left()


def test_an_engine_that_cannot_be_imported_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineBrokenError) as caught:
        Scene(tmp_path, "import-error").run()
    assert "No module named 'torch'" in caught.value.problem


def test_a_start_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "never-ready", start_timeout_seconds=1.5)
    with pytest.raises(StartTimeoutError, match=r"allowed: 2 s.*'warm-up'"):
        scene.run()
    assert scene.states == ["STARTING", "FATAL"]
    scene.assert_nothing_is_left()


def test_a_server_that_ignores_sigterm_is_killed_at_the_deadline(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "ignore-term", stop_timeout_seconds=0.3)
    scene.reactions[ServerReady] = Request.STOP
    assert scene.run() is Outcome.STOPPED
    stopped = scene.events[-1]
    assert isinstance(stopped, ServerStopped)
    assert stopped.killed
    assert scene.record.exit == "killed by SIGKILL"
    scene.assert_nothing_is_left()


def test_a_second_stop_does_not_wait_for_the_deadline(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "ignore-term", stop_timeout_seconds=600)
    scene.reactions[ServerReady] = Request.STOP
    drained = threading.Event()

    def emit(event: Event) -> None:
        if isinstance(event, ServerReady):
            scene.supervisor.request(Request.STOP)
        if isinstance(event, StateChanged) and event.state == "STOPPING":
            drained.set()
            scene.supervisor.request(Request.STOP)

    scene.react = emit  # type: ignore[method-assign]
    assert scene.run() is Outcome.STOPPED
    assert drained.is_set()
    scene.assert_nothing_is_left()


def test_a_grandchild_that_ignores_sigterm_is_gone_too(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "orphan")
    scene.reactions[ServerReady] = Request.STOP
    scene.run()
    scene.assert_nothing_is_left()


def test_a_restart_is_a_new_run_of_the_same_command(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "serve")
    readies: list[str] = []

    def emit(event: Event) -> None:
        if isinstance(event, ServerReady):
            readies.append(event.run_id)
            scene.supervisor.request(Request.RESTART if len(readies) == 1 else Request.STOP)

    scene.react = emit  # type: ignore[method-assign]
    assert scene.run() is Outcome.STOPPED
    assert len(set(readies)) == 2
    assert scene.states == [
        *("STARTING", "READY", "STOPPING"),
        *("STARTING", "READY", "STOPPING", "STOPPED"),
    ]
    assert scene.record.run_id == readies[1]


def test_a_stop_during_a_restart_ends_it_as_gently(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "serve")
    restarting: list[bool] = []

    def emit(event: Event) -> None:
        if isinstance(event, ServerReady):
            scene.supervisor.request(Request.RESTART)
        if isinstance(event, StateChanged) and event.state == "STOPPING":
            restarting.append(scene.record.restarting)
            scene.supervisor.request(Request.STOP)

    scene.react = emit  # type: ignore[method-assign]
    assert scene.run() is Outcome.STOPPED
    assert scene.states == ["STARTING", "READY", "STOPPING", "STOPPED"]
    assert restarting == [True]
    assert not scene.record.restarting
    (stopped,) = scene.of(ServerStopped)
    assert not stopped.killed
    scene.assert_nothing_is_left()


def test_down_reaches_a_supervisor_that_is_restarting(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "serve")
    # What makes it a supervisor is the lock.
    holds = (
        "import fcntl, signal, sys; lock = open(sys.argv[1], 'w'); fcntl.flock(lock, 2); print()"
    )
    scene.store.lock_file.touch(mode=0o600)
    with subprocess.Popen(
        [sys.executable, "-uc", f"{holds}; signal.pause()", str(scene.store.lock_file)],
        stdout=subprocess.PIPE,
    ) as supervisor:
        assert supervisor.stdout is not None
        supervisor.stdout.readline()
        record = make_record(
            tmp_path, name="scene", state="STOPPING", restarting=True, server=None,
            supervisor=ProcessIdentity.of(supervisor.pid),
            config=scene.config.model_dump(mode="json"),
        )  # fmt: skip
        scene.store.write(record)
        assert stop_server(scene.store).stopped
        assert supervisor.wait() == -signal.SIGTERM


def test_keys_never_reach_log_state_or_events(tmp_path: Path) -> None:
    store = RunStore("scene", root=tmp_path / "servers")
    scene = Scene(tmp_path, "print-secret", str(store.secrets_file), keys=True)
    scene.reactions[ServerReady] = Request.STOP
    scene.run()
    log = scene.store.log_file.read_text()
    assert "[redacted]" in log
    for text in (
        log,
        scene.store.record_file.read_text(),
        "\n".join(event.to_json() for event in scene.events),
    ):
        assert "s3cret" not in text
    scene.assert_nothing_is_left()


def test_the_keys_are_on_the_disk_only_until_the_server_has_read_them(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "serve", keys=True)
    seen: dict[str, bool] = {}

    def emit(event: Event) -> None:
        if isinstance(event, PhaseProgress):
            seen["starting"] = scene.store.secrets_file.exists()
        if isinstance(event, ServerReady):
            seen["ready"] = scene.store.secrets_file.exists()
            scene.supervisor.request(Request.STOP)

    scene.react = emit  # type: ignore[method-assign]
    scene.run()
    assert seen == {"starting": True, "ready": False}


def test_the_admin_key_that_was_made_is_for_the_user_while_the_server_runs(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "serve", keys=True)
    seen: list[tuple[str, int]] = []

    def emit(event: Event) -> None:
        if isinstance(event, ServerReady):
            file = scene.record.admin_key_file
            assert file is not None
            seen.append((file.read_text().strip(), stat.S_IMODE(file.stat().st_mode)))
            scene.supervisor.request(Request.STOP)

    scene.react = emit  # type: ignore[method-assign]
    scene.run()
    assert seen == [("s3cret-admin", 0o600)]
    assert not scene.store.admin_key_file.exists()


def test_an_admin_key_of_the_users_own_is_not_copied(tmp_path: Path) -> None:
    own = tmp_path / "own.key"
    scene = Scene(tmp_path, "serve", keys=True, admin_key_file=own)
    there: list[bool] = []

    def emit(event: Event) -> None:
        if isinstance(event, ServerReady):
            there.append(scene.store.admin_key_file.exists())
            scene.supervisor.request(Request.STOP)

    scene.react = emit  # type: ignore[method-assign]
    scene.run()
    assert scene.record.admin_key_file == own
    assert there == [False]


def test_a_process_that_the_system_refuses_is_an_error_and_leaves_no_key(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "serve", keys=True)

    def refuse(*_: object, **__: object) -> ChildProcess:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    scene.supervisor = scene.supervise(spawner=refuse)
    with pytest.raises(SpawnError, match="Resource temporarily unavailable"):
        scene.run()
    assert scene.states == ["STARTING", "FATAL"]
    assert isinstance(scene.events[-1], ServerFailed)
    assert not scene.store.secrets_file.exists()
    assert not scene.store.admin_key_file.exists()


def test_a_server_whose_log_cannot_be_written_is_not_started(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "serve", keys=True)
    with scene.store.lock():
        # Later than the lock, which would have set it aside.
        scene.store.log_file.symlink_to(tmp_path / "missing" / "server.log")
        with pytest.raises(StateError):
            scene.supervisor.run()
    assert scene.record.state == "FATAL"
    assert scene.record.server is None
    assert not scene.store.secrets_file.exists()
    assert not scene.store.admin_key_file.exists()


def test_what_survives_a_down_is_found_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(tmp_path, "never-ready", stop_timeout_seconds=0.1)
    with (tmp_path / "output").open("wb") as output:
        spawned = spawn(
            scene.launch.command,
            run_id="stuck",
            cwd=tmp_path,
            output=output.fileno(),
            die_with_parent=False,
        )
    dead = spawned.identity.model_copy(update={"start_ticks": 0})
    record = make_record(
        tmp_path, name="scene", run_id="stuck", state="READY", supervisor=dead,
        server=spawned.identity, config=scene.config.model_dump(mode="json"),
    )  # fmt: skip
    scene.store.write(record)
    with monkeypatch.context() as patch:
        # As for a process that hangs in a driver.
        patch.setattr(signal, "pidfd_send_signal", lambda *_: None)
        patch.setattr(
            "launcher.supervision.server.end.kill_members", lambda *_, **__: [spawned.identity]
        )
        with pytest.raises(StopError, match=str(spawned.identity.pid)):
            stop_server(scene.store)
    assert scene.record.live_state == "ORPHANED"
    assert stop_server(scene.store).stopped
    assert scene.record.state == "STOPPED"
    spawned.wait()


def test_a_process_that_survives_is_told_and_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(tmp_path, "serve", keys=True)
    scene.reactions[ServerReady] = Request.STOP
    stuck = ProcessIdentity.of(os.getpid())
    spawned: list[ChildProcess] = []

    def remember(*arguments: Any, **options: Any) -> ChildProcess:
        spawned.append(spawn(*arguments, **options))
        return spawned[-1]

    scene.supervisor = scene.supervise(spawner=remember)
    with monkeypatch.context() as patch:
        patch.setattr("launcher.supervision.server.end.kill_members", lambda *_, **__: [stuck])
        with pytest.raises(StopError, match=str(stuck.pid)):
            scene.run()
    assert kill_members(spawned[0].identity, scene.record.run_id, timeout_seconds=30) == []
    spawned[0].wait()
    assert scene.states[-1] == "FATAL"
    assert isinstance(scene.events[-1], ServerFailed)
    assert not scene.store.secrets_file.exists()
    assert not scene.store.admin_key_file.exists()


def test_the_log_of_the_run_before_is_kept(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "exit-before-ready", "3")
    for _ in range(3):
        with pytest.raises(ServerExitedError):
            scene.run()
    former = scene.store.log_file.with_suffix(".log.1")
    for file in (scene.store.log_file, former):
        assert file.read_text().count("RuntimeError: out of ideas") == 1


def test_a_server_that_prints_without_end_does_not_outrun_its_deadline(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "chatter", start_timeout_seconds=1.0)
    with pytest.raises(StartTimeoutError):
        scene.run()
    scene.assert_nothing_is_left()


def test_what_the_probe_was_told_is_evidence(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "refuse", start_timeout_seconds=2.0)
    with pytest.raises(StartTimeoutError) as caught:
        scene.run()
    assert caught.value.evidence[-1] == "readiness probe: status 400: no text here"


def test_state_files_are_private(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "serve")
    scene.reactions[ServerReady] = Request.STOP
    scene.run()
    assert scene.store.folder.stat().st_mode & 0o777 == 0o700
    for file in scene.store.folder.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600, file


def test_two_supervisors_of_one_name_do_not_run_at_once(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "serve")
    with scene.store.lock(), pytest.raises(AlreadyRunningError), scene.store.lock():
        pass


def test_signals_become_requests(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "serve")
    numbers = (
        *(signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGQUIT),
        *(signal.SIGTSTP, signal.SIGUSR1),
    )
    # All of them: by SIGALRM pytest-timeout ends a test that hangs.
    settable = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
    before = {number: signal.getsignal(number) for number in settable}
    # It stays ignored under `nohup`, and pytest may have been started so.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    scene.supervisor.handle_signals()
    try:
        for number in numbers:
            os.kill(os.getpid(), number)
        requests = [scene.supervisor._mailbox.next() for _ in range(6)]
        # SIGQUIT asks twice, which ends the server at once; SIGTSTP asks nothing.
        assert requests == [Request.STOP] * 5 + [Request.RESTART]
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)
