"""Plain tables that fit a terminal. rich would double the time that `status` takes."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from typing import Final

from launcher.cli.common import say

_GAP: Final = 2
_INDENT: Final = 4
# A first column is not squeezed further: below it, names take a line of their own.
_LEAST_FIRST: Final = 8

Colour = Callable[[int, int], str | None]
"""The colour of a cell by its row, from 0, and its column; None for none."""


def print_table(rows: Sequence[Sequence[str]], colour: Colour = lambda _row, _column: None) -> None:
    """Print rows of cells in columns, the first row for a head.

    On a terminal that is too narrow, first a long name takes a line of its own, then all rows take
    more lines. Nothing is cut off. What goes into a file or a pipe has one line for each row.

    Raises:
        OutputError: standard output takes nothing.
    """
    for row, lines in enumerate(folded(rows, _width())):
        for line in lines:
            pieces: list[str | tuple[str, str]] = []
            for place, (column, text) in enumerate(line):
                shown = text.rstrip() if place == len(line) - 1 else text
                paint = colour(row, column) if column >= 0 else None
                pieces.append((shown, paint) if paint else shown)
            say(*pieces)


def folded(rows: Sequence[Sequence[str]], width: int | None) -> list[list[list[tuple[int, str]]]]:
    """Each row as lines, each line as cells: the number of the column, -1 for a gap, and the text.

    Args:
        rows: of as many cells each.
        width: of a line, in characters; None for any.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    others = sum(_GAP + one for one in widths[1:])
    if width is not None and widths[0] + others > width:
        room = max(width - others, _LEAST_FIRST)
        widths[0] = max((len(row[0]) for row in rows if len(row[0]) <= room), default=0)
    groups = _packed(widths, width)
    return [_lines(row, widths, groups) for row in rows]


def _packed(widths: Sequence[int], width: int | None) -> list[list[int]]:
    """Which columns stand on which line of a row, as many as fit."""
    groups: list[list[int]] = [[]]
    used = 0
    for column, needed in enumerate(widths):
        if width is not None and groups[-1] and used + _GAP + needed > width:
            groups.append([])
            used = _INDENT
        used += needed + (_GAP if groups[-1] else 0)
        groups[-1].append(column)
    return groups


def _lines(
    row: Sequence[str], widths: Sequence[int], groups: Sequence[Sequence[int]]
) -> list[list[tuple[int, str]]]:
    lines: list[list[tuple[int, str]]] = []
    cells = list(row)
    if len(cells[0]) > widths[0]:
        lines.append([(0, cells[0])])
        cells[0] = ""
    for number, columns in enumerate(groups):
        line: list[tuple[int, str]] = [(-1, " " * _INDENT)] if number else []
        for place, column in enumerate(columns):
            if place:
                line.append((-1, " " * _GAP))
            line.append((column, cells[column].ljust(widths[column])))
        lines.append(line)
    return lines


def _width() -> int | None:
    # There is no stream where a caller has closed it: `>&-`.
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    return shutil.get_terminal_size().columns if is_terminal else None
