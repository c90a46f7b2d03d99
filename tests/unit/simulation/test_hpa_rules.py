"""The rival's rules, each as published: tolerance, truncation, missing pods, stabilisation, limits, bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcp.simulation.load.hpa import Autoscaler, PodMetrics


def autoscaler(least: int = 1, most: int = 100, target: float = 0.8) -> Autoscaler:
    return Autoscaler(target, least, most)


def decided(used: float, measured: int, unready: int = 0, current: int | None = None, **bounds: int) -> int:
    count = measured + unready if current is None else current
    return autoscaler(**bounds).decide(0.0, count, PodMetrics(used, measured, unready))


@pytest.mark.parametrize(
    ("used", "pods", "expected"),
    [
        (10 * 0.88, 10, 10),  # ratio 1.1 is tolerated
        (10 * 0.72, 10, 10),  # and so is 0.9
        (10 * 0.89, 10, 12),  # 89% of 80% is 1.1125: ceil(11.1)
        (10 * 0.889, 10, 10),  # 88.9% counts as 88%, a ratio of 1.1
        (10 * 0.71, 10, 9),
        (10 * 1.0, 10, 13),
        (0.0, 10, 1),
    ],
)
def test_the_ratio_has_a_tolerance_and_is_cut_off(used: float, pods: int, expected: int):
    assert decided(used, pods) == expected


def test_growth_is_at_most_double_or_to_four():
    assert autoscaler(target=0.1).decide(0, 1, PodMetrics(1.0, 1, 0)) == 4
    assert autoscaler(target=0.1).decide(0, 10, PodMetrics(10.0, 10, 0)) == 20


def test_pods_that_are_not_ready_count_as_idle_when_growing():
    assert decided(10.0, 10, unready=1) == 13  # 10 of 11 are 90%: a ratio of 1.125
    assert decided(10.0, 10, unready=2) == 12  # 83% is tolerated
    assert decided(10.0, 10, unready=10) == 20  # 50%: the direction flips, so nothing changes


def test_pods_that_are_not_ready_count_as_busy_when_shrinking():
    assert decided(2.0, 10, unready=0) == 3
    assert decided(2.0, 10, unready=10) == 15  # (2 + 10) / 20 = 60%: 0.75 of 20


def test_nothing_measured_changes_nothing():
    assert decided(0.0, 0, unready=7) == 7


def test_shrinking_waits_for_five_minutes_of_lower_proposals():
    one = autoscaler()
    assert one.decide(0.0, 10, PodMetrics(8.0, 10, 0)) == 10
    assert one.decide(150.0, 10, PodMetrics(1.0, 10, 0)) == 10
    assert one.decide(299.0, 10, PodMetrics(1.0, 10, 0)) == 10
    assert one.decide(300.0, 10, PodMetrics(1.0, 10, 0)) == 2


def test_outside_its_bounds_it_jumps_to_the_bound():
    assert decided(0.0, 1, least=5, current=1) == 5
    assert decided(9.0, 9, most=5, current=9) == 5


@given(st.integers(1, 50), st.floats(0, 1), st.integers(0, 50), st.floats(0.05, 1))
def test_it_stays_in_its_bounds_and_more_use_never_asks_for_less(pods: int, share: float, unready: int, target: float):
    low = Autoscaler(target, 2, 60).decide(0.0, pods + unready, PodMetrics(pods * share / 2, pods, unready))
    high = Autoscaler(target, 2, 60).decide(0.0, pods + unready, PodMetrics(pods * share, pods, unready))
    assert 2 <= low <= 60
    assert low <= high or pods + unready > 60 or unready > 0
