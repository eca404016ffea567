"""What the supervisor says about its server: the record, the events, to systemd, to a gateway.

The supervisor's loop is the only one that writes here.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from launcher.errors import LauncherError
from launcher.state.events import Event, StateChanged, time_of_day
from launcher.state.record import RunRecord
from launcher.state.states import ServerState, check_transition
from launcher.state.store import RunStore
from launcher.supervision.listing import Listing
from launcher.supervision.notify import Notifier

# How soon after the disk has room again the record is true again.
REWRITE_SECONDS: Final = 1.0
# How soon what somebody has removed is there again.
CHECK_SECONDS: Final = 5.0


class Journal:
    """The record of the current run, and everything that is told about it.

    Args:
        store: where the record lives.
        emit: called with each event.
        notifier: tells systemd, where it asked to be told.
        listing: the server's place in a gateway's file, where it has one.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        store: RunStore,
        emit: Callable[[Event], None],
        notifier: Notifier,
        *,
        listing: Listing | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._emit = emit
        self._notifier = notifier
        self._listing = listing or Listing(None, "")
        self._clock = clock
        self._began = clock()
        self._record: RunRecord | None = None
        # When to try again to write what the disk did not take; None where it took all.
        self._overdue_at: float | None = None
        self._check_at = 0.0
        self._refusal = ""

    @property
    def record(self) -> RunRecord:
        """The record as it is now."""
        assert self._record is not None  # noqa: S101  # a run begins before anything is told
        return self._record

    @property
    def elapsed_seconds(self) -> float:
        """Time since the run began, or was adopted."""
        return self._clock() - self._began

    @property
    def leave_seconds(self) -> float:
        """How long the server still takes requests once it is known that it will stop."""
        return self._listing.leave_seconds

    def begin(self, record: RunRecord, *, must_be_written: bool) -> None:
        """Take up a run.

        Raises:
            StateError: the record cannot be written, and has to be. Otherwise that is made up for.
            AlreadyRunningError: likewise, since another supervisor has the name.
        """
        self._record = record
        self._began = self._clock()
        try:
            self._write()
        except LauncherError:
            if must_be_written:
                raise
        self._announce()

    def update(self, **changes: object) -> None:
        """Change the record."""
        self._record = self.record.model_copy(update=changes)
        # A disk that is full now must not end a server that serves.
        with contextlib.suppress(LauncherError):
            self._write()

    def catch_up(self) -> float | None:
        """Write what a full disk did not take, or what somebody has removed, where that is due.

        Returns:
            In how many seconds to call this again; None: nothing was written yet.
        """
        if self._record is None:
            return None
        if self._overdue_at is not None:
            if self._clock() >= self._overdue_at:
                self.update()
        elif self._clock() >= self._check_at:
            self._check_at = self._clock() + CHECK_SECONDS
            if not self._store.is_as_written():
                self.update()
            self._listing.follow(self.record.state)
        due = self._check_at if self._overdue_at is None else self._overdue_at
        return max(0.0, due - self._clock())

    def move(self, state: ServerState, **changes: object) -> None:
        """Move to another state."""
        check_transition(self.record.state, state)
        self.update(state=state, **changes)
        self._announce()

    def say_goodbye(self) -> None:
        """Tell systemd that the supervisor itself is about to end."""
        self._notifier.stopping()

    def tell(self, kind: type[Event], **fields: Any) -> None:
        """Emit an event of this run."""
        self._emit(kind(run_id=self.record.run_id, elapsed_seconds=self.elapsed_seconds, **fields))

    def _write(self) -> None:
        # Overdue until it has been written.
        was_overdue = self._overdue_at is not None
        self._overdue_at = self._clock() + REWRITE_SECONDS
        try:
            if not self._store.is_as_written():
                self._store.put_back()
            self._store.write(self.record)
        except LauncherError as error:
            if not was_overdue:
                self._store.mark_unwritten()
            # Once each: whoever looks into supervisor.log is to find out why.
            if error.problem != self._refusal:
                self._refusal = error.problem
                with contextlib.suppress(OSError):
                    sys.stderr.write(f"{time_of_day()} {error.problem}\n")
            raise
        self._overdue_at, self._refusal = None, ""

    def _announce(self) -> None:
        state = self.record.state
        self._listing.follow(state)
        self.tell(StateChanged, state=state)
        self._notifier.status(f"{state} at {self.record.base_url}")
        if state is ServerState.READY:
            self._notifier.ready()
