"""Histograms of Prometheus: their differences and quantiles."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from launcher.metrics.samples import Sample


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many values were seen up to each bound.

    Attributes:
        bounds: shape [buckets], rising; the last one is infinity.
        counts: shape [buckets], cumulative.
    """

    bounds: tuple[float, ...]
    counts: tuple[float, ...]

    @property
    def total(self) -> float:
        """All values."""
        return self.counts[-1]

    def since(self, former: Histogram) -> Histogram:
        """What came since an earlier reading.

        Where it counts less now, or has other bounds, the server has begun anew in between, and
        all that it counts now came since then.
        """
        if former.bounds != self.bounds or former.total > self.total:
            return self
        pairs = zip(self.counts, former.counts, strict=True)
        return Histogram(self.bounds, tuple(max(0.0, now - then) for now, then in pairs))

    def plus(self, other: Histogram) -> Histogram:
        """Both together; where the bounds differ, the later ones count alone."""
        if other.bounds != self.bounds:
            return other
        pairs = zip(self.counts, other.counts, strict=True)
        return Histogram(self.bounds, tuple(one + another for one, another in pairs))

    def quantile(self, share: float) -> float | None:
        """The value that a share of all values does not exceed; None without a value.

        Formula: straight line within the bucket, the first of which begins at 0; beyond the largest
        finite bound, that bound. Source: `histogram_quantile` of Prometheus,
        promql/quantile.go.

        Args:
            share: 0 to 1.
        """
        if self.total <= 0:
            return None
        rank = share * self.total
        below, lower = 0.0, 0.0
        for bound, count in zip(self.bounds, self.counts, strict=True):
            if count >= rank and count > below:
                if math.isinf(bound):
                    return lower
                return lower + (bound - lower) * (rank - below) / (count - below)
            below, lower = count, bound
        return lower


def histogram(samples: Iterable[Sample], copies: frozenset[str]) -> Histogram | None:
    """The histogram of a metric's `_bucket` samples; None where there are none.

    Args:
        samples: each with its bound in the label `le`.
        copies: labels whose values count the same things several times: the largest count stands
            for them. Over all other labels counts are added up.
    """
    groups: dict[tuple[tuple[str, str], ...], dict[float, float]] = {}
    for sample in samples:
        key = tuple(
            sorted((k, v) for k, v in sample.labels.items() if k != "le" and k not in copies)
        )
        try:
            bound = float(sample.labels["le"])
        except (KeyError, ValueError):
            continue
        group = groups.setdefault(key, {})
        group[bound] = max(group.get(bound, 0.0), sample.value)
    bounds = sorted({bound for group in groups.values() for bound in group})
    if not bounds:
        return None
    columns = [_carried(group, bounds) for group in groups.values()]
    return _rising(bounds, [sum(column) for column in zip(*columns, strict=True)])


def _carried(group: Mapping[float, float], bounds: Sequence[float]) -> list[float]:
    """Its counts at all bounds; at one that it lacks, that of the bound below."""
    counts, last = [], 0.0
    for bound in bounds:
        last = group.get(bound, last)
        counts.append(last)
    return counts


def _rising(bounds: Sequence[float], counts: Sequence[float]) -> Histogram:
    """With the bound infinity, and no count below the one before it.

    A scrape is no single moment: a value may be counted in one bucket and not yet in the next.
    """
    if not math.isinf(bounds[-1]):
        bounds, counts = [*bounds, math.inf], [*counts, counts[-1]]
    risen = list(counts)
    for place, (former, following) in enumerate(pairwise(counts), 1):
        risen[place] = max(risen[place - 1], former, following)
    return Histogram(tuple(bounds), tuple(risen))
