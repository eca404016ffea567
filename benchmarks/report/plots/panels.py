"""What is drawn over the load: speed-up and throughput; and acceptance. Each on axes given.

Every function returns a sentence that says the same to those who do not see.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from benchmarks.analysis.figures import Estimate
from benchmarks.analysis.metrics import acceptance_rate_by_position, add_histograms
from benchmarks.records import Load
from benchmarks.report.document import Report
from benchmarks.report.plots.svg import ARM_COLOURS, ARM_DASHES, ARM_MARKERS, INK
from benchmarks.report.wording import estimate, percent

# Beyond it, dots of prompts say no more and only make the page large.
SHOWN_PROMPTS: Final = 48
# Ticks at numbers that people count in.
STEPS: Final = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True, slots=True)
class ArmStyle:
    """One arm's looks, the same in every plot."""

    colour: str
    marker: str
    dash: Any

    @property
    def line(self) -> dict[str, Any]:
        """Arguments of a line."""
        return {"color": self.colour, "marker": self.marker, "linestyle": self.dash}


def arm_styles(report: Report) -> dict[str, ArmStyle]:
    """By the arms' order in the plan; they repeat after the sixth."""
    kinds = list(zip(ARM_COLOURS, ARM_MARKERS, ARM_DASHES, strict=True))
    return {arm: ArmStyle(*kinds[place % len(kinds)]) for place, arm in enumerate(report.arms)}


def draw_speedup(axes: Axes, report: Report, workload: str) -> str:
    """Speed-ups with intervals over the load, the line at 1, each prompt's ratio as a dot."""
    loads, styles = report.loads(workload), arm_styles(report)
    axes.axhline(1.0, color=INK, linewidth=1.0, zorder=1.5)
    said: list[str] = []
    for place, arm in enumerate(report.arms[1:]):
        shift = _shift(place, len(report.arms) - 1)
        points = []
        for position, load in enumerate(loads):
            one = report.speedup(arm, workload, load)
            if one is None:
                continue
            points.append((position + shift, load, one.speedup))
            ratios = sorted(one.ratios)
            step = max(1, math.ceil(len(ratios) / SHOWN_PROMPTS))
            axes.plot(
                [position + shift + 0.09] * len(ratios[::step]),
                ratios[::step],
                linestyle="none",
                marker="o",
                markersize=3,
                markeredgewidth=0,
                color=styles[arm].colour,
                alpha=0.3,
            )
            if len(report.arms) == 2:  # with more there is no room
                _write_value(axes, position + shift, one.speedup)
            said.append(f"{arm} {estimate(one.speedup, decimals=2)} at {load.words}")
        _draw_points(axes, points, arm, styles[arm])
        _mark_crossing(axes, report, workload, arm, styles[arm])
    _load_axis(axes, loads)
    axes.set_ylim(*_speedup_range(report))
    axes.set_ylabel(f"speed-up over {clipped(report.baseline, 24)}")
    return f"Speed-up over {report.baseline}, {workload}: {'; '.join(said) or 'no values'}."


def draw_throughput(axes: Axes, report: Report, workload: str) -> str:
    """Output tokens per second over the load, with intervals."""
    loads, styles = report.loads(workload), arm_styles(report)
    said: list[str] = []
    for place, arm in enumerate(report.arms):
        points = []
        for position, load in enumerate(loads):
            cell = report.cell(arm, workload, load)
            if cell is not None and cell.output_tokens_per_second is not None:
                value = cell.output_tokens_per_second
                points.append((position + _shift(place, len(report.arms)), load, value))
                said.append(f"{arm} {estimate(value)} at {load.words}")
        _draw_points(axes, points, arm, styles[arm])
    _load_axis(axes, loads)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("output tokens/s")
    return f"Output tokens per second, {workload}: {'; '.join(said) or 'no values'}."


def draw_acceptance_by_position(axes: Axes, report: Report, workload: str) -> str:
    """How often draft k and all before it were accepted, all loads together."""
    styles = arm_styles(report)
    said: list[str] = []
    longest = 1
    for arm, histogram in _histograms(report, workload).items():
        rates = acceptance_rate_by_position(histogram)
        longest = max(longest, len(rates))
        axes.plot(range(1, len(rates) + 1), rates, label=clipped(arm), **styles[arm].line)
        said.append(f"{arm} {', '.join(percent(rate) for rate in rates)}")
    axes.set_xticks(range(1, longest + 1))
    axes.set_xlim(0.6, longest + 0.4)
    axes.set_xlabel("draft position")
    _share_axis(axes, "verify steps that accepted it")
    axes.set_ylim(0, 1.04)
    return f"Acceptance by draft position, {workload}: {'; '.join(said) or 'no values'}."


