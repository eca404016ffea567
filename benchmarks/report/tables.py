"""The tables that the Markdown summary and the HTML page share. Pure: no I/O."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from benchmarks.analysis.figures import AnswerComparison, CellFigures, Equality, Speedup
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
from launcher.system.hardware import GIB


@dataclass(frozen=True, slots=True)
class Column:
    """A column's title with its unit; figures stand to the right."""

    title: str
    is_figure: bool = True


def texts(*titles: str) -> tuple[Column, ...]:
    """Columns of text, which stand to the left."""
    return tuple(Column(title, is_figure=False) for title in titles)


def figures(*titles: str) -> tuple[Column, ...]:
    """Columns of figures."""
    return tuple(map(Column, titles))


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


_RATIOS = (
    *figures("Speed-up (95 % interval)", "Throughput ratio", "TTFT ratio", "Pairs"),
    *texts("Verdict"),
)


def speedup_table(report: Report) -> Table:
    """Speed-ups with intervals, by workload, candidate and load."""
    return Table(
        f"Speed-up over {report.baseline}",
        (*texts("Workload", "Candidate", "Load"), *_RATIOS),
        tuple(
            (workload, arm, load.words, *_ratios(one))
            for workload in report.workload_names()
            for arm in report.arms[1:]
            for load in report.loads(workload)
            if (one := report.speedup(arm, workload, load)) is not None
        ),
        "Above 1 the candidate is faster. A verdict is given only where the interval leaves 1 out.",
    )


def further_table(report: Report) -> Table:
    """Speed-ups of pairs without the baseline: within an engine, and of like arms of two."""
    order = {name: place for place, name in enumerate(report.workload_names())}
    found = sorted(report.further, key=lambda one: order.get(one.workload, len(order)))
    return Table(
        "Speed-up of other pairs",
        (*texts("Workload", "Candidate", "Over", "Load"), *_RATIOS),
        tuple(
            (one.workload, one.candidate, one.baseline, one.load.words, *_ratios(one))
            for one in found
        ),
        "The first arm of each engine, and arms that decode in the same way on two engines.",
    )


def crossover_table(report: Report) -> Table:
    """Where the baseline begins to win."""
    return Table(
        f"Where {report.baseline} begins to win",
        (
            *texts("Workload", "Candidate", "Last shown faster at", "First shown slower at"),
            *figures("Estimated crossing, concurrency"),
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
            *texts("Load", "Arm", "Requests"),
            *figures("Output, tokens/s", "TTFT p50, ms", "TTFT p90, ms"),
            *figures("TPOT p50, ms", "TPOT p90, ms"),
        ),
        tuple(rows),
        f"Of {counted(max((c.rounds for c in cells), default=0), 'round')}; 95 % intervals in "
        "parentheses. Requests that errored or did not end are counted, and stay out of the "
        "latencies.",
    )


def resources_table(report: Report) -> Table:
    """Acceptance, and what the servers used; a column that has no value anywhere is left out."""
    cells = [cell for name in report.workload_names() for cell in _cells(report, name)]
    formats: tuple[tuple[str, Callable[[CellFigures], str]], ...] = (
        ("Acceptance length", lambda cell: estimate(cell.acceptance_length)),
        ("Acceptance rate", lambda cell: percent(cell.acceptance_rate)),
        ("Rate at draft 1, 2, ...", _positions),
        ("Goodput, requests/s", lambda cell: estimate(cell.goodput_requests_per_second)),
        (
            "Server CPU, ms/token",
            lambda c: _scaled(c.server_cpu_seconds_per_output_token, 1e3),
        ),
        ("GPU memory, GiB", lambda cell: _scaled(cell.peak_gpu_memory_bytes, 1 / GIB)),
        ("GPU use", lambda cell: percent(cell.mean_gpu_utilisation)),
        ("GPU power, W", lambda cell: number(cell.mean_gpu_power_watts)),
    )
    columns = {title: [text(cell) for cell in cells] for title, text in formats}
    columns = {title: said for title, said in columns.items() if {*said} - {NONE}}
    return Table(
        "Acceptance and resources",
        (
            *texts("Workload", "Load", "Arm"),
            *figures(*columns),
        ),
        tuple(
            (cell.workload, cell.load.words, cell.arm, *said)
            for cell, *said in zip(cells, *columns.values(), strict=True)
        )
        if columns
        else (),
    )


def equality_table(report: Report) -> Table:
    """Whether outputs are the same, beside the baseline held against itself."""
    rows: dict[tuple[str, str], tuple[str, ...]] = {}
    for one in report.equalities:
        compared = [(f"{one.candidate} against {one.baseline}", one.answers)]
        compared += [
            (f"{arm} against itself", floor)
            for arm, floor in (
                (one.baseline, one.noise_floor),
                (one.candidate, one.candidate_noise_floor),
            )
            if floor
        ]
        for workload in _workloads(one):
            for what, answers in compared:
                # Several pairs may have one baseline.
                grades = _grades(a for a in answers if a.workload == workload)
                rows.setdefault((workload, what), grades)
    notes = [
        f"{one.candidate}: {one.timed_same} of {one.timed_pairs} timed answers are "
        f"{one.baseline}'s, letter by letter.{_other_prompts(one)}"
        for one in report.equalities
    ]
    notes += [
        f"A near tie: the one that is held against found its own token at most {number(nats)} nats "
        "likelier."
        for nats in dict.fromkeys(one.near_tie_nats for one in report.equalities)
    ]
    return Table(
        "Outputs",
        (
            *texts("Workload", "Compared"),
            *figures("Prompts", "Same text", "Near tie", "True difference", "Not scored"),
            *figures("First divergent token, median"),
        ),
        tuple((*named, *grades) for named, grades in rows.items()),
        " ".join(notes),
    )


def workload_table(report: Report) -> Table:
    """What was sent."""
    return Table(
        "Workloads",
        (
            *texts("Name", "What it stands for", "Source"),
            *figures("Prompts"),
            *texts("sha256"),
        ),
        tuple(
            (one.name, one.description, one.source, str(one.prompts), one.sha256[:12])
            for one in report.workloads
        ),
    )


def _ratios(one: Speedup) -> tuple[str, ...]:
    """What belongs under `_RATIOS`."""
    return (
        estimate(one.speedup, decimals=2),
        estimate(one.throughput_ratio, decimals=2),
        estimate(one.time_to_first_token_ratio, decimals=2),
        f"{one.pairs} in {counted(one.rounds, 'round')}",
        one.verdict,
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


def _scaled(value: float | None, factor: float) -> str:
    return number(None if value is None else value * factor)


def _outcomes(cell: CellFigures) -> str:
    failed = [
        f"{count} {word}"
        for count, word in ((cell.errored, "errored"), (cell.incomplete, "incomplete"))
        if count
    ]
    return ", ".join([f"{cell.successful:,} ok", *failed])


def _other_prompts(one: Equality) -> str:
    if not one.other_prompts:
        return ""
    return (
        f" In {one.other_prompts} of them the two servers made another number of tokens of the "
        "prompt: they were not asked the same, and other answers are no fault of either."
    )


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
