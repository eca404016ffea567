"""What an engine calls each quantity that is watched, and how its ranks are put together.

An engine brings one `MetricTable`, in `launcher/engines/NAME/metrics.py`. What it does not measure
is left out of it, and then has no figure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal

from launcher.metrics.buckets import Histogram, histogram
from launcher.metrics.samples import Sample, Samples

Over = Literal["sum", "max", "mean"]


class Quantity(StrEnum):
    """What is watched. Gauges are of this moment; counters run since the server's start."""

    # Gauges
    RUNNING = "running_requests"
    WAITING = "waiting_requests"
    KV_USED = "kv_used_tokens"  # by requests that run
    KV_EVICTABLE = "kv_evictable_tokens"  # kept for prompts that begin alike
    KV_TOTAL = "kv_total_tokens"
    KV_USED_FRACTION = "kv_used_fraction"  # 0 to 1
    ACCEPTANCE_LENGTH = "acceptance_length"  # of the latest steps
    DRAFT_STEPS = "draft_steps"
    DRAFT_TOKENS = "draft_tokens"
    # Counters
    REQUESTS = "requests"  # that have ended
    PROMPT_TOKENS = "prompt_tokens"  # of requests that have ended
    CACHED_TOKENS = "cached_tokens"  # of the prompt tokens, those that were not computed
    PROMPT_TOKENS_LOOKED_UP = "prompt_tokens_looked_up"  # where not all prompt tokens are
    OUTPUT_TOKENS = "output_tokens"
    DECODED_TOKENS = "decoded_tokens"  # the same, counted while requests run
    VERIFY_STEPS = "verify_steps"  # of the target model, a request and a step each
    ACCEPTED_DRAFTS = "accepted_drafts"
    RETRACTIONS = "retractions"  # requests thrown out for want of room, to be computed again
    # Histograms, in seconds
    FIRST_TOKEN = "time_to_first_token_seconds"  # noqa: S105 - no secret
    OUTPUT_TOKEN = "time_per_output_token_seconds"  # noqa: S105
    QUEUE = "queue_time_seconds"


HISTOGRAMS: Final = (Quantity.FIRST_TOKEN, Quantity.OUTPUT_TOKEN, Quantity.QUEUE)
COUNTERS: Final = (
    *(Quantity.REQUESTS, Quantity.PROMPT_TOKENS, Quantity.CACHED_TOKENS),
    *(Quantity.PROMPT_TOKENS_LOOKED_UP, Quantity.OUTPUT_TOKENS, Quantity.DECODED_TOKENS),
    *(Quantity.VERIFY_STEPS, Quantity.ACCEPTED_DRAFTS, Quantity.RETRACTIONS),
)


@dataclass(frozen=True, slots=True)
class Metric:
    """Where a quantity is found.

    Attributes:
        names: of the metric, the newest first; the first that is reported is taken.
        where: labels that a sample must have.
        over: how samples are put together that differ in other labels than the table's copies.
        zero_beside: it is 0 where it is missing and this metric is reported: some counters appear
            with their first event.
        value_of: the label that holds the value, for metrics of the kind `info`.
    """

    names: tuple[str, ...]
    where: Mapping[str, str] = field(default_factory=dict)
    over: Over = "sum"
    zero_beside: str | None = None
    value_of: str | None = None


@dataclass(frozen=True, slots=True)
class MetricTable:
    """All that one engine reports.

    Attributes:
        metrics: by quantity.
        copies: labels of ranks that report the same thing each: one of them counts. Replicas,
            which share the work, are told apart by other labels, and added up.
        files: where its processes keep their metrics below their temporary folder, as a pattern,
            in prometheus_client's multiprocess format; None: they are to be asked.
        factors: KV_TOTAL is the product of these, for an engine that tells blocks and their size.
    """

    metrics: Mapping[Quantity, Metric]
    copies: frozenset[str] = frozenset()
    files: str | None = None
    factors: tuple[Metric, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """What was reported at one moment; a quantity that was not is missing.

    Attributes:
        at_seconds: of the monotonic clock.
        values: gauges, and counters since the server's start.
        histograms: since the server's start.
    """

    at_seconds: float
    values: Mapping[Quantity, float] = field(default_factory=dict)
    histograms: Mapping[Quantity, Histogram] = field(default_factory=dict)


def read(table: MetricTable, samples: Samples, *, at_seconds: float) -> Reading:
    """Put an engine's metrics into quantities."""
    values: dict[Quantity, float] = {}
    histograms: dict[Quantity, Histogram] = {}
    for quantity, metric in table.metrics.items():
        if quantity in HISTOGRAMS:
            found = histogram(_samples(metric, samples, "_bucket"), table.copies)
            if found is not None:
                histograms[quantity] = found
        elif (value := _value(metric, samples, table.copies)) is not None:
            values[quantity] = value
    factors = [_value(metric, samples, table.copies) for metric in table.factors]
    if factors and None not in factors:
        product = 1.0
        for factor in factors:
            product *= factor or 0.0
        values[Quantity.KV_TOTAL] = product
    return Reading(at_seconds, values, histograms)


def _samples(metric: Metric, samples: Samples, suffix: str = "") -> tuple[Sample, ...]:
    """Those of the first name that is reported."""
    for name in metric.names:
        found = tuple(
            sample
            for sample in samples.get(f"{name}{suffix}", ())
            if all(sample.labels.get(label) == wanted for label, wanted in metric.where.items())
        )
        if found:
            return found
    return ()


def _value(metric: Metric, samples: Samples, copies: frozenset[str]) -> float | None:
    groups: dict[tuple[tuple[str, str], ...], float] = {}
    for sample in _samples(metric, samples):
        value = sample.value
        if metric.value_of is not None:
            try:
                value = float(sample.labels.get(metric.value_of, ""))
            except ValueError:
                continue
        key = tuple(sorted((k, v) for k, v in sample.labels.items() if k not in copies))
        groups[key] = max(groups.get(key, value), value)
    if groups:
        return _together(groups.values(), metric.over)
    return 0.0 if metric.zero_beside is not None and metric.zero_beside in samples else None


def _together(values: Iterable[float], over: Over) -> float:
    listed = list(values)
    if over == "max":
        return max(listed)
    return sum(listed) / (len(listed) if over == "mean" else 1)
