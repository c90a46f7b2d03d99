"""Weighted units, slow ratio and the difference of two counter readings."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcp.orchestration.capacity.model import BANDS_MS, LATENCY_BOUNDS_MS, Sample
from dcp.orchestration.capacity.units import (
    counts_per_band,
    sample_between,
    slow_ratio,
    units_of_bands,
    weighted_units,
)
from dcp.orchestration.traffic.model import Traffic

NONE = (0,) * (len(LATENCY_BOUNDS_MS) + 1)


def cumulative(latencies_ms: list[float]) -> tuple[int, ...]:
    bounds = (*LATENCY_BOUNDS_MS, float("inf"))
    return tuple(sum(latency <= bound for latency in latencies_ms) for bound in bounds)


def traffic(arrived: int, answered: int, waiting: int, *, failed: int = 0) -> Traffic:
    return Traffic(arrived, answered, failed, waiting, (0,) * len(LATENCY_BOUNDS_MS) + (answered + failed,))


@pytest.mark.parametrize(("counts", "units"), [((8, 50, 30, 10, 2, 0), 340), ((0, 2, 10, 50, 20, 8), 1020)])
def test_the_published_examples(counts: tuple[int, ...], units: int) -> None:
    assert units_of_bands(counts) == units


def test_a_count_for_every_band_is_needed() -> None:
    with pytest.raises(ValueError):
        units_of_bands((1, 2, 3))


@given(st.lists(st.floats(0.1, 20_000), max_size=50))
def test_cumulative_counts_weigh_as_much_as_the_requests_one_by_one(latencies_ms: list[float]) -> None:
    one_by_one = sum(next(weight for bound, weight in BANDS_MS if latency <= bound) for latency in latencies_ms)
    assert weighted_units(cumulative(latencies_ms)) == one_by_one
    assert sum(counts_per_band(cumulative(latencies_ms))) == len(latencies_ms)


def test_slow_ratio_is_the_share_over_the_threshold() -> None:
    seen = Sample(0.0, 1.0, 4, 4, 0, 0, cumulative([5, 400, 900, 1500]))
    assert slow_ratio(seen, 1000) == pytest.approx(0.25)
    assert slow_ratio(seen, 300) == pytest.approx(0.75)


def test_slow_ratio_of_nothing_is_unknown_and_of_an_uncounted_threshold_an_error() -> None:
    idle = Sample(0.0, 1.0, 0, 0, 0, 0, NONE)
    assert slow_ratio(idle, 1000) is None
    with pytest.raises(ValueError):
        slow_ratio(idle, 1234)


def test_a_sample_is_what_happened_between_two_readings() -> None:
    seen = sample_between(traffic(100, 90, 10), traffic(160, 145, 12, failed=3), at=61.0, window_s=60.0)
    assert seen == Sample(61.0, 60.0, 60, 55, 3, 12, (0,) * len(LATENCY_BOUNDS_MS) + (58,))


@pytest.mark.parametrize("field", ["arrived", "answered", "failed"])
def test_a_counter_that_went_backwards_makes_the_window_missing(field: str) -> None:
    before = traffic(100, 90, 10, failed=5)
    after = replace(traffic(200, 190, 10, failed=9), **{field: 1})
    assert sample_between(before, after, 1.0, 1.0) is None


def test_a_latency_count_that_went_backwards_makes_the_window_missing() -> None:
    before, after = traffic(100, 90, 10), traffic(200, 190, 10)
    assert sample_between(before, replace(after, by_latency=NONE), 1.0, 1.0) is None


def test_counters_that_stand_still_while_requests_wait_are_frozen() -> None:
    assert sample_between(traffic(100, 90, 10), traffic(100, 90, 10), 1.0, 1.0) is None


def test_a_quiet_window_is_a_sample_and_not_missing() -> None:
    seen = sample_between(traffic(100, 100, 0), traffic(100, 100, 0), 1.0, 1.0)
    assert seen is not None and seen.arrived == 0


def test_a_window_without_length_is_missing() -> None:
    assert sample_between(traffic(1, 1, 0), traffic(2, 2, 0), 1.0, 0.0) is None
