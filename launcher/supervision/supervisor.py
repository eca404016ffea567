"""Keeps a server up: runs it, and after a failure waits and runs it again, or gives up."""

from __future__ import annotations

import enum
import os
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, NoReturn

from launcher.diagnosis import failures, nodes
from launcher.diagnosis.conclusion import Failed, Stopped
from launcher.engines.causes import Retry
from launcher.engines.launch import Launch
from launcher.engines.select import engine_of
from launcher.errors import LauncherError, StopError
from launcher.nodes.events import LeaderGaveUp
from launcher.nodes.group import make_group
from launcher.state.events import Event, ServerCrashed, ServerFailed, ServerStopped, StartPostponed
from launcher.state.record import RunRecord
from launcher.state.states import ServerState
from launcher.state.store import RunStore
from launcher.state.traces import find_runs
from launcher.supervision.journal import Journal
from launcher.supervision.listing import Listing
from launcher.supervision.mailbox import Item, Mailbox, Request, Timer
from launcher.supervision.notify import Notifier
from launcher.supervision.restarts import (
    PATIENCE_SECONDS,
    RestartBudget,
    is_transient,
    refuse_restart,
)
from launcher.supervision.run.context import Dependencies
from launcher.supervision.run.loop import Run
from launcher.supervision.run.meeting import NODE_MISSING
from launcher.supervision.run.messages import NodesHeard, asked_elsewhere
from launcher.supervision.run.spawn import Failure
from launcher.supervision.server.stand_by import Holder, Nobody, StandBy
from launcher.supervision.server.strays import end_runs, remove_stand_by_scratch
from launcher.system.members import adopt_orphans
from launcher.system.process import forbid_core_dumps

# Each ends or stops a process that does not handle it, and a supervisor that is gone or stands
# still restarts nothing. A time limit (SIGXCPU) is an order to end, and means a stop.
_MEANINGLESS: Final = (
    *("SIGALRM", "SIGVTALRM", "SIGPROF", "SIGPOLL", "SIGUSR2", "SIGPWR", "SIGSTKFLT"),
    *("SIGTSTP", "SIGTTIN", "SIGTTOU"),
)


class Outcome(enum.Enum):
    """How a server ended that did not fail."""

    STOPPED = "stopped"  # by request, after it was ready
    CANCELLED = "cancelled"  # by request, before it was ready


