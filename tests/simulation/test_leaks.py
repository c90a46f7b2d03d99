"""The controller dies at every boundary in turn, and no machine is ever left, bought twice or held for ever."""

import logging
from collections.abc import Iterable
from dataclasses import replace

import pytest
import structlog

from dcp.engine.sources import worker
from dcp.hosts.creation import Call, repeated_calls
from dcp.hosts.model import Host
from dcp.simulation.leaks import INSTANCES, LeakResult, simulate_leaks

CHUNKS = 8


@pytest.fixture(autouse=True)
def quiet_log() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def faults_of(result: LeakResult) -> list[str]:
    """Say in words what did not hold."""
    found = {
        "never all served": not result.served,
        "never all given back": result.ended_s is None,
        f"left: {result.left}": bool(result.left),
        f"held: {result.held}": bool(result.held),
        f"made twice: {result.twice}": bool(result.twice),
        f"unexpected: {result.unexpected}": bool(result.unexpected),
    }
    return [words for words, is_so in found.items() if is_so]


def test_without_a_crash_the_scenario_is_worth_its_name() -> None:
    result = simulate_leaks()
    assert faults_of(result) == []
    assert result.boundaries > 150
    assert result.machines >= INSTANCES - 2
    assert {"out-of-stock", "driver-error", "listing-failed", "not-needed"} <= result.reasons


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_a_crash_at_any_boundary_leaves_no_machine(chunk: int) -> None:
    boundaries = simulate_leaks().boundaries
    found = {}
    for crash_at in range(1 + chunk, boundaries + 1, CHUNKS):
        result = simulate_leaks(crash_at)
        if faults_of(result) or not result.crashed:
            found[crash_at] = faults_of(result) or ["it did not crash"]
    assert found == {}, f"replay with simulate_leaks({min(found)})"


def test_a_repeated_call_with_a_new_token_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(members: Iterable[Host], listed: frozenset[str]) -> tuple[Call, ...]:
        return tuple(replace(call, token=f"{call.token}-again") for call in repeated_calls(members, listed))

    monkeypatch.setattr(worker, "repeated_calls", forgetful)
    assert any("made twice" in words for words in faults_of(simulate_leaks()))


def test_a_repeated_call_with_other_hosts_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def only_wanted(members: Iterable[Host], listed: frozenset[str]) -> tuple[Call, ...]:
        calls = repeated_calls(members, listed)
        return tuple(replace(call, hosts=call.wanted, carried=frozenset()) for call in calls)

    monkeypatch.setattr(worker, "repeated_calls", only_wanted)
    boundaries = simulate_leaks().boundaries
    results = (simulate_leaks(crash_at) for crash_at in range(1, boundaries, 3))
    assert any("made twice" in words for result in results for words in faults_of(result))
