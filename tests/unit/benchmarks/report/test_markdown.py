"""The summary that a person reads."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.analysis.figures import Estimate
from benchmarks.records import Load
from benchmarks.report.document import assemble
from benchmarks.report.html import to_html
from benchmarks.report.markdown import to_markdown
from benchmarks.report.peer_tables import peer_rows, peer_table
from benchmarks.report.wording import NONE, estimate, number, percent
from tests.unit.benchmarks.report.samples import (
    VERDICT,
    sample_analysis,
    sample_report,
    sample_results,
)

SMALL: dict[str, Any] = {"workloads": ("chat", "code"), "loads": (Load(concurrency=1),)}


def tables(text: str) -> list[list[list[str]]]:
    """Cells of all tables; a bar after a backslash is none of the table's."""
    found: list[list[list[str]]] = [[]]
    for line in text.splitlines():
        if line.startswith("|"):
            found[-1].append([c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]])
        elif found[-1]:
            found.append([])
    return [one for one in found if one]


def test_the_verdict_is_the_first_thing_after_the_title() -> None:
    lines = to_markdown(sample_report(**SMALL)).splitlines()

    assert lines[0] == "# eagle-3-1-4 against plain"
    assert lines[2] == f"**{VERDICT}**"


def test_each_part_is_there_in_the_order_of_interest() -> None:
    text = to_markdown(sample_report(**SMALL))

    assert re.findall(r"^##? (.*)", text, re.MULTILINE) == [
        "eagle-3-1-4 against plain",
        "What was measured",
        "Speed-up over plain",
        "Figures",
        "Outputs",
        "Other benchmarks, same server and prompts",
        "How to repeat it",
        "Formulas",
    ]
    assert "- Model: nano" in text
    assert "--speculative-algorithm EAGLE" in text


def test_all_rows_of_a_table_have_as_many_cells_as_its_head() -> None:
    report = sample_report(workloads=("a|b", "*c*"), failures=True, arms=("plain", "x", "y"))

    for table in tables(to_markdown(report)):
        assert {len(row) for row in table} == {len(table[0])}


def test_a_name_never_becomes_markup() -> None:
    text = to_markdown(sample_report(workloads=("a|b", "<script>", "`x`", "[x](y)", "&lt;")))

    assert "a\\|b" in text
    assert not re.search(r"(?<!\\)<script", text)
    assert "\\`x\\`" in text
    assert "\\[x\\](y)" in text
    assert "\\&lt;" in text


def test_figures_are_those_of_the_report_in_the_units_that_the_head_names() -> None:
    report = sample_report(**SMALL)
    cell = report.cell("eagle-3-1-4", "code", Load(concurrency=1))
    assert cell is not None
    ttft = next(d for d in cell.distributions if d.metric == "time_to_first_token_seconds")

    table = next(
        one
        for one in tables(to_markdown(report).split("## Figures")[1].split("### code")[1])
        if "TTFT p50, ms" in one[0]
    )
    row = dict(zip(table[0], table[3], strict=True))

    assert row["Arm"] == "eagle-3-1-4"
    assert row["TTFT p50, ms"].startswith(f"{ttft.p50.value * 1e3:.1f} (")
    assert row["Output, tokens/s"] == estimate(cell.output_tokens_per_second)


def test_a_column_without_any_value_is_left_out() -> None:
    text = to_markdown(sample_report(**SMALL))

    assert "Server CPU, ms/token" in text
    assert "GPU" not in text


def test_what_is_missing_is_said_with_who_failed_and_where() -> None:
    text = to_markdown(sample_report(**SMALL, failures=True))

    missing = text.split("## What is missing")[1].split("##")[0]
    assert "eagle-3-1-4 ended in round 4; its last cells are missing." in missing
    assert "The run was not completed" in missing
    assert (
        "- plain: 6 errored and 0 incomplete of 160 requests, the most (3) in chat at concurrency 1"
        in missing
    )


def test_a_cell_that_was_planned_and_not_measured_is_missing() -> None:
    report = sample_report(**SMALL)
    shorter = report.model_copy(update={"cells": report.cells[:-1]})

    assert "eagle-3-1-4, code: nothing was measured at concurrency 1." in to_markdown(shorter)


def test_a_prefix_cache_that_could_not_be_emptied_is_said() -> None:
    results = sample_results(**SMALL)
    cells = tuple(
        replace(one, cache_flushed=None if one.cell.arm == "plain" else True)
        for one in results.cells
    )

    assert "Prefix cache" not in to_markdown(sample_report(**SMALL))
    said = to_markdown(assemble(replace(results, cells=cells), sample_analysis(results)))
    assert "Prefix cache: not emptied before 10 cells of plain: prompts of earlier" in said


