"""The ledger of costs after a surge with faults: a seed that would charge wrongly is found."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
import structlog

from dcp.engine.cost import worker
from dcp.hosts.cost import follow
from dcp.hosts.cost.model import Amount
from dcp.hosts.states import HostState
from dcp.simulation.surge import simulate_surge

SEED = 4


@pytest.fixture(autouse=True)
def quiet_log() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def violation_with(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, broken: Callable[..., Any]) -> str:
    monkeypatch.setattr(module, name, broken)
    return simulate_surge(SEED).violation


def test_the_seed_is_right_without_a_fault() -> None:
    assert simulate_surge(SEED).violation == ""


def test_a_host_that_costs_on_after_it_is_gone_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = follow.needs_look
    broken = violation_with(
        monkeypatch,
        follow,
        "needs_look",
        lambda before, after: after.state != HostState.RELEASED and right(before, after),
    )
    assert "is not held and costs on" in broken


def test_time_that_is_entered_twice_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = worker.accrue

    def twice(*given: Any) -> dict[Any, Amount]:
        return {entry: amount + amount for entry, amount in right(*given).items()}

    assert "the ledger charges" in violation_with(monkeypatch, worker, "accrue", twice)


def test_machines_that_are_not_entered_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = violation_with(monkeypatch, follow, "needs_look", lambda before, after: False)
    assert broken != ""
