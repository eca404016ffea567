"""The readings of the last minute, and what they come to."""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from typing import Final

from launcher.metrics.buckets import Histogram
from launcher.metrics.figures import Acceptance, Figures, Quantiles, Totals
from launcher.metrics.history import Moment
from launcher.metrics.table import Quantity, Reading

WINDOW_SECONDS: Final = 60.0


class Window:
    """Takes one reading after another of one server.

    Args:
        seconds: how far it looks back; one reading more is kept, so that it covers all of them.
    """

    def __init__(self, seconds: float = WINDOW_SECONDS) -> None:
        self._seconds = seconds
        self._readings: deque[Reading] = deque()

    def add(self, reading: Reading) -> None:
        """Take the newest reading; what is too old goes."""
        self._readings.append(reading)
        oldest = reading.at_seconds - self._seconds
        while len(self._readings) > 2 and self._readings[1].at_seconds <= oldest:
            self._readings.popleft()

    def clear(self) -> None:
        """Forget all: the server that was read has gone."""
        self._readings.clear()

    def moment(self) -> Moment:
        """What was between the last two readings."""
        if len(self._readings) < 2:
            return Moment()
        former, now = self._readings[-2], self._readings[-1]
        seconds = now.at_seconds - former.at_seconds
        counter = Quantity.DECODED_TOKENS
        if counter not in now.values:
            counter = Quantity.OUTPUT_TOKENS
        both = counter in former.values and counter in now.values and seconds > 0
        return Moment(
            acceptance_length=_accepted(former, now),
            running_requests=now.values.get(Quantity.RUNNING),
            output_tokens_per_second=_grown(former.values[counter], now.values[counter]) / seconds
            if both
            else None,
        )

    def figures(self) -> Figures:
        """What the readings come to."""
        if not self._readings:
            return Figures()
        newest = self._readings[-1].values
        seconds = self._readings[-1].at_seconds - self._readings[0].at_seconds
        requests = self._rate(Quantity.REQUESTS, seconds)
        decoded = self._rate(Quantity.DECODED_TOKENS, seconds)
        total = newest.get(Quantity.KV_TOTAL)
        return Figures(
            window_seconds=seconds,
            running_requests=newest.get(Quantity.RUNNING),
            waiting_requests=newest.get(Quantity.WAITING),
            expected_wait_seconds=_wait(newest.get(Quantity.WAITING), requests),
            requests_per_second=requests,
            prompt_tokens_per_second=self._rate(Quantity.PROMPT_TOKENS, seconds),
            output_tokens_per_second=self._rate(Quantity.OUTPUT_TOKENS, seconds)
            if decoded is None
            else decoded,
            acceptance=self._acceptance(),
            draft_steps=newest.get(Quantity.DRAFT_STEPS),
            draft_tokens=newest.get(Quantity.DRAFT_TOKENS),
            time_to_first_token_seconds=self._quantiles(Quantity.FIRST_TOKEN),
            time_per_output_token_seconds=self._quantiles(Quantity.OUTPUT_TOKEN),
            queue_time_seconds=self._quantiles(Quantity.QUEUE),
            kv_total_tokens=total,
            kv_used_fraction=_used(newest.get(Quantity.KV_USED), total)
            if newest.get(Quantity.KV_USED_FRACTION) is None
            else newest[Quantity.KV_USED_FRACTION],
            kv_evictable_fraction=_used(newest.get(Quantity.KV_EVICTABLE), total),
            prefix_hit_fraction=self._prefix_hits(),
            retractions=self._increase(Quantity.RETRACTIONS),
            totals=Totals(
                requests=newest.get(Quantity.REQUESTS),
                prompt_tokens=newest.get(Quantity.PROMPT_TOKENS),
                cached_tokens=newest.get(Quantity.CACHED_TOKENS),
                output_tokens=newest.get(Quantity.OUTPUT_TOKENS),
                verify_steps=newest.get(Quantity.VERIFY_STEPS),
                retractions=newest.get(Quantity.RETRACTIONS),
            ),
        )

    def _increase(self, quantity: Quantity) -> float | None:
        """How much a counter grew over the window; None with fewer than two readings of it.

        Formula: sum of the differences; where it falls, the server has begun anew, and what it
        counts then came since. Source: `increase` of Prometheus, without its extrapolation.
        """
        found = [r.values[quantity] for r in self._readings if quantity in r.values]
        if len(found) < 2:
            return None
        return sum(_grown(former, now) for former, now in pairwise(found))

    def _rate(self, quantity: Quantity, seconds: float) -> float | None:
        grown = self._increase(quantity)
        return None if grown is None or seconds <= 0 else grown / seconds

    def _quantiles(self, quantity: Quantity) -> Quantiles:
        read = [r.histograms[quantity] for r in self._readings if quantity in r.histograms]
        seen: Histogram | None = None
        for former, now in pairwise(read):
            grown = now.since(former)
            seen = grown if seen is None else seen.plus(grown)
        if len(read) < len(self._readings) and read:
            # It appeared with its first value, which a reading before has not.
            seen = read[0] if seen is None else seen.plus(read[0])
        if seen is None:
            return Quantiles()
        return Quantiles(seen.quantile(0.5), seen.quantile(0.9), seen.quantile(0.99))

    def _prefix_hits(self) -> float | None:
        looked_up = self._increase(Quantity.PROMPT_TOKENS_LOOKED_UP)
        prompt = self._increase(Quantity.PROMPT_TOKENS) if looked_up is None else looked_up
        return _used(self._increase(Quantity.CACHED_TOKENS), prompt)

    def _acceptance(self) -> Acceptance:
        newest = self._readings[-1]
        latest = [_accepted(former, now) for former, now in pairwise(self._readings)]
        steps = self._increase(Quantity.VERIFY_STEPS)
        counted = _length(
            steps,
            self._increase(Quantity.ACCEPTED_DRAFTS),
            self._increase(Quantity.OUTPUT_TOKENS),
            self._increase(Quantity.REQUESTS),
        )
        seen = [length for length in latest if length is not None]
        values = newest.values
        return Acceptance(
            latest=latest[-1] if latest else None,
            # Requests that have not ended are in no counter yet.
            window=counted if counted is not None else sum(seen) / len(seen) if seen else None,
            since_start=_length(
                values.get(Quantity.VERIFY_STEPS),
                values.get(Quantity.ACCEPTED_DRAFTS),
                values.get(Quantity.OUTPUT_TOKENS),
                values.get(Quantity.REQUESTS),
            ),
            verify_steps=steps,
        )


