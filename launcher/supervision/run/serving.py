"""A run that serves: its health, by probes, by what comes out of it, by who stands still."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterable
from typing import Final

from launcher.config.server_config import describe_speculation
from launcher.diagnosis.conclusion import EndReason
from launcher.metrics.alarms import Alarm
from launcher.state.events import ProbeFailed, ServerReady, SpeculationJudged
from launcher.state.reports import this_machine
from launcher.state.states import SERVING_STATES, ServerState
from launcher.supervision.mailbox import Timer
from launcher.supervision.run.context import STACKS_SECONDS, RunContext
from launcher.supervision.run.members import Members
from launcher.supervision.run.messages import AlarmChanged, Probed
from launcher.supervision.watches.acceptance_history import AcceptanceHistory, acceptance_file
from launcher.supervision.watches.health import (
    Health,
    HealthJudge,
    HealthWatch,
    ProbeResult,
    RequestProgress,
)
from launcher.supervision.watches.speculation import SpeculationWatch, Watched
from launcher.supervision.watches.stopped import StoppedProcesses
from launcher.system.members import dump_stacks
from launcher.system.process import ProcessIdentity

LOOK_SECONDS: Final = 60.0
# The first requests of a server are not to wait for the imports of its successor.
STAND_BY_DELAY_SECONDS: Final = 5.0
STAND_BY_SECONDS: Final = 5.0


class Serving:
    """Watches a server from its first token on.

    Args:
        context: of the run.
        in_doubt: begin with a probe, however busy the server looks: it was taken over.
    """

    def __init__(self, context: RunContext, *, in_doubt: bool) -> None:
        self._context = context
        self._progress = RequestProgress(context.engine.shows_progress)
        self._judge = HealthJudge(context.config.health_failures)
        self._in_doubt = in_doubt
        # A stall that a probe would have outlasted is none to end a server for.
        self._stopped = StoppedProcesses(context.config.health_timeout_seconds)
        self._watch: HealthWatch | None = None
        self._speculation: SpeculationWatch | None = None

    @property
    def failures(self) -> int:
        """Health probes that failed in a row."""
        return self._judge.failures

    def begin(self, members: Members) -> None:
        """Watch from now on, and say that the server is ready."""
        context = self._context
        context.ready_at = time.monotonic()
        members.watch(members.look())
        self._watch = HealthWatch(
            context.prober,
            self._progress,
            interval_seconds=context.config.health_interval_seconds,
            timeout_seconds=context.config.health_timeout_seconds,
            on_result=lambda result: context.mailbox.put(Probed(context.run_id, result)),
            find_stopped=lambda: self._find_stopped(members),
            in_doubt=self._in_doubt,
        )
        # A server that serves is not ended since the system has no thread left.
        with contextlib.suppress(RuntimeError):
            self._watch.start()
            self._watch_speculation()
        self.look_again()
        context.mailbox.set(Timer.STAND_BY, STAND_BY_DELAY_SECONDS)
        self._tell_ready()

    def look_again(self) -> None:
        """Look at the processes a minute from now."""
        self._context.mailbox.set(Timer.LOOK, LOOK_SECONDS)

    def prepare_next(self) -> None:
        """Have a process stand by for the next run, where one is wanted."""
        context = self._context
        if context.stopping is None:
            context.stand_by.prepare()
            rests = context.journal.record.stand_by
            soon = rests is not None and not rests.ready
            context.mailbox.set(Timer.STAND_BY, STAND_BY_SECONDS if soon else LOOK_SECONDS)

    def read(self, line: str) -> None:
        """Take a line of output, in the reader's thread."""
        self._progress.see(line)

    def look(self, members: Members) -> None:
        """Remember which shared memory the processes hold."""
        members.look()
        self.look_again()

    def judge(self, result: ProbeResult, members: Members) -> EndReason | None:
        """Take a probe's result; a server that hangs is ended."""
        context, journal = self._context, self._context.journal
        state = journal.record.state
        if state not in SERVING_STATES:
            return None
        health = self._judge.take(result)
        if health is Health.HEALTHY:
            if state is ServerState.UNHEALTHY:
                journal.move(ServerState.READY)
            return None
        context.last_words = f"health probe: {result.refusal}"
        journal.tell(
            ProbeFailed,
            failures=self._judge.failures,
            allowed=context.config.health_failures,
            reason=result.refusal or "",
        )
        if state is ServerState.READY:
            journal.move(ServerState.UNHEALTHY)
        if health is Health.UNHEALTHY:
            return None
        found = members.find()
        stopped = [one for one in found if one.is_stopped()]
        if stopped and (words := _say_stopped(stopped)) not in context.last_words:
            context.last_words += f"; {words}"
        dump_stacks(found, wait_seconds=STACKS_SECONDS)
        return EndReason.HUNG

    def stop(self) -> None:
        """Probe no more."""
        if self._watch is not None:
            self._watch.stop()
        if self._speculation is not None:
            self._speculation.stop()

    def tell_alarm(self, alarm: Alarm | None) -> None:
        """Say what went wrong with speculation, or that it is well again."""
        sentence = "Speculation is as it was." if alarm is None else alarm.sentence
        self._context.journal.update(speculation_alarm=None if alarm is None else sentence)
        self._context.journal.tell(
            SpeculationJudged,
            alarm=None if alarm is None else alarm.kind.value,
            sentence=sentence,
            acceptance_length=None if alarm is None else round(alarm.acceptance_length, 3),
            running_requests=None if alarm is None else round(alarm.running_requests, 1),
        )

    def _watch_speculation(self) -> None:
        context = self._context
        table = context.engine.metrics
        config = context.config
        if table is None or config.speculative_algorithm is None or config.is_follower:
            return
        watched = Watched(
            config,
            table,
            context.journal.record.environment,
            this_machine,
            context.launch.history_key,
        )
        self._speculation = SpeculationWatch(
            watched,
            lambda alarm: context.mailbox.put(AlarmChanged(context.run_id, alarm)),
            AcceptanceHistory(acceptance_file()),
        )
        self._speculation.start()

    def _find_stopped(self, members: Members) -> str:
        """Which processes have stood still for long, in words; in the watch's thread."""
        collector = self._context.journal.record.collector
        stopped = self._stopped.look(members.essential | ({collector} if collector else set()))
        if collector is not None and collector in stopped:
            # Nobody else reads the server's pipe, and it would wait for room in there. Another
            # collector takes the place of one that ends.
            with contextlib.suppress(OSError):
                collector.send_signal(signal.SIGKILL)
        others = [one for one in stopped if one != collector]
        return _say_stopped(others) if others else ""

    def _tell_ready(self) -> None:
        record = self._context.journal.record
        planned = record.memory.planned
        self._context.journal.tell(
            ServerReady,
            base_url=record.base_url,
            served_model_name=record.served_model_name,
            context_length_tokens=record.context_length_tokens,
            kv_cache_tokens=record.kv_cache_tokens,
            max_running_requests=record.max_running_requests,
            speculation=describe_speculation(self._context.config),
            planned_kv_cache_tokens=planned.kv_cache_tokens if planned else None,
        )


def _say_stopped(processes: Iterable[ProcessIdentity]) -> str:
    """Who stands still, and by what: one that a debugger holds hears no SIGCONT."""
    traced: list[str] = []
    stopped: list[str] = []
    for one in processes:
        (traced if one.is_traced() else stopped).append(str(one.pid))
    words = {"stopped by a signal (SIGSTOP)": stopped, "held by a debugger (ptrace)": traced}
    return "; ".join(f"{how}: process {', '.join(pids)}" for how, pids in words.items() if pids)
