"""The launcher reads what the benchmarks write: two modules that share a file and no code."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.records import Load
from launcher.metrics.benchmark import ReportFile
from launcher.state.benchmarks import MOST_REPORTS, known_reports, remember_report
from launcher.state.reports import Reports
from tests.unit.benchmarks.report.samples import sample_report


def test_the_launcher_reads_what_the_benchmarks_write() -> None:
    written = sample_report(loads=(Load(concurrency=1), Load(rate_per_second=2.5)))

    read = ReportFile.model_validate_json(written.to_json())

    assert read.began_at == written.began_at
    assert [one.arm for one in read.starts] == [one.arm for one in written.starts]
    for ours, theirs in zip(read.speedups, written.speedups, strict=True):
        assert ours.speedup.value == theirs.speedup.value
        assert ours.load.concurrency == theirs.load.concurrency
        assert (ours.candidate, ours.workload) == (theirs.candidate, theirs.workload)
    for cell, their_cell in zip(read.cells, written.cells, strict=True):
        length = their_cell.acceptance_length
        assert (cell.acceptance_length and cell.acceptance_length.value) == (
            length and length.value
        )


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_reports_are_found_from_any_folder(state: Path) -> None:
    text = sample_report().to_json()
    noted, here = state / "elsewhere.json", state / "benchmark-results/20261129-1/report.json"
    here.parent.mkdir(parents=True)
    noted.write_text(text)
    here.write_text(text)
    remember_report(noted)

    assert [file for file, _ in Reports().all()] == [str(noted), str(here)]
    assert [file for file, _ in Reports(here.parent).all()] == [str(here)]


def test_what_is_no_report_is_passed_over_until_it_changes(state: Path) -> None:
    file = state / "report.json"
    file.write_text('{"schema_version": 7}')
    reports = Reports(file)
    assert reports.all() == []

    file.write_text(sample_report().to_json())

    assert len(reports.all()) == 1
    assert Reports(state / "none.json").all() == []


def test_notes_are_few_and_of_files_that_are_there(state: Path) -> None:
    files = [state / f"{number}.json" for number in range(MOST_REPORTS + 5)]
    for file in files:
        file.write_text("{}")
        remember_report(file)
    remember_report(files[-2])
    files[-1].unlink()

    assert known_reports()[-1] == files[-2]
    assert len(known_reports()) == MOST_REPORTS - 1
