"""Water level = maximum capacity / live load."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcp.orchestration.capacity.model import LATENCY_BOUNDS_MS, Sample
from dcp.orchestration.capacity.water_level import live_units_per_s, water_level
from dcp.orchestration.services.model import Capacity

CAPACITY = Capacity(units_per_s=100.0, requests_per_s=50.0)
QUIET = Sample(0.0, 60.0, 0, 0, 0, 0, (0,) * (len(LATENCY_BOUNDS_MS) + 1))


def fast(requests: int) -> Sample:
    """All of them in the band of weight 1."""
    return replace(QUIET, arrived=requests, answered=requests, by_latency=(requests,) * len(QUIET.by_latency))


def test_capacity_of_all_instances_over_units_per_second() -> None:
    assert water_level(4, CAPACITY, fast(12_000)) == pytest.approx(2.0)


def test_no_load_has_no_level() -> None:
    assert water_level(4, CAPACITY, QUIET) is None
    assert water_level(0, CAPACITY, QUIET) is None


def test_load_without_an_instance_is_level_zero() -> None:
    assert water_level(0, CAPACITY, fast(60)) == 0.0


def test_a_service_that_answers_nothing_is_loaded_by_what_arrives() -> None:
    stalled = replace(QUIET, arrived=600, waiting=600)
    assert live_units_per_s(stalled) == pytest.approx(320.0)
    assert water_level(1, CAPACITY, stalled) == pytest.approx(100 / 320)


def test_requests_that_only_wait_are_not_counted_again_in_each_window() -> None:
    assert water_level(1, CAPACITY, replace(QUIET, waiting=10)) is None


@given(st.integers(1, 1000), st.integers(1, 10**6), st.integers(0, 10**6))
def test_more_load_never_raises_the_level(instances: int, requests: int, more: int) -> None:
    before, after = (
        water_level(instances, CAPACITY, fast(requests)),
        water_level(instances, CAPACITY, fast(requests + more)),
    )
    assert before is not None and after is not None and after <= before
