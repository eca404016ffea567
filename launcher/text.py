"""Small helpers for what people read."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

# Larger than any size in bytes; sums and products of such numbers fit into a float.
_MOST_DIGITS: Final = 18
LARGEST_NUMBER: Final = 10**_MOST_DIGITS
# ECMA-48's "select graphic rendition" and nothing else: colours, of which servers' logs are full.
_COLOUR: Final = re.compile(r"\x1b\[[0-9;:]{0,64}m")
# All that a terminal acts on, or that shows a text as another: the controls (C0 but for tab and
# line feed, DEL, C1), what turns the direction of text or is not seen (Unicode's bidirectional and
# other invisible format characters, but for the two joiners that scripts need), Unicode's own line
# separators, and halves of surrogates, which no stream can encode.
_UNSAFE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def terminal_safe(text: str) -> str:
    """A text of anybody, so that a terminal only shows it.

    Colours are left out; every other character that would be acted on is written out, as Python
    would write it. Lines stay lines.
    """
    if text.isascii() and text.isprintable():
        return text
    plain = _COLOUR.sub("", text.replace("\r\n", "\n"))
    return _UNSAFE.sub(_written_out, plain)


def _written_out(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


def whole_number(text: str) -> int:
    """A number that somebody else printed, as its digits: `LARGEST_NUMBER` at most, 0 without any.

    Python itself refuses to read thousands of digits, and a float cannot hold four hundred.
    """
    digits = text.strip()
    sign = -1 if digits.startswith("-") else 1
    digits = digits.removeprefix("-").lstrip("0")
    if not (digits.isascii() and digits.isdecimal()):
        return 0
    return sign * (int(digits) if len(digits) <= _MOST_DIGITS else LARGEST_NUMBER)


def decimal_number(text: str) -> float:
    """The same for one with a decimal point or an exponent; 0.0 for what is none."""
    try:
        number = float(text)
    except ValueError:
        return 0.0
    if math.isnan(number):
        return 0.0
    return min(max(number, -float(LARGEST_NUMBER)), float(LARGEST_NUMBER))


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
