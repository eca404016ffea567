"""How far measured times are from the true ones, and what measuring costs. Pure: no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.records import RequestRecord
    from benchmarks.selfcheck.loopback.schedule import Truth

ALLOWED_NS = 1_000_000
ALLOWED_SHARE = 0.01
_NS_PER_MS = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """The times of one request, in nanoseconds.

    Attributes:
        time_to_first_token: from the request to the first chunk.
        time_per_output_token: from the first chunk to the last by tokens but one.
        end_to_end: from the request to the last chunk.
    """

    time_to_first_token: float
    time_per_output_token: float
    end_to_end: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """The error of one metric over all requests; errors are without sign, in milliseconds.

    Attributes:
        metric: a field of `Times`.
        requests: how many.
        true_median_ms: of the true times.
        median_ms: error.
        p99_ms: error.
        largest_ms: error.
        p99_relative: error by the true time.
        share_within: of requests whose error is at most the larger of 1 ms and 1 %.
    """

    metric: str
    requests: int
    true_median_ms: float
    median_ms: float
    p99_ms: float
    largest_ms: float
    p99_relative: float
    share_within: float


def measured_times(record: RequestRecord) -> Times:
    """The times that a record says, by the formulas of `Times`.

    Raises:
        ValueError: it was not successful, or holds no text or no second token.
    """
    tokens = record.completion_tokens or 0
    if record.outcome != "successful" or record.sent_ns is None or not record.chunk_ns:
        raise ValueError(f"{record.prompt_id} is {record.outcome}: {record.error}")
    first, last = record.chunk_ns[0], record.ended_ns
    return _times(record.sent_ns, first, last, tokens)


def true_times(truth: Truth) -> Times:
    """The times that the server knows, of its own clock alone.

    Between our sending and the server's reading lies what neither knows. It counts as our error,
    though part of it is the server's, which reads one request after the other.

    Raises:
        ValueError: the answer had no second token.
    """
    return _times(truth.received_ns, truth.first_ns, truth.last_ns, truth.tokens)


def _times(begin_ns: int, first_ns: int, last_ns: int, tokens: int) -> Times:
    if tokens < 2:
        raise ValueError("an answer without a second token has no time per output token")
    return Times(
        time_to_first_token=first_ns - begin_ns,
        time_per_output_token=(last_ns - first_ns) / (tokens - 1),
        end_to_end=last_ns - begin_ns,
    )


def accuracy(pairs: Iterable[tuple[Times, Times]]) -> tuple[Accuracy, ...]:
    """Hold measured times against true ones.

    Formula: error = |measured - true|; within if error <= max(1 ms, 0.01 true).

    Args:
        pairs: measured and true, one a request.

    Returns:
        One for each field of `Times`.

    Raises:
        ValueError: there is no pair.
    """
    both = list(pairs)
    if not both:
        raise ValueError("there is nothing to compare")
    return tuple(_one(name, both) for name in Times.__slots__)


def _one(metric: str, pairs: Sequence[tuple[Times, Times]]) -> Accuracy:
    measured = np.array([getattr(one, metric) for one, _ in pairs], dtype=float)
    true = np.array([getattr(one, metric) for _, one in pairs], dtype=float)
    error = np.abs(measured - true)
    within = error <= np.maximum(ALLOWED_NS, ALLOWED_SHARE * true)
    return Accuracy(
        metric=metric,
        requests=len(pairs),
        true_median_ms=float(np.median(true)) / _NS_PER_MS,
        median_ms=float(np.median(error)) / _NS_PER_MS,
        p99_ms=float(np.percentile(error, 99)) / _NS_PER_MS,
        largest_ms=float(error.max()) / _NS_PER_MS,
        p99_relative=float(np.percentile(error / np.maximum(true, 1), 99)),
        share_within=float(within.mean()),
    )


def paired_times(
    records: Iterable[RequestRecord], truths: Iterable[Truth], key_of: dict[str, str]
) -> list[tuple[Times, Times]]:
    """Bring what was measured and what was true of each request together.

    Args:
        records: of one cell.
        truths: of the same cell.
        key_of: prompt id to the key that the truth has.

    Raises:
        ValueError: a request failed, or the server does not know it.
    """
    known = {truth.key: truth for truth in truths}
    pairs = []
    for record in records:
        truth = known.get(key_of[record.prompt_id])
        measured = measured_times(record)
        if truth is None:
            raise ValueError(f"the server knows nothing of {record.prompt_id}")
        pairs.append((measured, true_times(truth)))
    return pairs


def cpu_seconds_per_token(small: tuple[float, int], large: tuple[float, int]) -> float:
    """What one more token costs, without what a process costs before its first.

    Formula: (CPU time of the larger run - of the smaller) / (tokens of the larger - of the smaller)

    Args:
        small: CPU time of a whole process in seconds, and tokens that it received.
        large: the same with more tokens.

    Raises:
        ValueError: the larger has no more tokens.
    """
    if large[1] <= small[1]:
        raise ValueError(f"{large[1]} tokens are no more than {small[1]}")
    return (large[0] - small[0]) / (large[1] - small[1])
