"""The report as a value and as a file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import benchmarks
from benchmarks.errors import ReportError, StorageError
from benchmarks.plan import Arm
from benchmarks.records import Load
from benchmarks.report.document import assemble, build, read_report
from benchmarks.report.facts import arm_facts
from benchmarks.report.files import write_report
from benchmarks.results import ArmStart
from tests.unit.benchmarks.report.samples import (
    PROMPTS,
    sample_analysis,
    sample_report,
    sample_results,
)

SMALL: dict[str, Any] = {"workloads": ("chat",), "loads": (Load(concurrency=2),), "rounds": 3}


@pytest.mark.parametrize("options", [{}, {"failures": True}, {"arms": ("plain",)}, SMALL])
def test_a_report_comes_back_from_its_file_as_it_was(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    report = sample_report(**options)
    file = tmp_path / "report.json"
    file.write_text(report.to_json())

    assert read_report(file) == report


def test_a_run_is_analysed_and_all_of_it_is_in_the_report() -> None:
    results = sample_results(**SMALL)

    report = build(results)

    assert {(c.arm, c.workload, c.load.label, c.successful) for c in report.cells} == {
        ("plain", "chat", "c2", 3 * PROMPTS),
        ("eagle-3-1-4", "chat", "c2", 3 * PROMPTS),
    }
    assert [one.candidate for one in report.speedups] == ["eagle-3-1-4"]
    assert report.sentences
    assert report.plan == results.plan
    assert report.workloads[0].sha256 == results.workloads["chat"].sha256
    assert report.workloads[0].prompts == PROMPTS


def test_the_timeline_holds_each_request_in_seconds_since_the_first() -> None:
    results = sample_results(**SMALL)
    first = min(one.due_ns for one in results.requests)
    record = results.requests[-1]

    timeline = assemble(results, sample_analysis(results)).timeline

    assert sum(len(one.requests) for one in timeline) == len(results.requests)
    assert timeline[0].requests[0][0] == 0.0
    assert [cell.requests[0][0] for cell in timeline] == sorted(
        cell.requests[0][0] for cell in timeline
    )
    own = next(one for one in timeline if one.cell == record.cell)
    assert (
        round((record.due_ns - first) / 1e9, 3),
        round((record.ended_ns - first) / 1e9, 3),
        record.outcome,
    ) in own.requests


def test_a_run_that_went_on_after_a_restart_of_the_machine_has_one_timeline() -> None:
    """Its second half has earlier monotonic times, and came a day later."""
    results = sample_results(**SMALL)
    first, *others = results.cells
    second = others[-1]
    wall = 1_800_000_000 * 10**9
    moved = replace(
        results,
        cells=(
            replace(first, began_wall_ns=wall),
            replace(second, began_ns=5, began_wall_ns=wall + 86_400 * 10**9),
        ),
        requests=(
            *(one for one in results.requests if one.cell == first.cell),
            *(
                replace(one, due_ns=5 + number, ended_ns=10**9 + 5)
                for number, one in enumerate(r for r in results.requests if r.cell == second.cell)
            ),
        ),
    )

    timeline = assemble(moved, sample_analysis(moved)).timeline

    assert [one.cell for one in timeline] == [first.cell, second.cell]
    assert timeline[0].requests[0][0] == 0.0
    end = max(ended for _, ended, _ in timeline[0].requests)
    assert timeline[1].requests[0][:2] == pytest.approx((end + 600, end + 601), abs=0.01)


def test_a_run_without_one_request_has_a_report_too(tmp_path: Path) -> None:
    results = replace(
        sample_results(**SMALL, peers=False),
        requests=(),
        cells=(),
        starts=(),
        ended_at=None,
        missing=("plain did not start.",),
    )

    files = write_report(build(results), tmp_path)

    assert read_report(files.json).timeline == ()
    assert "plain did not start." in files.markdown.read_text()
    assert "plain did not start." in files.html.read_text()


def test_neither_the_home_folder_nor_the_project_s_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    project = Path(benchmarks.__file__).resolve().parents[1]
    results = sample_results(**SMALL)
    start = ArmStart(
        arm="plain",
        round=0,
        base_url="http://127.0.0.1:1",
        run_record={
            "command": ("serve", "--model-path=/home/ada/nano", "/mnt/home/ada/x", "/home/adam"),
            "log_file": "/home/ada/log",
            "model_path": f"{project}/launcher/nano",
            "restarts": 0,
        },
    )

    report = assemble(replace(results, starts=(start,)), sample_analysis(results))

    assert report.starts[0].run_record == {
        "command": ["serve", "--model-path=~/nano", "/mnt/home/ada/x", "/home/adam"],
        "log_file": "~/log",
        "model_path": "./launcher/nano",
        "restarts": 0,
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is not a report: it is not JSON"),
        ('{"schema_version": 1', "is not a report: it is not JSON"),
        ("[]", "it holds a JSON list, not an object"),
        ("{}", "fields that do not fit"),
        ('{"schema_version": 1, "plan": []}', "fields that do not fit"),
        ('{"schema_version": 2}', "has schema version 2; this version reads up to 1"),
    ],
)
def test_what_is_not_a_report_is_refused_with_the_reason(
    tmp_path: Path, text: str, problem: str
) -> None:
    file = tmp_path / "other.json"
    file.write_text(text)

    with pytest.raises(ReportError, match=problem) as caught:
        read_report(file)

    assert str(file) in caught.value.problem
    assert caught.value.action


def test_bytes_that_are_no_text_are_no_report(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    file.write_bytes(b"\x89PNG\xff")

    with pytest.raises(ReportError, match="is not JSON"):
        read_report(file)


def test_a_missing_file_and_a_folder_are_reported_with_the_system_s_words(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"nowhere\.json cannot be read: No such file"):
        read_report(tmp_path / "nowhere.json")
    with pytest.raises(ReportError, match="cannot be read: Is a directory"):
        read_report(tmp_path)


def test_a_field_that_is_wrong_is_named(tmp_path: Path) -> None:
    said = json.loads(sample_report(**SMALL).to_json())
    said["cells"][0]["successful"] = "many"
    file = tmp_path / "report.json"
    file.write_text(json.dumps(said))

    with pytest.raises(ReportError, match="fields that do not fit: 1") as caught:
        read_report(file)

    assert caught.value.evidence[0].startswith("cells.0.successful: ")


def test_all_three_files_are_written_and_nothing_else(tmp_path: Path) -> None:
    report = sample_report(**SMALL)

    files = write_report(report, tmp_path / "new" / "folder")

    assert read_report(files.json) == report
    assert files.markdown.read_text().startswith("# eagle-3-1-4 against plain")
    assert files.html.read_text().startswith("<!DOCTYPE html>")
    assert sorted(one.name for one in files.json.parent.iterdir()) == [
        "report.html",
        "report.json",
        "report.md",
    ]


def test_a_full_disk_leaves_the_old_report_and_no_half_of_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "report.json").write_text("old")

    def no_space(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_space)

    with pytest.raises(StorageError, match=r"report\.json cannot be written: No space left"):
        write_report(sample_report(**SMALL), tmp_path)

    assert [one.name for one in tmp_path.iterdir()] == ["report.json"]
    assert (tmp_path / "report.json").read_text() == "old"


def test_a_file_where_the_folder_ought_to_be_is_an_error_of_storage(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")

    with pytest.raises(StorageError, match="cannot be written"):
        write_report(sample_report(**SMALL), tmp_path / "taken")


def test_an_arm_that_unsets_a_field_says_so() -> None:
    report = sample_report()
    plan = report.plan.model_copy(
        update={"arms": (Arm(name="plain", fields={"speculative_algorithm": None}),)}
    )

    (plain,) = arm_facts(report.model_copy(update={"plan": plan}))

    assert plain.summary == "speculative algorithm unset"
