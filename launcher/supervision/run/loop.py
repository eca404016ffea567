"""The loop of one run. Everything that happens arrives as a value in one mailbox.

Threads and signal handlers only put something in; the loop routes it to the part that acts.
"""

from __future__ import annotations

import os
import threading
from typing import Final

from launcher.diagnosis import failures
from launcher.diagnosis.conclusion import (
    EndReason,
    Failed,
    FinalState,
    Stopped,
    conclude,
    conclude_with,
    describe_end,
)
from launcher.diagnosis.suspects import suspects
from launcher.engines.causes import Retry
from launcher.engines.launch import Launch
from launcher.errors import LauncherError
from launcher.logs.output import Output
from launcher.nodes.events import LeaderGaveUp, Moved, NodeEnded, NodesEvent
from launcher.nodes.group import Group
from launcher.state.events import LogLost
from launcher.state.record import RunRecord
from launcher.state.store import RunStore
from launcher.supervision.journal import Journal
from launcher.supervision.mailbox import Mailbox, Request, RunMessage, Timer
from launcher.supervision.run import messages
from launcher.supervision.run.context import Dependencies, RunContext
from launcher.supervision.run.meeting import meet, post
from launcher.supervision.run.members import Members
from launcher.supervision.run.serving import Serving
from launcher.supervision.run.spawn import (
    Failure,
    adopted_record,
    first_record,
    launch_server,
    take_over,
)
from launcher.supervision.run.starting import Starting
from launcher.supervision.run.stopping import abort_requests, drain, stop
from launcher.supervision.server.end import KILL_TIMEOUT_SECONDS
from launcher.supervision.server.process import ServerProcess
from launcher.supervision.server.stand_by import Holder, Nobody
from launcher.system.oom import oom_kill_count

# How long a server may take to end by itself once another machine's has ended.
ALONE_SECONDS: Final = 5.0


