"""Why a server ended: from its last lines to a cause and to the exact change. Pure.

The table has three parts, asked in this order:

1. what is an error by itself. The *first line* that fits counts, since of several ranks the first
   that fails takes the others with it; for one line, the first entry that fits;
2. what is only the echo of another failure, such as "crashed with exit code -9";
3. the way a silent server ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from launcher.engines.causes import Cause, Ending, Entry, Retry, SilentEntry
from launcher.engines.sglang.causes import gpu, host, model

__all__ = ["Cause", "Ending", "Retry", "find_cause", "table"]

# GPUs before the host: "shared memory" is a GPU's there, and a machine's here.
ERRORS: Final[tuple[Entry, ...]] = (
    *gpu.ENTRIES,
    *model.ENTRIES,
    *host.ENTRIES,
)
# The end of a child before what its neighbours said of it.
ECHOES: Final[tuple[Entry, ...]] = (*host.FALLOUT, *gpu.FALLOUT)
SILENT: Final[tuple[SilentEntry, ...]] = host.SILENT


def find_cause(ending: Ending) -> Cause | None:
    """Why a server ended, or None where nothing known fits. Never raises."""
    return next(_causes(ending), None)


def _causes(ending: Ending) -> Iterator[Cause]:
    """Every cause that fits, the best first."""
    for index in range(len(ending.lines)):
        for entry in ERRORS:
            if (cause := entry.find_in(ending, index)) is not None:
                yield cause
    for entry in ECHOES:
        for index in range(len(ending.lines)):
            if (cause := entry.find_in(ending, index)) is not None:
                yield cause
    for silent in SILENT:
        if (cause := silent.find_in(ending)) is not None:
            yield cause


def table() -> tuple[Entry | SilentEntry, ...]:
    """Every entry in the order of the search; a name may stand in two parts of it."""
    return (*ERRORS, *ECHOES, *SILENT)
