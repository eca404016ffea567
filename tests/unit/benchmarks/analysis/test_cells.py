"""A run's figures, whole and with pieces missing."""

from __future__ import annotations

import pytest

from benchmarks.analysis.cells import analyse, figures
from benchmarks.analysis.figures import CellFigures, Distribution, Estimate
from benchmarks.plan import Objective
from benchmarks.records import GpuUse, Load, SpeculationCounts
from benchmarks.results import Results
from tests.unit.benchmarks.analysis_records import (
    ALONE,
    cell,
    paired_requests,
    request,
    results,
    scored,
)


def of_plain(run: Results) -> CellFigures:
    return figures(run, "plain", "chat", ALONE, seed=0)


def named(found: CellFigures, metric: str) -> Distribution:
    return next(one for one in found.distributions if one.metric == metric)


def test_requests_that_failed_are_counted_and_stay_out_of_latencies() -> None:
    found = of_plain(
        results(
            [
                request(ended_ms=500),
                request(prompt="p1", outcome="incomplete", ended_ms=9000),
                request(prompt="p2", outcome="errored", chunks_ms=(), ended_ms=1),
            ]
        )
    )

    assert (found.successful, found.errored, found.incomplete) == (1, 1, 1)
    whole = named(found, "end_to_end_seconds")
    assert (whole.count, whole.mean, whole.p50) == (1, 0.5, Estimate(0.5))


def test_a_cell_that_is_not_complete_stays_out_of_throughput() -> None:
    requests = [request(round_number=number, tokens=100) for number in range(4)]
    cells = [cell(round_number=number, ended_ms=1000) for number in range(3)]
    cut_off = cell(round_number=3, ended_ms=60_000, is_complete=False)

    found = of_plain(results(requests, [*cells, cut_off]))

    assert found.rounds == 3
    assert found.output_tokens_per_second == Estimate(100.0, 100.0, 100.0)
    assert found.requests_per_second == Estimate(1.0, 1.0, 1.0)
    assert found.goodput_requests_per_second is None
    assert named(found, "end_to_end_seconds").count == 4


def test_without_a_complete_cell_there_is_no_throughput() -> None:
    found = of_plain(results([request()], [cell(is_complete=False)]))

    assert found.rounds == 0
    assert found.output_tokens_per_second is None
    assert found.requests_per_second is None


def test_goodput_is_held_to_the_plan_s_objective() -> None:
    requests = [request(ended_ms=500), request(prompt="p1", ended_ms=2000)]

    found = of_plain(
        results(requests, [cell(ended_ms=2000)], objective=Objective(end_to_end_seconds=1))
    )

    assert found.goodput_requests_per_second == Estimate(0.5)


def test_throughput_s_interval_is_over_rounds() -> None:
    requests = [request(round_number=n, tokens=tokens) for n, tokens in enumerate((90, 100, 110))]

    found = of_plain(results(requests, [cell(round_number=number) for number in range(3)]))

    assert found.output_tokens_per_second is not None
    assert found.output_tokens_per_second.value == 100
    assert found.output_tokens_per_second.low is not None
    assert found.output_tokens_per_second.low < 90


def test_acceptance_is_added_up_over_requests() -> None:
    first = request(
        verify_rounds=10,
        correct_draft_tokens=20,
        proposed_draft_tokens=30,
        accepted_histogram=(0, 3, 4, 3),
    )
    second = request(
        prompt="p1",
        verify_rounds=30,
        correct_draft_tokens=20,
        proposed_draft_tokens=90,
        accepted_histogram=(10, 20),
    )

    found = of_plain(results([first, second]))

    assert found.acceptance_length == Estimate((20 + 10 + 20 + 30) / 40)
    assert found.acceptance_rate == 40 / 120
    assert found.accepted_histogram == (10, 23, 4, 3)
    assert found.acceptance_rate_by_position == (30 / 40, 7 / 40, 3 / 40)


