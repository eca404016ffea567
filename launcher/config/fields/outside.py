"""Values of a configuration as somebody wrote them: what none of them may be. Pure.

Every source ends here: `launcher.config.server_config.ServerConfig` asks it for each field, and
`launcher.config.sources` before it looks at one of them itself.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from datetime import date, time
from pathlib import Path
from typing import Any, Final, get_args

# The kernel takes 128 KiB in one argument: MAX_ARG_STRLEN of execve(2).
LONGEST_TEXT_CHARACTERS: Final = 32_768
MOST_ARGUMENTS: Final = 1_000
# None is meant that is larger; Python's clocks refuse to wait for ten times as long.
LARGEST_COUNT: Final = 10**12
LARGEST_FRACTIONAL: Final = 10.0**9
# They turn the order of what is shown round, so that it reads as something else.
_TURNS: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_LONGEST_SHOWN_CHARACTERS: Final = 80
# Control characters, halves of a pair (bytes that are no text), and ends of a line.
_REFUSED: Final = {
    "Cc": "a control character",
    "Cs": "bytes that are no text in UTF-8",
    "Zl": "a line break",
    "Zp": "a line break",
}


def flaw_of(value: Any) -> str | None:
    """Why a value can be that of no field, as a clause that does not quote it; None if nothing.

    Args:
        value: as a file, a variable, a flag or a program gave it.
    """
    if isinstance(value, list | tuple):
        if len(value) > MOST_ARGUMENTS:
            return f"has {len(value):,} entries, and {MOST_ARGUMENTS:,} are taken at most"
        return next(filter(None, map(_flaw_of_one, value)), None)
    return _flaw_of_one(value)


def flaw_of_text(text: str) -> str | None:
    """Why a text is none that a command line or a file of ours may hold; see `flaw_of`."""
    if len(text) > LONGEST_TEXT_CHARACTERS:
        return f"has {len(text):,} characters, and {LONGEST_TEXT_CHARACTERS:,} are taken at most"
    if text.isprintable():
        return None
    for place, character in enumerate(text, 1):
        kind = _REFUSED.get(unicodedata.category(character))
        kind = "a control of the writing direction" if character in _TURNS else kind
        if kind is not None:
            kind = "a line break" if character in "\r\n" else kind
            number = "" if kind.startswith("bytes") else f" (U+{ord(character):04X})"
            return f"holds {kind}{number} at character {place}"
    return None


def flaw_of_kind(value: Any, annotation: Any) -> str | None:
    """Why a value cannot be that of a field of this type; see `flaw_of`.

    YAML 1.1 reads `no` and `off` as false, and Python counts with true and false, so that one would
    pass for the other.
    """
    takes_bool = bool in (annotation, *get_args(annotation))
    if isinstance(value, bool):
        word = "is read as true or false, which it does not take; quote a word"
        return None if takes_bool else word
    kinds = {annotation, *get_args(annotation)}
    takes_number = bool({int, float} & kinds) and str not in kinds
    if takes_number and isinstance(value, str) and "_" in value:
        return "is a number with underscores, which only programs write"
    if takes_bool and isinstance(value, int | float):
        return "is a number where true or false is expected"
    return None


def flaw_of_number(value: Any) -> str | None:
    """Why a number is larger than any field takes; see `flaw_of`. Fractions are seconds."""
    if not isinstance(value, int | float):
        return None
    most = LARGEST_COUNT if isinstance(value, int) else LARGEST_FRACTIONAL
    return f"is above {most:,.0f}" if value > most else None


def shown(text: str) -> str:
    """A name that somebody wrote, for a message: quoted, escaped and short."""
    if len(text) <= _LONGEST_SHOWN_CHARACTERS:
        return ascii(text) if not text.isprintable() else repr(text)
    return f"{text[:_LONGEST_SHOWN_CHARACTERS]!a}... ({len(text):,} characters)"


def _flaw_of_one(value: Any) -> str | None:
    if isinstance(value, str | Path):
        return flaw_of_text(str(value))
    if value is None or isinstance(value, bool | int | float | date | time):
        return None
    if isinstance(value, bytes | bytearray):
        return "is binary data, not text"
    if isinstance(value, Iterable):
        return "holds a list or a mapping where one value is expected"
    return f"is a {type(value).__name__}, which no field takes"
