"""Whether a server that has been ready still is: probes, one at a time, and what comes out of it.

A probe that fails proves nothing while requests advance: under load it waits in the queue like any
other. So what the server gave to somebody since the probe began counts for it, and only probes that
fail with nothing coming out count against it. What one of its processes says or does counts for
nothing: a scheduler computes on, and prints so, where the detokenizer behind it stands still, and
one that waits for a GPU spins.
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
# For the question when the last output came. A server that hangs costs this beside each probe.
OUTPUT_TIMEOUT_SECONDS: Final = 2.0


class Health(Enum):
    """What the evidence so far says."""

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    HUNG = "hung"


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """How a probe ended.

    Attributes:
        refusal: why no token came; None where one came.
        advanced: whether somebody else got a part of an answer since the probe began.
    """

    refusal: str | None
    advanced: bool = False


class HealthJudge:
    """Counts probes that failed in a row with nothing advancing. Pure.

    Args:
        failures_allowed: as many of them, and the server is taken for hung.
    """

    def __init__(self, failures_allowed: int) -> None:
        self._allowed = failures_allowed
        self.failures = 0

    def take(self, probe: ProbeResult) -> Health:
        """Judge by one more probe."""
        if probe.refusal is None or probe.advanced:
            self.failures = 0
            return Health.HEALTHY
        self.failures += 1
        return Health.HUNG if self.failures >= self._allowed else Health.UNHEALTHY


class RequestProgress:
    """Remembers when the log last showed work. Fed by one thread, read by others.

    Args:
        shows_progress: whether a line of output shows it, and cannot come of a probe.
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

    A probe's result is also what a process that stands still makes of it: some processes matter to
    some requests only, and a probe may miss them.

    Args:
        prober: asks.
        progress: what the log shows. It saves questions while nothing is wrong; it is believed
            only where the server cannot tell when its last output came.
        find_stopped: what has stood still for long, in words; empty where nothing has.
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
        find_stopped: Callable[[], str] = lambda: "",
        in_doubt: bool = False,
    ) -> None:
        self._prober = prober
        self._progress = progress
        self._find_stopped = find_stopped
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
            result = self._ask(began, is_in_doubt=unanswered)
            if self._stopped.is_set():
                return
            if result is not None:
                self._on_result(result)
            unanswered = result is not None and result.refusal is not None
            # What is refused at once is not asked again at once.
            spent = time.monotonic() - began if unanswered else 0.0
            pause = max(0.0, self._interval_seconds - spent)

    def _ask(self, began: float, *, is_in_doubt: bool) -> ProbeResult | None:
        """What a probe says, or None where none was needed."""
        if stopped := self._find_stopped():
            return ProbeResult(stopped)
        since = began - self._interval_seconds
        if not is_in_doubt and self._log_shows_work(since) and self._has_given_since(since):
            return None
        if self._prober.generate(HEALTH_TOKENS, timeout_seconds=self._timeout_seconds):
            return ProbeResult(None)
        refusal = self._prober.last_refusal or "no answer"
        return ProbeResult(refusal, advanced=self._has_given_since(began))

    def _has_given_since(self, at: float) -> bool:
        """Whether somebody got a part of an answer since then; by the log where none can say."""
        asked_at = time.monotonic()
        seconds = self._prober.seconds_since_output(timeout_seconds=OUTPUT_TIMEOUT_SECONDS)
        return self._log_shows_work(at) if seconds is None else asked_at - seconds >= at

    def _log_shows_work(self, at: float) -> bool:
        return self._progress.at is not None and self._progress.at >= at
