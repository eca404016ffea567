"""Requests that a server is answering when one of its processes is killed."""

from __future__ import annotations

import threading
import time
from typing import Final

from launcher.engines.sglang.watching.prober import HttpProber

# More than is generated before the latest kill, and few enough to wait for where nothing breaks.
REQUEST_TOKENS: Final = 512
END_SECONDS: Final = 120.0


class InFlightRequests:
    """Requests under way.

    Attributes:
        last_ended_at: when the last that has ended did, in monotonic seconds; None before.

    Args:
        base_url: of the server.
        count: how many.
        timeout_seconds: of each, in which the server may recover.
    """

    def __init__(self, base_url: str, count: int, *, timeout_seconds: float) -> None:
        self._ended: list[bool] = []
        self.last_ended_at: float | None = None
        self._threads = [
            threading.Thread(target=self._ask, args=(base_url, timeout_seconds), daemon=True)
            for _ in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def _ask(self, base_url: str, timeout_seconds: float) -> None:
        prober = HttpProber(base_url)
        self._ended.append(prober.generate(REQUEST_TOKENS, timeout_seconds=timeout_seconds))
        self.last_ended_at = time.monotonic()

    def wait(self) -> tuple[int, int, int]:
        """Wait for their end; how many were finished, broken, and without an end."""
        deadline = time.monotonic() + END_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        ended = list(self._ended)
        return ended.count(True), ended.count(False), len(self._threads) - len(ended)