class Supervisor:
    """Runs one server until it is stopped or given up.

    Attributes:
        stop_was_asked: whether anybody has asked for a stop.

    Args:
        launch: what to run.
        store: where its state lives; its lock is held by the caller.
        emit: called with each event, in the caller's thread.
        adopted: the record of a server that serves, and whose supervisor was killed.
        dependencies: for tests.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        launch: Launch,
        store: RunStore,
        emit: Callable[[Event], None],
        *,
        adopted: RunRecord | None = None,
        dependencies: Dependencies | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._launch = launch
        self._store = store
        self._adopted = adopted
        self._dependencies = dependencies or Dependencies()
        self._notifier = Notifier.from_environment(os.environ, unset=True)
        listing = Listing.of(launch.config)
        self._journal = Journal(store, emit, self._notifier, listing=listing, clock=clock)
        self._mailbox = Mailbox(
            clock=clock,
            beat_seconds=self._notifier.watchdog_seconds,
            beat=self._notifier.watchdog,
            chore=self._journal.catch_up,
        )
        self._budget = RestartBudget(launch.config)
        self._stand_by = self._make_stand_by()
        self._group = make_group(launch.config, launch.nodes) if launch.nodes else None
        self._has_served = adopted is not None
        self._last_failure: Failure | None = None
        self.stop_was_asked = False
        self._clock = clock
        # Since when the system refuses what a start needs; None where the last one got it.
        self._postponed_at: float | None = None

    def _make_stand_by(self) -> Holder:
        launch = self._launch
        if not launch.stand_by:
            return Nobody()
        return StandBy(
            launch,
            self._store.folder,
            die_with_parent=launch.dies_with_launcher,
            note=lambda record: self._journal.update(stand_by=record),
            versions=engine_of(launch.config).versions,
        )

    def request(self, what: Request) -> None:
        """Ask for something. Safe in a signal handler and from any thread.

        A second STOP while the server drains kills it at once.
        """
        self.stop_was_asked = self.stop_was_asked or what is Request.STOP
        self._mailbox.put(what)

    def handle_signals(self) -> None:
        """SIGINT, SIGTERM and SIGHUP stop, SIGQUIT at once; SIGUSR1 restarts. Main thread only.

        A detached supervisor has no terminal to lose, so SIGHUP does nothing there, nor under
        `nohup`. Any other signal that would end a process or make it stand still does nothing.
        """

        def stop(*_: object) -> None:
            self.request(Request.STOP)

        def stop_at_once(*_: object) -> None:
            self.request(Request.STOP)
            self.request(Request.STOP)

        def stop_once(*_: object) -> None:
            # The kernel repeats it each second.
            if not self.stop_was_asked:
                stop()

        def do_nothing(*_: object) -> None:
            # A function: what is ignored is inherited, by the server too; what is caught is not.
            return

        serves_on = self._launch.detached or signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        named = {getattr(signal, name) for name in _MEANINGLESS if hasattr(signal, name)}
        for number in named | set(range(signal.SIGRTMIN, signal.SIGRTMAX + 1)):
            signal.signal(number, do_nothing)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        signal.signal(signal.SIGXCPU, stop_once)
        signal.signal(signal.SIGHUP, do_nothing if serves_on else stop)
        signal.signal(signal.SIGQUIT, stop_at_once)
        signal.signal(signal.SIGUSR1, lambda *_: self.request(Request.RESTART))

    def run(self) -> Outcome:
        """Run until the server is stopped or given up.

        Raises:
            ServerExitedError, EngineBrokenError: it ended by itself, and is not started again.
            StartTimeoutError, ServerHungError: it was not ready in time, or nothing moved.
            CrashLoopError: it failed too often in a row.
            SpawnError: the system refuses the first process.
            StopError: a process or the port is still there after a stop.
            StateError: the first run record, or the log, cannot be written.
        """
        adopt_orphans()
        if not self._launch.config.core_dumps:
            forbid_core_dumps()
        if self._adopted is not None:
            # What stood by for its next run under the supervisor that was killed.
            end_runs(find_runs(self._store) - {self._adopted.run_id})
            remove_stand_by_scratch(self._adopted)
        given_up: str | None = None
        try:
            return self._run_until_stopped()
        except LauncherError as error:
            given_up = error.problem
            raise
        finally:
            if self._group is not None:
                self._group.close(given_up)
            self._stand_by.end()

    def _run_until_stopped(self) -> Outcome:
        restarts = 0
        while True:
            run = Run(
                self._launch,
                self._store,
                self._journal,
                self._mailbox,
                self._dependencies,
                stand_by=self._stand_by,
                adopted=self._adopted,
                group=self._group,
                restarts=restarts,
                last_failure=self._last_failure,
            )
            self._adopted = None
            end = run.supervise()
            if isinstance(end, Stopped):
                self._has_served = self._has_served or end.served
                self._tell_stopped(end)
                if not end.restart:
                    return Outcome.STOPPED if self._has_served else Outcome.CANCELLED
                self._budget.forgive()
                self._postponed_at = None
                self._last_failure = None
            elif not self._wait_to_restart(end):
                return Outcome.STOPPED if self._has_served else Outcome.CANCELLED
            restarts += 1

    def _tell_stopped(self, end: Stopped) -> None:
        # One that starts again is STOPPING until then: whoever looks must see that it is ours.
        if not end.restart:
            self._journal.move(ServerState.STOPPED)
        self._journal.tell(ServerStopped, killed=end.killed, restarting=end.restart)

    def _wait_to_restart(self, end: Failed) -> bool:
        """Wait out the pause after a failure; False if somebody stopped the server meanwhile.

        Raises:
            LauncherError: there is no restart.
        """
        self._has_served = self._has_served or end.served_seconds > 0
        elsewhere = self._is_counted_elsewhere(end)
        left_in = refuse_restart(
            end,
            self._launch.config.restart,
            has_served=self._has_served or elsewhere,
            state=self._journal.record.state,
        )
        if left_in is not None:
            self._give_up(end.error, left_in)
        if end.served_seconds > 0:
            self._postponed_at = None
        if elsewhere:
            # Machine 0 decides whether and when all start again.
            self._back_off(end, 0, 0.0)
        elif is_transient(end.error):
            self._postpone(end.error)
        else:
            self._postponed_at = None
            pause = self._budget.fail(served_seconds=end.served_seconds)
            if pause.seconds is None:
                self._give_up(failures.crash_loop(end.error, failures=pause.failures))
            self._back_off(end, pause.failures, pause.seconds)
        while True:
            item: Item | None = self._mailbox.next()
            restart = item in {Timer.RESTART, Request.RESTART}
            # Timers come first, and somebody may have asked for a stop meanwhile.
            while restart and item is not None and not self._is_stop(item):
                item = self._mailbox.poll()
            if item is not None and self._is_stop(item):
                self._mailbox.clear()
                self._tell_stopped(Stopped(killed=False, restart=False, served=False))
                return False
            if restart:
                return True

    def _is_counted_elsewhere(self, end: Failed) -> bool:
        """Whether machine 0 counts a failure: it hears of each that this machine has."""
        return end.elsewhere or (
            self._launch.config.is_follower
            and end.retry is not Retry.NEVER
            and end.cause != NODE_MISSING
            and not isinstance(end.error, StopError)
        )

    def _is_stop(self, item: Item) -> bool:
        """Whether somebody asks for a stop, here or on machine 0.

        Raises:
            LauncherError: machine 0 has given up.
        """
        if isinstance(item, NodesHeard) and isinstance(item.event, LeaderGaveUp):
            self._give_up(nodes.leader_gave_up(item.event.problem))
        return item is Request.STOP or asked_elsewhere(item) is Request.STOP

    def _postpone(self, error: LauncherError) -> None:
        """Wait for what the system refuses: it says nothing of the server.

        Raises:
            LauncherError: it has been refused for too long.
        """
        now = self._clock()
        since = self._postponed_at = now if self._postponed_at is None else self._postponed_at
        pause = self._budget.postpone(waited_seconds=now - since)
        if pause.seconds is None:
            self._give_up(error)
        self._pause(error, pause.seconds)
        self._journal.tell(
            StartPostponed,
            error=type(error).__name__,
            problem=error.problem,
            evidence=error.evidence,
            attempts=pause.failures,
            restart_in_seconds=round(pause.seconds, 3),
            gives_up_in_seconds=round(PATIENCE_SECONDS - (now - since), 3),
        )

    def _pause(self, error: LauncherError, seconds: float) -> None:
        self._last_failure = Failure(error.problem, datetime.now(UTC))
        self._journal.move(
            ServerState.BACKOFF,
            last_failure=self._last_failure.problem,
            last_failure_at=self._last_failure.at,
            next_start_at=datetime.now(UTC) + timedelta(seconds=seconds),
        )
        self._mailbox.clear()
        self._mailbox.set(Timer.RESTART, seconds)

    def _back_off(self, end: Failed, failures: int, seconds: float) -> None:
        self._pause(end.error, seconds)
        self._journal.tell(
            ServerCrashed,
            error=type(end.error).__name__,
            problem=end.error.problem,
            cause=end.cause,
            evidence=end.error.evidence,
            failures=failures,
            allowed=self._launch.config.restart_limit,
            restart_in_seconds=round(seconds, 3),
        )

    def _give_up(self, error: LauncherError, state: ServerState = ServerState.FATAL) -> NoReturn:
        self._journal.move(state, last_failure=error.problem, last_failure_at=datetime.now(UTC))
        self._journal.tell(
            ServerFailed,
            error=type(error).__name__,
            exit_code=error.exit_code,
            problem=error.problem,
            action=error.action,
            evidence=error.evidence,
        )
        raise error
