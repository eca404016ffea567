"""One kill of a server that serves or starts, and the wait until it answers again."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol, TypeVar

from benchmarks.selfcheck.soak.in_flight import END_SECONDS, InFlightRequests
from benchmarks.selfcheck.soak.left import NewSegments, leftovers, problems_of
from benchmarks.selfcheck.soak.report import (
    ADOPTED,
    ANY_MEMBER,
    FREEZE_MOMENTS,
    FROZEN_IN_FLIGHT,
    IN_FLIGHT,
    KEPT,
    NEW_RUN,
    NOT_RECOVERED,
    REPLACED,
    STAND_BY,
    START,
    Kill,
)
from benchmarks.selfcheck.soak.watch import POLL_SECONDS, Seen, Watch, title_of
from launcher.engines.sglang.watching.prober import HttpProber
from launcher.engines.sglang.watching.processes import TITLE_PREFIX
from launcher.state.events import (
    Event,
    PhaseProgress,
    ProcessLost,
    ServerCrashed,
    ServerFailed,
    ServerReady,
)
from launcher.state.record import RunRecord
from launcher.state.states import ServerState
from launcher.state.store import RunStore
from launcher.system.activity import titles
from launcher.system.members import find_members
from launcher.system.process import ProcessIdentity, wait_until_gone
from launcher.system.shared_memory import ROOT as SHARED_MEMORY

RECOVERY_SECONDS: Final = 300.0
# One that SGLang does without ends and nothing follows; so long is waited for what might.
SETTLE_SECONDS: Final = 5.0
REQUESTS: Final = 4
ANSWER_TOKENS: Final = 8
ANSWER_TIMEOUT_SECONDS: Final = 30.0
COMMAND_TIMEOUT_SECONDS: Final = 180.0
# From the moment that a server is known to hang: its stacks are written, and all of it is ended.
CLEAN_UP_SECONDS: Final = 10.0

T = TypeVar("T")


class NotRecoveredError(Exception):
    """The server did not come back after a kill."""


class Launcher(Protocol):
    """What starts and stops the server: the seam at which tests put another one."""

    @property
    def store(self) -> RunStore:
        """Where its state is."""

    @property
    def temporary(self) -> Path:
        """Where the server makes temporary files, and nobody else does."""

    def up(self) -> subprocess.Popen[bytes]:
        """Begin to start the server, or to take it over; an exit code other than 0 is a failure."""

    def down(self) -> None:
        """Stop the server.

        Raises:
            subprocess.SubprocessError: it failed, or took too long.
        """


@dataclass(frozen=True, slots=True)
class _KillAttempt:
    """A kill that was struck: the record before it, and how many events there had been."""

    kill: Kill
    former: RunRecord
    killed: ProcessIdentity
    at: float
    mark: int
    may_be_kept: bool

    @property
    def is_frozen(self) -> bool:
        """Whether the process was stopped, and not killed."""
        return self.kill.moment in FREEZE_MOMENTS


class Soak:
    """A server that is killed and has to come back.

    Args:
        launcher: starts it.
        chance: draws.
        frozen_seconds: how long a process may stand still before the server is ended for it.
        recovery_seconds: how long a recovery may take.
        shared_memory: where segments have their names.
        stand_by_seconds: how long to wait before each kill for a process that stands by; None where
            none is wanted.
    """

    def __init__(
        self,
        launcher: Launcher,
        chance: random.Random,
        *,
        frozen_seconds: float,
        recovery_seconds: float = RECOVERY_SECONDS,
        shared_memory: Path = SHARED_MEMORY,
        stand_by_seconds: float | None = None,
    ) -> None:
        self._launcher = launcher
        self._store = launcher.store
        self._chance = chance
        self._frozen_seconds = frozen_seconds + CLEAN_UP_SECONDS
        self._recovery_seconds = recovery_seconds
        self._commands: list[subprocess.Popen[bytes]] = []
        self._new_segments = NewSegments(shared_memory)
        self._usual_start_seconds = 0.0
        self._stand_by_seconds = stand_by_seconds
        self.watch = Watch(self._store)

    def start(self) -> RunRecord:
        """Start the server, undisturbed.

        Raises:
            NotRecoveredError: it did not start.
        """
        mark = len(self.watch.history)
        self._commands.append(self._launcher.up())
        self._until(lambda: self._first(ServerReady, mark), mark)
        self._usual_start_seconds = self.watch.record.ready_seconds or 0.0
        return self.watch.record

    def kill(self, number: int, target: str, moment: str) -> Kill:
        """Kill or stop one process of a server that is READY, and see what comes of it.

        Never raises.

        Args:
            number: for the report.
            target: of `TARGETS`; where there is no such process yet, any member is killed.
            moment: of `KILL_MOMENTS` or `FREEZE_MOMENTS`.
        """
        kill = Kill(number, target, "", moment, None, NOT_RECOVERED)
        if self._stand_by_seconds is not None:
            self.watch.await_stand_by(self._stand_by_seconds)
        in_flight = InFlightRequests(
            self.watch.record.base_url,
            REQUESTS if moment in {IN_FLIGHT, FROZEN_IN_FLIGHT} else 0,
            timeout_seconds=RECOVERY_SECONDS + END_SECONDS,
        )
        try:
            if moment == START:
                self._begin_a_start()
            else:
                time.sleep(self._chance.uniform(0.2, 1.5))
            attempt = self._strike(kill)
        except NotRecoveredError as error:
            return replace(kill, problems=(str(error),))
        try:
            return self._recover(attempt, in_flight)
        except NotRecoveredError as error:
            return replace(attempt.kill, problems=(str(error),))

    def revive(self) -> None:
        """Start the server anew after a failure.

        Raises:
            NotRecoveredError: it does not start.
            subprocess.SubprocessError: it does not stop.
        """
        self._launcher.down()
        self.start()
        # What that kill has left is told in the end, and is not the next one's.
        self._new_segments.left(self.watch)

    def end(self) -> list[str]:
        """Stop the server; returns what is left of all its runs, in words."""
        left = []
        try:
            self._launcher.down()
        except subprocess.SubprocessError as error:
            left.append(f"`down` failed: {error}")
        for command in self._commands:
            with contextlib.suppress(subprocess.TimeoutExpired):
                command.wait(COMMAND_TIMEOUT_SECONDS)
        self.watch.look()
        new_segments, temporary = self._new_segments.all(), self._launcher.temporary
        return left + leftovers(self.watch, self._store, new_segments, temporary)

    def _recover(self, attempt: _KillAttempt, in_flight: InFlightRequests) -> Kill:
        """Wait until the server is back, and look at what it cost."""
        kill, former = attempt.kill, attempt.former
        if kill.target == "supervisor":
            # The lock is free as soon as it is gone.
            wait_until_gone(attempt.killed, timeout_seconds=COMMAND_TIMEOUT_SECONDS)
            self._commands.append(self._launcher.up())
        outcome, settled_at = self._until(lambda: self._settled(attempt), attempt.mark)
        prober = HttpProber(former.base_url)
        self._until(
            lambda: prober.generate(ANSWER_TOKENS, timeout_seconds=ANSWER_TIMEOUT_SECONDS),
            attempt.mark,
        )
        answered_at = time.monotonic()
        finished, broken, hung = in_flight.wait()
        ended_at = in_flight.last_ended_at
        longest = None if ended_at is None else round(ended_at - attempt.at, 3)
        added = start = None
        if outcome == NEW_RUN:
            start = self._usual_start_seconds = self.watch.record.ready_seconds or 0.0
            added = settled_at - attempt.at - start
        elif outcome != KEPT and kill.phase is None:
            added = settled_at - attempt.at
        before = former if outcome == NEW_RUN else None
        problems = problems_of(self.watch, self._store, before)
        problems += self._new_segments.left(self.watch)
        if hung:
            problems.append(f"{hung} requests in flight never ended")
        problems += self._delays(attempt, settled_at, longest)
        if broken and outcome != NEW_RUN:
            problems.append(f"{broken} requests broke although the server went on")
        if outcome == NEW_RUN and kill.target == "collector" and not attempt.may_be_kept:
            problems.append("the server was restarted, only because its log's collector was killed")
        return replace(
            kill,
            outcome=outcome,
            detected_seconds=self._detected_seconds(attempt),
            recovered_seconds=round(settled_at - attempt.at, 3),
            answered_seconds=round(answered_at - attempt.at, 3),
            start_seconds=start,
            added_seconds=None if added is None else round(added, 3),
            finished_requests=finished,
            broken_requests=broken,
            longest_request_seconds=longest,
            problems=tuple(problems),
        )

    def _begin_a_start(self) -> None:
        """End the server, and wait for a random moment of the start that follows."""
        former = self.watch.record
        mark = len(self.watch.history)
        assert former.server is not None  # noqa: S101  # it is READY
        former.server.send_signal(signal.SIGKILL)
        self._until(
            lambda: self.watch.record.run_id != former.run_id and self._first(PhaseProgress, mark),
            mark,
        )
        time.sleep(self._chance.uniform(0.0, self._usual_start_seconds))

    def _strike(self, kill: Kill) -> _KillAttempt:
        """Choose a process and kill it."""
        while True:
            self.watch.look()
            former = self.watch.record
            target, process = self._choose(kill.target, former)
            title = title_of(process)
            starting = former.state is ServerState.STARTING
            kept = not _is_essential(process, title, former) or (
                # Nobody holds the pipe any more of a server that was taken over.
                target == "collector" and self.watch.is_adopted()
            )
            phase = self.watch.phase() if starting else None
            mark = len(self.watch.history)
            at = time.monotonic()
            # A helper may have ended since it was chosen.
            number = signal.SIGSTOP if kill.moment in FREEZE_MOMENTS else signal.SIGKILL
            if process.send_signal(number):
                kill = replace(kill, target=target, title=title, phase=phase)
                return _KillAttempt(kill, former, process, at, mark, may_be_kept=kept)

    def _choose(self, target: str, record: RunRecord) -> tuple[str, ProcessIdentity]:
        named = {
            "server": record.server,
            "collector": record.collector,
            "supervisor": record.supervisor,
            STAND_BY: record.stand_by.process if record.stand_by else None,
        }
        if (process := named.get(target)) is not None:
            return target, process
        assert record.server is not None  # noqa: S101  # a start has shown a phase
        members = sorted(find_members(record.server, record.run_id), key=lambda one: one.pid)
        known = titles(members)
        fitting = [
            one for one in members if known.get(one.pid, "").startswith(f"{TITLE_PREFIX}{target}")
        ]
        if fitting:
            return target, self._chance.choice(fitting)
        return ANY_MEMBER, self._chance.choice(members or [record.supervisor])

    def _settled(self, attempt: _KillAttempt) -> tuple[str, float] | None:
        """What became of the server and when, once that is clear."""
        former, now = attempt.former, self.watch.record
        if now.state is not ServerState.READY:
            return None
        ready = self._first(ServerReady, attempt.mark)
        if now.run_id != former.run_id or attempt.killed == former.supervisor:
            outcome = ADOPTED if now.run_id == former.run_id else NEW_RUN
            return (outcome, ready.at) if ready is not None else None
        if attempt.killed == former.collector and now.collector != former.collector:
            return REPLACED, time.monotonic()
        settle_seconds = self._frozen_seconds if attempt.is_frozen else SETTLE_SECONDS
        if attempt.may_be_kept and time.monotonic() >= attempt.at + settle_seconds:
            return KEPT, time.monotonic()
        return None

    def _first(self, kind: type[Event], mark: int) -> Seen | None:
        return next(
            (seen for seen in self.watch.history[mark:] if isinstance(seen.event, kind)), None
        )

    def _detected_seconds(self, attempt: _KillAttempt) -> float | None:
        found = [
            seen.at - attempt.at
            for seen in self.watch.history[attempt.mark :]
            if isinstance(seen.event, ProcessLost | ServerCrashed)
            and seen.event.run_id == attempt.former.run_id
        ]
        return round(found[0], 3) if found else None

    def _delays(
        self, attempt: _KillAttempt, settled_at: float, longest_request: float | None
    ) -> list[str]:
        """What took longer than is promised after a process was stopped."""
        if not attempt.is_frozen:
            return []
        noticed = self._detected_seconds(attempt)
        times = {
            "it was noticed": settled_at - attempt.at if noticed is None else noticed,
            "the last request in flight ended": longest_request or 0.0,
        }
        return [
            f"{what} after {seconds:.1f} s, allowed are {self._frozen_seconds:.1f} s"
            for what, seconds in times.items()
            if seconds > self._frozen_seconds
        ]

    def _until(self, condition: Callable[[], T | None], mark: int) -> T:
        """Wait for something to become true.

        Raises:
            NotRecoveredError: it took too long, or cannot come any more.
        """
        deadline = time.monotonic() + self._recovery_seconds
        while True:
            self.watch.look()
            if self.watch.has_record and (found := condition()):
                return found
            failed = self._first(ServerFailed, mark)
            if failed is not None and isinstance(failed.event, ServerFailed):
                raise NotRecoveredError(f"given up: {failed.event.problem}")
            if self._commands and self._commands[-1].poll():
                raise NotRecoveredError(f"`up` failed, exit code {self._commands[-1].returncode}")
            if time.monotonic() > deadline:
                raise NotRecoveredError(f"not recovered in {self._recovery_seconds:.0f} s")
            time.sleep(POLL_SECONDS)


def _is_essential(killed: ProcessIdentity, title: str, record: RunRecord) -> bool:
    """Whether a server cannot do without a process, or its supervisor puts another in its place."""
    known = {record.server, record.supervisor, record.collector}
    return killed in known or title.startswith(TITLE_PREFIX)
