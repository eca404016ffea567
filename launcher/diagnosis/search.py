"""Why a server ended: from its last lines to a cause and to the exact change. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from launcher.engines.causes import Cause, CauseTable, ServerEnd


def find_cause(end: ServerEnd, causes: CauseTable) -> Cause | None:
    """Why a server ended, or None where nothing known fits. Never raises."""
    return next(_causes(end, causes), None)


def _causes(end: ServerEnd, known: CauseTable) -> Iterator[Cause]:
    """Every cause that fits, the best first."""
    numbers = range(len(end.lines))
    # The *first line* that fits counts, since of several ranks the first that fails takes the
    # others with it; for one line, the first entry of the table.
    for index in numbers:
        for name, error in known.errors.items():
            if (cause := error.find_in(name, end, index)) is not None:
                yield cause
    for name, echo in known.echoes.items():
        for index in numbers:
            if (cause := echo.find_in(name, end, index)) is not None:
                yield cause
    for name, silent in known.silent.items():
        if (cause := silent.conclude(name, end)) is not None:
            yield cause
