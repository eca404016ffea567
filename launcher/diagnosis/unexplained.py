"""What is said of an end whose cause nobody knows: what the engine itself said, and where. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from launcher.diagnosis.search import deadly_errors, sign_of
from launcher.engines.causes import (
    LONGEST_EVIDENCE_CHARACTERS,
    CauseTable,
    ErrorSign,
    OutputSigns,
    ServerEnd,
    quote_error,
)

_LONGEST_HEADLINE_CHARACTERS: Final = 300
# A line that complains, where no exception was printed.
_COMPLAINT: Final = re.compile(
    r"(?i:\berror\b|\bfatal\b|\bfailed\b|\babort|terminate called|what\(\):|panicked)"
)


@dataclass(frozen=True, slots=True)
class Unexplained:
    """The engine's own words.

    Attributes:
        headline: a sentence with the exception, the file and what the engine was doing; empty
            where it said nothing.
        evidence: the lines that it comes from.
    """

    headline: str
    evidence: tuple[str, ...]


def engines_words(end: ServerEnd, causes: CauseTable) -> Unexplained:
    """What the engine said of an end that no known cause fits."""
    errors = deadly_errors(end.lines, causes.signs)
    if errors:
        sign = sign_of(end, errors[0], causes.signs)
        return Unexplained(
            _headline(sign, causes.signs), quote_error(errors[0]) + _innermost_line(end, sign)
        )
    for line in reversed(end.lines):
        if _COMPLAINT.search(line) and not causes.signs.harmless.search(line):
            quoted = line.strip()[:LONGEST_EVIDENCE_CHARACTERS]
            return Unexplained(f"Its last complaint is: {quoted.rstrip('. ')}.", (quoted,))
    return Unexplained("", ())


def _headline(sign: ErrorSign, signs: OutputSigns) -> str:
    error = sign.error
    said = signs.boilerplate.split(error.headline)[0][:_LONGEST_HEADLINE_CHARACTERS].rstrip(". ")
    place = f" in {_short_path(error.frames[-1].path)}" if error.frames else ""
    stage = f" while it {sign.stage}" if sign.stage else ""
    return f"The engine raised {said}{place}{stage}."


def _short_path(path: str) -> str:
    """The last folders of a path: 'sglang/srt/managers/scheduler.py' of a long one."""
    parts = [part for part in re.split(r"[/\\]", path) if part]
    for root in ("site-packages", "dist-packages", "python"):
        if root in parts[:-1]:
            parts = parts[parts.index(root) + 1 :]
            break
    return "/".join(parts[-4:])


def _innermost_line(end: ServerEnd, sign: ErrorSign) -> tuple[str, ...]:
    """The printed line of the innermost frame."""
    if not sign.error.frames:
        return ()
    path = sign.error.frames[-1].path
    for number in range(sign.error.index - 1, sign.error.head - 1, -1):
        if path in end.lines[number]:
            return (end.lines[number].strip()[:LONGEST_EVIDENCE_CHARACTERS],)
    return ()
