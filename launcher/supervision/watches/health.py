"""Whether a server that has been ready still is: probes, one at a time, and what its log shows.

A probe that fails proves nothing while requests advance: under load it waits in the queue like any
other. So a batch in the log counts for the server, and only probes that fail with nothing advancing
count against it. CPU time counts for nothing: a scheduler that waits for a GPU spins.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from launcher.engines.prober import Prober

# One token is enough; the first one comes from the prefill.
HEALTH_TOKENS: Final = 1


class Health(Enum):
    """What the evidence so far says."""

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    HUNG = "hung"


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """How a probe ended. `refusal` is None for one that generated a token."""

    began_at: float  # monotonic seconds
    refusal: str | None


class HealthJudge:
    """Counts probes that failed in a row with nothing advancing. Pure.

    Args:
        failures_allowed: as many of them, and the server is taken for hung.
    """

    def __init__(self, failures_allowed: int) -> None:
        self._allowed = failures_allowed
        self.failures = 0

    def take(self, probe: ProbeResult, *, advanced_at: float | None) -> Health:
        """Judge by one more probe.

        Args:
            probe: how it ended.
            advanced_at: when requests were last seen to advance, in monotonic seconds.
        """
        advanced = advanced_at is not None and advanced_at >= probe.began_at
        if probe.refusal is None or advanced:
            self.failures = 0
            return Health.HEALTHY
        self.failures += 1
        return Health.HUNG if self.failures >= self._allowed else Health.UNHEALTHY


class RequestProgress:
    """Remembers when requests were last seen to advance. Fed by one thread, read by others.

    Args:
        shows_progress: whether a line of output shows it, as the engine's log does.
    """

    def __init__(self, shows_progress: Callable[[str], bool]) -> None:
        self._shows_progress = shows_progress
        self.at: float | None = None

    def see(self, line: str) -> None:
        """Look at a line of the server's output."""
        if self._shows_progress(line):
            self.at = time.monotonic()


class HealthWatch:
    """A thread that asks for a token every now and then; where requests advance it need not ask.

    Args:
        prober: asks.
        progress: what the log shows.
        interval_seconds: from the end of a good probe, or the start of a bad one, to the next.
        timeout_seconds: of one probe.
        on_result: called with each result, in the thread.
        in_doubt: begin with a real probe, however busy the server is.
    """

    def __init__(
        self,
        prober: Prober,
        progress: RequestProgress,
        *,
        interval_seconds: float,
        timeout_seconds: float,
        on_result: Callable[[ProbeResult], None],
        in_doubt: bool = False,
    ) -> None:
        self._prober = prober
        self._progress = progress
        self._interval_seconds = interval_seconds
        self._timeout_seconds = timeout_seconds
        self._on_result = on_result
        self._in_doubt = in_doubt
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="health", daemon=True)

    def start(self) -> None:
        """Begin, one interval from now."""
        self._thread.start()

    def stop(self) -> None:
        """Ask no more. A probe under way ends by itself and is not reported."""
        self._stopped.set()

    def _run(self) -> None:
        pause = self._interval_seconds
        unanswered = self._in_doubt
        while not self._stopped.wait(pause):
            began = time.monotonic()
            if not unanswered and self._advanced_since(began - self._interval_seconds):
                pause = self._interval_seconds
                continue
            generated = self._prober.generate(HEALTH_TOKENS, timeout_seconds=self._timeout_seconds)
            if self._stopped.is_set():
                return
            refusal = None if generated else (self._prober.last_refusal or "no answer")
            self._on_result(ProbeResult(began, refusal))
            unanswered = refusal is not None
            # What is refused at once is not asked again at once.
            spent = time.monotonic() - began if unanswered else 0.0
            pause = max(0.0, self._interval_seconds - spent)

    def _advanced_since(self, at: float) -> bool:
        return self._progress.at is not None and self._progress.at > at
