"""Requests enter at the rate of their curve, differently for each seed, the same again for the same one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcp.simulation.load.arrivals import arrivals, surge


def test_a_surge_rises_holds_and_falls() -> None:
    curve = surge(10.0, 6.0, 12.0, 2.0, 40.0, 4.0)
    seen = [curve(at) for at in (0.0, 11.9, 13.0, 14.0, 53.9, 56.0, 58.0, 900.0)]
    assert seen == pytest.approx([10, 10, 35, 60, 60, 35, 10, 10])
    assert surge(10.0, 6.0, 5.0, 0.0, 1.0, 0.0)(5.0) == 60
    assert surge(10.0, 6.0, 5.0, 0.0, 1.0, 0.0)(6.0) == 10


@given(st.integers(0, 2**31), st.floats(5, 400))
def test_they_come_in_order_within_the_time_and_about_as_many_as_the_rate_says(seed: int, rate: float) -> None:
    instants = list(arrivals(lambda _: rate, 20.0, seed))
    assert instants == sorted(instants)
    assert all(0 <= at < 20.0 for at in instants)
    assert len(instants) == pytest.approx(20 * rate, abs=6 * (20 * rate) ** 0.5)
    assert instants == list(arrivals(lambda _: rate, 20.0, seed))


def test_other_seeds_and_other_rates_give_other_instants() -> None:
    assert list(arrivals(lambda _: 10.0, 5.0, 1)) != list(arrivals(lambda _: 10.0, 5.0, 2))
    late = [at for at in arrivals(lambda at: 0.001 if at < 10 else 50.0, 20.0, 3) if at >= 10]
    assert len(late) == pytest.approx(500, abs=130)
