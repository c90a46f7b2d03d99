"""How likely a host is ready in time."""

import math

import pytest

from dcp.hosts.boots import SpareSettings, Watched, chances, more_needed

EXPECTED = SpareSettings(deadline_s=300, expected_boot=((0.0, 40.0), (0.5, 90.0), (0.95, 300.0), (1.0, 2700.0)))


def test_what_is_expected_holds_until_hosts_were_watched() -> None:
    odds = chances((), EXPECTED)
    assert odds.by(40) == 0
    assert odds.by(90) == pytest.approx(0.5)
    assert odds.in_time(0) == pytest.approx(0.95)
    assert odds.in_time(90) == pytest.approx(0.9)
    assert odds.in_time(300) == 0


def test_hosts_that_fail_lower_the_odds() -> None:
    seen = [Watched(60.0, ready=True)] * 900 + [Watched(math.inf, ready=False)] * 100
    odds = chances(seen, SpareSettings(trust_hosts=0.0))
    assert odds.by(60) == pytest.approx(0.9)


def test_a_host_that_is_still_young_says_nothing_of_later() -> None:
    seen = [Watched(10.0, ready=False)] * 50 + [Watched(60.0, ready=True)] * 50
    assert chances(seen, SpareSettings(trust_hosts=0.0)).by(60) == pytest.approx(1.0)


def test_spares_make_enough_of_the_wanted_likely() -> None:
    count = more_needed(1000, [0.93] * 1000, 0.93, 0.99, 500)
    assert 75 < count < 130
    assert more_needed(1000, [0.93] * (1000 + count), 0.93, 0.99, 500) == 0
    assert more_needed(10, [1.0] * 10, 1.0, 0.99, 5) == 0
    assert more_needed(10, [0.0] * 10, 0.0, 0.99, 3) == 3
