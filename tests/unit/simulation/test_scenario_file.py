"""Scenario files: what they become, and how their faults are told."""

from pathlib import Path

import pytest

from dcp.kernel.errors import InvalidInput
from dcp.simulation.fleet.file import kind_of, parse_scenario, read_scenario
from dcp.simulation.load.file import read_surge

SCENARIOS = Path(__file__).parents[3] / "scenarios"
THOUSAND = (SCENARIOS / "thousand-nodes.yaml").read_text()


@pytest.mark.parametrize("path", sorted(SCENARIOS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_scenario_that_comes_with_dcp_is_read(path: Path) -> None:
    scenario = read_surge(path) if kind_of(path) == "surge" else read_scenario(path)
    assert scenario.name == path.stem


def test_the_headline_is_what_it_says():
    scenario = read_scenario(SCENARIOS / "thousand-nodes.yaml")
    assert (scenario.nodes, scenario.cloud.out_of_stock, scenario.cloud.failed_initialisations) == (1000, 0.4, 0.03)
    assert (scenario.cloud.in_flight, scenario.cloud.boot.at(1.0)) == (40, 45 * 60)
    assert (scenario.promise.quantile, scenario.promise.serving_s, scenario.promise.own_share_s) == (0.99, 600, 10)


def test_the_mean_boot_time_is_above_the_published_one():
    boot = read_scenario(SCENARIOS / "thousand-nodes.yaml").cloud.boot
    assert 96.9 < sum(boot.at((number + 0.5) / 10_000) for number in range(10_000)) / 10_000 < 120


@pytest.mark.parametrize(
    ("old", "new", "path", "words"),
    [
        ("kind: growth", "kind: grow", "kind", "growth"),
        ("  accounts: 1", "  acounts: 1", "cloud.acounts", "did you mean accounts?"),
        ("0.5: 90", "0.5: 9", "cloud.boot_s", "seconds fall"),
        ("0: 45,", "", "cloud.boot_s", "from share 0 to share 1"),
        ("burst: 40 ", "burst: 4 ", "cloud.calls", "throttled for ever"),
        ("out_of_stock: 0.4", "out_of_stock: 1.4", "cloud.out_of_stock", "less than 1"),
        ("before: 10 ", "before: 30 ", "", "they stand on those"),
        ("hosts_per_account: 100000", "hosts_per_account: 100", "", "clouds and free private hosts have 110"),
        ("zones: [a, b, c, d, e]", "zones: [a, a]", "cloud", "two zones called a"),
        ("start_s: [1, 5]", "start_s: [5, 1]", "start_s", "must not be below"),
    ],
)
def test_a_fault_is_told_with_its_path(old: str, new: str, path: str, words: str) -> None:
    assert old in THOUSAND
    with pytest.raises(InvalidInput) as caught:
        parse_scenario(THOUSAND.replace(old, new), "s.yaml")
    problem = caught.value.problems[0]
    assert problem.path == path
    assert words in f"{problem.message} {problem.hint}"
