"""What people see of a run while it goes on."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.cli.progress import RunProgress, seconds_left
from benchmarks.records import Cell, CellRecord
from benchmarks.running.folder import ResultsFolder
from launcher.text import human_seconds
from tests.unit.benchmarks.plans import C1, C2, plan, workload


def cell(arm: str = "plain", name: str = "chat", number: int = 0) -> Cell:
    return Cell(arm, name, C1, number)


def test_nothing_is_foretold_before_anything_was_measured() -> None:
    assert seconds_left({}, [cell()]) is None


def test_the_time_left_goes_by_the_closest_cells_that_were_measured() -> None:
    done = {
        cell(): 10.0,
        cell(number=1): 20.0,
        cell("eagle"): 4.0,
        cell("eagle", "code"): 7.0,
    }

    # The same cell in other rounds.
    assert seconds_left(done, [cell(number=2)]) == pytest.approx(15.0)
    # The same workload and load of another arm.
    assert seconds_left(done, [cell("plain", "code")]) == pytest.approx(7.0)
    # The same load.
    assert seconds_left(done, [cell("plain", "json")]) == pytest.approx(41 / 4)
    # Anything.
    other = Cell("plain", "json", C2, 0)
    assert seconds_left(done, [other, cell(number=2)]) == pytest.approx(41 / 4 + 15.0)
    assert seconds_left(done, []) == 0.0


def shown(path: Path, *, terminal: bool, quiet: bool = False) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=150, color_system=None)
    asked = plan(loads=(C1,), rounds=2)
    progress = RunProgress(console, asked, [workload()], ResultsFolder(path), quiet=quiet)
    with progress.show():
        progress.starting("plain")
        progress.began(cell(), 4)
        progress.answered()
        progress.answered()
        progress.ended(CellRecord(cell=cell(), began_ns=0, ended_ns=40 * 10**9, is_complete=True))
        progress._progress.refresh()
        progress.failed("Arm eagle: it did not start.")
    return out.getvalue()


def test_a_terminal_shows_the_cell_its_requests_and_the_time_left(tmp_path: Path) -> None:
    said = shown(tmp_path, terminal=True)

    assert "plain, chat, concurrency 1" in said
    assert "2/4" in said
    assert "round 1 of 2" in said
    assert "1/4" in said
    assert f"about {human_seconds(120.0)} left" in said


@pytest.mark.parametrize(("terminal", "quiet"), [(False, False), (True, True)])
def test_elsewhere_only_what_failed_is_said(tmp_path: Path, *, terminal: bool, quiet: bool) -> None:
    said = shown(tmp_path, terminal=terminal, quiet=quiet)

    assert said == "missing: Arm eagle: it did not start.\n"