def _grown(former: float, now: float) -> float:
    return now - former if now >= former else now


def _length(
    steps: float | None, accepted: float | None, tokens: float | None, requests: float | None
) -> float | None:
    """Tokens that a verify step gave.

    Formula: (accepted drafts + verify steps) / verify steps; where drafts are not counted,
    (output tokens - requests) / verify steps: the first token of each request is the prefill's. A
    probe of one token, which has no verify step, so counts for nothing.
    Source: docs/benchmarks.md; sglang 0.5.23, srt/managers/tokenizer_manager.py.
    """
    if not steps:
        return None
    if accepted is not None:
        return (accepted + steps) / steps
    if tokens is None or requests is None:
        return None
    # A request that ended early may have given less than its verify steps.
    return max(1.0, (tokens - requests) / steps)


def _accepted(former: Reading, now: Reading) -> float | None:
    """The latest acceptance length between two readings; None where nothing was decoded.

    A gauge keeps its last value while the server idles, and so says nothing then.
    """
    before, after = former.values, now.values
    drafts = (Quantity.ACCEPTED_DRAFTS, Quantity.VERIFY_STEPS)
    if all(one in before and one in after for one in drafts):
        accepted, steps = (_grown(before[one], after[one]) for one in drafts)
        return (accepted + steps) / steps if steps else None
    counter = Quantity.DECODED_TOKENS if Quantity.DECODED_TOKENS in after else Quantity.RUNNING
    if counter is Quantity.RUNNING:
        moved = bool(after.get(counter))
    else:
        moved = after[counter] != before.get(counter)
    return after.get(Quantity.ACCEPTANCE_LENGTH) or None if moved else None


def _used(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else part / whole


def _wait(waiting: float | None, requests_per_second: float | None) -> float | None:
    """Formula: Little's law: those that wait / those that end a second."""
    if waiting is None:
        return None
    if not waiting:
        return 0.0
    return waiting / requests_per_second if requests_per_second else None
