"""What a log carries besides the engine's own lines: prefixes of containers and services, colours.

Known are `docker logs --timestamps` and its files of JSON, compose, Kubernetes (timestamps, CRI
files, `--prefix`), journald, syslog, Slurm, MPI, Ray and ANSI colours, also one inside the other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Final

# CSI and OSC sequences, and the two-character ones: ECMA-48.
_ANSI: Final = re.compile(
    r"\x1b(?:\[[0-?]{0,64}[ -/]{0,8}[@-~]|\][^\x07\x1b]{0,400}(?:\x07|\x1b\\)|[@-Z\\-_])"
)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_TIME: Final = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)"
# Taken off wherever they stand, since no line of an engine begins so.
_DISTINCT: Final = (
    re.compile(rf"^{_TIME} (?:stdout|stderr) [FP] "),  # CRI
    re.compile(rf"^{_TIME} [\w.-]{{1,80}} [\w.@/-]{{1,80}}\[\d{{1,9}}\]: "),  # journald, ISO
    re.compile(rf"^{_TIME}(?: |$)"),  # docker and kubectl with --timestamps
    re.compile(
        r"^[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d{1,6})? [\w.-]{1,80} "
        r"[\w.@/-]{1,80}(?:\[\d{1,9}\])?: ?"
    ),  # journald, syslog
    re.compile(r"^\[pod/[\w./-]{1,200}\] ?"),  # kubectl --prefix
    re.compile(r"^\[\d{1,5},\d{1,5}\]<std(?:out|err)>: ?"),  # mpirun --tag-output
    re.compile(r"^\x1b?\(\w{1,60} pid=\d{1,9}(?:, ip=[\d.]{1,40})?\) ?"),  # Ray
)
# Taken off where most lines have them: a single line of an engine may look like that.
_COMMON: Final = (
    re.compile(r"^[\w.-]{1,80} {0,40}\| ?"),  # compose
    re.compile(r"^ {0,4}\d{1,5}: "),  # srun --label
)
_MOST: Final = 0.6
_DEEPEST: Final = 4


def own_lines(lines: Sequence[str]) -> tuple[str, ...]:
    """The engine's own lines of a log, without what others put before or around them."""
    own = [_plain(_of_json(line)) for line in lines]
    for _ in range(_DEEPEST):
        before = own
        for pattern in _DISTINCT:
            own = [pattern.sub("", line, count=1) for line in own]
        for pattern in _COMMON:
            own = _without_common(own, pattern)
        if own == before:
            break
    return tuple(line.rstrip() for line in own)


def _of_json(line: str) -> str:
    """The text of a line of docker's JSON files, or of a structured log's field."""
    if not line.startswith('{"'):
        return line
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return line
    for name in ("log", "message", "msg", "MESSAGE"):
        text = fields.get(name) if isinstance(fields, dict) else None
        if isinstance(text, str):
            return text.rstrip("\n")
    return line


def _plain(line: str) -> str:
    # A bar that is drawn over and over counts with its last state.
    drawn = _ANSI.sub("", line).rstrip("\r").rpartition("\r")[2]
    return _CONTROL.sub("", drawn)


def _without_common(lines: Iterable[str], pattern: re.Pattern[str]) -> list[str]:
    kept = list(lines)
    full = [line for line in kept if line.strip()]
    having = sum(1 for line in full if pattern.match(line))
    if not full or having < _MOST * len(full):
        return kept
    return [pattern.sub("", line, count=1) for line in kept]
