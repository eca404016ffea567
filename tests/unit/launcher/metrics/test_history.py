"""The course of figures: bounded in points, and never in time."""

from __future__ import annotations

from itertools import pairwise

import pytest

from launcher.metrics.history import History, Moment


def history(values: list[float | None], most: int = 8) -> History:
    made = History(most_points=most)
    for place, value in enumerate(values):
        made.add(Moment(running_requests=value), 10.0 + 2 * place)
    return made


def test_few_looks_are_kept_as_they_are() -> None:
    course = history([1, None, 3]).course()

    assert list(course.running_requests) == [1, None, 3]
    assert list(course.acceptance_length) == [None, None, None]
    assert course.seconds == 4


@pytest.mark.parametrize("looks", [9, 10, 17, 50, 333])
def test_more_looks_make_longer_points_and_lose_nothing(looks: int) -> None:
    course = history([float(number) for number in range(looks)]).course()

    points = [value for value in course.running_requests if value is not None]
    assert 4 <= len(points) <= 9
    assert points == sorted(points)
    assert course.seconds == 2 * (looks - 1)
    # Each but the last stands for the same time.
    steps = {round(following - former, 6) for former, following in pairwise(points[:-1])}
    assert len(steps) == 1
    assert points[0] < looks / 4


def test_a_gap_stays_a_gap_until_a_neighbour_fills_it() -> None:
    course = history([1, None, None, None, 5, 5, 5, 5, 5]).course()

    assert course.running_requests == (1, None, 5, 5, 5)


def test_another_run_begins_anew() -> None:
    made = history([1, 2, 3])
    made.clear()

    assert made.course().running_requests == ()
    assert made.course().seconds == 0