class Run:
    """One start of the server, from STARTING to an end.

    Args:
        launch: what to run.
        store: its folder; the caller holds the lock.
        journal: takes the record and the events.
        mailbox: brings everything that happens.
        dependencies: for tests.
        stand_by: holds a process that may become this run's server, and then one for the next.
        adopted: the record of a server that already serves, and whose supervisor was killed.
        ends: only end the adopted server, in whichever state it was left.
        group: the machines that serve together with this one; None where it serves alone.
        restarts: how often this supervisor has started the server before.
        last_failure: why it did the last time, where nobody asked for it.
    """

    def __init__(
        self,
        launch: Launch,
        store: RunStore,
        journal: Journal,
        mailbox: Mailbox,
        dependencies: Dependencies,
        *,
        stand_by: Holder | None = None,
        adopted: RunRecord | None = None,
        ends: bool = False,
        group: Group | None = None,
        restarts: int = 0,
        last_failure: Failure | None = None,
    ) -> None:
        stand_by = Nobody() if stand_by is None else stand_by
        run_id = adopted.run_id if adopted else stand_by.next_run_id()
        self._context = RunContext(
            launch, store, journal, mailbox, dependencies, run_id, stand_by, group=group
        )
        self._adopted = adopted
        self._ends = ends
        self._restarts = restarts
        self._last_failure = last_failure
        self._starting = Starting(self._context)
        self._serving = Serving(self._context, in_doubt=adopted is not None)
        self._oom_kills = oom_kill_count() or 0

    def supervise(self) -> Stopped | Failed:
        """Start, or adopt, watch, end, and see that nothing is left.

        Raises:
            StateError: the first record cannot be written.
        """
        context = self._context
        context.mailbox.clear()
        # A full disk keeps no server from coming back, nor one from being ended.
        is_new = self._restarts == 0 and not self._ends
        context.journal.begin(self._first_record(), must_be_written=is_new)
        if context.group is not None and (early := self._join(context.group)) is not None:
            # Who was told to start just then ends again.
            context.group.tell_ended(_last_word(early))
            return early
        end: Stopped | Failed | None = None
        try:
            end = self._run()
            return end
        finally:
            if context.group is not None:
                context.group.tell_ended(_last_word(end))

    def _join(self, group: Group) -> Stopped | Failed | None:
        """Come together with the other machines; None: they are together."""
        context = self._context
        if self._adopted is None:
            return meet(context, group)
        try:
            group.resume(lambda event: post(context, event))
        except (OSError, RuntimeError) as error:
            # The server serves; who leads it hears nothing of the others.
            context.last_words = f"no other machine is heard of: {error}"
        return None

    def _run(self) -> Stopped | Failed:
        """From the first process to the last.

        Raises:
            BaseException: what nobody expected; nothing of the server is left.
        """
        context = self._context
        try:
            begin = take_over if self._adopted else launch_server
            process, output = begin(context, self._read)
        except BaseException as error:
            # Nothing was started. What could not be taken over keeps its key.
            if self._adopted is None:
                context.store.forget_keys()
            if isinstance(error, LauncherError):
                return Failed(error, Retry.ONCE_SERVED)
            raise
        context.leader = process.identity
        members = Members(context, process.identity, context.journal.record.segments)
        try:
            try:
                if self._adopted and not self._ends:
                    self._serving.begin(members)
                reason = self._attend(process, members)
            finally:
                # Whatever happened, nothing of the server outlives its supervisor's care.
                self._stop_watches(members)
                try:
                    members.end()
                finally:
                    output.join(KILL_TIMEOUT_SECONDS)
            return self._conclude(reason, process.wait(), output)
        except LauncherError as error:
            return Failed(error, Retry.NEVER, served_seconds=context.served_seconds)
        except (OSError, RuntimeError) as error:
            # No descriptor, no thread: it was ended, and may do better next time.
            return Failed(
                failures.out_of_means(error),
                Retry.ONCE_SERVED,
                served_seconds=context.served_seconds,
            )
        finally:
            context.store.forget_keys()

    def _first_record(self) -> RunRecord:
        if self._adopted is not None:
            return adopted_record(self._context, self._adopted, ends=self._ends)
        return first_record(self._context, restarts=self._restarts, last_failure=self._last_failure)

    def _read(self, line: str) -> None:
        """Take a line of output, in the reader's thread."""
        (self._starting if self._context.ready_at is None else self._serving).read(line)

    def _attend(self, process: ServerProcess, members: Members) -> EndReason:
        """Listen to everything that reports on the server, until it ends or has to."""
        threading.Thread(target=self._await_end, args=(process,), daemon=True).start()
        if self._adopted is None:
            self._starting.begin()
        while True:
            item = self._context.mailbox.next()
            item = messages.asked_elsewhere(item, run_id=self._context.run_id) or item
            if isinstance(item, Request):
                if self._context.stopping is None:
                    self._stop_watches(members)
                reason = stop(self._context, process.identity, members, item)
            elif isinstance(item, Timer):
                reason = self._ring(item, process, members)
            else:
                reason = self._take(item, members)
            if reason is not None:
                return reason

    def _take(self, message: RunMessage, members: Members) -> EndReason | None:
        if message.run_id != self._context.run_id:
            return None
        match message:
            case messages.Progressed(progress=progress):
                self._starting.show(progress)
            case messages.CollectorReplaced(collector=collector):
                self._context.journal.update(collector=collector)
            case messages.CollectorLost():
                self._context.journal.tell(LogLost)
            case messages.TokenGenerated(memory=memory) if self._context.stopping is None:
                # Looked at first: once it is READY, whoever kills it leaves no time for that.
                members.look()
                self._starting.finish(memory)
                self._serving.begin(members)
            case messages.PortTaken(holder=holder) if self._is_starting:
                self._context.last_words = holder
                return EndReason.PORT_TAKEN
            case messages.NodesHeard(event=event):
                return self._hear(event, members)
            case messages.ProcessEnded():
                return EndReason.EXITED
            case messages.MemberEnded():
                members.lose(message)
            case messages.AlarmChanged(alarm=alarm):
                self._serving.tell_alarm(alarm)
            case messages.Probed(result=result):
                return self._serving.judge(result, members)
        return None

    def _hear(self, event: NodesEvent, members: Members) -> EndReason | None:
        """Something happened on another machine."""
        context = self._context
        match event:
            case Moved() if self._is_starting:
                self._starting.saw_others()
            case NodeEnded() | LeaderGaveUp() if members.has_lost:
                # That one ended since this one did.
                pass
            case NodeEnded(rank=rank, problem=problem):
                if context.stopping is None:
                    context.ended_node = (rank, problem)
                    return EndReason.NODE_ENDED
                # It ends itself by now, or hangs: nothing is in flight any more.
                if not context.is_alone:
                    context.is_alone = True
                    context.mailbox.clear(Timer.TERM, Timer.DRAIN)
                    context.mailbox.set(Timer.KILL, ALONE_SECONDS)
            case LeaderGaveUp(problem=problem) if context.stopping is None:
                context.ended_node = (0, problem)
                return EndReason.NODE_ENDED
        return None

    @property
    def _is_starting(self) -> bool:
        return self._context.ready_at is None and self._context.stopping is None

    def _ring(self, timer: Timer, process: ServerProcess, members: Members) -> EndReason | None:
        match timer:
            case Timer.TERM:
                drain(self._context, process.identity)
            case Timer.START:
                return EndReason.TIMED_OUT
            case Timer.FALLOUT:
                return EndReason.PROCESS_LOST
            case Timer.KILL:
                return EndReason.KILLED
            case Timer.DRAIN:
                abort_requests(self._context)
            case Timer.LOOK:
                return self._look(members)
            case Timer.STAND_BY:
                self._serving.prepare_next()
            case Timer.RESTART:
                pass
        return None

    def _look(self, members: Members) -> EndReason | None:
        try:
            if self._is_starting:
                return self._starting.look(members)
            self._serving.look(members)
        except OSError:
            # A server that serves is not ended since the system has no descriptor left.
            self._serving.look_again()
        return None

    def _await_end(self, process: ServerProcess) -> None:
        process.wait()
        self._context.mailbox.put(messages.ProcessEnded(self._context.run_id))

    def _stop_watches(self, members: Members) -> None:
        self._starting.stop()
        self._serving.stop()
        members.stop_watch()

    def _conclude(
        self, reason: EndReason, returncode: int | None, output: Output
    ) -> Stopped | Failed:
        context = self._context
        context.journal.update(exit=describe_end(returncode), dropped_lines=output.dropped_lines)
        served = context.ready_at is not None
        if context.stopping is not None:
            return Stopped(
                killed=reason is EndReason.KILLED,
                restart=context.stopping is Request.RESTART,
                served=served,
            )
        seen = FinalState(
            name=context.store.name,
            config=context.config,
            returncode=returncode,
            phase=self._starting.phase,
            seconds=context.journal.elapsed_seconds,
            served_seconds=context.served_seconds if served else None,
            lines=output.tail,
            last_words=context.last_words,
            oom_kills=max(0, (oom_kill_count() or 0) - self._oom_kills),
            failures=self._serving.failures,
            refusal=context.prober.last_refusal,
            variables=suspects(os.environ, context.launch.command.environment),
        )
        if context.ended_node is not None:
            return conclude_with(*context.ended_node, seen)
        return conclude(reason, seen, context.engine.causes)


def _last_word(end: Stopped | Failed | None) -> str:
    """Why a run ended, for the other machines."""
    if isinstance(end, Failed):
        return end.error.problem
    return "it was stopped" if end is not None else "its supervisor failed"
