"""Speed-ups by hand, what may be said of them, and in which words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.analysis.comparison import compare, crossover
from benchmarks.analysis.figures import (
    AnswerComparison,
    Equality,
    Estimate,
    Grade,
    Speedup,
    Verdict,
)
from benchmarks.analysis.sentences import write_sentences
from benchmarks.records import CellRecord, Load, RequestRecord
from benchmarks.selfcheck.intervals_check import Scenario, make
from tests.unit.benchmarks.analysis_records import ALONE, cell, paired_requests, request

Ratios = Mapping[str, Sequence[float]]


def held_against(
    requests: Sequence[RequestRecord],
    cells: Sequence[CellRecord] = (),
    *,
    baseline: str = "plain",
    candidate: str = "eagle",
) -> Speedup | None:
    return compare(
        requests,
        cells,
        baseline=baseline,
        candidate=candidate,
        workload="chat",
        load=ALONE,
        seed=3,
    )


def speedup_of(ratios: Ratios, cells: Sequence[CellRecord] = ()) -> Speedup:
    found = held_against(paired_requests(ratios), cells)
    assert found is not None
    return found


def test_a_speedup_pairs_each_prompt_with_itself_in_the_same_round() -> None:
    found = speedup_of({"a": [1.0, 4.0, 2.0], "b": [2.0, 8.0, 4.0], "c": [9.0, 9.0, 8.0]})

    # Medians over prompts: 2, 8, 4. Over rounds, geometrically: 4.
    assert found.speedup.value == pytest.approx(4.0)
    assert found.ratios == pytest.approx((2.0, 4.0, (9 * 9 * 8) ** (1 / 3)))
    assert (found.pairs, found.rounds) == (9, 3)
    assert found.time_to_first_token_ratio is not None
    assert found.time_to_first_token_ratio.value == pytest.approx(4.0)


def test_answers_of_different_lengths_are_compared_by_the_token() -> None:
    long = request("plain", ended_ms=1000, tokens=20)
    short = request("eagle", ended_ms=400, tokens=10)

    found = held_against([long, short])

    assert found is not None
    assert found.speedup.value == pytest.approx((1000 / 20) / (400 / 10))


def test_a_request_that_failed_on_one_side_pairs_with_nothing() -> None:
    requests = paired_requests({"a": [2.0], "b": [2.0]})
    failed = request("eagle", "c", outcome="incomplete", ended_ms=9000)

    found = held_against([*requests, request("plain", "c", ended_ms=1), failed])

    assert found is not None
    assert found.pairs == 2
    assert found.speedup.value == pytest.approx(2.0)


def test_without_a_single_pair_there_is_no_speedup() -> None:
    assert held_against([request("plain", "a"), request("eagle", "b")]) is None
    assert held_against([request("plain", tokens=None), request("eagle", tokens=None)]) is None


def test_other_arms_workloads_and_loads_are_passed_over() -> None:
    others = [
        request("ngram", "a", ended_ms=1),
        request("eagle", "a", workload="code", ended_ms=1),
        request("eagle", "a", load=Load(concurrency=2), ended_ms=1),
    ]

    found = held_against([*paired_requests({"a": [2.0]}), *others])

    assert found is not None
    assert found.pairs == 1
    assert found.speedup.value == pytest.approx(2.0)


def test_throughput_is_compared_in_rounds_that_both_completed() -> None:
    requests = paired_requests({"a": [2.0, 2.0, 2.0]}, tokens=10)
    cells = [
        cell("plain", 0, ended_ms=2000),
        cell("eagle", 0, ended_ms=1000),
        cell("plain", 1, ended_ms=8000),
        cell("eagle", 1, ended_ms=1000),
        cell("plain", 2, ended_ms=2000),
        cell("eagle", 2, ended_ms=10, is_complete=False),
    ]

    found = held_against(requests, cells)

    assert found is not None
    assert found.throughput_ratio is not None
    assert found.throughput_ratio.value == pytest.approx(4.0)
    assert found.throughput_ratio.low is None


def test_without_a_complete_round_throughput_is_not_compared() -> None:
    assert speedup_of({"a": [2.0, 2.0, 2.0]}).throughput_ratio is None


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [
        ({"a": [2.0, 2.1, 1.9], "b": [2.0, 2.1, 1.9]}, "faster"),
        ({"a": [0.5, 0.51, 0.49], "b": [0.5, 0.51, 0.49]}, "slower"),
        ({"a": [1.1, 0.9, 1.05], "b": [1.1, 0.9, 1.05]}, "no difference shown"),
        ({"a": [1.0, 1.0, 1.0]}, "no difference shown"),
        ({"a": [2.0, 2.0], "b": [2.0, 2.0]}, "too few rounds"),
        ({"a": [9.0]}, "too few rounds"),
    ],
)
def test_a_difference_is_called_only_where_the_interval_leaves_1_out(
    ratios: Ratios, verdict: Verdict
) -> None:
    assert speedup_of(ratios).verdict == verdict


def test_one_round_gives_no_interval_however_many_prompts() -> None:
    found = speedup_of({str(number): [2.0 + number / 100] for number in range(40)})

    assert (found.speedup.low, found.speedup.high) == (None, None)


TABLE = st.lists(st.lists(st.floats(0.2, 5.0), min_size=4, max_size=4), min_size=2, max_size=4).map(
    lambda rows: {str(number): row for number, row in enumerate(rows)}
)


@given(TABLE, st.sampled_from([0.25, 3.0, 60.0]))
def test_a_machine_that_is_slower_throughout_gives_the_same_speedup(
    ratios: Ratios, scale: float
) -> None:
    fast, slow = paired_requests(ratios), paired_requests(ratios, scale=scale)

    one, other = held_against(fast), held_against(slow)

    assert one is not None
    assert other is not None
    # Nanoseconds are whole numbers.
    assert other.speedup.value == pytest.approx(one.speedup.value, rel=1e-6)
    assert other.speedup.low == pytest.approx(one.speedup.low, rel=1e-6)
    assert other.ratios == pytest.approx(one.ratios, rel=1e-6)


@given(TABLE)
def test_swapping_the_arms_inverts_the_speedup_and_the_verdict(ratios: Ratios) -> None:
    requests = paired_requests(ratios)

    one = held_against(requests)
    other = held_against(requests, baseline="eagle", candidate="plain")

    assert one is not None
    assert other is not None
    assert one.speedup.low is not None
    assert one.speedup.high is not None
    assert other.speedup.value == pytest.approx(1 / one.speedup.value)
    assert other.speedup.low == pytest.approx(1 / one.speedup.high)
    assert other.speedup.high == pytest.approx(1 / one.speedup.low)
    opposite = {"faster": "slower", "slower": "faster"}
    assert other.verdict == opposite.get(one.verdict, one.verdict)


def test_records_of_an_arm_against_itself_are_called_different_at_most_twice_in_twenty() -> None:
    scenario = Scenario("normal", 5, 16, round_sd=0.05, request_sd=0.02)
    generator = np.random.default_rng(11)
    verdicts = []
    for _ in range(20):
        table = make(scenario, generator)
        verdicts.append(speedup_of({str(p): list(row) for p, row in enumerate(table)}).verdict)

    assert sum(one != "no difference shown" for one in verdicts) <= 2


def test_records_of_a_slowdown_of_ten_per_cent_are_called_slower_every_time() -> None:
    scenario = Scenario("normal", 6, 16, round_sd=0.01, request_sd=0.03, slowdown=0.1)
    generator = np.random.default_rng(11)
    for _ in range(20):
        table = make(scenario, generator)
        found = speedup_of({str(p): list(row) for p, row in enumerate(table)})
        assert found.verdict == "slower"


def told(
    value: float,
    verdict: Verdict,
    load: Load = ALONE,
    *,
    workload: str = "chat",
    candidate: str = "EAGLE 3/1/4",
) -> Speedup:
    few = verdict == "too few rounds"
    return Speedup(
        baseline="plain",
        candidate=candidate,
        workload=workload,
        load=load,
        speedup=Estimate(value) if few else Estimate(value, value - 0.1, value + 0.1),
        throughput_ratio=None,
        time_to_first_token_ratio=None,
        pairs=16,
        rounds=1 if few else 5,
        ratios=(value,),
        verdict=verdict,
    )


def at(concurrency: int) -> Load:
    return Load(concurrency=concurrency)


def test_the_crossover_lies_where_the_line_between_the_two_loads_meets_1() -> None:
    found = crossover(
        [told(0.5, "slower", at(16)), told(2.0, "faster", at(4)), told(3.0, "faster", at(1))]
    )

    assert found is not None
    assert (found.last_faster, found.first_slower) == (at(4), at(16))
    # log 2 above at 4 and as far below at 16: in the middle of their logarithms.
    assert found.estimated_concurrency == pytest.approx(8.0)


def test_the_crossover_passes_through_loads_that_show_no_difference() -> None:
    found = crossover(
        [
            told(2.0, "faster", at(1)),
            told(1.05, "no difference shown", at(2)),
            told(1 / 1.05, "no difference shown", at(8)),
            told(0.5, "slower", at(16)),
        ]
    )

    assert found is not None
    assert found.estimated_concurrency == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("speedups", "last_faster", "first_slower"),
    [
        ([told(2.0, "faster", at(1)), told(1.5, "faster", at(8))], at(8), None),
        ([told(0.9, "slower", at(1)), told(0.5, "slower", at(8))], None, at(1)),
        ([told(0.5, "slower", at(1)), told(2.0, "faster", at(8))], at(8), None),
        (
            [told(1.1, "no difference shown", at(1)), told(0.9, "no difference shown", at(8))],
            None,
            None,
        ),
    ],
)
def test_without_both_sides_shown_no_crossing_is_estimated(
    speedups: Sequence[Speedup], last_faster: Load | None, first_slower: Load | None
) -> None:
    found = crossover(speedups)

    assert found is not None
    assert (found.last_faster, found.first_slower) == (last_faster, first_slower)
    assert found.estimated_concurrency is None


def test_one_concurrency_and_an_open_loop_have_no_crossover() -> None:
    open_loop = told(0.5, "slower", Load(rate_per_second=2.0))

    assert crossover([told(2.0, "faster", at(1)), open_loop]) is None


def compared(grade: Grade, workload: str = "chat") -> AnswerComparison:
    return AnswerComparison(
        workload=workload,
        prompt_id="p",
        grade=grade,
        first_divergent_token=None,
        baseline_token=None,
        candidate_token=None,
        gap_nats=None,
    )


def equality(*grades: Grade, floor: Sequence[Grade] = ()) -> Equality:
    return Equality(
        baseline="plain",
        candidate="EAGLE 3/1/4",
        near_tie_nats=0.25,
        answers=tuple(map(compared, grades)),
        noise_floor=tuple(map(compared, floor)),
        timed_same=7,
        timed_pairs=9,
    )


def test_the_verdict_is_a_sentence_on_the_run_and_one_on_each_workload() -> None:
    speedups = [
        told(2.1, "faster", at(1)),
        told(1.4, "faster", at(4)),
        told(1.0, "no difference shown", at(8)),
        told(0.8, "slower", at(16)),
        told(3.0, "faster", at(1), workload="code"),
    ]
    crossing = crossover([speedups[1], speedups[3]])
    assert crossing is not None
    same: list[Grade] = ["same text"] * 3

    sentences = write_sentences(
        "plain",
        [("plain", "EAGLE 3/1/4")],
        speedups,
        [crossing],
        [equality(*same, "near tie", floor=same)],
    )

    run, chat, code = sentences
    assert run == (
        "EAGLE 3/1/4 against plain: faster in 3 of 5 comparisons, at the most 3.00 times (95 % "
        "interval 2.90 to 3.10) for code at concurrency 1; slower in 1 of 5 comparisons, at the "
        "worst 0.80 times (95 % interval 0.70 to 0.90) for chat at concurrency 16; no difference "
        "is shown in 1 of 5 comparisons; outputs are the same in 3 of 4, with 1 near tie (the "
        "baseline against itself: 3 of 3)."
    )
    assert chat == (
        "chat: EAGLE 3/1/4 is 2.10 times (95 % interval 2.00 to 2.20) as fast as plain at "
        "concurrency 1; 1.40 times (1.30 to 1.50) as fast as plain at concurrency 4; at "
        "concurrency 8 no difference is shown: 1.00 times (0.90 to 1.10); 0.80 times (0.70 to "
        "0.90) as fast as plain at concurrency 16, where plain wins; the two cross at a "
        "concurrency of about 9.2; outputs are the same in 3 of 4, with 1 near tie (the baseline "
        "against itself: 3 of 3)."
    )
    assert code == (
        "code: EAGLE 3/1/4 is 3.00 times (95 % interval 2.90 to 3.10) as fast as plain at "
        "concurrency 1."
    )


def test_too_few_rounds_are_said_to_be_too_few() -> None:
    run, workload = write_sentences(
        "plain", [("plain", "EAGLE 3/1/4")], [told(2.0, "too few rounds")], [], []
    )

    assert run == "EAGLE 3/1/4 against plain: too few rounds to tell in 1 of 1 comparison."
    assert workload == (
        "chat: EAGLE 3/1/4 is 2.00 times as fast as plain at concurrency 1, with too few rounds "
        "(1) to tell."
    )


def test_a_sentence_that_begins_with_no_difference_names_both_sides() -> None:
    _, workload = write_sentences(
        "plain", [("plain", "EAGLE 3/1/4")], [told(1.0, "no difference shown")], [], []
    )

    assert workload == (
        "chat: at concurrency 1 no difference between EAGLE 3/1/4 and plain is shown: 1.00 times "
        "(95 % interval 0.90 to 1.10)."
    )


def test_true_differences_and_answers_without_a_score_are_told() -> None:
    graded = equality("near tie", "near tie", "true difference", "not scored")

    run, _ = write_sentences(
        "plain", [("plain", "EAGLE 3/1/4")], [told(2.0, "faster")], [], [graded]
    )

    assert run.endswith(
        "outputs are the same in 0 of 4, with 2 near ties and 1 true difference and 1 not scored."
    )


def test_without_scored_answers_the_timed_ones_are_told() -> None:
    run, workload = write_sentences(
        "plain", [("plain", "EAGLE 3/1/4")], [told(2.0, "faster")], [], [equality()]
    )

    assert run.endswith("7 of 9 timed answers are the same.")
    assert "answers" not in workload


def test_a_run_without_a_comparison_says_why() -> None:
    assert write_sentences("plain", [], [], [], []) == (
        "Only plain was measured: there is nothing to compare.",
    )
    assert write_sentences("plain", [("plain", "ngram")], [], [], []) == (
        "ngram could not be held against plain: no request was successful on both sides.",
    )
