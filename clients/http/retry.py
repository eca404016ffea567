"""Which failures are worth another try, and after how long. Pure: no clock, no random source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from clients.errors import (
    BreakReason,
    BrokenStreamError,
    ConnectionLostError,
    ModelNotFoundError,
    RateLimitError,
    RequestTimeoutError,
    ServerUnreachableError,
    ServiceUnavailableError,
    StatusError,
)

if TYPE_CHECKING:
    from clients.errors import ClientError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, and how patiently.

    Attributes:
        retries: most repetitions of one request; 0 for none.
        first_pause_seconds: before the first repetition; doubles with each.
        longest_pause_seconds: no pause is longer. A server that asks for more by Retry-After is
            taken at its word: its refusal is raised at once, since sooner would be refused too.
        repeat_lost: repeat as well what a server had and did not answer: behind a gateway, another
            one answers it. Nothing of an answer that has begun is repeated.
        repeat_cut: the same, and also ask anew for a stream that was cut after its answer had
            begun: the connection was lost, or the server or its gateway reported that it failed.
            The reader gets `Restarted`, and then the answer from its beginning. A stream that was
            aborted, or that stood still for longer than `Timeouts` allow, is not cut.

            The new answer is shown whole, and the beginning that both share is not skipped: also at
            temperature 0 two servers may part, since what is computed in other batches rounds
            otherwise, and whoever had passed the beginning on would then hold two halves that do
            not belong together. The server is not asked to go on from what had come, either: that
            is not the same where reasoning, tool calls or a schema are under way.
    """

    retries: int = 2
    first_pause_seconds: float = 0.5
    longest_pause_seconds: float = 30.0
    repeat_lost: bool = False
    repeat_cut: bool = False

    @property
    def repeats_lost(self) -> bool:
        """Whether what was lost without a token is repeated."""
        return self.repeat_lost or self.repeat_cut


# What a gateway answers in the place of a server that it has lost.
_LOST_STATUSES = frozenset({500, 502, 504})
# What a server says in a stream that it cannot go on with. Below 500 the request is the cause.
_FAILED_STATUSES = _LOST_STATUSES | {503}
_CUTS: frozenset[BreakReason] = frozenset({"connection_lost", "server_error", "incomplete"})


def is_repeatable(error: ClientError, *, reads_only: bool, repeat_lost: bool = False) -> bool:
    """Say whether a request may be sent again.

    Only what the server has not begun: no connection, 429, 503. A request that was cut while
    the server had it may be the one that brought it down, and a 500 tends to come again; so
    only reading requests are repeated after a lost connection.

    Args:
        error: how it failed. A stream that has begun never comes here.
        reads_only: whether the request only reads the server's state.
        repeat_lost: see `RetryPolicy`.

    Returns:
        Whether to try again.
    """
    if isinstance(error, RequestTimeoutError):
        return error.kind == "connect"
    if isinstance(error, ConnectionLostError):
        return reads_only or repeat_lost
    if isinstance(error, ModelNotFoundError):
        # A gateway that has just been started knows no model for a moment: smg 1.13.0 answers 404.
        return repeat_lost
    if isinstance(error, StatusError) and error.status in _LOST_STATUSES:
        return repeat_lost
    return isinstance(error, ServerUnreachableError | RateLimitError | ServiceUnavailableError)


def is_cut(error: ClientError) -> bool:
    """Say whether a stream broke off by its server's end, and not by what was asked of it.

    Args:
        error: how the stream ended.
    """
    if not isinstance(error, BrokenStreamError):
        # A refusal in its first event.
        return is_repeatable(error, reads_only=False, repeat_lost=True)
    if error.reason not in _CUTS:
        return False
    return error.status is None or error.status in _FAILED_STATUSES


def cut_pause_seconds(
    error: ClientError, *, attempt: int, policy: RetryPolicy, fraction: float
) -> float | None:
    """Say how long to wait before a stream is begun anew; see `retry_pause_seconds`.

    Args:
        error: how the stream ended.
        attempt: how often it was begun anew, from 0.
        policy: how often and how patiently.
        fraction: a random number in [0, 1).

    Returns:
        The pause in seconds; `None` to give up.
    """
    if not policy.repeat_cut or attempt >= policy.retries or not is_cut(error):
        return None
    return _pause(error, attempt=attempt, policy=policy, fraction=fraction)


def retry_pause_seconds(
    error: ClientError,
    *,
    attempt: int,
    policy: RetryPolicy,
    reads_only: bool,
    fraction: float,
) -> float | None:
    """Say how long to wait before the next try.

    Formula: min(longest, first * 2 ** attempt) * (1 - fraction / 2), or Retry-After if longer

    Args:
        error: how the last try failed.
        attempt: how many repetitions there were, from 0.
        policy: how often and how patiently.
        reads_only: see `is_repeatable`.
        fraction: a random number in [0, 1): clients that failed together must not come back
            together.

    Returns:
        The pause in seconds; `None` to give up.
    """
    if attempt >= policy.retries or not is_repeatable(
        error, reads_only=reads_only, repeat_lost=policy.repeats_lost
    ):
        return None
    return _pause(error, attempt=attempt, policy=policy, fraction=fraction)


def _pause(
    error: ClientError, *, attempt: int, policy: RetryPolicy, fraction: float
) -> float | None:
    exponent = min(attempt, 30)
    pause = min(policy.longest_pause_seconds, policy.first_pause_seconds * 2.0**exponent)
    pause *= 1 - fraction / 2
    asked = error.retry_after_seconds if isinstance(error, StatusError) else None
    if asked is None:
        return pause
    return None if asked > policy.longest_pause_seconds else max(asked, pause)
