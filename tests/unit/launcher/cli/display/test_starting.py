"""Starts in the background, and the commands on what runs, over a stand-in server.

The same commands meet the real server in tests/server; here they meet servers that fail.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from launcher.cli import main
from launcher.cli.display.starting import StartOptions, run_detached, run_in_foreground
from launcher.engines.launch import Launch
from launcher.errors import (
    AlreadyRunningError,
    ForeignStateError,
    LauncherError,
    ModelNotFoundError,
    NotRunningError,
    ServerError,
    ServerExitedError,
    StateError,
)
from launcher.models.download.request import OnPullEvent
from launcher.nano.folder import model_path
from launcher.state.events import EventReader, ServerFailed, ServerReady, ServerStopped, parse_event
from launcher.state.record import RunRecord
from launcher.state.store import RunStore
from launcher.supervision.detached import (
    Patience,
    failure_of,
    follow_start,
    start_detached,
    supervisor_died,
)
from launcher.supervision.stop import stop_server
from launcher.system.locks import is_locked
from launcher.system.process import wait_until_gone
from tests.unit.launcher.examples import make_config
from tests.unit.launcher.scenes import make_launch

PATIENCE_SECONDS = 30.0
HANDLED = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}


def patience() -> Patience:
    """Its clock begins here: not when this module is imported, minutes before the test."""
    return Patience(1, make_config())


@pytest.fixture
def store() -> Iterator[RunStore]:
    store = RunStore("default")
    yield store
    stop_server(store)


def start(store: RunStore, *behaviour: str, **fields: Any) -> Launch:
    launch = make_launch(*behaviour, **fields)
    run_detached(launch.config, store, lambda _report: launch, StartOptions(as_json=True))
    return launch


def record_of(store: RunStore) -> RunRecord:
    record = store.read()
    assert record is not None
    return record


def run_cli(*arguments: str) -> int:
    before = sys.argv
    sys.argv = ["launcher", *arguments]
    try:
        with pytest.raises(SystemExit) as end:
            main.main()
    finally:
        sys.argv = before
    return int(end.value.code or 0)


def test_a_launch_crosses_to_the_supervisor_unchanged() -> None:
    launch = make_launch("serve")
    assert Launch.from_json(launch.to_json()) == launch


def test_a_detached_server_is_ready_when_up_returns_and_outlives_it(
    store: RunStore, capsys: pytest.CaptureFixture[str]
) -> None:
    start(store, "serve")
    events = [parse_event(line) for line in capsys.readouterr().out.splitlines()]
    assert isinstance(events[-1], ServerReady)
    record = record_of(store)
    assert record.live_state == "READY"
    assert record.detached
    # A session of its own: closing the terminal does not reach it.
    assert os.getsid(record.supervisor.pid) == record.supervisor.pid != os.getsid(0)

    assert run_cli("down", "--json") == 0
    (report,) = json.loads(capsys.readouterr().out)["servers"]
    assert (report["was"], report["stopped"]) == ("READY", True)
    assert not record.supervisor.is_alive()


def test_a_detached_start_that_fails_raises_what_the_supervisor_raised(store: RunStore) -> None:
    with pytest.raises(ServerExitedError) as caught:
        start(store, "exit-before-ready", "3")
    assert caught.value.evidence[-1] == "RuntimeError: out of ideas"
    assert record_of(store).state == "FATAL"


def test_a_failed_check_starts_and_writes_nothing(store: RunStore) -> None:
    def check(_report: OnPullEvent) -> Launch:
        raise StateError("no", action="none")

    config = make_launch("serve").config
    with pytest.raises(StateError):
        run_detached(config, store, check, StartOptions(as_json=True))
    with pytest.raises(StateError):
        run_in_foreground(config, store, check, StartOptions(as_json=True))
    assert not store.folder.exists()


def test_cancelling_the_wait_stops_the_server(store: RunStore) -> None:
    def cancel() -> None:
        while (record := store.read()) is None or record.server is None:
            threading.Event().wait(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=cancel).start()
    with pytest.raises(KeyboardInterrupt):
        start(store, "never-ready")
    record = record_of(store)
    assert record.state == "STOPPED"
    assert not record.supervisor.is_alive()


def test_a_start_that_somebody_else_stops_is_no_success(store: RunStore) -> None:
    def stop() -> None:
        while (record := store.read()) is None or record.server is None:
            threading.Event().wait(0.02)
        record.supervisor.send_signal(signal.SIGTERM)

    threading.Thread(target=stop).start()
    with pytest.raises(NotRunningError):
        start(store, "never-ready")


def test_a_supervisor_that_dies_without_a_word_is_told(store: RunStore) -> None:
    store.create()
    reader = EventReader(store.events_file)
    broken = make_launch("serve")
    with store.lock() as lock:
        store.record_file.mkdir()  # so that it cannot write its record
        supervisor = start_detached(broken, store, lock)
    events = follow_start(
        reader, store, patience(), lambda: supervisor.poll() is None,
        is_current=lambda _: True, dead=lambda: supervisor_died(store),
    )  # fmt: skip
    with pytest.raises(ServerError, match="without a word") as caught:
        list(events)
    assert any("run.json" in line for line in caught.value.evidence)
    store.record_file.rmdir()


def test_a_supervisor_that_cannot_write_its_first_record_says_so_as_in_the_foreground(
    store: RunStore,
) -> None:
    """On a full disk neither its events nor its log take a word."""
    store.create()
    reader = EventReader(store.events_file)
    with store.lock() as lock:
        for file in (store.record_file, store.events_file):
            file.mkdir()
        store.supervisor_log_file.symlink_to("/dev/full")
        with pytest.raises(ForeignStateError):
            start_detached(make_launch("serve"), store, lock)
        store.supervisor_log_file.unlink()
        supervisor = start_detached(make_launch("serve"), store, lock)
    store.events_file.rmdir()
    events = follow_start(
        reader, store, patience(), lambda: supervisor.poll() is None,
        is_current=lambda _: True, dead=lambda: supervisor_died(store, supervisor),
    )  # fmt: skip
    with pytest.raises(StateError, match=r"run\.json cannot be written") as caught:
        list(events)
    assert caught.value.exit_code == StateError.exit_code
    store.record_file.rmdir()


def test_the_second_of_two_starts_at_once_is_told_who_is_first(store: RunStore) -> None:
    store.create()
    with store.lock(), pytest.raises(AlreadyRunningError):
        start(store, "serve")
    assert store.read() is None


def test_the_lock_lives_as_long_as_the_supervisor(store: RunStore) -> None:
    start(store, "serve")
    with pytest.raises(AlreadyRunningError), store.lock():
        pass
    stop_server(store)
    with store.lock():
        pass


def test_a_supervisor_inherits_no_descriptor_but_the_lock(store: RunStore, tmp_path: Path) -> None:
    """One that the shell left open may be a lock of somebody else's, held for as long as it is."""
    foreign = tmp_path / "deploy.lock"
    with foreign.open("w") as file:
        os.set_inheritable(file.fileno(), True)  # noqa: FBT003
        start(store, "serve")
    folder = Path(f"/proc/{record_of(store).supervisor.pid}/fd")
    held = [entry.readlink() for entry in folder.iterdir()]
    assert store.folder / "lock" in held
    assert foreign not in held


