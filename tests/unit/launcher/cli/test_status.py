"""What `status` says below the table."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from launcher.cli.running.servers import status
from launcher.diagnosis import failures
from launcher.state.store import RunStore
from launcher.system import process
from launcher.system.process import ProcessIdentity
from tests.unit.launcher.examples import dead_process, make_record

NOW = datetime.now(UTC)
LONG_AGO = datetime(2026, 11, 20, 11, 47, 56, tzinfo=UTC)


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    def show(**fields: Any) -> str:
        # As it was written: what confirms the processes in it has tests of its own.
        record = make_record(tmp_path, **fields)
        monkeypatch.setattr(RunStore, "read", lambda _: record)
        return CliRunner().invoke(status, ["--name", "default"]).output

    return show


@pytest.fixture
def sleeper() -> Iterator[ProcessIdentity]:
    with subprocess.Popen(["/bin/sleep", "60"]) as child:
        yield ProcessIdentity.of(child.pid)
        child.kill()


@pytest.mark.parametrize("state", ["READY", "STARTING", "STOPPED"])
def test_a_failure_that_is_over_is_told_with_its_time(
    shown: Callable[..., str], state: str
) -> None:
    output = shown(state=state, restarts=1, last_failure="It hung.", last_failure_at=LONG_AGO)
    assert "default: last failure, 2026-11-20 11:47:56 UTC: It hung." in output


def test_one_of_today_has_no_date(shown: Callable[..., str]) -> None:
    at = NOW.replace(hour=0, minute=0, second=1)
    output = shown(state="READY", restarts=1, last_failure="It hung.", last_failure_at=at)
    assert "last failure, 00:00:01 UTC: It hung." in output


@pytest.mark.parametrize("state", ["BACKOFF", "FATAL", "EXITED"])
def test_one_that_lasts_is_told_as_it_is(shown: Callable[..., str], state: str) -> None:
    output = shown(state=state, last_failure="It hung.", last_failure_at=NOW - timedelta(seconds=9))
    assert "default: It hung." in output


def test_what_a_supervisor_gave_up_is_not_told_as_one_that_was_killed(
    shown: Callable[..., str], sleeper: ProcessIdentity
) -> None:
    left: dict[str, Any] = {"supervisor": dead_process(), "server": sleeper}
    output = shown(state="FATAL", last_failure="1 process survived.", **left)
    assert "1 process survived." in output
    assert "was killed" not in output
    assert "its supervisor was killed" in shown(state="FATAL", last_failure=None, **left)


def test_a_server_whose_output_nobody_reads_is_told(
    shown: Callable[..., str], sleeper: ProcessIdentity
) -> None:
    living: dict[str, Any] = {"state": "READY", "server": sleeper}
    assert "nobody reads" in shown(collector=dead_process(), **living)
    assert "nobody reads" not in shown(collector=sleeper, **living)
    assert "nobody reads" not in shown(**(living | {"server": dead_process()}))


def test_a_debugger_is_told_from_a_signal(
    shown: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    letter = "T"
    monkeypatch.setattr(ProcessIdentity, "_state", lambda _: letter)
    assert "SIGSTOP" in shown(state="READY")
    letter = "t"
    assert "debugger" in shown(state="READY")


def test_a_frozen_cgroup_is_told_by_its_folder(tmp_path: Path) -> None:
    one = failures.survived([1], seconds=10)
    assert one.problem.startswith("1 process of the server survived")
    assert "driver" in one.action
    frozen = failures.survived([1, 2], seconds=10, freezer=tmp_path)
    assert frozen.problem.startswith("2 processes of the server survived")
    assert str(tmp_path) in frozen.action


def test_a_process_that_nothing_freezes_is_in_no_freezer(sleeper: ProcessIdentity) -> None:
    assert process.freezer_of(sleeper.pid, 2**22) is None


@pytest.mark.parametrize(
    ("seconds", "shown_age"),
    [(14.6, "14."), (75, "1 min ago"), (3_599, "59 min ago"), (7_300, "2 h ago"),
     (86_400, "24 h ago"), (3 * 86_400, "3 days ago")],
)  # fmt: skip
def test_the_table_fits_a_terminal_at_any_age(
    shown: Callable[..., str], seconds: float, shown_age: str
) -> None:
    output = shown(state="READY", started_at=datetime.now(UTC) - timedelta(seconds=seconds))
    assert shown_age in output
    assert max(map(len, output.splitlines()[:2])) <= 80
