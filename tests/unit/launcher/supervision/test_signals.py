"""Signals: those that a parent left blocked or ignored, those that end others, those that fail."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.cli.display import starting
from launcher.config.server_config import ServerConfig
from launcher.errors import StartTimeoutError
from launcher.state.events import PhaseProgress, ServerCrashed
from launcher.state.record import RunRecord
from launcher.state.store import RunStore
from launcher.supervision import detached, stop
from launcher.supervision.detached import Patience
from launcher.supervision.stop import stop_server
from launcher.system.members import find_members
from launcher.system.process import ProcessIdentity
from tests.project import PROJECT
from tests.unit.launcher.examples import make_config
from tests.unit.launcher.scenes import make_launch

PATIENCE_SECONDS = 60.0
# Python ignores these itself; whatever it starts does not.
PYTHONS = {signal.SIGPIPE, signal.SIGXFSZ}
MEANINGLESS = (
    *(signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGPOLL, signal.SIGUSR2),
    *(signal.SIGPWR, signal.SIGSTKFLT, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU),
    *(signal.SIGHUP, signal.SIGRTMIN, signal.SIGRTMAX),
)


@pytest.fixture
def store() -> Iterator[RunStore]:
    store = RunStore("default")
    yield store
    stop_server(store)


def start(store: RunStore) -> RunRecord:
    launch = make_launch("serve", drain_timeout_seconds=0.0)
    options = starting.StartOptions(as_json=True)
    starting.run_detached(launch.config, store, lambda _: launch, options)
    return record_of(store)


def record_of(store: RunStore) -> RunRecord:
    record = store.read()
    assert record is not None
    return record


def signals_of(process: ProcessIdentity | None, field: str) -> set[int]:
    """One of the masks in proc(5)'s status."""
    assert process is not None
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    mask = next(int(line.split()[1], 16) for line in lines if line.startswith(f"{field}:"))
    return {number for number in range(1, 65) if mask >> (number - 1) & 1}


def test_what_a_parent_left_blocked_or_ignored_is_heard_by_all(store: RunStore) -> None:
    blocked = [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGCHLD, signal.SIGQUIT]
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (10, 12, 15)}
    signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
    try:
        record = start(store)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, blocked)
        for number, handler in before.items():
            signal.signal(number, handler)
    for process in (record.supervisor, record.server, record.collector):
        assert signals_of(process, "SigBlk") == set()
    assert signals_of(record.supervisor, "SigIgn") <= PYTHONS
    assert signals_of(record.server, "SigIgn") <= PYTHONS
    report = stop_server(store)
    assert (report.stopped, report.supervisor_killed) == (True, False)


def test_no_signal_without_a_meaning_ends_a_supervisor(store: RunStore) -> None:
    record = start(store)
    for number in MEANINGLESS:
        os.kill(record.supervisor.pid, number)
        assert record.collector is not None
        os.kill(record.collector.pid, number)
    # It reads its signals in order; this one it obeys.
    record.supervisor.send_signal(signal.SIGXCPU)
    await_end(record.supervisor)
    after = record_of(store)
    assert after.state == "STOPPED"
    assert after.collector == record.collector


def await_end(process: ProcessIdentity) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while process.is_alive():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def deaf(store: RunStore) -> Iterator[RunRecord]:
    """A server whose supervisor hears neither SIGTERM nor SIGUSR1."""
    up = [sys.executable, "-m", "tests.unit.launcher.cli.display.foreground", "up", "serve"]
    environment = {**os.environ, "SPECSERVE_TEST_DEAF": "1"}
    process = subprocess.Popen(
        up, cwd=PROJECT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (record := store.read()) is None or record.state != "READY":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield record
    process.kill()
    process.wait()


def test_a_supervisor_that_hears_nothing_is_killed_and_its_server_ended(
    store: RunStore, deaf: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop, "SUPERVISOR_MARGIN_SECONDS", 0.5)
    report = stop_server(store)
    assert (report.was, report.stopped, report.supervisor_killed) == ("READY", True, True)
    assert deaf.server is not None
    assert find_members(deaf.server, deaf.run_id) == []
    assert record_of(store).live_state == "STOPPED"


def test_a_restart_that_nobody_begins_has_a_deadline(
    store: RunStore, deaf: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detached, "SUPERVISOR_MARGIN_SECONDS", 0.5)
    monkeypatch.setattr(stop, "SUPERVISOR_MARGIN_SECONDS", 0.5)
    with pytest.raises(StartTimeoutError, match="has told of nothing") as caught:
        starting.restart_supervised(deaf, deaf.read_config(), store, as_json=True)
    assert "down" in caught.value.action
    assert record_of(store).live_state == "READY"


@pytest.fixture
def config() -> ServerConfig:
    return make_config(
        start_timeout_seconds=100.0, drain_timeout_seconds=5.0, stop_timeout_seconds=5.0
    )


def is_over(patience: Patience) -> bool:
    try:
        patience.check()
    except StartTimeoutError:
        return True
    return False


def test_a_supervisor_may_be_silent_for_as_long_as_what_it_does_may_take(
    config: ServerConfig,
) -> None:
    now = 0.0
    margin = stop.SUPERVISOR_MARGIN_SECONDS

    def phase(run_id: str) -> PhaseProgress:
        return PhaseProgress(run_id=run_id, elapsed_seconds=0.0, phase="x")

    patience = Patience(1, config, restarts="old", clock=lambda: now)
    now = 10.0 + margin
    # What the old run tells is no sign of a restart.
    patience.heard(phase("old"))
    assert not is_over(patience)
    now += 1.0
    assert is_over(patience)
    patience.heard(phase("new"))
    now += 100.0 + margin
    assert not is_over(patience)
    patience.heard(
        ServerCrashed(
            run_id="new", elapsed_seconds=0.0, error="e", problem="p", cause=None, evidence=(),
            failures=1, allowed=5, restart_in_seconds=50.0,
        )
    )  # fmt: skip
    now += 150.0 + margin
    assert not is_over(patience)
    now += 1.0
    assert is_over(patience)


def test_what_is_ignored_on_purpose_stays_ignored() -> None:
    """`nohup`, and a shell's background, ignore on purpose."""
    script = (
        "import signal\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])\n"
        "from launcher.system.process import hear_signals\n"
        "hear_signals()\n"
        "print(int(signal.getsignal(signal.SIGHUP)), int(signal.getsignal(signal.SIGTERM)),"
        " signal.pthread_sigmask(signal.SIG_BLOCK, []))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["1", "0", "set()"]


@pytest.mark.parametrize(("ignored", "stops"), [("SIG_IGN", False), ("SIG_DFL", True)])
def test_a_terminal_that_goes_away_stops_nothing_under_nohup(
    tmp_path: Path, ignored: str, *, stops: bool
) -> None:
    script = (
        "import signal, sys\n"
        "from pathlib import Path\n"
        "from tests.unit.launcher.scenes import Scene\n"
        f"signal.signal(signal.SIGHUP, signal.{ignored})\n"
        "scene = Scene(Path(sys.argv[1]), 'serve')\n"
        "scene.supervisor.handle_signals()\n"
        "signal.raise_signal(signal.SIGHUP)\n"
        "print(scene.supervisor.stop_was_asked)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True, text=True, check=True, cwd=PROJECT,
    )  # fmt: skip
    assert done.stdout.strip() == str(stops)
