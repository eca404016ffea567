"""The start of a run: its phases, whether it is slow or hung, and the first token."""

from __future__ import annotations

import time
from typing import Final

from launcher.diagnosis.conclusion import EndReason
from launcher.engines.phases import Phase, Progress
from launcher.memory.report import MemoryRecord, ReportedMemory
from launcher.state.events import PhaseProgress, StartSlow
from launcher.state.states import ServerState
from launcher.supervision.mailbox import Timer
from launcher.supervision.run.context import STACKS_SECONDS, RunContext
from launcher.supervision.run.members import Members
from launcher.supervision.run.messages import Progressed, TokenGenerated
from launcher.supervision.watches.readiness import ReadinessWatch
from launcher.supervision.watches.start import StartWatch
from launcher.system.activity import read_activity
from launcher.system.members import dump_stacks

LOOK_SECONDS: Final = 5.0
# Soon at first, and then ever later: what a killed process shared, only an earlier look can tell.
FIRST_LOOK_SECONDS: Final = 0.1
SLOW_REPEAT_SECONDS: Final = 60.0


class Starting:
    """Follows one start until its first token."""

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._log = context.engine.start_log(context.config)
        self._watch = StartWatch(
            context.dependencies.history.usual(context.launch.history_key),
            hang_seconds=context.config.hang_timeout_seconds,
        )
        self._readiness = ReadinessWatch(
            context.prober,
            on_ready=lambda memory: context.mailbox.put(TokenGenerated(context.run_id, memory)),
        )
        self._slow_told_at: float | None = None
        self._next_look_seconds = FIRST_LOOK_SECONDS

    @property
    def phase(self) -> Phase:
        """What the start is doing, or was doing last."""
        return self._log.progress.phase

    def begin(self) -> None:
        """The first process has been started."""
        self.show(Progress(Phase.IMPORTING))
        self._context.mailbox.set(Timer.START, self._context.config.start_timeout_seconds)
        self.look_again()
        self._readiness.start()

    def look_again(self) -> None:
        """Look at the processes some seconds from now."""
        hang_seconds = self._context.config.hang_timeout_seconds
        longest = min(LOOK_SECONDS, hang_seconds / 4)
        self._context.mailbox.set(Timer.LOOK, min(longest, self._next_look_seconds))
        self._next_look_seconds *= 2

    def read(self, line: str) -> None:
        """Take a line of output, in the reader's thread."""
        self._watch.saw_output(time.monotonic())
        progress = self._log.feed(line)
        if progress is not None:
            self._context.mailbox.put(Progressed(self._context.run_id, progress))
        if self._log.fired_up:
            self._readiness.hurry()

    def saw_others(self) -> None:
        """The start goes on, on another machine: what waits for that does not hang."""
        self._watch.saw_others(time.monotonic())

    def show(self, progress: Progress) -> None:
        """Tell of a phase, or of a count in it."""
        if self._context.ready_at is not None:
            return
        self._tell_others()
        self._watch.enter(progress.phase, time.monotonic())
        self._context.journal.tell(
            PhaseProgress,
            phase=progress.phase.value,
            done=progress.done,
            total=progress.total,
        )

    def look(self, members: Members) -> EndReason | None:
        """Judge by what the processes do; a start that hangs is ended."""
        found = members.look()
        self.look_again()
        now = time.monotonic()
        members.watch(found)
        self._watch.saw_activity(read_activity(found, now=now))
        verdict = self._watch.judge(now)
        if self._watch.works(now, within_seconds=LOOK_SECONDS):
            self._tell_others()
        if verdict.kind == "hung":
            self._context.last_words = verdict.evidence
            dump_stacks(found, wait_seconds=STACKS_SECONDS)
            return EndReason.START_HUNG
        if verdict.kind == "slow" and (
            self._slow_told_at is None or now - self._slow_told_at >= SLOW_REPEAT_SECONDS
        ):
            self._slow_told_at = now
            self._context.journal.tell(
                StartSlow,
                phase=verdict.phase.value,
                phase_seconds=verdict.seconds_in_phase,
                usual_seconds=verdict.usual_seconds,
                summary=verdict.summary,
                work=verdict.evidence,
            )
        return None

    def _tell_others(self) -> None:
        if self._context.group is not None:
            self._context.group.tell_moving()

    def finish(self, memory: ReportedMemory | None) -> None:
        """The first token was generated: keep how long each phase took, and say READY."""
        context, log = self._context, self._log
        durations = self._watch.durations(time.monotonic())
        context.dependencies.history.add(context.launch.history_key, durations)
        # The engine read the keys when it started, and does not look again.
        context.store.remove_secrets()
        context.mailbox.clear(Timer.START)
        context.journal.move(
            ServerState.READY,
            ready_seconds=round(context.journal.elapsed_seconds, 3),
            context_length_tokens=log.context_length_tokens,
            kv_cache_tokens=log.kv_cache_tokens,
            max_running_requests=log.max_running_requests,
            memory=MemoryRecord(planned=context.launch.planned, reported=memory),
        )

    def stop(self) -> None:
        """Ask for no token any more."""
        self._readiness.stop()
