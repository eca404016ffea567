"""The moves between the states of a server."""

from __future__ import annotations

import itertools

import pytest

from launcher.state.states import (
    RUNNING_STATES,
    TRANSITIONS,
    IllegalTransitionError,
    ServerState,
    check_transition,
)

LEGAL = {
    ("STARTING", "READY"),
    ("STARTING", "STOPPING"),
    ("STARTING", "BACKOFF"),
    ("STARTING", "FATAL"),
    *(
        (serving, following)
        for serving in ("READY", "UNHEALTHY")
        for following in ("STOPPING", "BACKOFF", "EXITED", "FATAL")
    ),
    ("READY", "UNHEALTHY"),
    ("UNHEALTHY", "READY"),
    ("BACKOFF", "STARTING"),
    ("BACKOFF", "STOPPED"),
    ("BACKOFF", "FATAL"),
    ("STOPPING", "STOPPED"),
    ("STOPPING", "FATAL"),
    ("STOPPING", "STARTING"),
}


@pytest.mark.parametrize(("current", "following"), list(itertools.product(ServerState, repeat=2)))
def test_only_the_moves_of_the_table_are_allowed(
    current: ServerState, following: ServerState
) -> None:
    if (current.value, following.value) in LEGAL:
        check_transition(current, following)
    else:
        with pytest.raises(IllegalTransitionError, match=f"{current} -> {following}"):
            check_transition(current, following)


def test_every_state_has_its_moves_and_can_be_reached() -> None:
    assert set(TRANSITIONS) == set(ServerState)
    assert frozenset().union(*TRANSITIONS.values()) == set(ServerState)


def test_a_failure_is_the_end_of_a_run() -> None:
    assert {state for state, moves in TRANSITIONS.items() if not moves} == {
        ServerState.STOPPED,
        ServerState.EXITED,
        ServerState.FATAL,
    }


def test_a_server_runs_until_it_stopped_exited_or_failed() -> None:
    assert set(ServerState) - RUNNING_STATES == {
        ServerState.STOPPED,
        ServerState.EXITED,
        ServerState.FATAL,
    }
