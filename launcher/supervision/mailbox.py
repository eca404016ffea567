"""The one place at which a supervisor waits: for what happened, for requests, for time to pass.

Threads and signal handlers put values in and act on nothing; the loop takes them out, one at a
time. All times are of the monotonic clock, so that a clock that is set has no influence.
"""

from __future__ import annotations

import enum
import queue
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias


class Request(enum.Enum):
    """What somebody wants of the supervisor."""

    STOP = "stop"
    RESTART = "restart"


class Timer(enum.Enum):
    """What a supervisor waits for beside events."""

    START = enum.auto()  # the start has taken as long as it may
    LOOK = enum.auto()  # look at what the processes do
    FALLOUT = enum.auto()  # a process was lost, and the engine has had its time to react
    TERM = enum.auto()  # a gateway has had its time to send nothing more
    DRAIN = enum.auto()  # requests in flight have had their time
    KILL = enum.auto()  # the server has had its time to end
    STAND_BY = enum.auto()  # look after the process that stands by for the next run
    RESTART = enum.auto()  # the pause after a failure is over


@dataclass(frozen=True, slots=True)
class RunMessage:
    """Base of what the threads of one run report. Those of an earlier run are not looked at."""

    run_id: str


Item: TypeAlias = RunMessage | Request | Timer


# The system takes no wait of centuries.
LONGEST_WAIT_SECONDS: Final = 3600.0


class Mailbox:
    """Values from other threads, and timers.

    Args:
        clock: monotonic seconds.
        beat_seconds: how often to call `beat` while waiting; None: never.
        beat: proof for a watchdog that the loop comes round.
        chore: does what is overdue, whenever the loop comes round; says in how many seconds it has
            to be called again, or None: there is nothing to do.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        beat_seconds: float | None = None,
        beat: Callable[[], None] = lambda: None,
        chore: Callable[[], float | None] = lambda: None,
    ) -> None:
        # A SimpleQueue may be put into by a signal handler that interrupted a put.
        self._items: queue.SimpleQueue[RunMessage | Request] = queue.SimpleQueue()
        self._timers: dict[Timer, float] = {}
        self._clock = clock
        self._beat_seconds = beat_seconds
        self._beat = beat
        self._next_beat = clock()
        self._chore = chore

    def put(self, item: RunMessage | Request) -> None:
        """Report something. Safe in a signal handler and from any thread."""
        self._items.put(item)

    def set(self, timer: Timer, seconds: float) -> None:
        """Let a timer ring once, so many seconds from now; one that runs is set anew."""
        self._timers[timer] = self._clock() + seconds

    def clear(self, *timers: Timer) -> None:
        """Stop timers; without arguments all of them."""
        for timer in timers or tuple(Timer):
            self._timers.pop(timer, None)

    def next(self) -> Item:
        """Wait for whatever is next."""
        while True:
            self._beat_if_due()
            chore_seconds = self._chore()
            # Looked at first: a server that prints without end must not outrun its deadline.
            if (timer := self._rung()) is not None:
                return timer
            try:
                return self._items.get(timeout=self._seconds_to_wait(chore_seconds))
            except queue.Empty:
                continue

    def poll(self) -> RunMessage | Request | None:
        """What somebody has put in, if anything; waits for nothing."""
        try:
            return self._items.get_nowait()
        except queue.Empty:
            return None

    def _rung(self) -> Timer | None:
        now = self._clock()
        due = [timer for timer, at in self._timers.items() if at <= now]
        if not due:
            return None
        first = min(due, key=self._timers.__getitem__)
        del self._timers[first]
        return first

    def _seconds_to_wait(self, chore_seconds: float | None) -> float | None:
        times = list(self._timers.values())
        if chore_seconds is not None:
            times.append(self._clock() + chore_seconds)
        if self._beat_seconds is not None:
            times.append(self._next_beat)
        return min(max(0.0, min(times) - self._clock()), LONGEST_WAIT_SECONDS) if times else None

    def _beat_if_due(self) -> None:
        if self._beat_seconds is not None and self._clock() >= self._next_beat:
            self._beat()
            self._next_beat = self._clock() + self._beat_seconds
