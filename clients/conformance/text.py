"""What a server said, made fit for one line of a terminal."""

from __future__ import annotations

import unicodedata
from typing import Final

_LONGEST: Final = 160
_REPLACEMENT: Final = "\ufffd"
# Controls, formatting (which turns the direction of text), surrogates, private use, separators.
_UNSAFE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


def clean(text: str) -> str:
    """Write out each character that a terminal would act on, or not show."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character
        if unicodedata.category(character) not in _UNSAFE
        else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def quote(value: object, longest: int = _LONGEST) -> str:
    """Give a value as a short, safe piece of one line.

    Args:
        value: of the server; text is quoted.
        longest: characters; the rest is cut off.
    """
    text = value[: longest + 1] if isinstance(value, str) else _brief(value)
    if len(text) > longest:
        text = text[:longest] + "…"
    return f"'{clean(text)}'" if isinstance(value, str) else clean(text)


def _brief(value: object) -> str:
    try:
        return str(value)
    except (RecursionError, ValueError):
        return f"a {type(value).__name__} too deep or too long to show"


def has_replacement(text: str) -> bool:
    """Whether a character was lost on the way and replaced."""
    return _REPLACEMENT in text
