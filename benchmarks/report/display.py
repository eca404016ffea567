"""A report on a terminal: the verdict, and how much faster. The files have the rest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, repeat

from rich.table import Table as RichTable
from rich.text import Text

from benchmarks.report.document import Report
from benchmarks.report.tables import Table, speedup_table


def show_report(report: Report) -> Iterator[RichTable | Text]:
    """The sentences, the table of speed-ups where there are two arms, and what is missing."""
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
    table: Table, *, styles: Iterable[str | None] = (), pad_edge: bool = False
) -> RichTable:
    """A table for a terminal.

    Args:
        table: its title and note are left out.
        styles: of its rows; where there are fewer, the others have none.
        pad_edge: leave room at both sides.
    """
    grid = RichTable(box=None, header_style="dim", pad_edge=pad_edge)
    for column in table.columns:
        grid.add_column(column.title, justify="right" if column.is_figure else "left")
    for row, style in zip(table.rows, chain(styles, repeat(None)), strict=False):
        # Names are other people's: as text, never as markup.
        grid.add_row(*map(Text, row), style=style)
    return grid
