"""Quantiles of differences of histograms."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.metrics.buckets import Histogram, histogram
from launcher.metrics.samples import Sample, parse_text
from tests.unit.launcher.metrics.texts import buckets

BOUNDS = (0.1, 0.2, 0.5, 1.0, 2.0, math.inf)
NOTHING: frozenset[str] = frozenset()


def of_values(values: list[float], bounds: tuple[float, ...] = BOUNDS) -> Histogram:
    return Histogram(bounds, tuple(float(sum(v <= bound for v in values)) for bound in bounds))


@pytest.mark.parametrize(
    ("share", "wanted"),
    # Within a bucket by a straight line, as Prometheus does: 4 values, one in (0.1, 0.2].
    [(0.25, 0.1), (0.5, 0.2), (0.375, 0.15), (0.75, 0.5), (0.625, 0.35)],
)
def test_a_quantile_lies_on_a_straight_line_within_its_bucket(share: float, wanted: float) -> None:
    assert of_values([0.05, 0.15, 0.3, 0.7]).quantile(share) == pytest.approx(wanted)


def test_beyond_all_bounds_it_is_the_largest_and_without_values_none() -> None:
    assert of_values([5.0, 6.0]).quantile(0.5) == 2.0
    assert of_values([]).quantile(0.5) is None


@given(st.lists(st.floats(0.001, 1.9), min_size=1, max_size=60), st.sampled_from([0.5, 0.9, 0.99]))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(values: list[float], share: float) -> None:
    ranked = sorted(values)
    true = ranked[math.ceil(share * len(ranked)) - 1]
    bound = next(b for b in BOUNDS if true <= b)
    lower = max((b for b in BOUNDS if b < bound), default=0.0)

    found = of_values(values).quantile(share)

    assert found is not None
    assert lower <= found <= bound + 1e-9


def test_what_came_since_an_earlier_reading() -> None:
    before = [place * 0.07 for place in range(40)]
    after = [place * 0.13 for place in range(20)]

    assert of_values(before + after).since(of_values(before)) == of_values(after)


def test_after_a_restart_all_that_is_counted_is_new() -> None:
    assert of_values([0.3]).since(of_values([0.3, 0.4])) == of_values([0.3])


def test_other_bounds_are_another_histogram() -> None:
    other = of_values([0.3], (1.0, math.inf))

    assert other.since(of_values([0.1])) == other
    assert of_values([0.1]).plus(other) == other


def test_label_sets_are_added_up_and_copies_count_once() -> None:
    text = buckets("t", {"1.0": 2, "+Inf": 3}, 'is_streaming="true",tp_rank="0"')
    text += buckets("t", {"1.0": 2, "+Inf": 3}, 'is_streaming="true",tp_rank="1"')
    text += buckets("t", {"1.0": 5, "+Inf": 5}, 'is_streaming="false",tp_rank="0"')

    found = histogram(parse_text(text)["t_bucket"], frozenset({"tp_rank"}))

    assert found == Histogram((1.0, math.inf), (7.0, 8.0))


def test_a_scrape_in_the_middle_of_an_update_gives_no_negative_count() -> None:
    samples = [Sample({"le": "1.0"}, 5.0), Sample({"le": "2.0"}, 4.0), Sample({"le": "+Inf"}, 5.0)]

    found = histogram(samples, NOTHING)

    assert found is not None
    assert list(found.counts) == sorted(found.counts)


def test_broken_bounds_are_passed_over() -> None:
    assert histogram([Sample({}, 1.0), Sample({"le": "x"}, 1.0)], NOTHING) is None