def test_pairs_without_the_baseline_stand_in_a_table_of_their_own() -> None:
    results = sample_results(**SMALL, arms=("plain", "eagle", "mtp"))
    analysis = sample_analysis(results)
    speedup = replace(analysis.speedups[0], baseline="eagle", candidate="mtp")
    equality = replace(
        analysis.equalities[0],
        candidate_noise_floor=analysis.equalities[0].noise_floor,
        other_prompts=4,
    )
    report = assemble(
        results, replace(analysis, further=(speedup,), equalities=(equality, equality))
    )

    text = to_markdown(report)
    rows = [row for table in tables(text) for row in table]

    assert "### Speed-up of other pairs" in text
    assert any(row[1:3] == ["mtp", "eagle"] for row in rows)
    # A floor is shown once, however many pairs have it.
    for floor in ("plain against itself", "eagle against itself"):
        assert sum(row[:2] == ["chat", floor] for row in rows) == 1
    assert "In 4 of them the two servers made another number of tokens" in text
    assert "other pairs" in to_html(report)
    assert "other pairs" not in to_markdown(sample_report(**SMALL))


def test_one_arm_alone_has_no_speed_up_and_no_empty_heading() -> None:
    text = to_markdown(sample_report(**SMALL, arms=("plain",), peers=False))

    assert text.startswith("# plain: benchmark")
    assert "Speed-up over" not in text
    assert "Outputs" not in text
    assert "Other benchmarks" not in text


def test_other_benchmarks_stand_beside_ours_with_their_differences() -> None:
    report = sample_report(**SMALL)
    peers = tuple(
        replace(one, output_tokens_per_second=110.0 if one.tool == "guidellm" else 100.0)
        for one in report.peers
    )

    rows = peer_rows(report.model_copy(update={"peers": peers}))

    assert [row.tool for row in rows[:3]] == [
        "specserve 0.1.0",
        "bench_serving 0.5.23",
        "guidellm 0.8.1",
    ]
    held = [[one and one.difference_percent for one in row.agreements] for row in rows[:3]]
    assert [one[0] for one in held] == [None, 0.0, pytest.approx(10)]
    assert held[2][2] is None
    assert rows[0].arm == report.baseline


def test_without_ours_there_is_no_difference() -> None:
    report = sample_report(**SMALL)
    others = tuple(
        one for one in report.peers if one.tool != "specserve" or one.arm != report.baseline
    )

    rows = peer_rows(report.model_copy(update={"peers": others}))

    assert not any(any(row.agreements) for row in rows if row.arm == "plain")
    assert any(any(row.agreements) for row in rows if row.arm != "plain")


def test_a_difference_stands_beside_the_spread_that_it_has_to_exceed() -> None:
    report = sample_report(**SMALL)
    changed = tuple(
        replace(
            one,
            load="c1" if one.load == "c1" else "r2",
            output_tokens_per_second=100.0 + one.repetition + (one.tool == "guidellm"),
            output_tokens=700 + (one.tool == "bench_serving"),
        )
        for one in report.peers
        if one.arm == "plain"
    )

    rows = peer_table(report.model_copy(update={"peers": changed})).rows

    assert [row[4] for row in rows if row[2] == "c1"] == [
        "101",
        "101 (+0.0 %, spread 2.0 %)",
        "102 (+1.0 %, spread 2.0 %)",
    ]
    assert [row[4] for row in rows if row[2] == "r2"] == ["101", "101", "102"]
    assert [row[7] for row in rows if row[2] == "c1"] == ["", "no", "yes"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, NONE),
        (0.0, "0.0000"),
        (0.01234, "0.0123"),
        (0.1234, "0.123"),
        (1.234, "1.23"),
        (12.34, "12.3"),
        (-12.34, "-12.3"),
        (1234.5, "1,234"),
    ],
)
def test_numbers_have_three_digits_that_count(value: float | None, text: str) -> None:
    assert number(value) == text


def test_an_interval_has_as_many_decimals_as_its_value() -> None:
    assert estimate(Estimate(0.97, 0.93, 1.016), decimals=2) == "0.97 (0.93 to 1.02)"
    assert estimate(Estimate(99.4, 98.76, 101.24)) == "99.4 (98.8 to 101.2)"
    assert estimate(Estimate(2.0)) == "2.00"
    assert estimate(Estimate(0.0214, 0.02, 0.0229), 1e3) == "21.4 (20.0 to 22.9)"
    assert percent(0.0512, signed=True) == "+5.1 %"
