"""Whether speculation went wrong while a server served: what it accepts, and what it costs. Pure.

A slice is a part of the time in which the server decoded. Slices without requests are none, so that
a night without users neither ages the baseline nor ends an alarm.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

# What is looked back at, in slices. So many decide, so that one long answer does not.
WINDOW_SLICES: Final = 10
# Of the tokens that a step accepted beside its own, this share is gone; or is back.
DECAYED_SHARE: Final = 0.75
RECOVERED_SHARE: Final = 0.9
# And the slices of the baseline themselves did not vary so much.
DECAYED_DEVIATIONS: Final = 2.0
# Plain decoding is faster by more than a benchmark of usual length can mistake.
LOSES_BELOW: Final = 0.95
WINS_FROM: Final = 1.0
# A rule of thumb, for a server of which no benchmark is known: a step that gives less has accepted
# nothing in most cases, and drafts are not for nothing.
USELESS_LENGTH: Final = 1.3
USELESS_SLICES: Final = 2
# A slice of fewer steps is left out: each step has but 1 to 5 values.
LEAST_STEPS: Final = 20


class AlarmKind(StrEnum):
    """What went wrong."""

    DECAYED = "acceptance decayed"
    LOSES = "plain decoding is faster"
    USELESS = "drafts are not accepted"


@dataclass(frozen=True, slots=True)
class Slice:
    """What was decoded in a part of the time.

    Attributes:
        acceptance_length: tokens that a verify step gave.
        steps: of all requests.
        running_requests: in the mean.
        speedup: against plain decoding, by this machine's benchmark; None without one.
    """

    acceptance_length: float
    steps: float
    running_requests: float
    speedup: float | None = None


@dataclass(frozen=True, slots=True)
class Baseline:
    """The usual acceptance.

    Attributes:
        acceptance_length: in the mean.
        deviation: of its slices, the standard one.
        source: where it comes from, in words.
    """

    acceptance_length: float
    deviation: float
    source: str


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that went wrong.

    Attributes:
        kind: in a word.
        sentence: for people.
        acceptance_length: over the window.
        running_requests: over the window.
    """

    kind: AlarmKind
    sentence: str
    acceptance_length: float
    running_requests: float


class SpeculationJudge:
    """Takes slices; says which alarm there is.

    Args:
        speculation: as people write it.
        baseline: of an earlier run, or a benchmark; None: it is learnt.
        baseline_slices: of which it is learnt.
    """

    def __init__(
        self, speculation: str, *, baseline: Baseline | None = None, baseline_slices: int
    ) -> None:
        self.baseline = baseline
        self._speculation = speculation
        self._baseline_slices = max(2, baseline_slices)
        self._learnt: list[float] = []
        self._window: deque[Slice] = deque(maxlen=WINDOW_SLICES)
        self._alarm: Alarm | None = None

    @property
    def alarm(self) -> Alarm | None:
        """The one that there is now."""
        return self._alarm

    def take(self, seen: Slice) -> bool:
        """Judge by one more slice; says whether there is another alarm now, or none any more."""
        if seen.steps < LEAST_STEPS or not math.isfinite(seen.acceptance_length):
            return False
        self._window.append(seen)
        self._learn(seen.acceptance_length)
        former = self._alarm.kind if self._alarm else None
        kind = self._judge(former)
        if kind is former:
            return False
        self._alarm = None if kind is None else self._say(kind)
        return True

    def _learn(self, length: float) -> None:
        if self.baseline is not None:
            return
        self._learnt.append(length)
        if len(self._learnt) >= self._baseline_slices:
            self.baseline = Baseline(
                statistics.fmean(self._learnt),
                statistics.pstdev(self._learnt),
                "of this server's first requests",
            )

    def _judge(self, former: AlarmKind | None) -> AlarmKind | None:
        if self._is_useless(former):
            return AlarmKind.USELESS
        if len(self._window) < WINDOW_SLICES:
            return former
        if self._loses(former):
            return AlarmKind.LOSES
        return AlarmKind.DECAYED if self._has_decayed(former) else None

    def _is_useless(self, former: AlarmKind | None) -> bool:
        """It is told soon: a server whose drafts never fit is slow from its first request on."""
        if len(self._window) < USELESS_SLICES or any(
            one.speedup is not None for one in self._window
        ):
            return False
        least = USELESS_LENGTH * (1.1 if former is AlarmKind.USELESS else 1.0)
        return self._length < least

    def _loses(self, former: AlarmKind | None) -> bool:
        known = [one.speedup for one in self._window if one.speedup is not None]
        if len(known) < len(self._window):
            return False
        return statistics.fmean(known) < (WINS_FROM if former is AlarmKind.LOSES else LOSES_BELOW)

    def _has_decayed(self, former: AlarmKind | None) -> bool:
        base = self.baseline
        if base is None:
            return False
        accepted, usual = self._length - 1, base.acceptance_length - 1
        if former is AlarmKind.DECAYED:
            return accepted < RECOVERED_SHARE * usual
        far = base.acceptance_length - DECAYED_DEVIATIONS * base.deviation
        return accepted < DECAYED_SHARE * usual and self._length < far

    @property
    def _length(self) -> float:
        """Over the window: each step counts alike."""
        steps = math.fsum(one.steps for one in self._window)
        return math.fsum(one.steps * one.acceptance_length for one in self._window) / steps

    def _say(self, kind: AlarmKind) -> Alarm:
        length = self._length
        running = statistics.fmean(one.running_requests for one in self._window)
        known = [one.speedup for one in self._window if one.speedup is not None]
        sentences = {
            AlarmKind.USELESS: f"{self._speculation} hardly helps: a step gives {length:.2f} "
            "tokens, and one without drafts gives 1. Measure it with `python -m benchmarks run`, "
            "or serve with --no-speculation.",
            AlarmKind.LOSES: f"Plain decoding would be {1 / _mean(known):.2g} times as fast as "
            f"{self._speculation} here: {running:.2g} requests run and a step gives {length:.2f} "
            "tokens, by this machine's benchmark.",
            AlarmKind.DECAYED: f"{self._speculation} accepts less than it did: a step gives "
            f"{length:.2f} tokens, and {_usual(self.baseline)}.",
        }
        return Alarm(kind, sentences[kind], length, running)


def _mean(values: list[float]) -> float:
    return statistics.fmean(values) if values else 1.0


def _usual(base: Baseline | None) -> str:
    return "" if base is None else f"{base.acceptance_length:.2f} {base.source}"
