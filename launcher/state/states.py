"""The states of a server and the moves between them; imports nothing of ours.

The words are supervisord's where the meaning is the same.
"""

from __future__ import annotations

from enum import StrEnum


class ServerState(StrEnum):
    """What the supervisor says about a server."""

    STARTING = "STARTING"
    READY = "READY"  # it has generated a token
    UNHEALTHY = "UNHEALTHY"  # it lives, and did not answer the last probe
    STOPPING = "STOPPING"
    STOPPED = "STOPPED"  # it was asked to stop, and every process is gone
    BACKOFF = "BACKOFF"  # it failed, nothing of it is left, and it will be started again
    EXITED = "EXITED"  # it ended by itself, and --restart says to leave it at that
    FATAL = "FATAL"  # given up: starting it again is no use, or something of it is left


_ENDS_OF_START = frozenset({ServerState.STOPPING, ServerState.BACKOFF, ServerState.FATAL})
_ENDS_OF_SERVICE = _ENDS_OF_START | {ServerState.EXITED}

TRANSITIONS: dict[ServerState, frozenset[ServerState]] = {
    ServerState.STARTING: _ENDS_OF_START | {ServerState.READY},
    ServerState.READY: _ENDS_OF_SERVICE | {ServerState.UNHEALTHY},
    ServerState.UNHEALTHY: _ENDS_OF_SERVICE | {ServerState.READY},
    ServerState.STOPPING: frozenset({ServerState.STOPPED, ServerState.STARTING, ServerState.FATAL}),
    ServerState.STOPPED: frozenset(),
    # Machine 0 may give up for those that serve with it.
    ServerState.BACKOFF: frozenset({ServerState.STARTING, ServerState.STOPPED, ServerState.FATAL}),
    ServerState.EXITED: frozenset(),
    ServerState.FATAL: frozenset(),
}

# The supervisor is at work: there is a way on.
RUNNING_STATES = frozenset(state for state, following in TRANSITIONS.items() if following)
# It has been ready in this run.
SERVING_STATES = frozenset({ServerState.READY, ServerState.UNHEALTHY})


class IllegalTransitionError(RuntimeError):
    """A move that the table does not hold: a defect of the supervisor."""


def check_transition(current: ServerState, following: ServerState) -> None:
    """Refuse a move that the table does not hold.

    Raises:
        IllegalTransitionError: the move is not in `TRANSITIONS`.
    """
    if following not in TRANSITIONS[current]:
        raise IllegalTransitionError(f"{current} -> {following}")
