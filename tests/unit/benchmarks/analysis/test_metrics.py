"""Every metric is what its formula says, by hand."""

from __future__ import annotations

import pytest

from benchmarks.analysis import metrics
from benchmarks.plan import Objective
from benchmarks.records import RequestRecord
from tests.unit.benchmarks.analysis_records import cell, request


def test_the_first_token_is_timed_from_the_moment_the_request_was_due() -> None:
    late = request(due_ms=50, sent_ms=80, chunks_ms=(200, 300), ended_ms=300)

    assert metrics.time_to_first_token_seconds(late) == pytest.approx(0.150)


def test_a_request_without_a_chunk_has_no_first_token() -> None:
    assert metrics.time_to_first_token_seconds(request(chunks_ms=())) is None


def test_the_pace_is_that_of_the_tokens_after_the_first_chunk() -> None:
    five_tokens = request(chunks_ms=(100, 200, 500), ended_ms=900, tokens=5)

    assert metrics.time_per_output_token_seconds(five_tokens) == pytest.approx(0.400 / 4)


@pytest.mark.parametrize(
    "record",
    [
        request(tokens=1),
        request(tokens=None),
        request(chunks_ms=(100,), tokens=4),
        request(chunks_ms=()),
    ],
)
def test_one_token_one_chunk_or_no_count_has_no_pace(record: RequestRecord) -> None:
    assert metrics.time_per_output_token_seconds(record) is None


def test_pauses_are_between_chunks_however_many_tokens_these_hold() -> None:
    pauses = metrics.inter_chunk_latencies_seconds(request(chunks_ms=(100, 200, 500), tokens=40))

    assert pauses == pytest.approx((0.1, 0.3))
    assert metrics.inter_chunk_latencies_seconds(request(chunks_ms=(100,))) == ()


def test_the_whole_answer_is_timed_from_the_moment_the_request_was_due() -> None:
    assert metrics.end_to_end_seconds(request(due_ms=50, sent_ms=80, ended_ms=550)) == 0.5


def test_speedups_compare_the_whole_time_by_the_tokens() -> None:
    assert metrics.seconds_per_token(request(ended_ms=500, tokens=5)) == pytest.approx(0.1)
    assert metrics.seconds_per_token(request(tokens=0)) is None
    assert metrics.seconds_per_token(request(tokens=None)) is None


def test_a_verify_step_commits_its_accepted_drafts_and_a_token_of_its_own() -> None:
    # As the real server said for an answer of 200 tokens, EAGLE 3/1/4.
    record = request(
        tokens=200,
        verify_rounds=62,
        correct_draft_tokens=137,
        proposed_draft_tokens=186,
        accepted_histogram=(8, 10, 5, 39),
    )

    assert metrics.acceptance_length(record) == pytest.approx(199 / 62)
    assert metrics.acceptance_rate(record) == pytest.approx(137 / 186)
    by_hand = (54 / 62, 44 / 62, 39 / 62)
    found = metrics.acceptance_rate_by_position(record.accepted_histogram)
    assert found == pytest.approx(by_hand)
    # The three say the same thing.
    assert metrics.acceptance_length(record) == pytest.approx(1 + sum(by_hand))
    assert metrics.acceptance_rate(record) == pytest.approx(sum(by_hand) / 3)


def test_plain_decoding_has_no_acceptance() -> None:
    assert metrics.acceptance_length(request()) is None
    assert metrics.acceptance_rate(request()) is None
    assert metrics.acceptance_rate_by_position(()) == ()


def test_histograms_of_different_lengths_are_added_place_by_place() -> None:
    short, long = request(accepted_histogram=(4, 1)), request(accepted_histogram=(1, 0, 0, 2))

    assert metrics.add_histograms([short, long, request()]) == (5, 1, 0, 2)


def test_throughput_counts_successful_requests_over_the_whole_cell() -> None:
    two_seconds = cell(began_ms=500, ended_ms=2500)
    requests = [
        request(tokens=30),
        request(prompt="p1", tokens=50),
        request(prompt="p2", tokens=70, outcome="incomplete"),
        request(prompt="p3", tokens=None, outcome="errored"),
    ]

    assert metrics.output_tokens_per_second(two_seconds, requests) == 40
    assert metrics.requests_per_second(two_seconds, requests) == 1


def test_throughput_is_not_guessed_where_tokens_were_not_counted() -> None:
    assert metrics.output_tokens_per_second(cell(), [request(), request(tokens=None)]) is None


def test_a_cell_in_which_no_time_passed_has_no_throughput() -> None:
    at_once = cell(began_ms=5, ended_ms=5)

    assert metrics.output_tokens_per_second(at_once, [request()]) is None
    assert metrics.requests_per_second(at_once, [request()]) is None
    assert metrics.goodput_requests_per_second(at_once, [request()], Objective()) is None


def test_goodput_counts_requests_that_meet_all_that_is_set() -> None:
    objective = Objective(time_to_first_token_seconds=0.1, time_per_output_token_seconds=0.1)
    requests = [
        request(),  # 0.1 s, then 0.1 s a token: just met
        request(prompt="late", chunks_ms=(101, 200), ended_ms=200),
        request(prompt="slow", chunks_ms=(100, 600), ended_ms=600),
        request(prompt="failed", outcome="errored"),
        request(prompt="short", chunks_ms=(100,), tokens=1),
    ]

    good = [one.prompt_id for one in requests if metrics.meets(one, objective)]

    assert good == ["p0", "short"]
    two_seconds = cell(ended_ms=2000)
    assert metrics.goodput_requests_per_second(two_seconds, requests, objective) == 1


def test_an_objective_on_the_whole_answer_is_met_or_not() -> None:
    assert metrics.meets(request(ended_ms=500), Objective(end_to_end_seconds=0.5))
    assert not metrics.meets(request(ended_ms=501), Objective(end_to_end_seconds=0.5))


def test_what_cannot_be_measured_meets_no_objective_on_it() -> None:
    uncounted = request(tokens=None)

    assert metrics.meets(uncounted, Objective(end_to_end_seconds=1))
    assert not metrics.meets(uncounted, Objective(time_per_output_token_seconds=1))


def test_every_distribution_s_metric_names_its_function_and_its_source() -> None:
    for name, metric in metrics.METRICS.items():
        function = getattr(metrics, name)
        assert metric.name == name
        assert "Formula:" in function.__doc__
        assert "Source:" in function.__doc__


def test_a_metric_gives_all_of_a_request_s_values() -> None:
    values = {name: metric.values(request()) for name, metric in metrics.METRICS.items()}

    assert values == {
        "time_to_first_token_seconds": (0.1,),
        "time_per_output_token_seconds": (0.1,),
        "inter_chunk_latencies_seconds": (0.1, 0.3),
        "end_to_end_seconds": (0.5,),
        "acceptance_length": (),
        "acceptance_rate": (),
    }
