"""Quantiles over seeds, the promise, and the page that shows them."""

import math
from dataclasses import replace
from pathlib import Path

from dcp.cli.simulate_plot import growth_page
from dcp.simulation.fleet.file import read_scenario
from dcp.simulation.fleet.run import FleetResult
from dcp.simulation.fleet.scenario import Promise
from dcp.simulation.fleet.summary import quantile, summarise

SCENARIO = read_scenario(Path(__file__).parents[3] / "scenarios" / "thousand-nodes.yaml")
RESULT = FleetResult(
    seed=1,
    serving_s=300.0,
    bound_s=295.0,
    own_share_s=5.0,
    asked=1100,
    created=1050,
    spares=50,
    given_back=50,
    spares_usd=0.5,
    refused_calls=9,
    throttled_calls=3,
    writes=1000,
    cpu_s=9.0,
    over_time=((0.0, (("ready", 10), ("serving", 10))), (300.0, (("booting", 7), ("ready", 1020), ("serving", 1010)))),
)
PROMISE = Promise(0.99, 600.0, 10.0)


def seeds(*serving_s: float) -> list[FleetResult]:
    return [replace(RESULT, seed=number, serving_s=value) for number, value in enumerate(serving_s, 1)]


def test_quantiles_are_by_nearest_rank():
    assert quantile([4.0, 1.0, 3.0, 2.0], 0.5) == 2.0
    assert quantile([float(number) for number in range(1, 201)], 0.99) == 198.0
    assert quantile([7.0], 0.01) == 7.0


def test_a_promise_at_p99_may_be_missed_by_one_seed_in_a_hundred():
    kept = summarise(seeds(*[300.0] * 99, 900.0), PROMISE)
    missed = summarise(seeds(*[300.0] * 98, 900.0, 900.0), PROMISE)
    assert kept.holds
    assert missed.missed == ("serving_s is 900.0 at p99, promised 600",)


def test_a_seed_that_never_serves_misses_it():
    assert not summarise(seeds(300.0, math.inf), PROMISE).holds


def test_a_broken_property_is_named_by_its_seed():
    summary = summarise([RESULT, replace(RESULT, seed=2, violation="a leak")], PROMISE)
    assert summary.broken == ((2, "a leak"),)
    assert not summary.holds


def test_the_page_shows_states_seeds_and_figures():
    results = seeds(300.0, 310.0, 320.0)
    page = growth_page(SCENARIO, summarise(results, PROMISE), results)
    assert "Hosts by state, seed 2" in page
    assert "Seeds in which all serve" in page
    assert "Promised: p99 within 600 s; kept" in page
    assert "<td>own share s</td>" in page
