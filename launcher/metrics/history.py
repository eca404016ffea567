"""The course of a few figures since they were first looked at, in a bounded number of points."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

MOST_POINTS: Final = 120


@dataclass(frozen=True, slots=True)
class Moment:
    """Figures between two looks; None where nothing was decoded, or nothing is known."""

    acceptance_length: float | None = None
    running_requests: float | None = None
    output_tokens_per_second: float | None = None


@dataclass(frozen=True, slots=True)
class Course:
    """What the figures were, the newest last, each point as long as the others.

    Attributes:
        seconds: from the first point to the last.
        acceptance_length: shape [points].
        running_requests: shape [points].
        output_tokens_per_second: shape [points].
    """

    seconds: float = 0.0
    acceptance_length: tuple[float | None, ...] = ()
    running_requests: tuple[float | None, ...] = ()
    output_tokens_per_second: tuple[float | None, ...] = ()


@dataclass(slots=True)
class History:
    """Takes a moment after each look.

    Each point stands for the same number of looks. When there are too many points, neighbours are
    put together, so that all the time since the first look stays in view.
    """

    most_points: int = MOST_POINTS
    _looks_a_point: int = 1
    _points: list[Moment] = field(default_factory=list)
    _pending: list[Moment] = field(default_factory=list)
    _began_at: float | None = None
    _ended_at: float = 0.0

    def add(self, moment: Moment, at_seconds: float) -> None:
        """Take what a look has brought.

        Args:
            moment: since the last look.
            at_seconds: of the monotonic clock.
        """
        if self._began_at is None:
            self._began_at = at_seconds
        self._ended_at = at_seconds
        self._pending.append(moment)
        if len(self._pending) < self._looks_a_point:
            return
        self._points.append(_together(self._pending))
        self._pending.clear()
        if len(self._points) > self.most_points:
            pairs = range(0, len(self._points) - 1, 2)
            odd = self._points[len(self._points) // 2 * 2 :]
            self._points = [_together(self._points[place : place + 2]) for place in pairs]
            # It stands for as many looks as the others did: the first half of a new point.
            self._pending = odd * self._looks_a_point
            self._looks_a_point *= 2

    def clear(self) -> None:
        """Begin anew."""
        self._points.clear()
        self._pending.clear()
        self._looks_a_point = 1
        self._began_at = None

    def course(self) -> Course:
        """All of it."""
        points = [*self._points, *([_together(self._pending)] if self._pending else [])]
        return Course(
            seconds=0.0 if self._began_at is None else self._ended_at - self._began_at,
            acceptance_length=tuple(one.acceptance_length for one in points),
            running_requests=tuple(one.running_requests for one in points),
            output_tokens_per_second=tuple(one.output_tokens_per_second for one in points),
        )


def _together(moments: list[Moment]) -> Moment:
    return Moment(
        _mean([one.acceptance_length for one in moments]),
        _mean([one.running_requests for one in moments]),
        _mean([one.output_tokens_per_second for one in moments]),
    )


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
