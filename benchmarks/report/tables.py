"""The tables that the Markdown summary and the HTML page share. Pure: no I/O."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.analysis.figures import AnswerComparison, CellFigures, Equality
from benchmarks.report.document import Report
from benchmarks.report.wording import (
    NONE,
    TPOT,
    TTFT,
    counted,
    distribution,
    estimate,
    number,
    percent,
)


@dataclass(frozen=True, slots=True)
class Column:
    """A column's title with its unit; figures stand to the right."""

    title: str
    is_figure: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """Text in rows.

    Attributes:
        title: what it shows.
        columns: shape [columns].
        rows: shape [rows, columns].
        note: how to read it; may be empty.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def speedup_table(report: Report) -> Table:
    """Speed-ups with intervals, by workload, candidate and load."""
    return Table(
        f"Speed-up over {report.baseline}",
        (
            Column("Workload", is_figure=False),
            Column("Candidate", is_figure=False),
            Column("Load", is_figure=False),
            Column("Speed-up (95 % interval)"),
            Column("Throughput ratio"),
            Column("TTFT ratio"),
            Column("Pairs"),
            Column("Verdict", is_figure=False),
        ),
        tuple(
            (
                workload,
                arm,
                load.words,
                estimate(one.speedup, decimals=2),
                estimate(one.throughput_ratio, decimals=2),
                estimate(one.time_to_first_token_ratio, decimals=2),
                f"{one.pairs} in {counted(one.rounds, 'round')}",
                one.verdict,
            )
            for workload in report.workload_names()
            for arm in report.arms[1:]
            for load in report.loads(workload)
            if (one := report.speedup(arm, workload, load)) is not None
        ),
        "Above 1 the candidate is faster. A verdict is given only where the interval leaves 1 out.",
    )


def crossover_table(report: Report) -> Table:
    """Where the baseline begins to win."""
    return Table(
        f"Where {report.baseline} begins to win",
        (
            Column("Workload", is_figure=False),
            Column("Candidate", is_figure=False),
            Column("Last shown faster at", is_figure=False),
            Column("First shown slower at", is_figure=False),
            Column("Estimated crossing, concurrency"),
        ),
        tuple(
            (
                one.workload,
                one.candidate,
                one.last_faster.words if one.last_faster else "nowhere",
                one.first_slower.words if one.first_slower else "not seen",
                number(one.estimated_concurrency),
            )
            for one in report.crossovers
        ),
    )


def figures_table(report: Report, workload: str) -> Table:
    """All arms' throughput and latencies for one workload."""
    cells = _cells(report, workload)
    rows = []
    for cell in cells:
        ttft, tpot = distribution(cell, TTFT), distribution(cell, TPOT)
        rows.append(
            (
                cell.load.words,
                cell.arm,
                _outcomes(cell),
                estimate(cell.output_tokens_per_second),
                estimate(ttft.p50 if ttft else None, 1e3),
                estimate(ttft.p90 if ttft else None, 1e3),
                estimate(tpot.p50 if tpot else None, 1e3),
                estimate(tpot.p90 if tpot else None, 1e3),
            )
        )
    return Table(
        workload,
        (
            Column("Load", is_figure=False),
            Column("Arm", is_figure=False),
            Column("Requests", is_figure=False),
            Column("Output, tokens/s"),
            Column("TTFT p50, ms"),
            Column("TTFT p90, ms"),
            Column("TPOT p50, ms"),
            Column("TPOT p90, ms"),
        ),
        tuple(rows),
        f"Of {counted(max((c.rounds for c in cells), default=0), 'round')}; 95 % intervals in "
        "parentheses. Requests that errored or did not end are counted, and stay out of the "
        "latencies.",
    )