def test_where_answers_do_not_tell_acceptance_is_of_the_cells_counters() -> None:
    cells = [
        cell(
            round_number=0,
            speculation=SpeculationCounts(
                verify_rounds=10, proposed=30, accepted=15, accepted_by_position=(8, 4, 3)
            ),
        ),
        cell(
            round_number=1,
            speculation=SpeculationCounts(
                verify_rounds=30, proposed=90, accepted=25, accepted_by_position=(20, 4, 1)
            ),
        ),
        cell(
            round_number=2,
            is_complete=False,
            speculation=SpeculationCounts(verify_rounds=99, proposed=99, accepted=99),
        ),
    ]

    found = of_plain(results([request(round_number=number) for number in range(3)], cells))

    # Counters know no prompts, over which an interval would be.
    assert found.acceptance_length == Estimate((15 + 25 + 40) / 40)
    assert found.acceptance_rate == 40 / 120
    assert found.accepted_histogram == (12, 20, 4, 4)
    assert found.acceptance_rate_by_position == (28 / 40, 8 / 40, 4 / 40)


def test_steps_that_had_nothing_to_verify_are_steps() -> None:
    # As under a grammar: 20 tokens, of which one is the prefill's and 5 were drafts.
    counts = SpeculationCounts(verify_rounds=4, proposed=6, accepted=5, accepted_by_position=(4, 1))

    found = of_plain(results([request(tokens=20)], [cell(speculation=counts)]))

    assert found.acceptance_length == Estimate((5 + 14) / 14)
    assert found.accepted_histogram == (10, 3, 1)


def test_without_all_answers_the_counted_steps_are_all_that_is_known() -> None:
    counts = SpeculationCounts(verify_rounds=4, proposed=6, accepted=5)
    requests = [request(tokens=20), request(prompt="p1", outcome="errored", tokens=None)]

    found = of_plain(results(requests, [cell(speculation=counts)]))

    assert found.acceptance_length == Estimate(9 / 4)


def test_what_answers_tell_goes_before_the_counters() -> None:
    told = request(verify_rounds=10, correct_draft_tokens=20, proposed_draft_tokens=30)
    counted = cell(speculation=SpeculationCounts(verify_rounds=99, proposed=99, accepted=9))

    found = of_plain(results([told], [counted]))

    assert found.acceptance_length == Estimate(3.0)
    assert found.acceptance_rate == 20 / 30


def test_a_server_that_drafted_nothing_in_a_cell_has_no_acceptance() -> None:
    nothing = SpeculationCounts(verify_rounds=0, proposed=0, accepted=0)

    found = of_plain(results([request()], [cell(speculation=nothing)]))

    assert (found.acceptance_length, found.acceptance_rate) == (None, None)


def test_plain_decoding_has_no_figures_of_acceptance() -> None:
    found = of_plain(results([request()]))

    assert found.acceptance_length is None
    assert found.acceptance_rate is None
    assert (found.acceptance_rate_by_position, found.accepted_histogram) == ((), ())
    assert "acceptance_length" not in {one.metric for one in found.distributions}


def test_the_99th_percentile_needs_a_hundred_values() -> None:
    requests = [request(prompt=str(number), ended_ms=number + 600) for number in range(100)]

    ninety_nine = of_plain(results(requests[:99]))
    hundred = of_plain(results(requests))

    assert named(ninety_nine, "end_to_end_seconds").p99 is None
    p99 = named(hundred, "end_to_end_seconds").p99
    assert p99 is not None
    assert p99.value == pytest.approx(0.69801)
    assert len(named(hundred, "end_to_end_seconds").quantiles) == 101
    assert named(hundred, "end_to_end_seconds").quantiles[100] == pytest.approx(0.699)


