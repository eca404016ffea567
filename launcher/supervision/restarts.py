"""Whether and when to start a failed server again. Pure: it is told the times."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from launcher.config.server_config import RestartPolicy, ServerConfig
from launcher.diagnosis.conclusion import Failed
from launcher.engines.causes import Retry
from launcher.errors import LauncherError, StopError
from launcher.state.states import SERVING_STATES, ServerState

# What the system may give again: room, inodes, a quota, descriptors, memory, processes, a disk that
# was taken away or became read-only.
_TRANSIENT: Final = frozenset(
    {
        *(errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN),
        *(errno.EIO, errno.EROFS, errno.ESTALE),
    }
)
# So long is waited for it, by pauses that double from the one to the other.
PATIENCE_SECONDS: Final = 24 * 3600.0
SHORTEST_PAUSE_SECONDS: Final = 5.0
LONGEST_PAUSE_SECONDS: Final = 60.0
# The share of a pause that is left to chance, so that servers which fell together, as when a disk
# or a driver hung, do not all come back at once.
JITTER: Final = 0.5


@dataclass(frozen=True, slots=True)
class RestartDecision:
    """What follows a failure: its number in the row, and the pause, or None: give up."""

    failures: int
    seconds: float | None


def refuse_restart(
    end: Failed, policy: RestartPolicy, *, has_served: bool, state: ServerState
) -> ServerState | None:
    """The state in which a failed server is left for good; None where it may be started again.

    Args:
        end: of its last run.
        policy: of its configuration.
        has_served: it was READY under this supervisor, in whichever run.
        state: its last one in that run.
    """
    # What a log says of a server that has served may be a client's word; the limit on restarts
    # holds for it all the same.
    is_final = end.retry is Retry.NEVER and not (has_served and end.cause is not None)
    useless = is_final or (end.retry is Retry.ONCE_SERVED and not has_served)
    # Something of it is left, or the same arguments would fail again.
    if isinstance(end.error, StopError) or useless:
        return ServerState.FATAL
    if policy == "never" or (policy == "on-failure" and end.clean):
        return ServerState.EXITED if state in SERVING_STATES else ServerState.FATAL
    return None


def is_transient(error: LauncherError) -> bool:
    """Whether the system refused the supervisor itself what it may give again; no server crashed.

    Python has no number for a thread that cannot be started.
    """
    cause = error.__cause__
    return isinstance(cause, RuntimeError) or (
        isinstance(cause, OSError) and cause.errno in _TRANSIENT
    )


class RestartBudget:
    """Counts failures in a row; a run that served long enough ends the row.

    Failures in a row rather than in the last minutes, since the start of a large model may itself
    take longer than any such window: five in ten minutes would then never be reached.

    A server that had served is started again at once: most crashes do not come twice, and its users
    wait. Otherwise the pause before restart n of a row is drawn evenly from
    [(1 - JITTER), 1] x delay x 2^(n-1), and the longest delay bounds it.

    Args:
        config: `restart_limit`, `restart_window_seconds`, `restart_delay_seconds`,
            `restart_max_delay_seconds`.
        chance: a number from [0, 1).
    """

    def __init__(
        self,
        config: ServerConfig,
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._config = config
        self._chance = chance
        self._failures = 0
        self._postponed = 0

    def fail(self, *, served_seconds: float) -> RestartDecision:
        """Count a failure of a run that had served for so long; 0.0 where it was never ready."""
        config = self._config
        self._postponed = 0
        if served_seconds and served_seconds >= config.restart_window_seconds:
            self._failures = 0
        self._failures += 1
        if self._failures >= config.restart_limit:
            return RestartDecision(self._failures, None)
        if self._failures == 1 and served_seconds:
            return RestartDecision(self._failures, 0.0)
        # Bounded before it is raised: 2 to the 2,000 is no float.
        doublings = min(self._failures - 1, 60)
        longest = min(
            config.restart_delay_seconds * 2.0**doublings, config.restart_max_delay_seconds
        )
        return RestartDecision(self._failures, longest * (1 - JITTER * self._chance()))

    def postpone(self, *, waited_seconds: float) -> RestartDecision:
        """Wait for what the system refuses, after so long without it; no failure is counted.

        Returns:
            The number of the attempt that was refused, and the pause; None: the patience is over.
        """
        self._postponed += 1
        if waited_seconds >= PATIENCE_SECONDS:
            return RestartDecision(self._postponed, None)
        doublings = min(self._postponed - 1, 60)
        longest = min(SHORTEST_PAUSE_SECONDS * 2.0**doublings, LONGEST_PAUSE_SECONDS)
        return RestartDecision(self._postponed, longest * (1 - JITTER * self._chance()))

    def forgive(self) -> None:
        """Begin a new row: a person asked for the start."""
        self._failures = 0
