"""Loads as curves, the meter, the rival's hosts and pods, and dcp itself on a small scenario."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from dcp.kernel.errors import InvalidInput
from dcp.simulation.load.applications import chain, service_ms, shop
from dcp.simulation.load.autoscaled import simulate_autoscaled
from dcp.simulation.load.loads import busiest, read_values, step, trace
from dcp.simulation.load.meter import TICK_S, Meter
from dcp.simulation.load.model import LoadScenario, Site
from dcp.simulation.load.scaled import Scaling, quicker, simulate_scaled

SPEC = chain(20.0)
SMALL = LoadScenario(
    "small", SPEC, service_ms(SPEC), "feed", step(20.0, 4, 60.0), 480.0, 60.0, site=Site(boot_s=(20.0, 40.0))
)


def test_a_step_begins_and_ends():
    curve = step(10.0, 3, 60.0, 90.0)
    assert [curve(second) for second in (59.9, 60.0, 89.9, 90.0)] == [10.0, 30.0, 30.0, 10.0]


def test_a_trace_is_scaled_to_its_mean_and_straight_in_between():
    curve = trace([1.0, 3.0, 2.0], 10.0, 40.0)
    assert [curve(second) for second in (0, 5, 10, 20, 99)] == [20.0, 40.0, 60.0, 40.0, 40.0]


def test_the_busiest_part_holds_the_sharpest_rise():
    values = [1.0] * 50 + [9.0] * 50
    part = busiest(values, 20)
    assert len(part) == 20
    assert part[7] == 1.0 and part[9] == 9.0


@pytest.mark.parametrize(("text", "words"), [("1\nmany\n", "no number"), ("1\n", "no load"), ("0\n0\n", "no load")])
def test_a_trace_that_is_none_is_refused(tmp_path: Path, text: str, words: str):
    (tmp_path / "t.txt").write_text(text)
    with pytest.raises(InvalidInput, match=words):
        read_values(tmp_path / "t.txt")
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_values(tmp_path / "none.txt")


def test_both_applications_begin_at_half_of_what_they_can():
    for spec, entry in ((chain(40.0), "feed"), (shop(40.0), "frontend")):
        scenario = LoadScenario("x", spec, service_ms(spec), entry, step(40.0, 1, 0.0), 60.0)
        assert scenario.oracle(0.0) <= sum(service.replicas for service in spec.services) <= 2.5 * scenario.oracle(0.0)


def meter(**changes: object) -> Meter:
    return Meter(replace(SMALL, **changes))


def test_enough_instances_never_violate_and_too_few_never_recover():
    enough, few = meter(), meter()
    while not enough.over:
        enough.tick(dict.fromkeys(("feed", "user", "card"), 4), 12, 0)
        few.tick(dict.fromkeys(("feed", "user", "card"), 1), 3, 1)
    assert (enough.result("p", 1).violation_s, enough.result("p", 1).recovery_s) == (0.0, 0.0)
    assert few.result("p", 1).recovery_s == math.inf
    assert few.result("p", 1).violation_s > 400
    assert few.result("p", 1).host_usd == pytest.approx(480 / 3600 * 0.2)


def test_recovery_is_counted_to_the_last_slow_second_before_a_calm_minute():
    one = meter()
    while not one.over:
        count = 1 if one.at_s < 120 else 12
        one.tick(dict.fromkeys(("feed", "user", "card"), count), 3 * count, 0)
    assert 60 < one.result("p", 1).recovery_s < 75


def test_slow_requests_that_are_sent_again_make_it_worse():
    plain, again = meter(), meter(retries=2.0)
    for one in (plain, again):
        while not one.over:
            one.tick(dict.fromkeys(("feed", "user", "card"), 1), 3, 0)
    assert again.result("p", 1).waiting_most > 1.5 * plain.result("p", 1).waiting_most


def test_the_rival_grows_gets_hosts_and_recovers():
    result = simulate_autoscaled(replace(SMALL, site=replace(SMALL.site, private_hosts=1)), 1)
    assert result.peak_cloud_hosts > 0
    assert 30 < result.recovery_s < 300
    assert result == simulate_autoscaled(replace(SMALL, site=replace(SMALL.site, private_hosts=1)), 1)


def test_dcp_recovers_too_and_sooner_when_it_looks_more_often():
    usual, often = (simulate_scaled(SMALL, 1, scaling) for scaling in (Scaling(), Scaling(timing=quicker(6))))
    assert often.recovery_s < usual.recovery_s < math.inf
    assert usual.instance_s > usual.oracle_instance_s


def test_dcp_that_was_told_never_violates():
    result = simulate_scaled(SMALL, 1, Scaling(told=True))
    assert (result.violation_s, result.recovery_s) == (0.0, 0.0)
    assert result.instance_s % TICK_S == 0
