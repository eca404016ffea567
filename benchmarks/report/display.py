"""A report on a terminal, and a comparison of two: on a terminal, or in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, repeat

from rich.table import Table as RichTable
from rich.text import Text

from benchmarks.analysis.figures import Estimate
from benchmarks.report.comparing import FigureChange, ReportComparison
from benchmarks.report.document import Report
from benchmarks.report.markdown import escaped, table
from benchmarks.report.tables import Table, figures, speedup_table, texts
from benchmarks.report.wording import counted, estimate, percent

_STYLES = {"regression": "red", "improvement": "green"}


def show_report(report: Report) -> Iterator[RichTable | Text]:
    """The sentences, the table of speed-ups where there are two arms, and what is missing.

    The files have the rest.
    """
    for number, sentence in enumerate(report.sentences):
        yield Text(sentence, style="" if number else "bold")
    shown = speedup_table(report)
    if shown.rows:
        yield Text("")
        yield to_grid(shown)
    if report.missing:
        yield Text("")
    for line in report.missing:
        yield Text.assemble(("missing: ", "yellow"), line)
    yield Text("")


def to_grid(
    shown: Table, *, styles: Iterable[str | None] = (), pad_edge: bool = False
) -> RichTable:
    """A table for a terminal.

    Args:
        shown: its title and note are left out.
        styles: of its rows; where there are fewer, the others have none.
        pad_edge: leave room at both sides.
    """
    grid = RichTable(box=None, header_style="dim", pad_edge=pad_edge)
    for column in shown.columns:
        grid.add_column(column.title, justify="right" if column.is_figure else "left")
    for row, style in zip(shown.rows, chain(styles, repeat(None)), strict=False):
        # Names are other people's: as text, never as markup.
        grid.add_row(*map(Text, row), style=style)
    return grid


def headline(comparison: ReportComparison) -> str:
    """The verdict in a sentence, and a second one where figures are missing."""
    missing = comparison.only_in_a
    if not missing:
        return _of_regressions(comparison)
    return (
        f"{_of_regressions(comparison)} The second report lacks "
        f"{counted(len(missing), 'figure')} of the first: {missing[0]}"
        f"{', and others' if len(missing) > 1 else ''}."
    )


def _of_regressions(comparison: ReportComparison) -> str:
    beyond = f"beyond {percent(comparison.threshold)}"
    regressions = comparison.regressions
    if not regressions:
        better = sum(one.judgement == "improvement" for one in comparison.changes)
        return (
            f"No regression {beyond} in {counted(len(comparison.changes), 'figure')}; "
            f"{counted(better, 'improvement')}."
        )
    worst = regressions[0]
    alone = sum(one.intervals_overlap is None for one in regressions)
    by_threshold = f", {alone} by the threshold alone, for want of intervals" if alone else ""
    return (
        f"{counted(len(regressions), 'regression')} {beyond} in "
        f"{counted(len(comparison.changes), 'figure')}{by_threshold}; the largest: {worst.metric} "
        f"of {worst.arm}, {worst.workload}, {worst.load.words}: "
        f"{percent(worst.change, signed=True)}."
    )


def comparison_to_markdown(comparison: ReportComparison) -> str:
    """A comparison in Markdown, regressions first."""
    parts = [f"**{escaped(headline(comparison))}**", table(_as_table(comparison))]
    for title, lines in _lists(comparison):
        parts.append(f"## {title}")
        parts.append("\n".join(f"- {escaped(line)}" for line in lines))
    return "\n\n".join(part for part in parts if part) + "\n"


def show_comparison(comparison: ReportComparison) -> Iterator[RichTable | Text]:
    """A comparison for a terminal, regressions first."""
    styles = [_STYLES.get(one.judgement) for one in _ordered(comparison)]
    yield to_grid(_as_table(comparison), styles=styles, pad_edge=True)
    for title, lines in _lists(comparison):
        yield Text(f"{title}:", style="dim")
        yield from (Text(f"  {line}") for line in lines)
    yield Text(headline(comparison), style="red" if comparison.is_worse else "green")


def _as_table(comparison: ReportComparison) -> Table:
    return Table(
        "Changes",
        (
            *texts("Arm", "Workload", "Load", "Figure"),
            *figures("First", "Second", "Change"),
            *texts("Intervals", "Judgement"),
        ),
        tuple(
            (
                one.arm,
                one.workload,
                one.load.words,
                f"{one.metric}, ms" if _is_time(one) else one.metric,
                _shown(one, one.a),
                _shown(one, one.b),
                percent(one.change, signed=True),
                {True: "overlap", False: "apart", None: "none"}[one.intervals_overlap],
                one.judgement,
            )
            for one in _ordered(comparison)
        ),
        f"A change counts beyond {percent(comparison.threshold)} and where the 95 % intervals do "
        "not overlap; where one has none, by the threshold alone.",
    )


def _ordered(comparison: ReportComparison) -> list[FigureChange]:
    others = [one for one in comparison.changes if one.judgement != "regression"]
    return [*comparison.regressions, *others]


def _is_time(one: FigureChange) -> bool:
    return one.metric.startswith("median time")


def _shown(one: FigureChange, value: Estimate) -> str:
    return estimate(value, 1e3 if _is_time(one) else 1.0)


def _lists(comparison: ReportComparison) -> Iterator[tuple[str, tuple[str, ...]]]:
    named = (
        ("What else differs", comparison.notes),
        ("Only in the first", comparison.only_in_a),
        ("Only in the second", comparison.only_in_b),
    )
    yield from ((title, lines) for title, lines in named if lines)
