"""Successive halving: who is measured how often, and when it ends."""

from __future__ import annotations

import pytest

from benchmarks.plan import Arm
from benchmarks.records import Cell, Load, RequestRecord
from benchmarks.running.tuning import Trial, candidates, prompts_of, search, trial_of

ARMS = tuple(Arm(name=f"arm{number}") for number in range(8))


class Machine:
    """Arms with known speeds; eight prompts take a known time."""

    def __init__(self, speeds: dict[str, float | None], *, seconds: float = 10.0) -> None:
        self.speeds = speeds
        self.seconds = seconds
        self.clock = 0.0
        self.asked: list[tuple[str, int, int]] = []

    def measure(self, arm: Arm, rung: int, prompts: int) -> Trial:
        self.asked.append((arm.name, rung, prompts))
        seconds = self.seconds * prompts / 8
        self.clock += seconds
        speed = self.speeds[arm.name]
        return Trial(
            arm=arm.name,
            rung=rung,
            prompts=prompts,
            seconds_per_output_token=speed,
            seconds=seconds,
            failure=None if speed else "it did not start",
        )

    def find(self, arms: tuple[Arm, ...] = ARMS, *, budget: float = 1e6) -> str | None:
        found = search(
            arms, self.measure, most_prompts=64, seconds_left=lambda: budget - self.clock
        )
        self.found = found
        return found.best.name if found.best else None


def speeds(*values: float | None) -> dict[str, float | None]:
    return {f"arm{number}": value for number, value in enumerate(values)}


def test_the_fastest_of_eight_is_found_in_three_rungs_of_twice_the_prompts() -> None:
    machine = Machine(speeds(8, 7, 6, 5, 4, 3, 2, 1))

    assert machine.find() == "arm7"
    assert [(rung, prompts) for _, rung, prompts in machine.asked] == (
        [(0, 8)] * 8 + [(1, 16)] * 4 + [(2, 32)] * 2
    )
    assert {name for name, rung, _ in machine.asked if rung == 2} == {"arm6", "arm7"}
    assert not machine.found.out_of_time


def test_one_that_fails_is_dropped_and_told_of() -> None:
    machine = Machine(speeds(None, 3, 2, 5))

    assert machine.find(ARMS[:4]) == "arm2"
    assert [one.failure for one in machine.found.trials if one.arm == "arm0"] == [
        "it did not start"
    ]


def test_where_all_fail_there_is_no_winner_and_an_end() -> None:
    machine = Machine(speeds(None, None))

    assert machine.find(ARMS[:2]) is None
    assert len(machine.asked) == 2


def test_no_measurement_begins_that_would_not_end_in_time() -> None:
    machine = Machine(speeds(8, 7, 6, 5, 4, 3, 2, 1))

    assert machine.find(budget=85.0) == "arm7"
    assert machine.found.out_of_time
    assert machine.clock <= 85.0
    assert {rung for _, rung, _ in machine.asked} == {0}


def test_a_budget_for_a_part_of_the_first_rung_gives_the_best_of_that_part() -> None:
    machine = Machine(speeds(8, 7, 6, 5, 4, 3, 2, 1))

    assert machine.find(budget=35.0) == "arm2"
    assert machine.found.out_of_time


def test_a_later_rung_that_is_cut_short_does_not_overrule_the_one_before() -> None:
    machine = Machine(speeds(1, 2, 3, 4))

    assert machine.find(ARMS[:4], budget=65.0) == "arm0"
    assert machine.found.out_of_time
    assert [rung for _, rung, _ in machine.asked] == [0, 0, 0, 0, 1]


def test_a_single_candidate_is_measured_once() -> None:
    machine = Machine(speeds(1))

    assert machine.find(ARMS[:1]) == "arm0"
    assert len(machine.asked) == 1


def test_plain_decoding_is_among_the_candidates() -> None:
    names = [arm.name for arm in candidates()]

    assert names[0] == "plain"
    assert "eagle-3-1-4" in names
    assert len(set(names)) == len(names)


def request(
    prompt: str, *, seconds: float, tokens: int | None, rounds: int | None = None
) -> RequestRecord:
    whole = tokens is not None
    return RequestRecord(
        cell=Cell("arm", "chat", Load(concurrency=1), 0),
        prompt_id=prompt,
        outcome="successful" if whole else "errored",
        due_ns=0,
        sent_ns=0,
        ended_ns=int(seconds * 1e9),
        completion_tokens=tokens,
        verify_rounds=rounds,
        correct_draft_tokens=None if rounds is None or tokens is None else tokens - rounds,
        proposed_draft_tokens=None if rounds is None else 3 * rounds,
        error=None if whole else "ServerUnreachable: refused",
    )


def test_a_trial_s_figure_is_the_median_over_prompts_of_seconds_per_token() -> None:
    requests = [
        request("a", seconds=1.0, tokens=10, rounds=5),
        request("b", seconds=9.0, tokens=30, rounds=15),
        request("c", seconds=4.0, tokens=20, rounds=20),
        request("d", seconds=0.1, tokens=None),
    ]

    trial = trial_of("arm", 1, requests, seconds=20.0)

    assert trial.seconds_per_output_token == pytest.approx(0.2)
    assert trial.prompts == 3
    # 60 tokens in 40 verify steps: a long answer counts for more than a short one.
    assert trial.acceptance_length == pytest.approx(1.5)


def test_a_trial_without_an_answer_has_a_failure() -> None:
    trial = trial_of("arm", 0, [request("d", seconds=0.1, tokens=None)], seconds=5.0)

    assert trial.seconds_per_output_token is None
    assert trial.failure == "ServerUnreachable: refused"


@pytest.mark.parametrize(("rung", "prompts"), [(0, 8), (1, 16), (3, 64), (5, 64)])
def test_prompts_double_up_to_what_there_is(rung: int, prompts: int) -> None:
    assert prompts_of(rung, 64) == prompts
