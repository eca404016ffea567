"""Small helpers for what people read."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


def nearest(name: str, known: Iterable[str], *, least: float = 0.6) -> str:
    """A clause that names the nearest known name, or nothing where none is near.

    Args:
        name: what was written.
        known: what there is.
        least: how alike the two have to be, 0 to 1; see `difflib.SequenceMatcher.ratio`.
    """
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=least)
    return f" (did you mean {matches[0]!r}?)" if matches else ""


def human_bytes(count: float) -> str:
    """A size for people, in binary units: 1536 is '1.5 KiB'."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        # Rounded first: 1023.96 KiB are '1.0 MiB', not '1024.0 KiB'.
        if round(abs(size), 1) < 1024:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def human_seconds(seconds: float) -> str:
    """A duration for people: '8.3 s', '2 min 05 s', '3 h 07 min'."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def short_path(path: Path) -> str:
    """A path for people, with `~` for the home folder."""
    try:
        return f"~/{path.relative_to(Path.home())}"
    except ValueError:
        return str(path)
