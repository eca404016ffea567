"""Alarms of speculation: raised once, by what went wrong, and by nothing else."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from launcher.metrics.alarms import (
    WINDOW_SLICES,
    AlarmKind,
    Baseline,
    Slice,
    SpeculationJudge,
)

# An hour of slices of half a minute.
HOUR = 120
USUAL = Baseline(3.33, 0.15, "in the benchmark")


def judge(baseline: Baseline | None = None, *, slices: int = HOUR) -> SpeculationJudge:
    return SpeculationJudge("EAGLE 3/1/4", baseline=baseline, baseline_slices=slices)


def told(judging: SpeculationJudge, slices: Iterable[Slice]) -> list[AlarmKind | None]:
    """What each change led to."""
    return [judging.alarm.kind if judging.alarm else None for one in slices if judging.take(one)]


def steady(length: float, count: int, **fields: float) -> list[Slice]:
    return [Slice(length, 300, fields.get("running", 4), fields.get("speedup"))] * count


def test_a_decay_is_told_once_and_its_end_once() -> None:
    judging = judge(USUAL)
    assert told(judging, steady(3.3, 50)) == []
    assert told(judging, steady(1.9, 200)) == [AlarmKind.DECAYED]
    assert judging.alarm is not None
    assert "a step gives" in judging.alarm.sentence
    assert "3.33 in the benchmark" in judging.alarm.sentence
    assert told(judging, steady(3.3, 200)) == [None]


def test_a_slow_decay_is_told_too() -> None:
    # From 3.33 to 1.90 in two hours, as somebody has reported.
    slices = [Slice(3.33 - 1.43 * n / (2 * HOUR), 300, 4) for n in range(2 * HOUR)]
    assert told(judge(USUAL), slices) == [AlarmKind.DECAYED]


def test_the_usual_is_learnt_where_nobody_knows_it() -> None:
    judging = judge(slices=20)
    assert told(judging, steady(3.0, 19)) == []
    assert told(judging, [*steady(3.0, 1), *steady(1.8, 30)]) == [AlarmKind.DECAYED]
    assert judging.baseline is not None
    assert judging.baseline.acceptance_length == pytest.approx(3.0)


@pytest.mark.parametrize("seed", range(100))
def test_two_hours_of_mixed_load_raise_no_alarm(seed: int) -> None:
    # Chat, code and tools accept differently; each slice has its own mix, and idle ones between.
    chance = random.Random(seed)  # noqa: S311  # the same load each time
    judging = judge(slices=HOUR)
    slices = []
    for _ in range(3 * HOUR):
        mix = [chance.random() for _ in range(3)]
        length = sum(map(lambda share, one: share * one, mix, (2.6, 3.1, 3.6))) / sum(mix)
        steps = chance.choice((0, 5, 40, 400, 4000))
        slices.append(Slice(length + chance.gauss(0, 0.15), steps, chance.randint(1, 32)))
    assert told(judging, slices) == []


def test_drafts_that_never_fit_are_told_within_two_slices() -> None:
    judging = judge()
    assert told(judging, steady(1.25, 2)) == [AlarmKind.USELESS]
    assert told(judging, steady(1.25, 200)) == []
    assert told(judging, steady(2.5, 30)) == [None]


def test_what_a_benchmark_measured_as_faster_is_not_useless() -> None:
    assert told(judge(), steady(1.25, 40, speedup=1.1)) == []


def test_a_load_beyond_the_crossover_is_told_and_its_end() -> None:
    judging = judge(USUAL)
    assert told(judging, steady(3.3, 20, speedup=1.5)) == []
    assert told(judging, steady(3.3, 40, speedup=0.8, running=32)) == [AlarmKind.LOSES]
    assert judging.alarm is not None
    assert "Plain decoding would be" in judging.alarm.sentence
    assert judging.alarm.running_requests > 4
    # Near the crossover it does not come and go.
    assert told(judging, steady(3.3, 40, speedup=0.98)) == []
    assert told(judging, steady(3.3, 40, speedup=1.2)) == [None]


@pytest.mark.parametrize("speedup", [0.96, 1.0, 1.04])
def test_near_the_crossover_nothing_is_told(speedup: float) -> None:
    assert told(judge(USUAL), steady(3.3, 100, speedup=speedup)) == []


def test_slices_of_few_steps_and_of_none_say_nothing() -> None:
    assert told(judge(USUAL), [Slice(1.0, 3, 1)] * 100) == []
    assert told(judge(USUAL), [Slice(float("nan"), 300, 1)] * 100) == []


def test_a_window_decides_and_not_one_slice() -> None:
    judging = judge(USUAL)
    told(judging, steady(3.3, WINDOW_SLICES))
    assert told(judging, [*steady(1.5, 2), *steady(3.3, 20)]) == []
