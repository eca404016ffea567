"""Two reports held against each other."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from benchmarks.analysis.figures import CellFigures, Estimate
from benchmarks.errors import ReportError
from benchmarks.records import Load
from benchmarks.report.comparing import FigureChange, ReportComparison, compare_reports
from benchmarks.report.display import comparison_to_markdown, headline, show_comparison
from benchmarks.report.document import Report
from tests.unit.benchmarks.report.samples import sample_report

REPORT = sample_report(workloads=("chat",), loads=(Load(concurrency=1),), rounds=2)
SMALL: dict[str, Any] = {"workloads": ("chat",), "loads": (Load(concurrency=1),), "rounds": 2}


def with_cells(change: Callable[[CellFigures], CellFigures]) -> Report:
    return REPORT.model_copy(update={"cells": tuple(change(cell) for cell in REPORT.cells)})


def with_throughput(plain: Estimate) -> Report:
    return with_cells(
        lambda cell: replace(cell, output_tokens_per_second=plain) if cell.arm == "plain" else cell
    )


def throughput(comparison: ReportComparison) -> FigureChange:
    return next(
        one for one in comparison.changes if (one.arm, one.metric) == ("plain", "output tokens/s")
    )


def test_a_report_against_itself_changed_nowhere() -> None:
    comparison = compare_reports(REPORT, REPORT, threshold=0.0)

    assert {one.change for one in comparison.changes} == {0.0}
    assert {one.judgement for one in comparison.changes} == {"within the threshold"}
    assert [(one.arm, one.metric) for one in comparison.changes] == [
        ("plain", "output tokens/s"),
        ("plain", "median time to first token"),
        ("plain", "median time per output token"),
        ("eagle-3-1-4", "output tokens/s"),
        ("eagle-3-1-4", "median time to first token"),
        ("eagle-3-1-4", "median time per output token"),
        ("eagle-3-1-4", "acceptance length"),
        ("eagle-3-1-4", "speed-up"),
    ]
    assert comparison.notes == comparison.only_in_a == comparison.only_in_b == ()
    assert headline(comparison) == "No regression beyond 0.0 % in 8 figures; 0 improvements."


@pytest.mark.parametrize(
    ("before", "after", "change", "intervals", "judgement"),
    [
        (Estimate(100, 98, 102), Estimate(90, 88, 92), -0.1, "apart", "regression"),
        (Estimate(100, 98, 102), Estimate(110, 108, 112), 0.1, "apart", "improvement"),
        (Estimate(100, 90, 110), Estimate(90, 80, 100), -0.1, "overlap", "within the intervals"),
        (
            Estimate(100, 99.9, 100.1),
            Estimate(96, 95.9, 96.1),
            -0.04,
            "apart",
            "within the threshold",
        ),
        (Estimate(100), Estimate(90, 89, 91), -0.1, "none", "regression"),
        (Estimate(100), Estimate(95), -0.05, "none", "within the threshold"),
        # Ends that touch overlap.
        (Estimate(100, 95, 105), Estimate(90, 85, 95), -0.1, "overlap", "within the intervals"),
    ],
)
def test_a_change_counts_beyond_the_threshold_and_outside_of_the_intervals(
    before: Estimate, after: Estimate, change: float, intervals: str, judgement: str
) -> None:
    found = throughput(
        compare_reports(with_throughput(before), with_throughput(after), threshold=0.05)
    )

    assert found.change == pytest.approx(change)
    assert found.intervals_overlap is {"overlap": True, "apart": False, "none": None}[intervals]
    assert found.judgement == judgement


def test_of_times_the_larger_is_the_worse() -> None:
    def slower(cell: CellFigures) -> CellFigures:
        return replace(
            cell,
            distributions=tuple(
                replace(one, p50=Estimate(one.p50.value * 1.5)) for one in cell.distributions
            ),
        )

    there = compare_reports(REPORT, with_cells(slower), threshold=0.1)
    back = compare_reports(with_cells(slower), REPORT, threshold=0.1)

    assert {one.metric for one in there.regressions} == {
        "median time to first token",
        "median time per output token",
    }
    assert back.regressions == ()
    assert "4 improvements" in headline(back)


def test_a_smaller_speed_up_is_a_regression() -> None:
    worse = REPORT.model_copy(
        update={
            "speedups": tuple(
                replace(one, speedup=Estimate(1.0, 0.9, 1.1)) for one in REPORT.speedups
            )
        }
    )

    comparison = compare_reports(REPORT, worse, threshold=0.1)

    assert [one.metric for one in comparison.regressions] == ["speed-up"]
    assert headline(comparison).startswith(
        "1 regression beyond 10.0 % in 8 figures; the largest: speed-up of eagle-3-1-4, chat, "
        "concurrency 1: -4"
    )


def test_a_judgement_without_intervals_says_so() -> None:
    comparison = compare_reports(
        with_throughput(Estimate(100)), with_throughput(Estimate(50)), threshold=0.1
    )

    assert "1 by the threshold alone, for want of intervals" in headline(comparison)


def test_other_prompts_are_refused_and_may_be_allowed() -> None:
    other = REPORT.model_copy(
        update={"workloads": (REPORT.workloads[0].model_copy(update={"sha256": "0" * 64}),)}
    )

    with pytest.raises(ReportError, match="'chat' has other prompts") as caught:
        compare_reports(REPORT, other, threshold=0.05)
    assert caught.value.evidence[1].endswith("sha256 000000000000")

    comparison = compare_reports(REPORT, other, threshold=0.05, allow_other_prompts=True)
    assert comparison.notes[0].startswith("The prompts of chat differ")


def test_reports_with_nothing_in_common_are_refused() -> None:
    other = sample_report(**SMALL | {"loads": (Load(concurrency=2),)})

    with pytest.raises(ReportError, match="no arm, workload and load in common") as caught:
        compare_reports(REPORT, other, threshold=0.05)

    assert "plain/chat/c1" in caught.value.evidence[0]
    assert "plain/chat/c2" in caught.value.evidence[1]


@pytest.mark.parametrize("threshold", [-0.1, float("nan")])
def test_a_threshold_below_nothing_is_refused(threshold: float) -> None:
    with pytest.raises(ReportError, match="0 or more"):
        compare_reports(REPORT, REPORT, threshold=threshold)


def test_what_may_be_the_reason_is_noted() -> None:
    start = replace(
        REPORT.starts[0], versions={"sglang": "0.6.0"}, run_record={"command": ["serve", "--fast"]}
    )
    cell = replace(REPORT.cells[0], errored=4)
    other = REPORT.model_copy(
        update={
            "machine": {**REPORT.machine, "processor": "8 x EPYC"},
            "versions": {"specserve": "0.2.0", "python": "3.11.9"},
            "starts": (start,),
            "cells": (cell, *REPORT.cells[1:]),
            "plan": REPORT.plan.model_copy(update={"rounds": 9}),
        }
    )

    notes = compare_reports(REPORT, other, threshold=0.05).notes

    assert "Machine: processor 2 x Xeon became 8 x EPYC." in notes
    assert "Measured by: specserve 0.1.0 became 0.2.0." in notes
    assert "Server of plain: sglang 0.5.23 became 0.6.0." in notes
    assert "Plan: rounds 2 became 9." in notes
    assert "Failed requests of plain: 0 became 4." in notes
    assert any(one.startswith("Settings of plain: python -m sglang") for one in notes)


def test_a_figure_that_one_report_lacks_is_listed() -> None:
    def silent(cell: CellFigures) -> CellFigures:
        return replace(cell, distributions=()) if cell.arm == "plain" else cell

    comparison = compare_reports(REPORT, with_cells(silent), threshold=0.05)

    assert comparison.only_in_a == (
        "plain, chat, concurrency 1: median time to first token",
        "plain, chat, concurrency 1: median time per output token",
    )
    assert compare_reports(with_cells(silent), REPORT, threshold=0.05).only_in_b == (
        comparison.only_in_a
    )


def test_a_figure_that_the_second_lacks_counts_unless_it_is_allowed() -> None:
    died = REPORT.model_copy(update={"cells": REPORT.cells[:1], "speedups": ()})

    comparison = compare_reports(REPORT, died, threshold=0.05)

    assert comparison.regressions == ()
    assert comparison.is_worse
    assert headline(comparison) == (
        "No regression beyond 5.0 % in 3 figures; 0 improvements. The second report lacks 5 "
        "figures of the first: eagle-3-1-4, chat, concurrency 1: output tokens/s, and others."
    )
    assert not compare_reports(REPORT, died, threshold=0.05, allow_missing=True).is_worse
    # What the first lacks is only listed.
    assert not compare_reports(died, REPORT, threshold=0.05).is_worse


def test_the_comparison_is_shown_to_people_and_to_programs() -> None:
    worse = with_throughput(Estimate(10, 9, 11))
    comparison = compare_reports(REPORT, worse, threshold=0.05)

    markdown = comparison_to_markdown(comparison)
    console = Console(file=io.StringIO(), width=200)
    for part in show_comparison(comparison):
        console.print(part)
    terminal = console.file.getvalue()  # type: ignore[attr-defined]
    said = json.loads(comparison.to_json())

    assert markdown.startswith("**1 regression beyond 5.0 %")
    # The regression is the first row, and a time is shown in milliseconds.
    assert markdown.splitlines()[6].startswith("| plain | chat | concurrency 1 | output tokens/s |")
    assert "median time to first token, ms" in markdown
    assert "1 regression beyond 5.0 %" in terminal
    assert "regression" in terminal.splitlines()[1]
    assert said["changes"][0]["judgement"] == "regression"
    assert said["threshold"] == 0.05


def test_a_name_with_brackets_is_shown_as_it_is() -> None:
    odd = sample_report(**SMALL | {"workloads": ("[red]x",)})
    console = Console(file=io.StringIO(), width=200)

    for part in show_comparison(compare_reports(odd, odd, threshold=0.05)):
        console.print(part)

    assert "[red]x" in console.file.getvalue()  # type: ignore[attr-defined]
