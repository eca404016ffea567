"""Figures in a few characters: "-" where there is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from launcher.text import human_seconds

NONE: Final = "-"
_LEVELS: Final = "▁▂▃▄▅▆▇█"
_ASCII_LEVELS: Final = "_.-=+*%#"


def count(value: float | None) -> str:
    """A whole number with its thousands."""
    return NONE if value is None else f"{round(value):,}"


def rate(value: float | None) -> str:
    """Something a second."""
    if value is None:
        return NONE
    return f"{value:,.0f}" if value >= 10 or value == 0 else f"{value:.1f}"


def percent(share: float | None) -> str:
    """A share of 0 to 1."""
    if share is None:
        return NONE
    # One that is not nothing should not look so.
    return "<1 %" if 0 < share < 0.005 else f"{share:.0%}".replace("%", " %")


def length(value: float | None) -> str:
    """An acceptance length."""
    return NONE if value is None else f"{value:.2f}"


def times(value: float | None) -> str:
    """A speed-up."""
    return NONE if value is None else f"{value:.2g}x"


def latency(seconds: float | None) -> str:
    """A short time with three digits: '66 ms', '1.24 s'."""
    if seconds is None:
        return NONE
    milliseconds = seconds * 1000
    if milliseconds < 9.95:
        return f"{milliseconds:.1f} ms"
    if milliseconds < 999.5:
        return f"{milliseconds:.0f} ms"
    return f"{seconds:.2f} s" if seconds < 99.5 else human_seconds(seconds)


def age(seconds: float | None) -> str:
    """A long time in its largest unit: '14 min'."""
    if seconds is None:
        return NONE
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"


def bar(share: float, width: int, *, ascii_only: bool = False) -> tuple[str, str]:
    """A bar of a width, as its filled and its empty part."""
    filled = min(width, max(1 if share > 0 else 0, round(share * width)))
    full, empty = ("#", ".") if ascii_only else ("█", "░")
    return full * filled, empty * (width - filled)


def sparkline(
    values: Sequence[float | None],
    width: int,
    *,
    lowest: float,
    highest: float,
    ascii_only: bool = False,
) -> str:
    """The newest values as small columns, on a scale that does not move with them.

    Args:
        values: the newest last; a blank stands for None.
        width: at the most.
        lowest: of the scale.
        highest: of the scale.
        ascii_only: for terminals that know no other characters.
    """
    levels = _ASCII_LEVELS if ascii_only else _LEVELS
    span = max(highest - lowest, 1e-9)
    drawn = []
    for value in values[-width:]:
        if value is None:
            drawn.append(" ")
        else:
            share = min(1.0, max(0.0, (value - lowest) / span))
            drawn.append(levels[round(share * (len(levels) - 1))])
    return "".join(drawn)
