"""How long prompts and answers are: distributions over whole numbers. Pure: no I/O.

The unit is the caller's: tokens for answers, words for prompts, whose tokens depend on the model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Protocol, Self

from benchmarks.errors import PlanError
from benchmarks.workloads.draw import Draw


class Length(Protocol):
    """A distribution of lengths."""

    def draw(self, draw: Draw) -> int:
        """One length, at least 1."""

    def scaled(self, factor: float) -> Self:
        """The same shape with all lengths multiplied, rounded to at least 1."""

    def words(self, unit: str) -> str:
        """For people: `48 to 96 tokens, uniform`."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """Always the same length.

    Raises:
        PlanError: below 1.
    """

    value: int

    def __post_init__(self) -> None:
        _check(self.value, self.value)

    def draw(self, draw: Draw) -> int:  # noqa: ARG002 - nothing is left to chance
        """The value."""
        return self.value

    def scaled(self, factor: float) -> Self:
        """The value multiplied."""
        return type(self)(_times(self.value, factor))

    def words(self, unit: str) -> str:
        """For people."""
        return f"{self.value} {unit}"


@dataclass(frozen=True, slots=True)
class Uniform:
    """Every length from `low` to `high` is as likely; both are included.

    Raises:
        PlanError: `low` below 1 or above `high`.
    """

    low: int
    high: int

    def __post_init__(self) -> None:
        _check(self.low, self.high)

    def draw(self, draw: Draw) -> int:
        """One length."""
        return draw.between(self.low, self.high)

    def scaled(self, factor: float) -> Self:
        """Both ends multiplied."""
        return type(self)(_times(self.low, factor), _times(self.high, factor))

    def words(self, unit: str) -> str:
        """For people."""
        return f"{self.low} to {self.high} {unit}, uniform"


@dataclass(frozen=True, slots=True)
class LogNormal:
    """Many short ones and a few long ones, as in recorded traffic of chat servers; clipped.

    Formula: round(exp(ln(median) + sigma z)), z standard normal, then held in [low, high].
    Source: the inverse of the cumulative distribution, `statistics.NormalDist.inv_cdf`.

    Args:
        median: of the lengths before clipping.
        sigma: standard deviation of their natural logarithm; above 0.
        low: the shortest.
        high: the longest.

    Raises:
        PlanError: not 1 <= low <= median <= high, or a sigma that is not above 0.
    """

    median: int
    sigma: float
    low: int
    high: int

    def __post_init__(self) -> None:
        _check(self.low, self.median)
        _check(self.median, self.high)
        if not (self.sigma > 0 and math.isfinite(self.sigma)):
            raise PlanError(
                f"A log-normal length has a sigma of {self.sigma:g}, and must have one above 0.",
                action="Give a sigma such as 0.5, or a fixed length.",
            )

    def draw(self, draw: Draw) -> int:
        """One length."""
        # 0 has no inverse, and comes once in 2**53 draws.
        z = NormalDist().inv_cdf(max(draw.unit(), 2.0**-54))
        # `min` before `exp`: a large sigma would overflow.
        exponent = min(math.log(self.median) + self.sigma * z, math.log(self.high) + 1)
        return min(max(round(math.exp(exponent)), self.low), self.high)

    def scaled(self, factor: float) -> Self:
        """Median and ends multiplied, the spread kept."""
        low, median, high = (_times(one, factor) for one in (self.low, self.median, self.high))
        return type(self)(median, self.sigma, low, high)

    def words(self, unit: str) -> str:
        """For people."""
        return (
            f"{self.low} to {self.high} {unit}, "
            f"log-normal with median {self.median} and sigma {self.sigma:g}"
        )


def _check(low: int, high: int) -> None:
    if not 1 <= low <= high:
        raise PlanError(
            f"A length runs from {low} to {high}, and must be at least 1 and not run backwards.",
            action="Give the shorter length first.",
        )


def _times(value: int, factor: float) -> int:
    if not (factor > 0 and math.isfinite(factor)):
        raise PlanError(
            f"Lengths are multiplied by {factor:g}, and the factor must be above 0.",
            action="Give a factor such as 4, or leave it out for 1.",
        )
    return max(1, round(value * factor))
