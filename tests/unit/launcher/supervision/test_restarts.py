"""How often and how soon a failed server is started again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.supervision.restarts import RestartBudget
from tests.unit.launcher.examples import make_config


def budget(chance: float = 0.0, **fields: Any) -> RestartBudget:
    return RestartBudget(make_config(**fields), chance=lambda: chance)


def test_each_pause_of_a_row_is_twice_the_one_before_and_bounded() -> None:
    row = budget(restart_limit=7, restart_delay_seconds=1, restart_max_delay_seconds=10)
    pauses = [row.fail(served_seconds=0.0).seconds for _ in range(7)]
    assert pauses == [1, 2, 4, 8, 10, 10, None]


def test_a_server_that_had_served_is_started_again_at_once_and_not_twice() -> None:
    row = budget(restart_delay_seconds=1)
    pauses = [row.fail(served_seconds=1).seconds for _ in range(3)]
    assert pauses == [0, 2, 4]


def test_chance_takes_up_to_half_of_a_pause() -> None:
    assert budget(0.0, restart_delay_seconds=8).fail(served_seconds=0).seconds == 8
    assert budget(0.999, restart_delay_seconds=8).fail(served_seconds=0).seconds == pytest.approx(
        4, abs=0.01
    )


def test_a_run_that_served_long_enough_ends_the_row() -> None:
    row = budget(restart_limit=3, restart_window_seconds=600)
    assert row.fail(served_seconds=1).failures == 1
    assert row.fail(served_seconds=599).failures == 2
    assert row.fail(served_seconds=600).failures == 1
    assert row.fail(served_seconds=0).failures == 2
    assert row.fail(served_seconds=0).seconds is None


def test_a_run_that_was_never_ready_never_ends_the_row() -> None:
    row = budget(restart_limit=2, restart_window_seconds=0)
    row.fail(served_seconds=0.0)
    assert row.fail(served_seconds=0.0).seconds is None


def test_a_person_who_restarts_begins_a_new_row() -> None:
    row = budget(restart_limit=2)
    row.fail(served_seconds=0)
    row.forgive()
    assert row.fail(served_seconds=0).failures == 1


@given(
    st.floats(0, 1, exclude_max=True),
    st.floats(0, 1e6),
    st.floats(0, 1e6),
    st.integers(1, 3000),
)
def test_a_pause_is_never_negative_nor_longer_than_the_longest(
    chance: float, first: float, longest: float, failures: int
) -> None:
    row = budget(
        chance,
        restart_limit=10_000,
        restart_delay_seconds=first,
        restart_max_delay_seconds=longest,
    )
    pause = [row.fail(served_seconds=0) for _ in range(min(failures, 100))][-1]
    assert pause.seconds is not None
    assert 0 <= pause.seconds <= longest
