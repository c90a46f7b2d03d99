"""Faults of a surge by name: each really happens, hits what it says, and the application comes through."""

from dataclasses import replace
from pathlib import Path

import pytest

from dcp.kernel.errors import InvalidInput
from dcp.simulation.load.faults import FAULTS, Fault
from dcp.simulation.load.file import read_surge
from dcp.simulation.load.requests import RequestRun, simulate_requests

SCENARIO = Path(__file__).parents[3] / "scenarios" / "hot-event.yaml"
LASTS_S = 45.0


def play(*faults: Fault, seed: int = 1) -> RequestRun:
    scenario = read_surge(SCENARIO).requests
    arrivals = scenario.arrivals_s
    short = replace(
        scenario,
        lasts_s=LASTS_S,
        arrivals_s=lambda own: (at for at in arrivals(own) if at < LASTS_S),
        faults=faults,
    )
    return simulate_requests(short, seed)


def failed(run: RequestRun) -> int:
    return sum(one.failed for one in run.seconds)


def slow(run: RequestRun) -> int:
    return sum(one.slow for one in run.seconds)


CALM = play()


def test_without_faults_nothing_fails() -> None:
    assert failed(CALM) == 0


@pytest.mark.parametrize("name", ["hosts-lost", "instances-crash", "proxy-killed"])
def test_what_ends_in_the_middle_of_requests_costs_some_and_is_replaced(name: str) -> None:
    run = play(Fault(name, at_s=30.0))
    assert 0 < failed(run) < 0.1 * sum(one.offered for one in run.seconds)
    assert sum(one.failed for one in run.seconds if one.second >= 42) == 0


@pytest.mark.parametrize("name", ["metrics-missing", "metrics-frozen", "controller-away"])
def test_growth_waits_for_metrics_and_for_a_controller_and_loses_nothing(name: str) -> None:
    run = play(Fault(name, at_s=12.0, for_s=15.0))
    assert failed(run) == 0
    assert slow(run) > 1.5 * slow(CALM)


def test_without_stock_the_private_hosts_are_all_there_are() -> None:
    run = play(Fault("out-of-stock", at_s=0.0, for_s=LASTS_S))
    assert (CALM.peak_cloud_hosts > 0, run.peak_cloud_hosts) == (True, 0)
    assert failed(run) == 0


def test_a_cloud_host_with_notice_is_left_before_it_goes() -> None:
    run = play(Fault("spot-notice", at_s=25.0, for_s=15.0))
    assert failed(run) == 0


def test_what_never_becomes_healthy_takes_no_traffic() -> None:
    run = play(Fault("never-healthy", at_s=12.0, for_s=20.0, service="feed"))
    assert failed(run) == 0
    assert slow(run) > 1.5 * slow(CALM)


def test_every_fault_is_tried_here_and_an_unknown_one_is_refused(tmp_path: Path) -> None:
    tried = {"hosts-lost", "instances-crash", "proxy-killed", "metrics-missing", "metrics-frozen", "controller-away"}
    assert set(FAULTS) == tried | {"out-of-stock", "spot-notice", "never-healthy"}
    text = SCENARIO.read_text().replace("../examples", str(SCENARIO.parents[1] / "examples"))
    file = tmp_path / "surge.yaml"
    for fault, path in (
        ("{name: flood, at_s: 1}", "faults.0.name"),
        ("{name: hosts-lost, at_s: -1}", "faults.0.at_s"),
        ("{name: instances-crash, at_s: 1, service: nobody}", "faults.0.service"),
    ):
        file.write_text(f"{text}\nfaults: [{fault}]\n")
        with pytest.raises(InvalidInput) as refused:
            read_surge(file)
        assert [one.path for one in refused.value.problems] == [path]
