"""All plots of a report, in the order of the page."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from benchmarks.peers.agreement import LIMIT_PERCENT
from benchmarks.report.document import Report
from benchmarks.report.peer_tables import PeerRow, peer_rows
from benchmarks.report.plots.panels import (
    STEPS,
    clipped,
    draw_acceptance_by_position,
    draw_acceptance_histogram,
    draw_speedup,
    draw_throughput,
    has_acceptance,
)
from benchmarks.report.plots.panels_time import ROW_POINTS, draw_latency, draw_timeline, shown_loads
from benchmarks.report.plots.svg import GRID, INK, MUTED, new_figure, style, to_svg
from benchmarks.report.wording import E2E, SHORT_TITLES, TPOT, TTFT, distribution, percent

Section = Literal["speedup", "throughput", "latency", "acceptance", "timeline", "peers"]
Panel = Callable[[Axes, Report, str], str]

WIDTH: Final = 4.7
HEIGHT: Final = 3.1
WIDE: Final = 9.6
_PANELS: Final[tuple[tuple[Section, str, str, Panel], ...]] = (
    ("speedup", "speedup", "", draw_speedup),
    ("throughput", "throughput", "", draw_throughput),
    ("acceptance", "accepted", ": drafts accepted at once", draw_acceptance_histogram),
    ("acceptance", "acceptance", ": by draft position", draw_acceptance_by_position),
)
_PEER_MARKERS: Final = ("o", "s", "^", "D")


@dataclass(frozen=True, slots=True)
class Plot:
    """One picture.

    Attributes:
        name: unique; letters, digits, dashes.
        section: of the page.
        caption: above it.
        description: what it shows, in words with its figures.
        svg: an element for a page.
        is_wide: takes the page's whole width.
    """

    name: str
    section: Section
    caption: str
    description: str
    svg: str
    is_wide: bool = False


def draw(report: Report) -> tuple[Plot, ...]:
    """Draw everything that has values. The same report gives the same bytes."""
    with style():
        plots = [*_panels(report), *_latencies(report)]
        plots += _peers(report)
        if report.timeline:
            plots.append(_timeline(report))
    return tuple(plots)


def draw_overviews(report: Report) -> tuple[Plot, ...]:
    """Speed-up and throughput of all workloads in one picture each, for a README."""
    workloads = report.workload_names()
    columns = min(2, len(workloads))
    plots = []
    with style():
        for section, name, _, panel in _PANELS[:2]:
            if not workloads or (section == "speedup" and not report.speedups):
                continue
            height = -(-len(workloads) // columns)
            figure = new_figure(WIDTH * columns, 2.7 * height + 0.3)
            grid = figure.subplots(height, columns, squeeze=False)
            said = []
            for axes, workload in zip(grid.flat, workloads, strict=False):
                said.append(panel(axes, report, workload))
                axes.set_title(clipped(workload))
            for axes in grid.flat[len(workloads) :]:
                axes.set_axis_off()
            _legend(figure, grid.flat[0])
            plots.append(_plot(figure, f"{name}-all", section, "All workloads", " ".join(said)))
    return tuple(plots)


def _panels(report: Report) -> list[Plot]:
    plots = []
    drawings = [
        # Both of acceptance stand side by side; all others are a row of workloads.
        *((*panel, n, w) for panel in _PANELS[:2] for n, w in enumerate(report.workload_names())),
        *((*panel, n, w) for n, w in enumerate(report.workload_names()) for panel in _PANELS[2:]),
    ]
    for section, name, caption, panel, place, workload in drawings:
        if section == "acceptance" and not has_acceptance(report, workload):
            continue
        if section == "speedup" and not any(s.workload == workload for s in report.speedups):
            continue
        figure = new_figure(WIDTH, HEIGHT)
        axes = figure.subplots()
        said = panel(axes, report, workload)
        _legend(figure, axes)
        plots.append(
            _plot(figure, _name(name, place, workload), section, f"{workload}{caption}", said)
        )
    return plots


def _latencies(report: Report) -> list[Plot]:
    plots = []
    for place, workload in enumerate(report.workload_names()):
        for metric, short in ((TTFT, "ttft"), (TPOT, "tpot"), (E2E, "e2e")):
            loads = shown_loads(report.loads(workload))
            cells = (report.cell(arm, workload, load) for arm in report.arms for load in loads)
            if not any(distribution(cell, metric) for cell in cells):
                continue
            figure = new_figure(WIDTH, 0.9 + 0.95 * len(loads))
            said = draw_latency(figure, report, workload, metric)
            _legend(figure, figure.axes[0])
            caption = f"{workload}: {SHORT_TITLES[metric]}"
            plots.append(_plot(figure, _name(short, place, workload), "latency", caption, said))
    return plots


def _timeline(report: Report) -> Plot:
    rows = len({(one.cell.round, one.cell.arm) for one in report.timeline})
    figure = new_figure(WIDE, 0.75 + rows * ROW_POINTS / 72)
    said = draw_timeline(figure.subplots(), report)
    return _plot(figure, "timeline", "timeline", "All requests", said, is_wide=True)


def _peers(report: Report) -> list[Plot]:
    rows = peer_rows(report)
    titles = ("Output throughput", "Median time to first token", "Median time per output token")
    return [
        _peer_plot(rows, place, name, title)
        for place, (name, title) in enumerate(zip(("output", "ttft", "tpot"), titles, strict=True))
        if any(row.agreements[place] is not None for row in rows)
    ]


def _peer_plot(rows: tuple[PeerRow, ...], place: int, name: str, title: str) -> Plot:
    """Differences from ours, with the band of agreement."""
    groups = list(dict.fromkeys((row.arm, row.workload, row.load) for row in rows))
    figure = new_figure(WIDTH, 1.1 + 0.36 * len(groups))
    axes = figure.subplots()
    said = []
    band = LIMIT_PERCENT / 100
    largest = band * 1.6
    for tool, marker in zip(dict.fromkeys(r.tool for r in rows), _PEER_MARKERS * 9, strict=False):
        values = [
            (groups.index((row.arm, row.workload, row.load)), held.difference_percent / 100)
            for row in rows
            if row.tool == tool and (held := row.agreements[place]) is not None
        ]
        if not values:
            continue
        xs = [x for _, x in values]
        largest = max([largest, *(abs(x) for x in xs)])
        look: dict[str, Any] = {"color": INK, "markerfacecolor": "none" if marker == "s" else INK}
        axes.plot(xs, [g for g, _ in values], linestyle="none", marker=marker, label=tool, **look)
        said.append(f"{tool} {', '.join(percent(x, signed=True) for x in xs)}")
    axes.set_yticks(
        range(len(groups)),
        [f"{clipped(w, 18)} {load}\n{clipped(arm, 22)}" for arm, w, load in groups],
    )
    axes.tick_params(axis="y", labelsize=7.5)
    axes.set_ylim(len(groups) - 0.4, -0.6)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=STEPS))
    axes.axvspan(-band, band, color=GRID, zorder=0)
    axes.axvline(0, color=MUTED, linewidth=1)
    axes.set_xlim(-1.1 * largest, 1.1 * largest)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x * 100:+.0f} %" if x else "0"))
    axes.set_xlabel(f"difference from ours; shaded: within {LIMIT_PERCENT:g} %")
    _legend(figure, axes)
    what = f"{title}, difference from ours"
    return _plot(figure, f"peers-{name}", "peers", title, f"{what}: {'; '.join(said)}.")


def _plot(
    figure: Figure, name: str, section: Section, caption: str, said: str, *, is_wide: bool = False
) -> Plot:
    return Plot(name, section, caption, said, to_svg(figure, name=name, label=said), is_wide)


def _legend(figure: Figure, axes: Axes) -> None:
    """Above the axes, so that it covers nothing; in one column where names are long."""
    handles, labels = axes.get_legend_handles_labels()
    if not handles:
        return
    fits = figure.get_figwidth() * 13 - 6 * len(labels)
    columns = len(labels) if sum(map(len, labels)) < fits else 1
    figure.legend(handles, labels, loc="outside upper left", ncols=columns)


def _name(kind: str, place: int, workload: str) -> str:
    """A file's name: a workload may be named by a path, and two may look alike."""
    plain = re.sub(r"[^a-z0-9]+", "-", workload.lower()).strip("-")[-40:]
    return f"{kind}-{place + 1}-{plain}".rstrip("-")
