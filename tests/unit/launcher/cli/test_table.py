"""Tables that fit a terminal, and lose nothing."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from launcher.cli.running.table import folded

HEAD = ("NAME", "STATE", "ENDPOINT")


def lines(rows: Sequence[tuple[str, ...]], width: int | None) -> list[str]:
    return [
        "".join(text for _, text in line).rstrip() for row in folded(rows, width) for line in row
    ]


def test_what_fits_stands_in_columns() -> None:
    rows = [HEAD, ("a", "READY", "http://x"), ("longer", "UNHEALTHY", "http://y:1")]
    assert lines(rows, 80) == [
        "NAME    STATE      ENDPOINT",
        "a       READY      http://x",
        "longer  UNHEALTHY  http://y:1",
    ]


def test_a_long_name_takes_a_line_of_its_own() -> None:
    rows = [HEAD, ("a", "READY", "http://x"), ("http://gpu-box.example:8000", "-", "-")]
    assert lines(rows, 30) == [
        "NAME  STATE  ENDPOINT",
        "a     READY  http://x",
        "http://gpu-box.example:8000",
        "      -      -",
    ]


def test_where_even_that_is_too_wide_all_rows_take_more_lines() -> None:
    assert lines([HEAD, ("a", "UNHEALTHY", "http://host:1")], 26) == [
        "NAME  STATE",
        "    ENDPOINT",
        "a     UNHEALTHY",
        "    http://host:1",
    ]


def test_what_is_piped_has_one_line_for_each_row() -> None:
    assert len(lines([HEAD, ("n" * 200, "READY", "u" * 200)], None)) == 2


CELLS = st.text(alphabet="abcdef-:/.", min_size=1, max_size=40)


@given(
    st.integers(2, 6).flatmap(
        lambda count: st.lists(st.tuples(*[CELLS] * count), min_size=1, max_size=5)
    ),
    st.integers(46, 120),
)
def test_no_line_is_too_long_and_no_cell_is_lost(rows: list[tuple[str, ...]], width: int) -> None:
    for row, shown in zip(rows, folded(rows, width), strict=True):
        texts = [["".join(text for _, text in line)] for line in shown]
        assert all(len(text.rstrip()) <= width for (text,) in texts)
        cells = [text.strip() for line in shown for column, text in line if column >= 0]
        assert [cell for cell in cells if cell] == list(row)