def test_cpu_time_is_told_by_the_token() -> None:
    requests = [request(round_number=number, tokens=100) for number in range(2)]
    cells = [
        cell(round_number=0, server_cpu_seconds=3.0, generator_cpu_seconds=0.1),
        cell(round_number=1, server_cpu_seconds=5.0, generator_cpu_seconds=0.3),
    ]

    found = of_plain(results(requests, cells))

    assert found.server_cpu_seconds_per_output_token == pytest.approx(8 / 200)
    assert found.generator_cpu_seconds_per_output_token == pytest.approx(0.4 / 200)
    assert of_plain(results(requests, [cell()])).server_cpu_seconds_per_output_token is None


def gpu(memory: int | None, use: float | None, watts: float | None) -> GpuUse:
    return GpuUse(
        index=0,
        name="a GPU",
        peak_memory_bytes=memory,
        mean_utilisation=use,
        mean_power_watts=watts,
    )


def test_gpus_are_added_up_and_cells_are_weighted_by_their_length() -> None:
    cells = [
        cell(round_number=0, ended_ms=1000, gpus=(gpu(10, 0.2, 100), gpu(20, 0.4, 200))),
        cell(round_number=1, ended_ms=3000, gpus=(gpu(15, 0.7, 300), gpu(16, 0.7, 400))),
    ]

    found = of_plain(results([request()], cells))

    assert found.peak_gpu_memory_bytes == 31
    assert found.mean_gpu_utilisation == pytest.approx((0.3 + 3 * 0.7) / 4)
    assert found.mean_gpu_power_watts == pytest.approx((300 + 3 * 700) / 4)


def test_a_gpu_that_does_not_say_leaves_no_sum() -> None:
    cells = [cell(gpus=(gpu(10, None, 100), gpu(None, 0.4, None)))]

    found = of_plain(results([request()], cells))

    assert found.peak_gpu_memory_bytes is None
    assert found.mean_gpu_utilisation is None
    assert found.mean_gpu_power_watts is None


def test_one_call_analyses_a_whole_run() -> None:
    two = Load(concurrency=2)
    requests = [
        *paired_requests({"a": [2.0] * 3, "b": [2.0] * 3}),
        *paired_requests({"a": [0.5] * 3, "b": [0.5] * 3}, load=two),
    ]
    answers = [scored(arm, [("Hello.", {"Hello.": -0.1})]) for arm in ("plain", "eagle")]

    found = analyse(results(requests, loads=(two, ALONE), scored=answers))

    assert [(one.load, one.arm) for one in found.cells] == [
        (ALONE, "plain"),
        (ALONE, "eagle"),
        (two, "plain"),
        (two, "eagle"),
    ]
    assert [(one.load, one.verdict) for one in found.speedups] == [
        (ALONE, "faster"),
        (two, "slower"),
    ]
    (crossing,) = found.crossovers
    assert crossing.estimated_concurrency == pytest.approx(2**0.5)
    (equal,) = found.equalities
    assert [one.grade for one in equal.answers] == ["same text"]
    assert (equal.timed_same, equal.timed_pairs) == (12, 12)
    run, workload = found.sentences
    assert run.startswith("eagle against plain: faster in 1 of 2 comparisons, at the most 2.00")
    assert workload.startswith("chat: eagle is 2.00 times (95 % interval 2.00 to 2.00) as fast")


def test_an_analysis_is_the_same_every_time() -> None:
    run = results(
        paired_requests({str(p): [2.0 + p / 9, 1.9, 2.2 - p / 20] for p in range(6)}),
        [cell(arm, number) for arm in ("plain", "eagle") for number in range(3)],
    )

    assert analyse(run) == analyse(run)


def test_an_arm_that_was_never_reached_is_left_out() -> None:
    found = analyse(results([request()], arms=("plain", "eagle")))

    assert [one.arm for one in found.cells] == ["plain"]
    assert found.speedups == ()
    assert found.equalities == ()
    assert found.sentences == (
        "eagle could not be held against plain: no request was successful on both sides.",
    )


def test_an_empty_run_has_an_analysis() -> None:
    found = analyse(results([], arms=("plain",)))

    assert found.cells == ()
    assert found.sentences == ("Only plain was measured: there is nothing to compare.",)
