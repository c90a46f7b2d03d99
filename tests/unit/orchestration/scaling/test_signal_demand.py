"""Signals: the highest demand wins, one high figure does nothing, what is missing shrinks nothing."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scaling_builders import application, by_name, samples, service, view_of

from dcp.orchestration.scaling.model import ApplicationView, Direction, ScalingState
from dcp.orchestration.scaling.signals import signal_demand
from dcp.orchestration.scaling.targets import decide_targets
from dcp.orchestration.services.model import Capacity
from dcp.orchestration.services.signals import Signal

QUEUE, CPU = Signal("queue", "sum(queue)", 10.0), Signal("cpu", "sum(cpu)", 0.5)
CALM = samples(100, 100, 100, 100, 100)
IDLE = (5.0,) * 5


def demand(**figures: tuple[float | None, ...]):
    return signal_demand((QUEUE, CPU), figures, 5, 3)


def test_the_highest_demand_wins():
    found = demand(queue=(95.0,) * 5, cpu=(2.0,) * 5)
    assert (found.grow_to, found.keep, found.unsure) == (10, 10, ())
    assert found.words == "signal queue is 95, 10 an instance"


def test_one_high_figure_grows_nothing_and_is_kept_for_when_shrinking():
    found = demand(queue=(5.0, 5.0, 5.0, 5.0, 900.0), cpu=IDLE)
    assert (found.grow_to, found.keep) == (10, 90)


@pytest.mark.parametrize("seen", [(), (5.0,), (5.0, None, 5.0, 5.0, 5.0), (5.0, 5.0, 5.0, 5.0, None)])
def test_missing_figures_are_named(seen: tuple[float | None, ...]):
    assert demand(queue=seen, cpu=IDLE).unsure == ("queue",)


def test_growth_needs_the_newest_figures():
    assert demand(queue=(90.0, 90.0, 90.0, 90.0, None), cpu=(0.1,) * 5).grow_to == 1


def shop(figures: dict[str, tuple[float | None, ...]], capacity: Capacity | None, target: int = 4) -> ApplicationView:
    spec = replace(service("mail", capacity=capacity), signals=(QUEUE,))
    state = ScalingState(target, above_safe_since=0.0)
    return application(replace(view_of(spec, CALM, target=target, state=state), signals=figures))


WITH, WITHOUT = Capacity(units_per_s=400.0, requests_per_s=100.0), None


@pytest.mark.parametrize("capacity", [WITH, WITHOUT])
def test_a_service_grows_with_or_without_a_known_capacity(capacity: Capacity | None):
    decision = by_name(decide_targets(shop({"queue": (85.0,) * 5}, capacity)))["mail"]
    assert (decision.target, decision.direction, decision.reason) == (9, Direction.GROW, "signal")
    assert "signal queue is 85, 10 an instance: needs 9" in decision.words


@pytest.mark.parametrize("capacity", [WITH, WITHOUT])
def test_it_shrinks_when_load_and_signals_allow_it(capacity: Capacity | None):
    decision = by_name(decide_targets(shop({"queue": (15.0,) * 5}, capacity, target=9)))["mail"]
    assert (decision.direction, decision.reason) == (Direction.SHRINK, "release-step")
    held = by_name(decide_targets(shop({"queue": (15.0, 15.0, 88.0, 15.0, 15.0)}, capacity, target=9)))["mail"]
    assert (held.direction, held.target) == (Direction.HOLD, 9)


@pytest.mark.parametrize("figures", [{}, {"queue": (15.0, 15.0, None, 15.0, 15.0)}])
def test_nothing_shrinks_while_a_signal_is_missing(figures: dict[str, tuple[float | None, ...]]):
    decision = by_name(decide_targets(shop(figures, WITH, target=9)))["mail"]
    assert (decision.target, decision.reason) == (9, "metrics-missing")
    assert "figures of signal queue are missing" in decision.words


@given(st.lists(st.one_of(st.none(), st.floats(0, 1e4)), max_size=8), st.integers(2, 100))
def test_a_signal_never_asks_beyond_the_bounds_and_missing_never_shrinks(seen: list[float | None], target: int):
    decision = by_name(decide_targets(shop({"queue": tuple(seen)}, WITH, target=target)))["mail"]
    assert 2 <= decision.target <= 100
    if None in seen[-5:] or len(seen) < 5:
        assert decision.target >= target
