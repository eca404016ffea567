"""What may succeed at the next attempt, and how often and how long that is tried. Pure."""

from __future__ import annotations

from typing import Final

from launcher.errors import HubAnswerError, HubBusyError, HubError, HubUnreachableError
from launcher.models.download.events import PullRetries
from launcher.text import human_seconds

# Failures in a row without one new byte, and the pauses between them: 1, 2, 4, 8, 16 s.
MOST_FAILURES: Final = 6
FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 30.0
# Of a hub that takes connections and says nothing: time-outs and the pauses between them.
LONGEST_SILENCE_SECONDS: Final = 60.0
# A hub that asks for a longer pause is not waited for.
LONGEST_RETRY_AFTER_SECONDS: Final = 300.0


class TransientError(Exception):
    """What may be gone at the next attempt.

    Args:
        problem: what happened, as a clause.
        retry_after_seconds: the pause that the hub asks for, or None.
        busy: the hub said that there were too many requests.
        slow: it answers, and too slowly.
        silent_seconds: how long nothing came at all.
    """

    def __init__(
        self,
        problem: str,
        *,
        retry_after_seconds: float | None = None,
        busy: bool = False,
        slow: bool = False,
        silent_seconds: float = 0.0,
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.retry_after_seconds = retry_after_seconds
        self.busy = busy
        self.slow = slow
        self.silent_seconds = silent_seconds


class WrongSizeError(TransientError):
    """A file has another size than the hub's own list says; no fault of the network."""


class RetryBudget:
    """How often and how long to try again. Pure: it is told of failures and says the pause."""

    def __init__(self) -> None:
        self._failures = 0
        self._silent_seconds = 0.0

    def progress(self) -> None:
        """Something came: the row of failures has ended."""
        self._failures = 0
        self._silent_seconds = 0.0

    def after(self, error: TransientError, path: str | None = None) -> PullRetries:
        """The pause before the next attempt, as the event that tells of it.

        Args:
            error: what has failed.
            path: the file that was being fetched, if any.

        Raises:
            HubBusyError, HubUnreachableError: there is none.
        """
        self._failures += 1
        asked = error.retry_after_seconds
        too_long = asked is not None and asked > LONGEST_RETRY_AFTER_SECONDS
        self._silent_seconds += error.silent_seconds
        too_silent = self._silent_seconds >= LONGEST_SILENCE_SECONDS
        if too_long or too_silent or self._failures >= MOST_FAILURES:
            raise self._give_up(error)
        pause = min(FIRST_PAUSE_SECONDS * 2.0 ** (self._failures - 1), LONGEST_PAUSE_SECONDS)
        pause = pause if asked is None else max(asked, 0.0)
        self._silent_seconds += pause if error.silent_seconds else 0.0
        return PullRetries(path=path, problem=error.problem, pause_seconds=pause)

    def _give_up(self, error: TransientError) -> HubError:
        after = f"after {self._failures} attempts" if self._failures > 1 else "at once"
        what = f"{error.problem}; given up {after}."
        if error.slow or not error.busy:
            kind = HubAnswerError if error.slow else HubUnreachableError
            return kind(
                what,
                action="Look at the network, HF_ENDPOINT and the proxy; the same command goes on "
                "where it was.",
            )
        wait = error.retry_after_seconds
        later = f"in {human_seconds(wait)}" if wait else "later"
        return HubBusyError(
            what,
            action=f"Run it again {later}: it goes on where it was. `hf auth login` raises the "
            "limit, fewer --jobs keep below it.",
        )
