"""Why a server ended: from its last lines to a cause and to the exact change. Pure.

The order of the search: what a line says outright, then what kind of exception it was and where,
then what only follows other failures, then lines that no error stands in, then the exit alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from launcher.engines.causes import (
    Cause,
    CauseTable,
    Confidence,
    ErrorSign,
    OutputSigns,
    Retry,
    ServerEnd,
)
from launcher.engines.output import PythonError, goes_on, python_errors


def find_cause(end: ServerEnd, causes: CauseTable) -> Cause | None:
    """Why a server ended, or None where nothing known fits. Never raises."""
    cause = next(_causes(end, causes), None)
    return _of_a_crash(cause) if cause is not None and end.served else cause


def deadly_errors(lines: tuple[str, ...], signs: OutputSigns) -> tuple[PythonError, ...]:
    """The exceptions of an output that the server did not survive, in their order.

    It survives one request's, or one that it expected: it goes on and prints a sign of life.
    """
    numbers = range(len(lines) - 1, -1, -1)
    last_alive = next((number for number in numbers if signs.alive.search(lines[number])), -1)
    return tuple(
        error
        for error in python_errors(lines)
        if signs.deadly.search(error.announced) or last_alive < error.end
    )


def sign_of(end: ServerEnd, error: PythonError, signs: OutputSigns) -> ErrorSign:
    """An exception with what the engine was doing."""
    return ErrorSign(end, error, signs.stage_of(error))


def _causes(end: ServerEnd, known: CauseTable) -> Iterator[Cause]:
    """Every cause that fits, the best first."""
    # The text of an exception may be a client's, once there are clients.
    said = {n for n, line in enumerate(end.lines) if end.served and goes_on(line)}
    quiet = (_quiet_lines(end, known.signs) | _past_lines(end, known.signs)) - said
    loud = [number for number in range(len(end.lines)) if number not in quiet | said]
    # The *first line* that fits counts, since of several ranks the first that fails takes the
    # others with it; for one line, the first entry of the table.
    for index in loud:
        for name, error in known.errors.items():
            if (cause := error.find_in(name, end, index)) is not None:
                yield cause
    yield from _general_causes(end, known)
    for name, echo in known.echoes.items():
        for index in loud:
            if (cause := echo.find_in(name, end, index)) is not None:
                yield cause
    for index in sorted(quiet):
        for name, entry in (dict(known.errors) | dict(known.echoes)).items():
            if (cause := entry.find_in(name, end, index)) is not None:
                yield replace(cause, confidence=Confidence.LIKELY)
    for name, silent in known.silent.items():
        if (cause := silent.conclude(name, end)) is not None:
            yield cause


def _of_a_crash(cause: Cause) -> Cause:
    """The cause of a server that had been READY.

    What the same arguments would run into again (`Retry.NEVER`) it should have run into before it
    was READY. So it is a guess, and none to give up a server for.
    """
    if cause.retry is not Retry.NEVER:
        return cause
    return replace(cause, retry=Retry.ONCE_SERVED, confidence=Confidence.LIKELY)


def _past_lines(end: ServerEnd, signs: OutputSigns) -> frozenset[int]:
    """Numbers of the lines after which a server that had been READY printed a sign of life."""
    if not end.served:
        return frozenset()
    alive = (n for n in range(len(end.lines) - 1, -1, -1) if signs.alive.search(end.lines[n]))
    past = set(range(next(alive, 0)))
    for error in deadly_errors(end.lines, signs):
        past -= set(range(error.head, error.end))
    return frozenset(past)


def _quiet_lines(end: ServerEnd, signs: OutputSigns) -> frozenset[int]:
    """Numbers of the lines that speak of nothing that ended the server."""
    quiet = {number for number, line in enumerate(end.lines) if signs.harmless.search(line)}
    deadly = deadly_errors(end.lines, signs)
    for error in python_errors(end.lines):
        if error in deadly:
            # What ended the server is loud, whatever words its lines hold.
            quiet -= {error.head, error.index}
        else:
            quiet |= set(range(error.head, error.end))
    return frozenset(quiet)


def _general_causes(end: ServerEnd, known: CauseTable) -> Iterator[Cause]:
    for error in deadly_errors(end.lines, known.signs):
        if any(
            echo.find_in(name, end, error.index) is not None for name, echo in known.echoes.items()
        ):
            continue
        sign = sign_of(end, error, known.signs)
        for name, general in known.general.items():
            if (cause := general.find_in(name, sign)) is not None:
                yield cause
