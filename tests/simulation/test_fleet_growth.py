"""The headline at a size that is quick: the same clouds, the same promise, fewer nodes."""

from dataclasses import replace
from pathlib import Path

import pytest

from dcp.simulation.fleet.file import read_scenario
from dcp.simulation.fleet.run import simulate_fleet
from dcp.simulation.fleet.scenario import FleetScenario

THOUSAND = read_scenario(Path(__file__).parents[2] / "scenarios" / "thousand-nodes.yaml")


def smaller(nodes: int, **changes: float) -> FleetScenario:
    return replace(THOUSAND, nodes=nodes, cloud=replace(THOUSAND.cloud, **changes))


@pytest.mark.parametrize("seed", range(1, 5))
def test_all_serve_in_time_and_spares_go_back(seed: int) -> None:
    result = simulate_fleet(smaller(100), seed)
    assert result.violation == ""
    assert result.serving_s < THOUSAND.promise.serving_s
    assert result.spares > 0
    assert result.given_back == result.spares


def test_without_spares_the_late_ones_are_waited_for():
    with_spares = simulate_fleet(smaller(100), 1)
    without = simulate_fleet(replace(smaller(100), spares=None), 1)
    assert without.violation == ""
    assert without.asked < with_spares.asked
    assert without.serving_s > with_spares.serving_s


def test_the_same_seed_gives_the_same_run():
    first, again = (simulate_fleet(smaller(30), 7) for _ in range(2))
    assert replace(first, cpu_s=0.0) == replace(again, cpu_s=0.0)
    assert replace(first, cpu_s=0.0, seed=8) != replace(simulate_fleet(smaller(30), 8), cpu_s=0.0)


def test_a_cloud_that_is_never_out_and_never_fails_leaves_nothing_to_wait_for():
    result = simulate_fleet(smaller(50, out_of_stock=0.0, failed_initialisations=0.0), 3)
    assert result.violation == ""
    assert result.refused_calls == 0
