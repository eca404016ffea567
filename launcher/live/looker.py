"""Looks at servers again and again, in a thread, so that nobody who shows them waits for one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Self

from launcher.live.snapshot import Snapshot
from launcher.live.watch import Watch


class Looker:
    """Looks again and again, in a thread.

    Args:
        watch: what is looked at.
        interval_seconds: between two looks.
        tell: called after each look, in the thread.
    """

    def __init__(
        self, watch: Watch, interval_seconds: float, tell: Callable[[], None] = lambda: None
    ) -> None:
        self._watch = watch
        self._interval_seconds = interval_seconds
        self._tell = tell
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, name="looker", daemon=True)
        self.newest: Snapshot | None = None
        self._failure: BaseException | None = None

    def check(self) -> None:
        """Raise what has ended the thread, where something has."""
        if self._failure is not None:
            raise self._failure

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End; a look that waits for a server is not waited for."""
        self._ends.set()

    def _run(self) -> None:
        following = time.monotonic()
        while not self._ends.is_set():
            try:
                self.newest = self._watch.look()
            except BaseException as error:  # noqa: BLE001 - raised where somebody hears it
                self._failure = error
                self._tell()
                return
            self._tell()
            # Looks that took too long are left out, and not made up for.
            following = max(following + self._interval_seconds, time.monotonic())
            self._ends.wait(following - time.monotonic())