def resources_table(report: Report) -> Table:
    """Acceptance, and what the servers used; a column that has no value anywhere is left out."""
    cells = [cell for name in report.workload_names() for cell in _cells(report, name)]
    columns = [
        (title, texts)
        for title, texts in (
            ("Acceptance length", [estimate(c.acceptance_length) for c in cells]),
            ("Acceptance rate", [percent(c.acceptance_rate) for c in cells]),
            ("Rate at draft 1, 2, ...", [_positions(c) for c in cells]),
            ("Goodput, requests/s", [estimate(c.goodput_requests_per_second) for c in cells]),
            (
                "Server CPU, ms/token",
                [_milli(c.server_cpu_seconds_per_output_token) for c in cells],
            ),
            ("GPU memory, GiB", [_gib(c.peak_gpu_memory_bytes) for c in cells]),
            ("GPU use", [percent(c.mean_gpu_utilisation) for c in cells]),
            ("GPU power, W", [number(c.mean_gpu_power_watts) for c in cells]),
        )
        if any(text != NONE for text in texts)
    ]
    return Table(
        "Acceptance and resources",
        (
            Column("Workload", is_figure=False),
            Column("Load", is_figure=False),
            Column("Arm", is_figure=False),
            *(Column(title) for title, _ in columns),
        ),
        tuple(
            (c.workload, c.load.words, c.arm, *(texts[place] for _, texts in columns))
            for place, c in enumerate(cells)
        )
        if columns
        else (),
    )


def equality_table(report: Report) -> Table:
    """Whether outputs are the same, beside the baseline held against itself."""
    rows: list[tuple[str, ...]] = []
    for one in report.equalities:
        for workload in _workloads(one):
            answers = [a for a in one.answers if a.workload == workload]
            floor = [a for a in one.noise_floor if a.workload == workload]
            rows.append((workload, f"{one.candidate} against {one.baseline}", *_grades(answers)))
            rows.append((workload, f"{one.baseline} against itself", *_grades(floor)))
    notes = [
        f"{one.candidate}: {one.timed_same} of {one.timed_pairs} timed answers are the "
        f"baseline's, letter by letter. A near tie: the baseline found its own token at most "
        f"{number(one.near_tie_nats)} nats likelier."
        for one in report.equalities
    ]
    return Table(
        "Outputs",
        (
            Column("Workload", is_figure=False),
            Column("Compared", is_figure=False),
            Column("Prompts"),
            Column("Same text"),
            Column("Near tie"),
            Column("True difference"),
            Column("Not scored"),
            Column("First divergent token, median"),
        ),
        tuple(rows),
        " ".join(notes),
    )


def workload_table(report: Report) -> Table:
    """What was sent."""
    return Table(
        "Workloads",
        (
            Column("Name", is_figure=False),
            Column("What it stands for", is_figure=False),
            Column("Source", is_figure=False),
            Column("Prompts"),
            Column("sha256", is_figure=False),
        ),
        tuple(
            (one.name, one.description, one.source, str(one.prompts), one.sha256[:12])
            for one in report.workloads
        ),
    )


def _cells(report: Report, workload: str) -> list[CellFigures]:
    return [
        cell
        for load in report.loads(workload)
        for arm in report.arms
        if (cell := report.cell(arm, workload, load)) is not None
    ]


def _positions(cell: CellFigures) -> str:
    return ", ".join(f"{rate * 100:.0f} %" for rate in cell.acceptance_rate_by_position) or NONE


def _milli(value: float | None) -> str:
    return number(None if value is None else value * 1e3)


def _gib(value: int | None) -> str:
    return number(None if value is None else value / 1024**3)


def _outcomes(cell: CellFigures) -> str:
    failed = [
        f"{count} {word}"
        for count, word in ((cell.errored, "errored"), (cell.incomplete, "incomplete"))
        if count
    ]
    return ", ".join([f"{cell.successful:,} ok", *failed])


def _workloads(equality: Equality) -> list[str]:
    return list(dict.fromkeys(a.workload for a in (*equality.answers, *equality.noise_floor)))


def _grades(answers: Iterable[AnswerComparison]) -> tuple[str, ...]:
    answers = list(answers)
    grades = Counter(answer.grade for answer in answers)
    places = [a.first_divergent_token for a in answers if a.first_divergent_token is not None]
    return (
        str(len(answers)),
        str(grades["same text"]),
        str(grades["near tie"]),
        str(grades["true difference"]),
        str(grades["not scored"]),
        f"{statistics.median(places):g}" if places else NONE,
    )