def test_a_terminal_that_goes_away_does_not_kill_the_server(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a connection drops: SIGHUP comes, and every write fails."""
    launch = Launch(**{**vars_of(make_launch("serve")), "detached": False})

    def broken(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("launcher.cli.display.starting.click.echo", broken)
    ended_well, written = in_foreground(store, launch, lambda: os.kill(os.getpid(), signal.SIGHUP))
    assert ended_well
    assert record_of(store).state == "STOPPED"
    assert any("server.stopped" in line for line in written)


def test_a_second_down_lets_requests_in_flight_end(store: RunStore) -> None:
    start(store, "ignore-term", stop_timeout_seconds=3.0)
    record = record_of(store)
    first = threading.Thread(target=stop_server, args=(store,))
    first.start()
    while record_of(store).state != "STOPPING":
        threading.Event().wait(0.02)
    began = record_of(store)
    stop_server(store)
    first.join()
    stopped = [
        event
        for line in store.events_file.read_text().splitlines()
        if line and isinstance(event := parse_event(line), ServerStopped)
    ]
    # The deadline, not the second request, ended it.
    assert stopped[-1].elapsed_seconds - (began.ready_seconds or 0) >= 3.0
    assert not record.supervisor.is_alive()


def test_a_supervised_server_restarts_in_place(
    store: RunStore, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(model_path())
    start(store, "serve", model_path=model)
    before = record_of(store)
    assert run_cli("restart", "--json") == 0
    after = record_of(store)
    assert after.state == "READY"
    assert after.run_id != before.run_id
    assert after.supervisor == before.supervisor
    last = parse_event(capsys.readouterr().out.splitlines()[-1])
    assert isinstance(last, ServerReady)
    assert last.run_id == after.run_id


def test_a_server_that_works_is_not_stopped_for_a_model_that_is_gone(store: RunStore) -> None:
    start(store, "serve", model_path="/gone")
    assert run_cli("restart") == ModelNotFoundError.exit_code
    assert record_of(store).live_state == "READY"


def test_the_configuration_of_another_version_is_told(
    store: RunStore, capsys: pytest.CaptureFixture[str]
) -> None:
    start(store, "serve")
    record = record_of(store)
    store.write(record.model_copy(update={"config": {**record.config, "newer_field": 1}}))
    assert run_cli("restart") == StateError.exit_code
    assert "another version" in " ".join(capsys.readouterr().err.split())
    # Stopping needs less, and works.
    assert run_cli("down") == 0


def test_a_stopped_server_is_checked_anew_before_a_restart(
    store: RunStore, capsys: pytest.CaptureFixture[str]
) -> None:
    start(store, "serve")
    stop_server(store)
    assert run_cli("restart") == 22
    assert "/m does not exist" in " ".join(capsys.readouterr().err.split())


def test_logs_follow_until_the_server_has_ended(
    store: RunStore, capsys: pytest.CaptureFixture[str]
) -> None:
    start(store, "exit-after-ready", "0")
    assert run_cli("logs", "-f") == 0
    assert capsys.readouterr().out.count("fired up and ready") == 1
    assert wait_until_gone(record_of(store).supervisor, timeout_seconds=PATIENCE_SECONDS)
    assert run_cli("logs", "-n", "1") == 0
    assert capsys.readouterr().out == "The server is fired up and ready to roll!\n"


def test_logs_that_were_removed_are_an_error(
    store: RunStore, capsys: pytest.CaptureFixture[str]
) -> None:
    start(store, "serve")
    store.log_file.unlink()
    assert run_cli("logs") == StateError.exit_code
    assert "server.log" in " ".join(capsys.readouterr().err.split())


def test_a_dead_supervisor_and_a_dead_server_are_dead(
    store: RunStore, capsys: pytest.CaptureFixture[str]
) -> None:
    start(store, "serve")
    record = record_of(store)
    assert record.server is not None
    for process in (record.supervisor, record.server):
        process.send_signal(signal.SIGKILL)
        assert wait_until_gone(process, timeout_seconds=PATIENCE_SECONDS)
    # The last of the supervisor's threads has the lock for a moment more.
    deadline = time.monotonic() + PATIENCE_SECONDS
    while is_locked(store.lock_file):
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)
    assert run_cli("status", "--name", "default") == NotRunningError.exit_code
    assert "DEAD" in capsys.readouterr().out


def in_foreground(
    store: RunStore, launch: Launch, at_ready: Callable[[], None]
) -> tuple[bool, list[str]]:
    handlers = {number: signal.getsignal(number) for number in HANDLED}

    def watch() -> None:
        while (record := store.read()) is None or record.state != "READY":
            threading.Event().wait(0.02)
        at_ready()

    threading.Thread(target=watch).start()
    try:
        ended_well = run_in_foreground(
            launch.config, store, lambda _report: launch, StartOptions(as_json=True)
        )
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return ended_well, [line for line in store.events_file.read_text().splitlines() if line]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_a_server_in_the_foreground(
    store: RunStore, number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    launch = Launch(**{**vars_of(make_launch("serve")), "detached": False})
    ended_well, written = in_foreground(store, launch, lambda: os.kill(os.getpid(), number))
    assert ended_well
    assert record_of(store).state == "STOPPED"
    # What a program reads is what the events file keeps.
    assert capsys.readouterr().out.splitlines() == written


def vars_of(launch: Launch) -> dict[str, Any]:
    return {field: getattr(launch, field) for field in Launch.__slots__}


def test_an_unknown_failure_of_another_version_is_still_an_error() -> None:
    event = ServerFailed(
        run_id="r", elapsed_seconds=1.0, error="os", exit_code=1, problem="p", action="a",
        evidence=(),
    )  # fmt: skip
    assert type(failure_of(event)) is ServerError
    assert isinstance(failure_of(event), LauncherError)


def test_the_folder_of_a_server_is_private(store: RunStore) -> None:
    start(store, "serve")
    modes = {file.name: file.stat().st_mode & 0o777 for file in Path(store.folder).iterdir()}
    assert set(modes.values()) == {0o600}
