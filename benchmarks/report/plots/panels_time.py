"""What is drawn over time: distributions of latency, and the timeline of all requests."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, NullLocator

from benchmarks.records import Load
from benchmarks.report.document import Report
from benchmarks.report.plots.panels import STEPS, arm_styles, clipped
from benchmarks.report.plots.svg import GRID, INK, MUTED
from benchmarks.report.wording import SHORT_TITLES, counted, distribution, number

SHOWN_LOADS: Final = 4
# Gaps that no screen shows: requests closer than that are drawn as one.
RESOLUTION: Final = 1 / 1500
SHOWN_FAILURES: Final = 200
ROW_POINTS: Final = 15.0
Interval = tuple[float, float]


def shown_loads(loads: Sequence[Load]) -> list[Load]:
    """The lowest, the highest, and what lies evenly between: at most four."""
    if len(loads) <= SHOWN_LOADS:
        return list(loads)
    places = np.linspace(0, len(loads) - 1, SHOWN_LOADS).round().astype(int)
    return [loads[place] for place in places]


def draw_latency(figure: Figure, report: Report, workload: str, metric: str) -> str:
    """One metric's empirical distributions, a row for each load, all over one axis of time."""
    loads, styles = shown_loads(report.loads(workload)), arm_styles(report)
    rows = figure.subplots(len(loads), 1, sharex=True, squeeze=False)
    shares = np.linspace(0, 1, 101)
    seen: list[float] = []
    said: list[str] = []
    for row, load in zip(rows[:, 0], loads, strict=True):
        for arm in report.arms:
            one = distribution(report.cell(arm, workload, load), metric)
            if one is None:
                continue
            milliseconds = np.asarray(one.quantiles) * 1e3
            seen += [float(milliseconds[0]), float(milliseconds[-1])]
            look = styles[arm]
            row.plot(
                milliseconds, shares, color=look.colour, linestyle=look.dash, label=clipped(arm)
            )
            row.plot(
                [one.p50.value * 1e3], [0.5], color=look.colour, marker=look.marker, markersize=4
            )
            said.append(f"{arm} median {number(one.p50.value * 1e3)} ms at {load.words}")
        row.set_ylim(-0.03, 1.03)
        row.set_yticks([0, 0.5, 1], ["0", "50 %", "100 %"])
        row.set_title(load.words, fontsize=8.5, fontweight="normal", color=MUTED, pad=2)
    _time_axis(rows[-1, 0], seen)
    rows[-1, 0].set_xlabel(f"{SHORT_TITLES[metric]}, ms")
    figure.supylabel("share of requests", fontsize=8.5, color=MUTED)
    return f"Distribution of {SHORT_TITLES[metric]}, {workload}: {'; '.join(said) or 'no values'}."


def draw_timeline(axes: Axes, report: Report) -> str:
    """Each request as a bar: a row for each round and arm, as high as requests were in flight."""
    rows = _rows(report)
    span = max((end for row in rows.values() for _, end, _ in row), default=1.0) or 1.0
    styles, failures = arm_styles(report), 0
    lanes = {row: _lanes(requests) for row, requests in rows.items()}
    most = max(map(len, lanes.values()), default=1)
    for place, row in enumerate(rows):
        for lane, intervals in enumerate(lanes[row]):
            xs: list[float] = []
            for start, end in _merged(intervals, span * RESOLUTION):
                xs += [start, max(end, start + span * RESOLUTION), math.nan]
            axes.plot(
                xs,
                [place + 0.42 - (lane + 0.5) * 0.84 / most] * len(xs),
                color=styles[row[1]].colour,
                linewidth=max(ROW_POINTS * 0.84 / most * 0.85, 0.5),
                solid_capstyle="butt",
            )
        broken = [end for _, end, outcome in rows[row] if outcome != "successful"]
        failures += len(broken)
        shown = broken[:: math.ceil(len(broken) / SHOWN_FAILURES) or 1]
        axes.plot(shown, [place] * len(shown), color=INK, marker="x", linestyle="none")
    axes.set_yticks(range(len(rows)), [f"{clipped(arm, 20)}  {n + 1}" for n, arm in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(-0.01 * span, 1.01 * span)
    for place, (row, following) in enumerate(pairwise(rows)):
        if row[0] != following[0]:
            axes.axhline(place + 0.5, color=GRID, linewidth=1.2)
    axes.grid(visible=False, axis="y")
    axes.set_ylabel("arm and round")
    axes.set_xlabel("seconds since the round's first request")
    requests, rounds = sum(map(len, rows.values())), len({number for number, _ in rows})
    return (
        f"Timeline of {counted(requests, 'request')} in {counted(rounds, 'round')}; "
        f"{failures} of them errored or did not end."
    )


def _rows(report: Report) -> dict[tuple[int, str], list[tuple[float, float, str]]]:
    """By round and arm, in their order: seconds since the round's first request, and outcomes."""
    began: dict[int, float] = {}
    for one in report.timeline:
        first = min(start for start, _, _ in one.requests)
        began[one.cell.round] = min(first, began.get(one.cell.round, first))
    rows: dict[tuple[int, str], list[tuple[float, float, str]]] = {
        (number, arm): [] for number in sorted(began) for arm in report.arms
    }
    for one in report.timeline:
        zero = began[one.cell.round]
        rows[one.cell.round, one.cell.arm] += [
            (start - zero, end - zero, outcome) for start, end, outcome in one.requests
        ]
    return {row: requests for row, requests in rows.items() if requests}


def _lanes(requests: Iterable[tuple[float, float, str]]) -> list[list[Interval]]:
    """Requests one above the other where they ran at the same time: the lowest free place each."""
    lanes: list[list[Interval]] = []
    for start, end, _ in sorted(requests):
        for lane in lanes:
            if lane[-1][1] <= start:
                lane.append((start, end))
                break
        else:
            lanes.append([(start, end)])
    return lanes


def _merged(intervals: Iterable[Interval], gap: float) -> list[Interval]:
    """Intervals, in the order of time, with those joined that are closer than a gap."""
    joined: list[Interval] = []
    for start, end in intervals:
        if joined and start - joined[-1][1] < gap:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _time_axis(axes: Axes, seen: Sequence[float]) -> None:
    """Logarithmic where values differ by more than a factor of eight; plain numbers on it."""
    least, largest = min(seen, default=0.0), max(seen, default=1.0)
    if least <= 0 or largest < 8 * least:
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=STEPS))
        return
    axes.set_xscale("log")
    decades = range(math.floor(math.log10(least)), math.ceil(math.log10(largest)) + 1)
    steps = (1,) if len(decades) > 4 else (1, 3) if largest > 40 * least else (1, 2, 5)
    ticks = [step * 10.0**decade for decade in decades for step in steps]
    axes.set_xlim(least / 1.08, largest * 1.08)
    axes.set_xticks([tick for tick in ticks if least / 1.08 <= tick <= largest * 1.08])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:,g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
