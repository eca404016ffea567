"""Rates, quantiles and acceptance of the last minute: restarts, stale gauges, missing counters."""

from __future__ import annotations

import pytest

from launcher.engines.vllm.watching.metrics import METRICS as VLLM
from launcher.metrics.figures import Figures
from launcher.metrics.table import Quantity, Reading
from launcher.metrics.window import Window
from tests.unit.launcher.metrics.test_buckets import of_values
from tests.unit.launcher.metrics.texts import buckets, lines, reading


def figures(*readings: Reading, seconds: float = 60.0) -> Figures:
    window = Window(seconds)
    for one in readings:
        window.add(one)
    return window.figures()


def lengths(*readings: Reading) -> tuple[float | None, ...]:
    """The acceptance length between each two readings."""
    window, found = Window(), []
    for one in readings:
        window.add(one)
        found.append(window.moment().acceptance_length)
    return tuple(found[1:])


def ended(at: float, requests: float, tokens: float, steps: float, **more: float) -> Reading:
    values = {
        Quantity.REQUESTS: requests,
        Quantity.OUTPUT_TOKENS: tokens,
        Quantity.VERIFY_STEPS: steps,
        Quantity.PROMPT_TOKENS: 10 * requests,
    }
    return Reading(at, values | {Quantity(name): value for name, value in more.items()})


def test_rates_are_differences_by_time() -> None:
    found = figures(ended(0, 100, 5000, 2000), ended(10, 120, 6020, 2400))

    assert found.window_seconds == 10
    assert found.requests_per_second == 2
    assert found.output_tokens_per_second == 102
    assert found.prompt_tokens_per_second == 20
    # 20 of the 1,020 tokens were the prefill's.
    assert found.acceptance.window == 2.5
    assert found.acceptance.since_start == pytest.approx((6020 - 120) / 2400)


def test_one_reading_has_gauges_and_totals_and_no_rate() -> None:
    found = figures(ended(0, 3, 30, 9, running_requests=2))

    assert found.running_requests == 2
    assert found.totals.output_tokens == 30
    assert found.requests_per_second is None
    assert found.acceptance.window is None
    assert found.acceptance.since_start == 3.0
    assert figures() == Figures()


def test_counters_that_begin_anew_count_from_there() -> None:
    found = figures(ended(0, 100, 5000, 2000), ended(10, 110, 5500, 2200), ended(20, 5, 105, 40))

    assert found.requests_per_second == 15 / 20
    assert found.output_tokens_per_second == (500 + 105) / 20


def test_what_is_older_than_the_window_is_forgotten() -> None:
    found = figures(*(ended(at, at, 10 * at, at) for at in range(0, 200, 5)), seconds=60)

    assert found.window_seconds == 60
    assert found.requests_per_second == 1


def test_probes_of_one_token_do_not_change_the_acceptance() -> None:
    # Two requests of 81 tokens in 40 steps each, and ten probes of the supervisor.
    found = figures(ended(0, 0, 0, 0), ended(10, 12, 2 * 81 + 10, 80))

    assert found.acceptance.window == 2.0


def test_engines_that_count_drafts_need_no_requests() -> None:
    def at(seconds: float, drafts: int, accepted: int) -> Reading:
        text = f"vllm:spec_decode_num_drafts_total 1{drafts:03}\n"
        text += f"vllm:spec_decode_num_accepted_tokens_total {accepted}\n"
        return reading(text, seconds, VLLM)

    readings = at(0, 0, 0), at(5, 100, 170), at(10, 100, 170)

    assert figures(*readings).acceptance.window == 2.7
    assert lengths(*readings) == (2.7, None)


def test_a_gauge_of_an_idle_server_is_stale_and_no_point_of_the_history() -> None:
    def at(seconds: float, decoded: int, length: float) -> Reading:
        text = lines({"spec_accept_length": length})
        return reading(text + lines({"realtime_tokens_total": decoded}, 'mode="decode"'), seconds)

    readings = at(0, 0, 0.0), at(2, 90, 2.5), at(4, 90, 2.5), at(6, 180, 3.0)
    found = figures(*readings)

    assert lengths(*readings) == (2.5, None, 3.0)
    assert found.acceptance.latest == 3.0
    # No request has ended, so no counter of requests tells.
    assert found.acceptance.window == 2.75
    assert found.output_tokens_per_second == 30


def test_without_a_counter_of_tokens_a_gauge_counts_while_requests_run() -> None:
    def at(seconds: float, running: int) -> Reading:
        return reading(lines({"spec_accept_length": 2.5, "num_running_reqs": running}), seconds)

    assert lengths(at(0, 1), at(2, 1), at(4, 0)) == (2.5, None)


def test_quantiles_are_of_the_window_alone() -> None:
    former, later = [0.05] * 50, [0.3] * 10
    found = figures(
        Reading(0, histograms={Quantity.FIRST_TOKEN: of_values(former)}),
        Reading(5, histograms={Quantity.FIRST_TOKEN: of_values(former + later)}),
    )

    assert found.time_to_first_token_seconds.p50 == pytest.approx(0.35)
    assert found.time_per_output_token_seconds.p50 is None


def test_a_histogram_that_appears_counts_from_its_first_value() -> None:
    text = buckets("sglang:queue_time_seconds", {"1.0": 4, "+Inf": 4})
    found = figures(reading(lines({"num_running_reqs": 0})), reading(text, 5))

    assert found.queue_time_seconds.p50 == 0.5


@pytest.mark.parametrize(
    ("waiting", "ended_requests", "wanted"), [(0, 0, 0.0), (6, 30, 2.0), (6, 0, None)]
)
def test_the_expected_wait_is_what_waits_by_what_ends(
    waiting: int, ended_requests: int, wanted: float | None
) -> None:
    found = figures(
        ended(0, 0, 0, 0, waiting_requests=0),
        ended(10, ended_requests, 0, 0, waiting_requests=waiting),
    )

    assert found.expected_wait_seconds == wanted


def test_the_cache_in_parts_of_what_it_holds() -> None:
    text = lines({"max_total_num_tokens": 1000, "kv_used_tokens": 250, "kv_evictable_tokens": 100})
    found = figures(reading(text))

    assert found.kv_used_fraction == 0.25
    assert found.kv_evictable_fraction == 0.1
    assert found.prefix_hit_fraction is None


def test_an_engine_without_metrics_has_empty_figures() -> None:
    assert figures(Reading(0), Reading(2)) == Figures(window_seconds=2)
    assert lengths(Reading(0), Reading(2)) == (None,)
