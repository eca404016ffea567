"""Slow or hung: verdicts on made-up histories of a start, at made-up times."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.engines.phases import Phase
from launcher.supervision.watches.phase_history import PhaseTimes
from launcher.supervision.watches.start import (
    DEFAULT_DEADLINE_SECONDS,
    UNCERTAIN_PATIENCE,
    StartWatch,
)
from launcher.system.activity import Activity

HANG_SECONDS = 120.0
LOOK_SECONDS = 5
USUAL = {Phase.WEIGHTS: PhaseTimes(median_seconds=12.0, longest_seconds=20.0, count=3)}
GIB = 1024**3
# What one look finds that the look before did not, for each kind of work, just enough to count.
WORK = {
    "cpu_seconds": 0.06 * LOOK_SECONDS,
    "read_bytes": 65 * 1024 * LOOK_SECONDS,
    "written_bytes": 65 * 1024 * LOOK_SECONDS,
    "major_faults": 3,
}


def grown(activity: Activity, name: str, by: float) -> Activity:
    """The same with one counter grown; time on a processor is that of one of the processes."""
    if name == "cpu_seconds":
        seconds = activity.cpu_seconds_by_pid.get(1, 100.0) + by
        return replace(activity, cpu_seconds_by_pid={**activity.cpu_seconds_by_pid, 1: seconds})
    return replace(activity, **{name: getattr(activity, name) + by})


class Start:
    """A start whose processes are looked at every few seconds."""

    def __init__(self, *, hang_seconds: float = HANG_SECONDS, began: float = 0.0) -> None:
        self.watch = StartWatch(USUAL, hang_seconds=hang_seconds)
        self.now = began
        self.looked_at = True
        self.activity = Activity(at_seconds=began, processes=3, cpu_seconds_by_pid={1: 100.0})
        self.watch.enter(Phase.WEIGHTS, began)
        self.watch.saw_activity(self.activity)

    def let(self, seconds: int, **grows: float) -> None:
        """Time passes, and at each look the counters have grown by so much."""
        for _ in range(seconds // LOOK_SECONDS):
            self.now += LOOK_SECONDS
            self.activity = replace(self.activity, at_seconds=self.now)
            for name, by in grows.items():
                self.activity = grown(self.activity, name, by)
            if self.looked_at:
                self.watch.saw_activity(self.activity)

    def become(self, **state: object) -> None:
        """The processes are in another state from the next look on."""
        self.activity = replace(self.activity, **state)  # type: ignore[arg-type]

    @property
    def kind(self) -> str:
        return self.watch.judge(self.now).kind

    @property
    def evidence(self) -> str:
        return self.watch.judge(self.now).evidence


# --- on time and slow --------------------------------------------------------------------------


def test_a_phase_within_what_earlier_starts_took_is_on_time() -> None:
    start = Start()
    start.let(90, cpu_seconds=5.0)

    verdict = start.watch.judge(start.now)

    assert (verdict.kind, verdict.phase, verdict.summary) == ("on time", Phase.WEIGHTS, "")
    assert (verdict.seconds_in_phase, verdict.usual_seconds) == (90.0, 12.0)


def test_a_phase_that_works_longer_than_it_should_is_slow() -> None:
    start = Start()
    start.let(95, cpu_seconds=5.0)

    verdict = start.watch.judge(start.now)

    assert (verdict.kind, verdict.summary) == ("slow", "slow: usually 12 s")


def test_without_earlier_starts_a_stated_time_is_allowed() -> None:
    start = Start()
    start.watch.enter(Phase.GRAPHS, 0.0)
    start.let(300, cpu_seconds=5.0)
    assert DEFAULT_DEADLINE_SECONDS[Phase.GRAPHS] == 300.0
    assert start.kind == "on time"

    start.let(5, cpu_seconds=5.0)

    verdict = start.watch.judge(start.now)
    assert (verdict.kind, verdict.summary) == ("slow", "slow: no earlier start to compare with")
    assert verdict.usual_seconds is None


def test_every_phase_of_a_start_has_a_time_and_the_end_has_none() -> None:
    assert set(Phase) - set(DEFAULT_DEADLINE_SECONDS) == {Phase.READY}


def test_a_server_that_is_ready_is_on_time_for_ever() -> None:
    start = Start()
    start.watch.enter(Phase.READY, 10.0)

    assert start.watch.judge(1e6).kind == "on time"


def test_before_the_first_phase_all_is_on_time() -> None:
    watch = StartWatch({}, hang_seconds=HANG_SECONDS)

    verdict = watch.judge(1e6)

    assert (verdict.kind, verdict.seconds_in_phase) == ("on time", 0.0)
    assert verdict.evidence == "no output yet"


# --- hung --------------------------------------------------------------------------------------


def test_a_start_without_any_sign_of_work_is_hung_also_in_time() -> None:
    start = Start()
    start.watch.enter(Phase.GRAPHS, 0.0)
    start.let(115)
    assert start.kind == "on time"

    start.let(5)

    verdict = start.watch.judge(start.now)
    assert verdict.kind == "hung"
    assert verdict.summary == "hung: no sign of work for 120 s"
    assert verdict.evidence == (
        "3 processes used 0.0 s of CPU time in the last 120 s; no output yet"
    )


@pytest.mark.parametrize("kind_of_work", WORK)
def test_each_kind_of_work_is_enough(kind_of_work: str) -> None:
    start = Start()

    start.let(2000, **{kind_of_work: WORK[kind_of_work]})

    assert start.kind == "slow"


@pytest.mark.parametrize("kind_of_work", WORK)
def test_what_timers_and_pipes_do_is_not_enough(kind_of_work: str) -> None:
    start = Start()

    start.let(200, **{kind_of_work: WORK[kind_of_work] // 3})

    assert start.kind == "hung"


@pytest.mark.parametrize("kind_of_work", WORK)
def test_a_start_that_stops_working_is_hung_some_time_later(kind_of_work: str) -> None:
    start = Start()
    start.let(600, **{kind_of_work: WORK[kind_of_work] * 100})

    start.let(100)
    assert start.kind == "slow"
    start.let(25)

    assert start.kind == "hung"


def test_output_alone_is_enough() -> None:
    start = Start()
    for _ in range(10):
        start.let(100)
        start.watch.saw_output(start.now)
        assert start.kind != "hung"

    start.let(115)
    assert start.kind == "slow"
    start.let(5)
    assert start.kind == "hung"


def test_a_new_phase_is_a_sign_of_work() -> None:
    start = Start()
    start.let(100)
    start.watch.enter(Phase.GRAPHS, start.now)

    start.let(100)
    assert start.kind == "on time"
    start.let(20)
    assert start.kind == "hung"


def test_a_phase_said_again_is_none() -> None:
    start = Start()
    start.let(100)
    start.watch.enter(Phase.WEIGHTS, start.now)
    start.let(20)

    assert start.kind == "hung"
    assert start.watch.judge(start.now).seconds_in_phase == 120.0


@pytest.mark.parametrize(
    ("state", "clause"),
    [
        ({"compilers": ("cicc", "nvcc")}, "compiling: cicc, nvcc"),
        ({"blocked": (77,)}, "waiting in the kernel (state D): process 77"),
    ],
    ids=["compiler", "state D"],
)
def test_a_compiler_or_a_wait_for_a_disk_counts_but_not_for_ever(
    state: dict[str, object], clause: str
) -> None:
    start = Start()
    start.become(**state)

    start.let(int(HANG_SECONDS) * UNCERTAIN_PATIENCE - 5)
    assert start.kind == "slow"
    assert clause in start.evidence
    start.let(5)

    assert start.kind == "hung"
    assert clause in start.evidence


def test_work_gives_a_compiler_its_time_again() -> None:
    start = Start()
    start.become(compilers=("nvcc",))
    for _ in range(5):
        start.let(5, cpu_seconds=10.0)
        start.let(300)

        assert start.kind == "slow"


def test_a_compiler_that_nobody_looked_at_for_long_does_not_count() -> None:
    start = Start()
    start.become(compilers=("nvcc",))
    start.let(50)

    assert start.watch.judge(50.0 + HANG_SECONDS - 1).kind != "hung"
    assert start.watch.judge(50.0 + HANG_SECONDS).kind == "hung"


def test_a_compiler_that_has_gone_does_not_count() -> None:
    start = Start()
    start.become(compilers=("nvcc",))
    start.let(200)
    assert start.kind == "slow"

    start.become(compilers=())
    start.let(5)

    assert start.kind == "hung"


def test_stopped_processes_are_hung_and_the_evidence_names_the_cause() -> None:
    start = Start()
    start.let(50, cpu_seconds=5.0)
    start.become(stopped=(5, 6, 7))
    start.let(125)

    assert start.kind == "hung"
    assert "all of its processes (3 processes) are stopped by a signal (SIGSTOP)" in start.evidence


def test_one_stopped_process_is_named_too() -> None:
    start = Start()
    start.become(stopped=(6,))
    start.let(200, cpu_seconds=5.0)

    assert start.kind == "slow"
    assert start.evidence.startswith("stopped by a signal (SIGSTOP): process 6; 3 processes used")


def test_processes_that_nobody_looked_at_are_judged_by_their_output() -> None:
    watch = StartWatch({}, hang_seconds=HANG_SECONDS)
    watch.enter(Phase.GRAPHS, 0.0)
    watch.saw_output(10.0)

    assert watch.judge(129.0).kind == "on time"
    assert watch.judge(131.0).kind == "hung"
    assert watch.judge(131.0).evidence == "last line of output 121 s ago"


def test_work_while_nobody_looked_counts_when_somebody_does_again() -> None:
    """The supervisor itself stood still for an hour."""
    start = Start()
    start.looked_at = False
    start.let(3600, cpu_seconds=4.0)

    start.watch.saw_activity(start.activity)

    assert start.kind == "slow"


def test_many_processes_that_wait_are_hung_although_their_timers_add_up() -> None:
    start = Start()
    for _ in range(40):
        waiting = dict.fromkeys(range(20), 100.0 + start.now / 100)
        start.become(processes=20, cpu_seconds_by_pid=waiting)
        start.let(5)

    assert start.kind == "hung"
    assert start.evidence.startswith("20 processes used 24 s of CPU time in the last 120 s")


def test_work_that_goes_from_process_to_process_counts() -> None:
    start = Start()
    for number in range(40):
        start.become(cpu_seconds_by_pid={1: 100.0, 1000 + number: 0.3})
        start.let(5)

    assert start.kind == "slow"


def test_a_process_that_goes_takes_its_time_along_and_undoes_no_work() -> None:
    start = Start()
    start.let(50, cpu_seconds=10.0)
    start.become(cpu_seconds_by_pid={2: 1.0})
    start.let(70)
    assert start.kind == "slow"
    assert "used 100 s of CPU time in the last 120 s" in start.evidence

    start.let(50)

    assert start.kind == "hung"


# --- evidence ----------------------------------------------------------------------------------


def test_the_evidence_says_what_was_seen() -> None:
    start = Start()
    start.watch.saw_output(48.0)
    start.become(compilers=("cicc", "nvcc"))
    start.let(60, cpu_seconds=3.4, read_bytes=GIB, major_faults=10)

    assert start.evidence == (
        "3 processes used 41 s of CPU time and read or wrote 12.0 GiB in the last 60 s; "
        "120 page faults from a disk; compiling: cicc, nvcc; last line of output 12 s ago"
    )


def test_one_process_and_none_are_told_apart() -> None:
    start = Start()
    start.become(processes=1)
    start.let(10)
    assert start.evidence.startswith("1 process used 0.0 s of CPU time in the last 10 s")

    start.become(processes=0)
    start.let(5)

    assert start.evidence == "no process of it is left; no output yet"


# --- durations ---------------------------------------------------------------------------------


def test_phases_have_the_time_from_one_to_the_next() -> None:
    watch = StartWatch({}, hang_seconds=HANG_SECONDS)
    assert watch.durations(1.0) == {}
    watch.enter(Phase.IMPORTING, 1.0)
    watch.enter(Phase.WEIGHTS, 9.0)
    watch.enter(Phase.WEIGHTS, 10.0)
    watch.enter(Phase.WARM_UP, 30.0)

    expected = {Phase.IMPORTING: 8.0, Phase.WEIGHTS: 21.0, Phase.WARM_UP: 4.0}
    assert watch.durations(34.0) == expected
    watch.enter(Phase.READY, 34.0)
    assert watch.durations(99.0) == expected


# --- whatever the times ------------------------------------------------------------------------

intervals = st.lists(st.integers(1, 30), min_size=1, max_size=100)
phases = st.sampled_from([phase for phase in Phase if phase is not Phase.READY])


@given(intervals=intervals, phase=phases, kind_of_work=st.sampled_from([*WORK, "output"]))
def test_steady_work_is_never_called_hung(
    intervals: list[int], phase: Phase, kind_of_work: str
) -> None:
    watch = StartWatch(USUAL, hang_seconds=HANG_SECONDS)
    watch.enter(phase, 0)
    activity = Activity(at_seconds=0, processes=1, cpu_seconds_by_pid={1: 100.0})
    watch.saw_activity(activity)
    for seconds in intervals:
        now = activity.at_seconds + seconds
        activity = replace(activity, at_seconds=now)
        if kind_of_work == "output":
            watch.saw_output(now)
        else:
            activity = grown(activity, kind_of_work, WORK[kind_of_work] * seconds / LOOK_SECONDS)
        watch.saw_activity(activity)

        assert watch.judge(now).kind != "hung"
        assert watch.judge(now + HANG_SECONDS / 2).kind != "hung"


@given(intervals=intervals, phase=phases, hang_seconds=st.integers(1, 600), data=st.data())
def test_without_work_every_start_is_called_hung_after_the_time_and_not_before(
    intervals: list[int], phase: Phase, hang_seconds: int, data: st.DataObject
) -> None:
    watch = StartWatch(USUAL, hang_seconds=hang_seconds)
    watch.enter(phase, 0)
    activity = Activity(at_seconds=0, processes=1, cpu_seconds_by_pid={1: 50.0}, read_bytes=GIB)
    for seconds in intervals:
        now = activity.at_seconds + seconds
        activity = replace(activity, at_seconds=now)
        if data.draw(st.booleans()):
            watch.saw_activity(activity)

        assert (watch.judge(now).kind == "hung") == (now >= hang_seconds)


@given(
    happenings=st.lists(
        st.tuples(st.integers(0, 200), st.sampled_from(["output", "work", "look", "enter"])),
        max_size=50,
    ),
    began=st.integers(-(10**9), 10**9),
)
def test_only_differences_of_time_count(happenings: list[tuple[int, str]], began: int) -> None:
    """So no clock that is set has any influence: there is none but what the caller says."""

    def verdicts(now: int) -> list[object]:
        watch = StartWatch(USUAL, hang_seconds=HANG_SECONDS)
        watch.enter(Phase.IMPORTING, now)
        activity = Activity(at_seconds=now, processes=2, cpu_seconds_by_pid={1: 100.0})
        watch.saw_activity(activity)
        seen: list[object] = []
        for seconds, what in happenings:
            now += seconds
            activity = replace(activity, at_seconds=now)
            if what == "output":
                watch.saw_output(now)
            elif what == "enter":
                watch.enter(Phase.WEIGHTS, now)
            else:
                worked = seconds * 2.0 if what == "work" else 0.0
                activity = grown(activity, "cpu_seconds", worked)
                watch.saw_activity(activity)
            seen.append(watch.judge(now))
        return [*seen, watch.durations(now)]

    assert verdicts(began) == verdicts(0)
