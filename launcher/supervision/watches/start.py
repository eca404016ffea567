"""Is a start slow, or does it hang? Pure: facts and the time in, a verdict with evidence out.

Slow is what takes longer than usual and works; hung is what shows no sign of work. A sign is a
line of output, time on a processor, bytes read or written, or page faults from a disk. A compiler
that runs, or a thread that waits for a disk, are signs too, but may stand still themselves, and
so cannot put off the verdict for ever.

What spins on a processor without getting anywhere, as ranks do that wait for another in NCCL,
looks like work from outside: it is called slow, and the deadline of the whole start ends it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from operator import add, sub
from typing import TYPE_CHECKING, Final, Literal

from launcher.engines.phases import Phase
from launcher.supervision.watches.phase_history import PhaseTimes, phase_deadline_seconds
from launcher.text import human_bytes, human_seconds

if TYPE_CHECKING:
    from launcher.system.activity import Activity

# Of one core, by the busiest process: measured, SGLang's use 1 % each while they wait for work,
# for their timers, and so all of them together more than one that compiles on a busy machine.
WORKING_CPU_SHARE: Final = 0.05
# Nobody loads weights at 64 KiB/s: 1 GB would take four hours. Timers and pipes stay below it.
WORKING_BYTES_PER_SECOND: Final = 64 * 1024
# Each brings a page and what the kernel reads ahead, 128 KiB by default: the same rate.
WORKING_FAULTS_PER_SECOND: Final = 0.5
# For how many times `hang_seconds` a compiler or a wait in the kernel counts on its own. NFS
# gives up an attempt after one to three minutes; a driver that hangs never does.
UNCERTAIN_PATIENCE: Final = 3

# When a phase counts as slow that has no history here, in seconds. A first start also compiles:
# users report graphs of 10 to 20 minutes (sglang issues 9917, 15608), which are slow, not hung.
DEFAULT_DEADLINE_SECONDS: Final[Mapping[Phase, float]] = {
    Phase.CHECKING: 60.0,
    Phase.JOINING: 60.0,
    Phase.IMPORTING: 90.0,
    Phase.WEIGHTS: 600.0,
    Phase.DRAFT_WEIGHTS: 300.0,
    Phase.KV_CACHE: 120.0,
    Phase.GRAPHS: 300.0,
    Phase.WARM_UP: 180.0,
}


@dataclass(frozen=True, slots=True)
class StartVerdict:
    """What to say of a start now.

    Attributes:
        kind: slow where it works and takes longer than it should, hung where it does not work.
        phase: what it is doing.
        seconds_in_phase: for how long.
        usual_seconds: the median of earlier starts, or None where there were none.
        evidence: a sentence without a full stop, for whoever wants to check.
        summary: a few words for the progress display; empty where it is on time.
    """

    kind: Literal["on time", "slow", "hung"]
    phase: Phase
    seconds_in_phase: float
    usual_seconds: float | None
    evidence: str
    summary: str


@dataclass(frozen=True, slots=True)
class _Work:
    """Work done up to a moment, or between two."""

    at_seconds: float
    cpu_seconds: float = 0.0
    busiest_cpu_seconds: float = 0.0
    moved_bytes: int = 0
    major_faults: int = 0

    def since(self, earlier: _Work) -> _Work:
        return _Work(*map(sub, astuple(self), astuple(earlier)))

    def plus(self, more: _Work) -> _Work:
        return _Work(*map(add, astuple(self), astuple(more)))

    @property
    def moves_data(self) -> bool:
        return 0 < self.at_seconds * WORKING_BYTES_PER_SECOND <= self.moved_bytes

    @property
    def faults(self) -> bool:
        return 0 < self.at_seconds * WORKING_FAULTS_PER_SECOND <= self.major_faults

    @property
    def computes(self) -> bool:
        return 0 < self.at_seconds * WORKING_CPU_SHARE <= self.busiest_cpu_seconds

    @property
    def counts(self) -> bool:
        return self.computes or self.moves_data or self.faults


class StartWatch:
    """Judges one start. All times are of one clock, the monotonic one, in seconds.

    Args:
        usual: what the phases of earlier starts took.
        hang_seconds: after how long without a sign of work a start is called hung.
    """

    def __init__(self, usual: Mapping[Phase, PhaseTimes], *, hang_seconds: float) -> None:
        self._usual = usual
        self._hang_seconds = hang_seconds
        self._phase = Phase.CHECKING
        self._entered_at: float | None = None
        self._finished: dict[Phase, float] = {}
        self._output_at: float | None = None
        # The last line or phase; and the last sign of any kind that cannot stand still itself.
        self._spoke_at: float | None = None
        self._worked_at: float | None = None
        # The same of its own processes, and of nothing that is heard.
        self._own_work_at: float | None = None
        self._activity: Activity | None = None
        # Sums of what grew: the looks of the last `hang_seconds` and the one before them.
        self._looks: deque[_Work] = deque()

    def enter(self, phase: Phase, now: float) -> None:
        """The start is in this phase; said again, it changes nothing."""
        if self._entered_at is not None:
            if phase is self._phase:
                return
            self._finished[self._phase] = now - self._entered_at
        self._phase = phase
        self._entered_at = now
        self._spoke_at = self._worked_at = now

    def saw_output(self, now: float) -> None:
        """The server printed a line."""
        self._output_at = self._own_work_at = now
        self._spoke_at = self._worked_at = now

    def saw_others(self, now: float) -> None:
        """Another machine works at the same start; this one may have to wait for it."""
        self._spoke_at = self._worked_at = now

    def saw_activity(self, activity: Activity) -> None:
        """What its processes had done by now. To be told every few seconds, and before `judge`."""
        before = self._activity
        self._activity = activity
        now = activity.at_seconds
        if before is None:
            self._looks.append(_Work(now))
            return
        grown = _between(before, activity)
        self._looks.append(self._looks[-1].plus(grown))
        while len(self._looks) > 1 and self._looks[1].at_seconds <= now - self._hang_seconds:
            self._looks.popleft()
        if grown.counts:
            self._own_work_at = now
        if self._work(now).counts:
            self._worked_at = now

    def works(self, now: float, *, within_seconds: float) -> bool:
        """Whether its own processes showed a sign of work so shortly ago."""
        return self._own_work_at is not None and now - self._own_work_at <= within_seconds

    def judge(self, now: float) -> StartVerdict:
        """On time, slow or hung. Before the first phase and once it is ready, all is on time."""
        seconds = 0.0 if self._entered_at is None else now - self._entered_at
        times = self._usual.get(self._phase)
        learned_seconds = phase_deadline_seconds(times)
        allowed_seconds = learned_seconds or DEFAULT_DEADLINE_SECONDS.get(self._phase)
        kind: Literal["on time", "slow", "hung"] = "on time"
        summary = ""
        if self._is_hung(now):
            kind = "hung"
            summary = f"hung: no sign of work for {_seconds(self._hang_seconds)}"
        elif allowed_seconds is not None and seconds > allowed_seconds:
            kind = "slow"
            summary = "slow: no earlier start to compare with"
            if times is not None:
                summary = f"slow: usually {_seconds(times.median_seconds)}"
        return StartVerdict(
            kind=kind,
            phase=self._phase,
            seconds_in_phase=seconds,
            usual_seconds=None if times is None else times.median_seconds,
            evidence=self._evidence(now),
            summary=summary,
        )

    def durations(self, now: float) -> dict[Phase, float]:
        """Seconds that each phase took, for the history.

        Ask when the server is ready: the phase that it is in then ends at `now`.
        """
        durations = dict(self._finished)
        if self._entered_at is not None and self._phase is not Phase.READY:
            durations[self._phase] = now - self._entered_at
        return durations

    def _is_hung(self, now: float) -> bool:
        if self._spoke_at is None or self._worked_at is None or self._phase is Phase.READY:
            return False
        if now - self._spoke_at < self._hang_seconds or self._work(now).counts:
            return False
        return not (
            self._may_be_working(now)
            and now - self._worked_at < UNCERTAIN_PATIENCE * self._hang_seconds
        )

    def _may_be_working(self, now: float) -> bool:
        """Whether a compiler was there, or a thread waited for a disk, when last looked at."""
        activity = self._activity
        return (
            activity is not None
            and now - activity.at_seconds < self._hang_seconds
            and bool(activity.compilers or activity.blocked)
        )

    def _work(self, now: float) -> _Work:
        """What was done in the last `hang_seconds`, as far as it was looked at."""
        if not self._looks:
            return _Work(0.0)
        first = self._looks[0]
        for look in self._looks:
            if look.at_seconds > now - self._hang_seconds:
                break
            first = look
        return self._looks[-1].since(first)

    def _evidence(self, now: float) -> str:
        parts = []
        if self._activity is not None:
            parts += _describe(self._activity, self._work(now))
        if self._output_at is None:
            parts.append("no output yet")
        else:
            parts.append(f"last line of output {_seconds(now - self._output_at)} ago")
        return "; ".join(parts)


def _between(before: Activity, after: Activity) -> _Work:
    """What was done from one look to the next.

    A sum falls when a process goes whose parent is not of the group; that is no work undone.
    """
    busiest = max(
        (
            seconds - before.cpu_seconds_by_pid.get(pid, 0.0)
            for pid, seconds in after.cpu_seconds_by_pid.items()
        ),
        default=0.0,
    )
    return _Work(
        at_seconds=after.at_seconds - before.at_seconds,
        cpu_seconds=max(0.0, after.cpu_seconds - before.cpu_seconds),
        busiest_cpu_seconds=max(0.0, busiest),
        moved_bytes=max(0, after.read_bytes - before.read_bytes)
        + max(0, after.written_bytes - before.written_bytes),
        major_faults=max(0, after.major_faults - before.major_faults),
    )


def _describe(activity: Activity, work: _Work) -> list[str]:
    """Clauses on what processes did, in the order of their weight."""
    if activity.processes == 0:
        return ["no process of it is left"]
    who = "1 process" if activity.processes == 1 else f"{activity.processes} processes"
    parts = []
    if len(activity.stopped) == activity.processes:
        parts.append(f"all of its processes ({who}) are stopped by a signal (SIGSTOP)")
    elif activity.stopped:
        parts.append(f"stopped by a signal (SIGSTOP): {_pids(activity.stopped)}")
    if work.at_seconds > 0:
        done = f"{who} used {_seconds(work.cpu_seconds)} of CPU time"
        if work.moves_data:
            done += f" and read or wrote {human_bytes(work.moved_bytes)}"
        parts.append(f"{done} in the last {_seconds(work.at_seconds)}")
    if work.faults:
        parts.append(f"{work.major_faults} page faults from a disk")
    if activity.compilers:
        parts.append(f"compiling: {', '.join(activity.compilers)}")
    if activity.blocked:
        parts.append(f"waiting in the kernel (state D): {_pids(activity.blocked)}")
    return parts


def _pids(pids: tuple[int, ...]) -> str:
    return f"process {', '.join(map(str, pids))}"


def _seconds(seconds: float) -> str:
    """'0.3 s', '41 s', '1 h 07 min': tenths only where they say something."""
    return f"{seconds:.0f} s" if 10 <= seconds < 300 else human_seconds(seconds)
