"""How far tools agree."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.peers.agreement import agreement
from benchmarks.results import PeerFigures


def figures(tool: str, repetition: int = 0, **changes: Any) -> PeerFigures:
    values: dict[str, Any] = {
        "tool": tool,
        "version": "1",
        "arm": "eagle",
        "workload": "chat",
        "load": "c2",
        "repetition": repetition,
        "requests": 9,
        "output_tokens": 90,
        "output_tokens_per_second": 100.0,
        "median_time_to_first_token_seconds": 0.05,
        "median_time_per_output_token_seconds": 0.01,
        "generator_cpu_seconds": 1.0,
    }
    return PeerFigures(**{**values, **changes})


def test_a_tool_is_held_against_ours_by_medians_over_repetitions() -> None:
    found = agreement(
        [
            figures("specserve", 0, output_tokens_per_second=98.0),
            figures("guidellm", 0, output_tokens_per_second=104.0),
            figures("specserve", 1, output_tokens_per_second=100.0),
            figures("guidellm", 1, output_tokens_per_second=90.0),
            figures("specserve", 2, output_tokens_per_second=150.0),
            figures("guidellm", 2, output_tokens_per_second=106.0),
        ]
    )

    throughput = found[0]
    assert (throughput.tool, throughput.figure) == ("guidellm", "output_tokens_per_second")
    assert (throughput.ours, throughput.theirs) == (100.0, 104.0)
    assert throughput.difference_percent == pytest.approx(4.0)
    assert throughput.is_within_limit
    assert throughput.repetitions == (3, 3)
    # Our own range, 98 to 150, is the wider one.
    assert throughput.spread_percent == pytest.approx(52.0)
    assert throughput.same_tokens


@pytest.mark.parametrize(
    ("theirs", "is_within"), [(105.0, True), (95.0, True), (105.5, False), (94.5, False)]
)
def test_five_percent_either_way_is_within(theirs: float, is_within: bool) -> None:  # noqa: FBT001
    found = agreement([figures("specserve"), figures("guidellm", output_tokens_per_second=theirs)])

    assert found[0].is_within_limit is is_within


def test_one_repetition_has_no_spread() -> None:
    found = agreement([figures("specserve"), figures("bench_serving")])

    assert {one.spread_percent for one in found} == {None}
    assert [one.difference_percent for one in found] == [0.0, 0.0, 0.0]


def test_places_are_kept_apart_and_one_without_ours_gives_nothing() -> None:
    found = agreement(
        [
            figures("specserve"),
            figures("guidellm"),
            figures("specserve", load="c8"),
            figures("guidellm", load="c8", output_tokens_per_second=200.0),
            figures("guidellm", arm="plain"),
            figures("specserve", workload="code"),
        ]
    )

    assert {(one.arm, one.workload, one.load) for one in found} == {
        ("eagle", "chat", "c2"),
        ("eagle", "chat", "c8"),
    }


def test_a_figure_that_a_tool_lacks_is_left_out() -> None:
    found = agreement(
        [figures("specserve"), figures("guidellm", median_time_per_output_token_seconds=None)]
    )

    assert [one.figure for one in found] == [
        "output_tokens_per_second",
        "median_time_to_first_token_seconds",
    ]


def test_throughput_of_an_open_loop_follows_the_arrivals_and_is_not_compared() -> None:
    found = agreement([figures("specserve", load="r2.5"), figures("guidellm", load="r2.5")])

    assert [one.figure for one in found] == [
        "median_time_to_first_token_seconds",
        "median_time_per_output_token_seconds",
    ]


def test_other_counts_of_tokens_are_seen() -> None:
    found = agreement([figures("specserve"), figures("guidellm", output_tokens=91)])

    assert not any(one.same_tokens for one in found)
