"""Intervals for what was measured in few rounds. Pure, and the same for the same seed.

A round's figures share what the machine did at that time, so rounds are the unit that repeats: 16
prompts in 5 rounds are 5 observations of the machine, not 80. Their spread gives one part of an
interval, by Student's t with rounds - 1 degrees of freedom. The prompts are a sample of what a
workload stands for: they give the other part, by a bootstrap over prompts. A bootstrap over 5
rounds would be too narrow, and one over prompts alone blind to the machine: the decision record
0010 has the rates of false calls of each, and `benchmarks.selfcheck.intervals_check` computes them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.analysis.figures import Estimate

Floats = NDArray[np.float64]

LEAST_ROUNDS: Final = 3
"""Two rounds have a standard deviation too, and an interval that says nothing."""

COVERAGE: Final = 0.97
"""What intervals are made for, to hold what their 95 % promises. Exact t intervals of 95 % call one
difference in 20 where there is none; rounds are not normal either, and a report has many cells."""

RESAMPLES: Final = 400
"""Of the bootstrap. For a standard error, 200 are enough.
Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 6.4."""


@lru_cache(maxsize=256)
def student_quantile(coverage: float, degrees: int) -> float:
    """How many standard errors a two-sided interval reaches to each side.

    Formula: the t for which P(-t <= T <= t) = coverage, by bisection of the closed form
    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.

    Args:
        coverage: above 0, below 1.
        degrees: of freedom, 1 and up.

    Raises:
        ValueError: outside of these.
    """
    if not 0 < coverage < 1 or degrees < 1:
        raise ValueError(f"no such quantile: coverage {coverage}, {degrees} degrees of freedom")
    low, high = 0.0, math.pi / 2  # the angle theta, t = tan(theta) * sqrt(degrees)
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, degrees) < coverage else (low, middle)
    return math.tan(low) * math.sqrt(degrees)


def _within(theta: float, degrees: int) -> float:
    """P(-t <= T <= t) for t = tan(theta) * sqrt(degrees)."""
    squared = math.cos(theta) ** 2
    odd = degrees % 2
    term = math.cos(theta) if odd else 1.0
    total = 0.0
    for k in range(odd + 1, degrees, 2):
        total += term
        term *= squared * k / (k + 1)
    if odd:
        return 2 / math.pi * (theta + math.sin(theta) * total)
    return math.sin(theta) * total


def mean_over_rounds(values: Sequence[float]) -> Estimate:
    """The mean, with its interval.

    Formula: mean +- t * standard deviation / sqrt(rounds), t with rounds - 1 degrees of freedom
    Source: Student, The probable error of a mean, Biometrika 6 (1908); for benchmarks: Georges,
        Buytaert, Eeckhout, Statistically rigorous Java performance evaluation, OOPSLA 2007, 3.2.

    Args:
        values: shape [rounds], not negative, at least one.

    Returns:
        No interval below `LEAST_ROUNDS`.
    """
    rounds = np.asarray(values, dtype=np.float64)
    return _interval(float(rounds.mean()), _error_over_rounds(rounds), 0.0, rounds.size)


def ratio_over_rounds(ratios: Sequence[float]) -> Estimate:
    """The geometric mean of ratios, with its interval: swap both sides and it is the reciprocal.

    Formula: exp of `mean_over_rounds` of the logarithms

    Args:
        ratios: shape [rounds], above 0, at least one.

    Returns:
        No interval below `LEAST_ROUNDS`.
    """
    logs = np.log(np.asarray(ratios, dtype=np.float64))
    return _exp(_interval(float(logs.mean()), _error_over_rounds(logs), 0.0, logs.size, None))


def paired_ratio(ratios: Floats, generator: np.random.Generator) -> Estimate:
    """What ratios of the same prompts in the same rounds come to, with its interval.

    Each round's figure is the median over prompts, so that a few odd answers do not matter; the
    value is their geometric mean. The prompts' part stays in where there is one round effect only,
    hence the interval is wider than it need be when the machine is calm, and never too narrow.

    Formula: m = mean_i(median_p(log r[p, i])); exp(m +- t * sqrt(s_rounds^2 + s_prompts^2)), where
        s_rounds = standard deviation of median_p(log r[p, i]) over i / sqrt(rounds), s_prompts =
        standard deviation of m when prompts are drawn with replacement, the same for all rounds,
        and t has rounds - 1 degrees of freedom
    Source: two crossed factors, each resampled by itself: Owen, The pigeonhole bootstrap, Annals
        of Applied Statistics 1(2):386 (2007); rounds as the unit: Kalibera and Jones, Rigorous
        benchmarking in reasonable time, ISMM 2013. For rounds t stands in for the bootstrap, which
        is too narrow for so few: docs/decisions/0010-speedup-intervals.md.

    Args:
        ratios: shape [prompts, rounds], above 0; NaN where a request failed on either side. Every
            round has at least one pair.
        generator: of the bootstrap.

    Returns:
        No interval below `LEAST_ROUNDS`.
    """
    logs = np.log(ratios)
    by_round = median_of_present(logs, axis=0)
    value = float(by_round.mean())
    prompts, rounds = logs.shape
    if rounds < LEAST_ROUNDS:
        return Estimate(math.exp(value))
    drawn = generator.integers(0, prompts, (RESAMPLES, prompts))
    # A draw may leave a round without a pair: the others stand for it.
    again = np.nanmean(median_of_present(logs[drawn], axis=1), axis=1)
    error_over_prompts = float(again.std(ddof=1))
    return _exp(_interval(value, _error_over_rounds(by_round), error_over_prompts, rounds, None))


def percentiles(
    values: Floats,
    prompts: NDArray[np.int64],
    rounds: NDArray[np.int64],
    percents: Sequence[float],
    generator: np.random.Generator,
) -> tuple[Estimate, ...]:
    """Percentiles over all values, with intervals that know of rounds and of prompts.

    Order statistics would take values of one round, or of one answer, for independent.

    Formula: q +- t * sqrt(s_rounds^2 + s_prompts^2), as in `paired_ratio`: s_rounds from each
        round's percentile, s_prompts from prompts drawn with replacement, all their values at once
    Source: as there; resampling whole clusters: Davison and Hinkley, Bootstrap Methods and their
        Application, 1997, section 3.8.

    Args:
        values: shape [values], not negative, at least one; of a metric.
        prompts: shape [values]; the number of each one's prompt, from 0 without a gap.
        rounds: shape [values]; of each one's round.
        percents: 0 to 100.
        generator: of the bootstrap.

    Returns:
        Shape [percents]. No interval below `LEAST_ROUNDS`.
    """
    whole = np.percentile(values, percents)
    numbers = np.unique(rounds)
    if numbers.size < LEAST_ROUNDS:
        return tuple(Estimate(float(value)) for value in whole)
    by_round = np.array([np.percentile(values[rounds == one], percents) for one in numbers])
    again = _resampled_percentiles(values, prompts, np.asarray(percents) / 100, generator)
    errors = again.std(axis=0, ddof=1)
    return tuple(
        _interval(float(value), _error_over_rounds(of_rounds), float(error), numbers.size)
        for value, of_rounds, error in zip(whole, by_round.T, errors, strict=True)
    )


def quotient_over_prompts(
    numerators: Sequence[float], denominators: Sequence[float], generator: np.random.Generator
) -> Estimate:
    """A quotient of sums, such as tokens by verify steps, with its interval over prompts.

    Greedy answers do not change from round to round, so that prompts are what varies.

    Formula: sum(n) / sum(d); percentiles of the same over prompts drawn with replacement
    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3.

    Args:
        numerators: shape [prompts].
        denominators: shape [prompts], above 0.
        generator: of the bootstrap.

    Returns:
        No interval below five prompts.
    """
    above, below = np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)
    value = float(above.sum() / below.sum())
    if above.size < 5:
        return Estimate(value)
    drawn = generator.integers(0, above.size, (4 * RESAMPLES, above.size))
    again = above[drawn].sum(axis=1) / below[drawn].sum(axis=1)
    outside = (1 - COVERAGE) / 2
    low, high = np.quantile(again, [outside, 1 - outside])
    return Estimate(value, float(low), float(high))


def median_of_present(values: Floats, axis: int) -> Floats:
    """The median without the NaN; NaN where there is nothing else."""
    ordered = np.sort(values, axis=axis)  # puts NaN last
    count = np.sum(~np.isnan(values), axis=axis, keepdims=True)
    lower = np.take_along_axis(ordered, np.maximum(count - 1, 0) // 2, axis=axis)
    upper = np.take_along_axis(ordered, np.maximum(count // 2, 0), axis=axis)
    # With nothing present, both are the first NaN. With all present and an even count, count // 2
    # is the upper of the two in the middle.
    return np.squeeze((lower + upper) / 2, axis=axis)


def _resampled_percentiles(
    values: Floats, prompts: NDArray[np.int64], shares: Floats, generator: np.random.Generator
) -> Floats:
    """Shape [RESAMPLES, shares]: each drawing of prompts is a weight for their sorted values."""
    order = np.argsort(values, kind="stable")
    ordered, owners = values[order], prompts[order]
    count = int(prompts.max()) + 1
    found = np.empty((RESAMPLES, shares.size))
    for number in range(RESAMPLES):
        weights = np.bincount(generator.integers(0, count, count), minlength=count)
        reached = np.cumsum(weights[owners])
        found[number] = ordered[np.searchsorted(reached, shares * reached[-1])]
    return found


def _error_over_rounds(values: Floats) -> float:
    return float(values.std(ddof=1) / math.sqrt(values.size)) if values.size > 1 else 0.0


def _interval(
    value: float,
    error_over_rounds: float,
    error_over_prompts: float,
    rounds: int,
    lowest: float | None = 0.0,
) -> Estimate:
    """A value and what it may be; `lowest` is what it cannot go below."""
    if rounds < LEAST_ROUNDS:
        return Estimate(value)
    reach = student_quantile(COVERAGE, rounds - 1) * math.hypot(
        error_over_rounds, error_over_prompts
    )
    low = value - reach
    return Estimate(value, low if lowest is None else max(low, lowest), value + reach)


def _exp(logarithm: Estimate) -> Estimate:
    if logarithm.low is None or logarithm.high is None:
        return Estimate(math.exp(logarithm.value))
    return Estimate(math.exp(logarithm.value), math.exp(logarithm.low), math.exp(logarithm.high))