def draw_acceptance_histogram(axes: Axes, report: Report, workload: str) -> str:
    """How many drafts a verify step accepted, all loads together."""
    styles, histograms = arm_styles(report), _histograms(report, workload)
    width = 0.8 / max(len(histograms), 2)
    said: list[str] = []
    axes.grid(visible=False, axis="x")
    for place, (arm, histogram) in enumerate(histograms.items()):
        shares = [count / sum(histogram) for count in histogram]
        middle = [k + (place - (len(histograms) - 1) / 2) * width for k in range(len(shares))]
        axes.bar(middle, shares, width * 0.92, color=styles[arm].colour, label=clipped(arm))
        said.append(f"{arm} {', '.join(percent(share) for share in shares)}")
    longest = max((len(one) for one in histograms.values()), default=1)
    axes.set_xticks(range(longest))
    axes.set_xlabel("drafts accepted in a verify step")
    _share_axis(axes, "share of verify steps")
    return f"Accepted drafts per verify step from 0, {workload}: {'; '.join(said) or 'no values'}."


def has_acceptance(report: Report, workload: str) -> bool:
    """Whether a server told what it accepted."""
    return bool(_histograms(report, workload))


def clipped(text: str, most: int = 32) -> str:
    """A long name, cut for a label."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _draw_points(
    axes: Axes, points: Sequence[tuple[float, Load, Estimate]], arm: str, look: ArmStyle
) -> None:
    """A line with intervals; closed and open loops are not joined: they are not one scale."""
    xs: list[float] = []
    ys: list[float] = []
    for place, (x, load, one) in enumerate(points):
        if place and (load.concurrency is None) != (points[place - 1][1].concurrency is None):
            xs.append(math.nan)
            ys.append(math.nan)
        xs.append(x)
        ys.append(one.value)
    axes.plot(xs, ys, label=clipped(arm), **look.line)
    for x, _, one in points:
        if one.low is not None and one.high is not None:
            axes.plot([x, x], [one.low, one.high], color=look.colour, linewidth=1.3)


def _write_value(axes: Axes, x: float, value: Estimate) -> None:
    """Below the interval, and left of the dots of prompts."""
    axes.annotate(
        f"{value.value:.2f}",
        (x, value.value if value.low is None else value.low),
        xytext=(3, -4),
        textcoords="offset points",
        ha="right",
        va="top",
        fontsize=8.5,
    )


def _speedup_range(report: Report) -> tuple[float, float]:
    """One for all workloads, so that their plots can be held side by side.

    An outlier among prompts is not to squeeze what the plots are about.
    """
    seen = [1.0]
    for one in report.speedups:
        ends = (one.speedup.value, one.speedup.low, one.speedup.high)
        seen += [value for value in ends if value is not None]
        seen += [float(v) for v in np.quantile(one.ratios, (0.05, 0.95))] if one.ratios else []
    room = 0.1 * (max(seen) - min(seen)) or 0.1
    return min(seen) - room, max(seen) + room


def _mark_crossing(axes: Axes, report: Report, workload: str, arm: str, look: ArmStyle) -> None:
    closed = [load.concurrency for load in report.loads(workload) if load.concurrency]
    for one in report.crossovers:
        at = one.estimated_concurrency
        if (one.workload, one.candidate) == (workload, arm) and at is not None and closed:
            x = float(np.interp(math.log(at), np.log(closed), range(len(closed))))
            axes.axvline(x, color=look.colour, linewidth=1.0, linestyle=(0, (2, 2)), zorder=1.4)


def _load_axis(axes: Axes, loads: Sequence[Load]) -> None:
    """Loads at equal distances: people double them, and what was measured is what is named."""
    closed = all(load.concurrency for load in loads)
    opened = not any(load.concurrency for load in loads)
    axes.set_xticks(
        range(len(loads)),
        [
            str(load.concurrency) if closed else load.label[1:] if opened else load.label
            for load in loads
        ],
    )
    axes.set_xlim(-0.45, len(loads) - 0.55)
    kind = "concurrency" if closed else "requests/s offered"
    axes.set_xlabel(kind if closed or opened else "load: c concurrency, r requests/s")
    axes.grid(visible=False, axis="x")
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=STEPS))


def _share_axis(axes: Axes, title: str) -> None:
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=STEPS))
    axes.set_ylabel(title)


def _shift(place: int, count: int) -> float:
    """Sideways, so that intervals of arms do not cover one another."""
    return (place - (count - 1) / 2) * min(0.12, 0.4 / count)


def _histograms(report: Report, workload: str) -> dict[str, tuple[int, ...]]:
    """Accepted drafts by arm, added up over loads."""
    added = {
        arm: add_histograms(c for c in report.cells if (c.arm, c.workload) == (arm, workload))
        for arm in report.arms
    }
    return {arm: histogram for arm, histogram in added.items() if sum(histogram)}
