"""One run of a server, from its spawn, or its adoption, to the proof that nothing of it is left.

Everything that happens arrives as a value in one mailbox. Threads and signal handlers only put
something in; the loop acts.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from launcher.config.server_config import ServerConfig, describe_speculation
from launcher.diagnosis import failures
from launcher.diagnosis.conclusion import Ending, Failed, LastSeen, Stopped, conclude, describe_end
from launcher.diagnosis.search import Retry
from launcher.engines.launch import Launch
from launcher.engines.phases import Phase, Progress
from launcher.engines.prober import Prober
from launcher.engines.sglang.phases import StartLog
from launcher.engines.sglang.prober import HttpProber
from launcher.engines.sglang.processes import engine_children
from launcher.errors import LauncherError
from launcher.logs import files
from launcher.logs.output import AdoptedOutput, Output, ServerOutput
from launcher.memory.report import MemoryRecord, ReportedMemory
from launcher.state.events import (
    PhaseProgress,
    ProbeFailed,
    ProcessLost,
    ServerAdopted,
    ServerReady,
    StartSlow,
)
from launcher.state.record import RunRecord
from launcher.state.states import SERVING_STATES, ServerState
from launcher.state.store import RunStore
from launcher.supervision.journal import Journal
from launcher.supervision.mailbox import Happening, Mailbox, Request, Timer
from launcher.supervision.server.end import KILL_TIMEOUT_SECONDS, Holdings, end_server
from launcher.supervision.server.process import AdoptedProcess, ServerProcess, spawn
from launcher.supervision.watches.health import (
    Advance,
    Health,
    HealthJudge,
    HealthWatch,
    ProbeResult,
)
from launcher.supervision.watches.members import MemberWatch
from launcher.supervision.watches.phase_history import PhaseHistory, history_file
from launcher.supervision.watches.readiness import ReadinessWatch
from launcher.supervision.watches.start import StartWatch
from launcher.system.activity import EngineChild, read_activity
from launcher.system.hardware import MIB
from launcher.system.members import dump_stacks, find_members, reap_orphans
from launcher.system.oom import oom_kill_count
from launcher.system.ports import check_port_is_free
from launcher.system.process import ProcessIdentity
from launcher.system.shared_memory import segments_of

# SGLang looks after its children once a second, and then ends itself. What it would still say of a
# process that was killed is worth less than that second. A crash dump, where one is asked for, is
# worth more, and so is a start's own reason to end; after a mere kill it would wait a minute for
# CUDA's core dumps.
FALLOUT_SECONDS: Final = 0.5
SLOW_FALLOUT_SECONDS: Final = 5.0
START_LOOK_SECONDS: Final = 5.0
SERVING_LOOK_SECONDS: Final = 60.0
SLOW_REPEAT_SECONDS: Final = 60.0
ABORT_REPEAT_SECONDS: Final = 1.0
STACKS_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True)
class Seams:
    """Where tests put something else."""

    spawner: Callable[..., ServerProcess] = spawn
    make_prober: Callable[[ServerConfig, dict[str, str]], Prober] = lambda config, keys: HttpProber(
        config.base_url, keys.get("api-key"), keys.get("admin-api-key")
    )
    history: PhaseHistory = field(default_factory=lambda: PhaseHistory(history_file()))


@dataclass(frozen=True, slots=True)
class _Progressed(Happening):
    progress: Progress


@dataclass(frozen=True, slots=True)
class _CollectorReplaced(Happening):
    collector: ProcessIdentity


class _ProcessEnded(Happening):
    pass


@dataclass(frozen=True, slots=True)
class _TokenGenerated(Happening):
    memory: ReportedMemory | None


@dataclass(frozen=True, slots=True)
class _MemberEnded(Happening):
    identity: ProcessIdentity
    title: str


@dataclass(frozen=True, slots=True)
class _Probed(Happening):
    result: ProbeResult


class Run:
    """One start of the server, from STARTING to an end.

    Args:
        launch: what to run.
        store: its folder; the caller holds the lock.
        journal: takes the record and the events.
        mailbox: brings everything that happens.
        seams: for tests.
        adopted: the record of a server that already serves, and whose supervisor was killed.
        restarts: how often this supervisor has started the server before.
        last_failure: why it did the last time, where nobody asked for it.
    """

    def __init__(
        self,
        launch: Launch,
        store: RunStore,
        journal: Journal,
        mailbox: Mailbox,
        seams: Seams,
        *,
        adopted: RunRecord | None = None,
        restarts: int = 0,
        last_failure: str | None = None,
    ) -> None:
        self._launch = launch
        self._config = launch.config
        self._store = store
        self._journal = journal
        self._mailbox = mailbox
        self._seams = seams
        self._adopted = adopted
        self._restarts = restarts
        self._last_failure = last_failure
        self._run_id = adopted.run_id if adopted else secrets.token_hex(8)
        self._prober = seams.make_prober(launch.config, launch.keys)
        self._log = StartLog()
        self._start = StartWatch(
            seams.history.usual(launch.history_key),
            hang_seconds=launch.config.hang_timeout_seconds,
        )
        self._slow_told_at: float | None = None
        self._ready_at: float | None = None
        self._stopping: Request | None = None
        self._last_words: str = ""
        self._segments = frozenset(adopted.segments) if adopted else frozenset()
        self._advance = Advance()
        self._judge = HealthJudge(launch.config.health_failures)
        self._readiness = ReadinessWatch(
            self._prober,
            on_ready=lambda memory: mailbox.put(_TokenGenerated(self._run_id, memory)),
        )
        self._health = HealthWatch(
            self._prober,
            self._advance,
            interval_seconds=launch.config.health_interval_seconds,
            timeout_seconds=launch.config.health_timeout_seconds,
            on_result=lambda result: mailbox.put(_Probed(self._run_id, result)),
            in_doubt=adopted is not None,
        )
        self._member_watch: MemberWatch | None = None
        self._watched: frozenset[EngineChild] = frozenset()
        self._lost = False
        self._oom_kills = oom_kill_count() or 0

    def supervise(self) -> Stopped | Failed:
        """Start, or adopt, watch, end, and see that nothing is left.

        Raises:
            StateError: the first record cannot be written.
        """
        self._mailbox.clear()
        self._journal.begin(self._first_record())
        try:
            process, output = self._take_over() if self._adopted else self._launch_server()
        except LauncherError as error:
            self._store.remove_secrets()
            return Failed(error, Retry.ONCE_SERVED)
        try:
            try:
                ending = self._attend(process)
            finally:
                # Whatever happened, nothing of the server outlives its supervisor's care.
                self._end_watches()
                try:
                    self._clean_up(process)
                finally:
                    output.join(KILL_TIMEOUT_SECONDS)
            returncode = process.wait()
            return self._conclude(ending, returncode, output)
        except LauncherError as error:
            return Failed(error, Retry.NEVER, served_seconds=self._served_seconds)
        except (OSError, RuntimeError) as error:
            # No descriptor, no thread: it was ended, and may do better next time.
            failure = failures.out_of_means(error)
            return Failed(failure, Retry.ONCE_SERVED, served_seconds=self._served_seconds)
        finally:
            self._store.remove_secrets()

    # Beginning

    def _first_record(self) -> RunRecord:
        own = ProcessIdentity.of(os.getpid())
        if self._adopted is not None:
            return self._adopted.model_copy(
                update={"supervisor": own, "detached": self._launch.detached}
            )
        config = self._config
        return RunRecord(
            name=self._store.name,
            run_id=self._run_id,
            state=ServerState.STARTING,
            detached=self._launch.detached,
            base_url=config.base_url,
            served_model_name=config.served_model_name,
            model_path=config.model_path,
            model_commit=self._launch.model_commit,
            api_key_file=config.api_key_file,
            started_at=datetime.now(UTC),
            restarts=self._restarts,
            last_failure=self._last_failure,
            memory=MemoryRecord(planned=self._launch.planned),
            supervisor=own,
            command=self._launch.command.argv,
            environment=dict(self._launch.command.environment),
            versions=self._launch.versions,
            config=config.model_dump(mode="json"),
            log_file=self._store.log_file,
            events_file=self._store.events_file,
        )

    def _launch_server(self) -> tuple[ServerProcess, Output]:
        config = self._config
        # Somebody may have taken it during a pause, and would be asked with our key.
        check_port_is_free(config.host, config.port)
        self._store.write_secrets(self._launch.keys)
        files.begin(self._store.log_file, config.log_keep_files)
        try:
            output = ServerOutput.start(
                log_file=self._store.log_file,
                secrets=self._launch.keys.values(),
                on_line=self._pass_on,
                on_restart=lambda new: self._mailbox.put(_CollectorReplaced(self._run_id, new)),
                rotate_bytes=config.log_rotate_mib * MIB,
                keep_files=config.log_keep_files,
            )
        except OSError as error:
            raise failures.not_spawned(error) from error
        try:
            process = self._seams.spawner(
                self._launch.command,
                run_id=self._run_id,
                cwd=self._store.folder,
                output=output.write_end,
                die_with_parent=self._dies_with_launcher,
            )
        except OSError as error:
            output.close_write_end()
            output.join(KILL_TIMEOUT_SECONDS)
            raise failures.not_spawned(error) from error
        output.close_write_end()
        self._journal.update(server=process.identity, collector=output.collector)
        self._show(Progress(Phase.IMPORTING))
        self._mailbox.set(Timer.START, config.start_timeout_seconds)
        self._mailbox.set(Timer.LOOK, self._start_look_seconds)
        return process, output

    @property
    def _start_look_seconds(self) -> float:
        return min(START_LOOK_SECONDS, self._config.hang_timeout_seconds / 4)

    @property
    def _dies_with_launcher(self) -> bool:
        wanted = self._config.die_with_launcher
        return not self._launch.detached if wanted is None else wanted

    def _take_over(self) -> tuple[ServerProcess, Output]:
        record = self._journal.record
        assert record.server is not None  # noqa: S101  # it is alive, so it has been recorded
        output = AdoptedOutput(
            record.log_file,
            record.collector,
            on_line=self._pass_on,
            began_at=record.started_at.timestamp(),
        )
        self._journal.tell(ServerAdopted, pid=record.server.pid)
        self._watch_serving(record.server)
        self._tell_ready()
        return AdoptedProcess(record.server), output

    # Serving

    def _attend(self, process: ServerProcess) -> Ending:
        """Listen to everything that reports on the server, until it ends or has to."""
        threading.Thread(target=self._await_end, args=(process,), daemon=True).start()
        if self._ready_at is None:
            self._readiness.start()
        while True:
            item = self._mailbox.next()
            if isinstance(item, Happening) and item.run_id != self._run_id:
                continue
            ending = None
            match item:
                case _Progressed(progress=progress):
                    self._show(progress)
                case _CollectorReplaced(collector=collector):
                    self._journal.update(collector=collector)
                case _TokenGenerated(memory=memory):
                    self._become_ready(process.identity, memory)
                case _ProcessEnded():
                    return Ending.EXITED
                case _MemberEnded():
                    self._lose(item)
                case _Probed(result=result):
                    ending = self._judge_health(result)
                case Request():
                    ending = self._stop(process, item)
                case Timer():
                    ending = self._ring(item, process)
            if ending is not None:
                return ending

    def _ring(self, timer: Timer, process: ServerProcess) -> Ending | None:
        match timer:
            case Timer.START:
                return Ending.TIMED_OUT
            case Timer.FALLOUT:
                return Ending.PROCESS_LOST
            case Timer.KILL:
                return Ending.KILLED
            case Timer.DRAIN:
                # It may take new requests until it ends, so they are aborted again and again.
                with contextlib.suppress(RuntimeError):
                    threading.Thread(target=self._prober.abort_requests, daemon=True).start()
                self._mailbox.set(Timer.DRAIN, ABORT_REPEAT_SECONDS)
            case Timer.LOOK:
                return self._look_if_possible(process)
            case Timer.RESTART:
                pass
        return None

    def _pass_on(self, text: str) -> None:
        """A line of output, in the reader's thread. Phases are read from it until it is ready."""
        if self._ready_at is not None:
            self._advance.see(text)
            return
        self._start.saw_output(time.monotonic())
        progress = self._log.feed(text)
        if progress is not None:
            self._mailbox.put(_Progressed(self._run_id, progress))
        if self._log.fired_up:
            self._readiness.hurry()

    def _show(self, progress: Progress) -> None:
        if self._ready_at is not None:
            return
        self._start.enter(progress.phase, time.monotonic())
        self._journal.tell(
            PhaseProgress,
            phase=progress.phase.value,
            done=progress.done,
            total=progress.total,
        )

    def _look_if_possible(self, process: ServerProcess) -> Ending | None:
        try:
            return self._look(process)
        except OSError:
            # A server that serves is not ended since the system has no descriptor left.
            self._mailbox.set(Timer.LOOK, SERVING_LOOK_SECONDS)
            return None

    def _look(self, process: ServerProcess) -> Ending | None:
        """What the processes do, and which shared memory they hold."""
        members = find_members(process.identity, self._run_id)
        self._remember_segments(members)
        if self._ready_at is not None or self._stopping is not None:
            self._mailbox.set(Timer.LOOK, SERVING_LOOK_SECONDS)
            return None
        self._mailbox.set(Timer.LOOK, self._start_look_seconds)
        now = time.monotonic()
        self._watch_members(members)
        self._start.saw_activity(read_activity(members, now=now))
        verdict = self._start.judge(now)
        if verdict.kind == "hung":
            self._last_words = verdict.evidence
            dump_stacks(members, wait_seconds=STACKS_SECONDS)
            return Ending.START_HUNG
        if verdict.kind == "slow" and (
            self._slow_told_at is None or now - self._slow_told_at >= SLOW_REPEAT_SECONDS
        ):
            self._slow_told_at = now
            self._journal.tell(
                StartSlow,
                phase=verdict.phase.value,
                phase_seconds=verdict.seconds_in_phase,
                usual_seconds=verdict.usual_seconds,
                summary=verdict.summary,
                work=verdict.evidence,
            )
        return None

    def _remember_segments(self, members: list[ProcessIdentity]) -> None:
        found = self._segments | segments_of(members)
        if found != self._segments:
            self._segments = found
            self._journal.update(segments=tuple(sorted(found, key=lambda one: one.name)))

    def _become_ready(self, leader: ProcessIdentity, memory: ReportedMemory | None) -> None:
        if self._stopping is not None:
            return
        now = time.monotonic()
        self._seams.history.add(self._launch.history_key, self._start.durations(now))
        # SGLang read the keys when it started, and does not look again.
        self._store.remove_secrets()
        self._mailbox.clear(Timer.START)
        self._journal.move(
            ServerState.READY,
            ready_seconds=round(self._journal.elapsed_seconds, 3),
            context_length_tokens=self._log.context_length_tokens,
            kv_cache_tokens=self._log.kv_cache_tokens,
            max_running_requests=self._log.max_running_requests,
            memory=MemoryRecord(planned=self._launch.planned, reported=memory),
        )
        self._watch_serving(leader)
        self._tell_ready()

    def _watch_serving(self, leader: ProcessIdentity) -> None:
        self._ready_at = time.monotonic()
        members = find_members(leader, self._run_id)
        self._remember_segments(members)
        self._watch_members(members)
        with contextlib.suppress(RuntimeError):
            self._health.start()
        self._mailbox.set(Timer.LOOK, SERVING_LOOK_SECONDS)

    def _watch_members(self, members: list[ProcessIdentity]) -> None:
        """Hear of the end of each process that has a title by now."""
        children = engine_children(members)
        if self._watched.issuperset(children):
            return
        if self._member_watch is not None:
            self._member_watch.stop()
        self._member_watch = MemberWatch(
            children,
            on_end=lambda identity, title: self._mailbox.put(
                _MemberEnded(self._run_id, identity, title)
            ),
        )
        # A server that serves is not ended since the system has no descriptor or thread left.
        with contextlib.suppress(OSError, RuntimeError):
            self._member_watch.start()
            self._watched = frozenset(children)

    def _tell_ready(self) -> None:
        record = self._journal.record
        planned = record.memory.planned
        self._journal.tell(
            ServerReady,
            base_url=record.base_url,
            served_model_name=record.served_model_name,
            context_length_tokens=record.context_length_tokens,
            kv_cache_tokens=record.kv_cache_tokens,
            max_running_requests=record.max_running_requests,
            speculation=describe_speculation(self._config),
            planned_kv_cache_tokens=planned.kv_cache_tokens if planned else None,
        )

    def _lose(self, lost: _MemberEnded) -> None:
        if self._stopping is not None or self._lost:
            return
        self._lost = True
        self._last_words = f"{lost.title} (process {lost.identity.pid}) ended"
        self._journal.tell(ProcessLost, pid=lost.identity.pid, title=lost.title)
        dumps = any(one.startswith("--crash-dump-folder") for one in self._config.extra_args)
        patient = dumps or self._ready_at is None
        self._mailbox.set(Timer.FALLOUT, SLOW_FALLOUT_SECONDS if patient else FALLOUT_SECONDS)

    def _judge_health(self, result: ProbeResult) -> Ending | None:
        state = self._journal.record.state
        if state not in SERVING_STATES:
            return None
        health = self._judge.take(result, advanced_at=self._advance.at)
        if health is Health.HEALTHY:
            if state is ServerState.UNHEALTHY:
                self._journal.move(ServerState.READY)
            return None
        self._last_words = f"health probe: {result.refusal}"
        self._journal.tell(
            ProbeFailed,
            failures=self._judge.failures,
            allowed=self._config.health_failures,
            reason=result.refusal or "",
        )
        if state is ServerState.READY:
            self._journal.move(ServerState.UNHEALTHY)
        if health is Health.UNHEALTHY:
            return None
        assert self._journal.record.server is not None  # noqa: S101  # it is being probed
        members = find_members(self._journal.record.server, self._run_id)
        activity = read_activity(members, now=time.monotonic())
        if activity.stopped:
            pids = ", ".join(map(str, activity.stopped))
            self._last_words += f"; stopped by a signal (SIGSTOP): process {pids}"
        dump_stacks(members, wait_seconds=STACKS_SECONDS)
        return Ending.HUNG

    # Ending

    def _stop(self, process: ServerProcess, request: Request) -> Ending | None:
        """TERM to the server's first process, which drains; a second request ends it at once.

        Only the first process gets the TERM: SGLang treats children that die before it as a crash.
        """
        if self._stopping is not None:
            return self._stop_again(request)
        self._stopping = request
        self._end_watches()
        # systemd would end the whole unit at its own deadline, a restarted server included.
        if request is Request.STOP:
            self._journal.say_goodbye()
        self._journal.move(ServerState.STOPPING, restarting=request is Request.RESTART)
        self._remember_segments(find_members(process.identity, self._run_id))
        process.identity.send_signal(signal.SIGTERM)
        self._mailbox.clear()
        self._mailbox.set(Timer.DRAIN, self._config.drain_timeout_seconds)
        self._mailbox.set(Timer.KILL, self._config.stop_seconds)
        return None

    def _stop_again(self, request: Request) -> Ending | None:
        if request is Request.RESTART:
            return None
        if self._stopping is Request.STOP:
            return Ending.KILLED
        # What is in flight ends as it would have with the restart.
        self._stopping = request
        self._journal.say_goodbye()
        self._journal.update(restarting=False)
        return None

    def _end_watches(self) -> None:
        self._readiness.stop()
        self._health.stop()
        if self._member_watch is not None:
            self._member_watch.stop()

    def _clean_up(self, process: ServerProcess) -> None:
        config = self._config
        holdings = Holdings(config.host, config.port, on_gpus=config.device == "cuda")
        try:
            end_server(process.identity, self._run_id, holdings, self._segments)
        finally:
            reap_orphans(process.identity)

    def _conclude(self, ending: Ending, returncode: int | None, output: Output) -> Stopped | Failed:
        self._journal.update(exit=describe_end(returncode), dropped_lines=output.dropped_lines)
        if self._stopping is not None:
            return Stopped(
                killed=ending is Ending.KILLED,
                restart=self._stopping is Request.RESTART,
                served=self._ready_at is not None,
            )
        return conclude(
            ending,
            LastSeen(
                name=self._store.name,
                config=self._config,
                returncode=returncode,
                phase=self._log.progress.phase,
                seconds=self._journal.elapsed_seconds,
                served_seconds=self._served_seconds if self._ready_at is not None else None,
                lines=output.tail,
                last_words=self._last_words,
                oom_kills=max(0, (oom_kill_count() or 0) - self._oom_kills),
                failures=self._judge.failures,
                refusal=self._prober.last_refusal,
            ),
        )

    @property
    def _served_seconds(self) -> float:
        return 0.0 if self._ready_at is None else time.monotonic() - self._ready_at

    def _await_end(self, process: ServerProcess) -> None:
        process.wait()
        self._mailbox.put(_ProcessEnded(self._run_id))
