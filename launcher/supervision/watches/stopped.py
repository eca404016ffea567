"""Processes that have stood still for long: SIGSTOP, or a debugger that holds them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from launcher.system.process import ProcessIdentity


class StoppedProcesses:
    """Remembers since when each process stands still.

    A moment is nothing: profilers such as py-spy stop a process for each of their looks.

    Args:
        patience_seconds: for how long one may.
        clock: monotonic seconds.
    """

    def __init__(
        self, patience_seconds: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._patience_seconds = patience_seconds
        self._clock = clock
        self._since: dict[ProcessIdentity, float] = {}

    def look(self, processes: Iterable[ProcessIdentity]) -> list[ProcessIdentity]:
        """Look at processes; those that stood still at each look for so long, by their pids."""
        now = self._clock()
        looked_at = sorted(processes, key=lambda one: one.pid)
        self._since = {one: self._since.get(one, now) for one in looked_at if one.is_stopped()}
        return [one for one in self._since if now - self._since[one] >= self._patience_seconds]
