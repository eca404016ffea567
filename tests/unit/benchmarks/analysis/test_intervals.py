"""Intervals by hand, and by runs whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from benchmarks.analysis import intervals
from benchmarks.analysis.figures import Estimate
from benchmarks.selfcheck import intervals_check
from benchmarks.selfcheck.intervals_check import Scenario, over_prompts, rate_of_calls


def seeded() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.mark.parametrize(
    ("degrees", "coverage", "quantile"),
    # Abramowitz and Stegun, table 26.10.
    [
        (1, 0.95, 12.706),
        (2, 0.95, 4.303),
        (3, 0.98, 4.541),
        (4, 0.95, 2.776),
        (5, 0.99, 4.032),
        (10, 0.95, 2.228),
        (60, 0.95, 2.000),
    ],
)
def test_student_s_quantiles_are_those_of_the_tables(
    degrees: int, coverage: float, quantile: float
) -> None:
    assert intervals.student_quantile(coverage, degrees) == pytest.approx(quantile, abs=5e-4)


@pytest.mark.parametrize(("coverage", "degrees"), [(0.0, 4), (1.0, 4), (0.95, 0)])
def test_a_quantile_that_does_not_exist_is_refused(coverage: float, degrees: int) -> None:
    with pytest.raises(ValueError, match="no such quantile"):
        intervals.student_quantile(coverage, degrees)


def test_the_mean_over_rounds_reaches_t_standard_errors_to_each_side() -> None:
    found = intervals.mean_over_rounds([9.0, 10.0, 11.0])

    # The standard deviation is 1; P(|T| < t) = t / sqrt(2 + t^2) with 2 degrees of freedom.
    t = intervals.COVERAGE * math.sqrt(2 / (1 - intervals.COVERAGE**2))
    assert found.value == 10
    assert found.low == pytest.approx(10 - t / math.sqrt(3))
    assert found.high == pytest.approx(10 + t / math.sqrt(3))


def test_what_cannot_be_negative_has_no_negative_interval() -> None:
    assert intervals.mean_over_rounds([0.0, 0.0, 3.0]).low == 0


@pytest.mark.parametrize("rounds", [1, 2])
def test_one_round_or_two_give_no_interval(rounds: int) -> None:
    ones = np.full((4, rounds), 2.0)

    assert intervals.mean_over_rounds([2.0] * rounds) == Estimate(2.0)
    for found in (
        intervals.ratio_over_rounds([2.0] * rounds),
        intervals.paired_ratio(ones, seeded()),
    ):
        assert found.value == pytest.approx(2.0)
        assert (found.low, found.high) == (None, None)
    values, places = np.full(4, 2.0), np.arange(4)
    assert intervals.percentiles(values, places, places % rounds, (50,), seeded()) == (
        Estimate(2.0),
    )


def test_ratios_over_rounds_have_a_geometric_mean() -> None:
    found = intervals.ratio_over_rounds([1.0, 2.0, 4.0])

    assert found.value == pytest.approx(2.0)
    assert found.low is not None
    assert found.high is not None
    assert found.low * found.high == pytest.approx(4.0)


def test_a_paired_ratio_is_the_mean_over_rounds_of_the_median_over_prompts() -> None:
    ratios = np.array([[1.0, 4.0, 2.0], [2.0, 8.0, 4.0], [90.0, 9.0, 5.0]])

    assert intervals.paired_ratio(ratios, seeded()).value == pytest.approx((2 * 8 * 4) ** (1 / 3))


def test_with_the_same_prompts_all_over_only_rounds_make_a_paired_ratio_uncertain() -> None:
    by_round = [1.0, 2.0, 4.0]

    found = intervals.paired_ratio(np.array([by_round] * 5), seeded())

    expected = intervals.ratio_over_rounds(by_round)
    assert (found.value, found.low, found.high) == pytest.approx(
        (expected.value, expected.low, expected.high)
    )


def test_prompts_that_differ_make_a_paired_ratio_uncertain_though_rounds_agree() -> None:
    own = np.geomspace(1.0, 4.0, 9)[:, None]

    found = intervals.paired_ratio(np.repeat(own, 5, axis=1), seeded())

    assert found.low is not None
    assert found.high is not None
    assert found.low < 1.9
    assert found.high > 2.1


def test_failed_requests_leave_the_others_of_their_round_and_prompt() -> None:
    ratios = np.full((4, 4), 2.0)
    ratios[0, :3] = ratios[1:3, 3] = np.nan

    found = intervals.paired_ratio(ratios, seeded())

    assert (found.value, found.low, found.high) == pytest.approx((2.0, 2.0, 2.0))


def test_a_round_with_one_pair_left_still_counts() -> None:
    ratios = np.full((3, 3), 2.0)
    ratios[1:, 0] = np.nan
    ratios[0, 0] = 16.0

    assert intervals.paired_ratio(ratios, seeded()).value == pytest.approx(4.0)


TABLES = arrays.arrays(np.float64, (4, 5), elements=st.floats(0.01, 100))


@given(TABLES)
def test_swapped_sides_give_the_reciprocal_interval(ratios: intervals.Floats) -> None:
    one = intervals.paired_ratio(ratios, seeded())
    other = intervals.paired_ratio(1 / ratios, seeded())

    assert one.low is not None
    assert one.high is not None
    assert (other.value, other.low, other.high) == pytest.approx(
        (1 / one.value, 1 / one.high, 1 / one.low)
    )


@given(TABLES)
def test_the_same_seed_gives_the_same_interval_with_the_value_in_it(
    ratios: intervals.Floats,
) -> None:
    found = intervals.paired_ratio(ratios, seeded())

    assert found == intervals.paired_ratio(ratios, seeded())
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.value <= found.high


def test_percentiles_are_numpy_s_over_all_values() -> None:
    values = np.arange(1.0, 13.0, dtype=np.float64)

    p50, p90 = intervals.percentiles(
        values, np.arange(12) % 4, np.arange(12) // 4, (50, 90), seeded()
    )

    assert p50.value == 6.5
    assert p90.value == pytest.approx(10.9)


def test_a_percentile_s_interval_knows_that_rounds_differ() -> None:
    # 100 prompts, all alike: only the round makes a difference.
    by_round = np.array([1.0, 2.0, 3.0])
    values, prompts = np.tile(by_round, 100), np.repeat(np.arange(100), 3)

    (found,) = intervals.percentiles(values, prompts, np.tile(np.arange(3), 100), (50,), seeded())

    expected = intervals.mean_over_rounds([1.0, 2.0, 3.0])
    assert found.value == 2
    assert found.low == pytest.approx(expected.low, abs=1e-9)
    assert found.high == pytest.approx(expected.high, abs=1e-9)


def test_a_percentile_s_interval_knows_that_prompts_differ() -> None:
    values = np.repeat(np.arange(1.0, 10.0, dtype=np.float64), 3)
    prompts = np.repeat(np.arange(9), 3)

    (found,) = intervals.percentiles(values, prompts, np.tile(np.arange(3), 9), (50,), seeded())

    assert found.value == 5
    assert found.low is not None
    assert found.low < 4


def test_a_quotient_of_sums_weighs_prompts_by_their_steps() -> None:
    found = intervals.quotient_over_prompts([30, 10, 20, 40, 20], [10, 10, 10, 10, 10], seeded())

    assert found.value == 120 / 50
    assert found.low is not None
    assert found.high is not None
    assert 1 < found.low < 2.4 < found.high < 4


def test_four_prompts_give_a_quotient_no_interval() -> None:
    assert intervals.quotient_over_prompts([3, 1, 1, 1], [1, 1, 1, 1], seeded()) == Estimate(1.5)


@given(
    arrays.arrays(np.float64, (3, 6), elements=st.one_of(st.just(math.nan), st.floats(-1e6, 1e6)))
)
def test_the_median_of_what_is_present_passes_over_the_rest(values: intervals.Floats) -> None:
    found = intervals.median_of_present(values, axis=1)

    for row, median in zip(values, found, strict=True):
        present = row[~np.isnan(row)]
        assert median == pytest.approx(
            np.median(present) if present.size else math.nan, nan_ok=True
        )


@pytest.mark.parametrize("rounds", [3, 5, 6, 8])
@pytest.mark.parametrize(("round_sd", "request_sd"), [(0.0, 0.03), (0.05, 0.01), (0.05, 0.1)])
def test_the_same_arm_on_both_sides_is_called_different_at_most_one_time_in_25(
    rounds: int, round_sd: float, request_sd: float
) -> None:
    scenario = Scenario("normal", rounds, 16, round_sd, request_sd)

    # Of 500 runs: the true rate is 3 % or less, and seeded draws do not wander.
    assert rate_of_calls(scenario, intervals.paired_ratio, runs=500, seed=1) <= 0.04


@pytest.mark.parametrize("tail", ["heavy", "spikes", "modes"])
def test_odd_rounds_do_not_make_differences(tail: intervals_check.Tail) -> None:
    scenario = Scenario(tail, 5, 16, 0.05, 0.01)

    assert rate_of_calls(scenario, intervals.paired_ratio, runs=500, seed=1) <= 0.04


def test_a_bootstrap_over_prompts_alone_calls_most_of_them_different() -> None:
    scenario = Scenario("normal", 6, 16, 0.05, 0.01)

    assert rate_of_calls(scenario, over_prompts, runs=100, seed=1) > 0.5


def test_a_slowdown_of_ten_per_cent_is_found_every_time() -> None:
    scenario = Scenario("normal", 6, 16, 0.01, 0.03, slowdown=0.1)

    assert rate_of_calls(scenario, intervals.paired_ratio, runs=300, seed=1) == 1


def test_both_tables_have_scenarios_of_their_kind() -> None:
    assert {one.slowdown for one in intervals_check.no_difference()} == {0.0}
    assert {one.slowdown for one in intervals_check.slowdown()} == {0.1}
    line = intervals_check.row(Scenario("modes", 5, 16, 0.03, 0.1), {"ours": 0.025})
    assert line == "| modes | 5 | 16 | 3.0% | 10.0% | 0% | 2.5 |"
