"""Brakes: each holds what it should, says so with its numbers, and never lowers a target."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scaling_builders import NOW, TIMING, application, samples, service, view_of
from small_world import SmallWorld

from dcp.orchestration.scaling.brakes import REASONS
from dcp.orchestration.scaling.model import (
    BrakeMemory,
    Direction,
    ScalingState,
    ServiceView,
    TargetDecision,
)
from dcp.orchestration.scaling.targets import decide_targets
from dcp.orchestration.services.brakes import Brakes

BUSY = samples(*[9000] * 5, arrived=1200)
"""Needs 24 instances at the safe level."""
QUIET = samples(*[100] * 5, arrived=50)


def decide(view: ServiceView, now: float = NOW) -> TargetDecision:
    (decision,) = decide_targets(application(view, now=now))
    return decision


def busy(brakes: Brakes, **memory: object) -> ServiceView:
    state = ScalingState(4, brakes=replace(BrakeMemory(), **memory))  # type: ignore[arg-type]
    return view_of(replace(service(), brakes=brakes), BUSY, state=state)


def quiet(brakes: Brakes, leaving: int = 0, **memory: object) -> ServiceView:
    remembered = replace(BrakeMemory(), **memory)  # type: ignore[arg-type]
    state = ScalingState(22, above_safe_since=NOW - TIMING.shrink_after_s, brakes=remembered)
    return view_of(replace(service(), brakes=brakes), QUIET, target=22, state=state, leaving=leaving)


def reasons(decision: TargetDecision) -> list[str]:
    return [one.reason for one in decision.braked]


def test_without_brakes_nothing_is_held():
    decision = decide(busy(Brakes()))
    assert (decision.target, decision.braked) == (24, ())


def test_growth_is_held_to_its_rate_and_goes_on_in_the_next_window():
    brakes = Brakes(growth=2.0, growth_within_s=16.0)
    first = decide(busy(brakes))
    assert (first.target, first.direction, first.reason) == (8, Direction.GROW, "below-fatal")
    assert reasons(first) == ["brake-growth"]
    assert first.braked[0].numbers == {"growth": 2.0, "lowest": 4, "allowed": 8, "growth_within_s": 16.0}
    assert "held at 8 instances: growth at most 2 times 4 within 16 s: 8 for now" in first.words
    assert first.numbers["wanted"] == 24
    again = replace(busy(brakes), state=first.state, serving=8)
    held = decide(again, NOW + 10)
    assert (held.target, held.direction, held.reason) == (8, Direction.HOLD, "brake-growth")
    later = decide(replace(again, state=held.state), NOW + 18)
    assert (later.target, later.direction) == (16, Direction.GROW)


def test_a_service_may_always_grow_by_one():
    view = busy(Brakes(growth=1.1))
    assert decide(replace(view, state=replace(view.state, target=2), serving=2)).target == 3


def test_what_is_cut_is_still_asked_for_in_full():
    decision = decide(busy(Brakes(growth=2.0)))
    assert decision.state.grown_at == 0.0
    assert decision.state.brakes.grown_at == NOW


def test_a_target_above_the_line_waits_for_a_person():
    decision = decide(busy(Brakes(confirm_above=10)))
    assert (decision.target, reasons(decision)) == (10, ["brake-confirm"])
    assert decision.braked[0].numbers == {"wanted": 24, "confirm_above": 10, "confirmed": 0}
    assert "`dcp confirm web=24`" in decision.words


@pytest.mark.parametrize(
    ("to", "until", "target"), [(24, NOW + 1, 24), (15, NOW + 1, 15), (24, NOW, 10), (30, NOW + 9, 24)]
)
def test_a_confirmation_counts_up_to_its_number_and_until_its_end(to: int, until: float, target: int):
    assert decide(busy(Brakes(confirm_above=10), confirmed_to=to, confirmed_until=until)).target == target


def test_more_than_the_line_is_kept_where_it_is_there_already():
    decision = decide(replace(busy(Brakes(confirm_above=2)), state=ScalingState(4)))
    assert (decision.target, decision.reason) == (4, "brake-confirm")


def test_growth_cools_down():
    decision = decide(busy(Brakes(grow_cooldown_s=30.0), grown_at=NOW - 20))
    assert (decision.target, decision.reason) == (4, "brake-cooldown")
    assert decision.braked[0].numbers == {"cooldown_s": 30.0, "left_s": 10.0}
    assert decide(busy(Brakes(grow_cooldown_s=30.0), grown_at=NOW - 30)).target == 24


@pytest.mark.parametrize("changed", ["grown_at", "shrunk_at"])
def test_giving_back_cools_down_after_any_change(changed: str):
    decision = decide(quiet(Brakes(shrink_cooldown_s=300.0), **{changed: NOW - 20}))
    assert (decision.target, decision.reason) == (22, "brake-cooldown")
    assert decision.state.release_from is None
    assert decide(quiet(Brakes(shrink_cooldown_s=300.0), **{changed: NOW - 300})).target == 20


def test_the_lowest_of_several_brakes_counts_and_all_that_bind_are_named():
    decision = decide(busy(Brakes(growth=2.0, confirm_above=10, grow_cooldown_s=5.0)))
    assert (decision.target, reasons(decision)) == (8, ["brake-confirm", "brake-growth"])


def test_a_blast_radius_bounds_how_many_leave_at_once():
    view = quiet(Brakes(blast_radius=0.05))
    assert decide(view).target == 21
    assert reasons(decide(view)) == ["brake-blast-radius"]
    state = replace(view.state, release_from=22, release_step=1, released_at=NOW - TIMING.shrink_every_s)
    decision = decide(replace(view, state=state, leaving=1))
    assert (decision.target, decision.reason) == (22, "brake-blast-radius")


def test_a_step_that_was_cut_goes_on_and_counts_once_it_is_whole():
    view = quiet(Brakes(blast_radius=0.05))
    first = decide(view)
    assert (first.state.release_from, first.state.release_step) == (22, 0)
    second = decide(replace(view, state=first.state, serving=21), NOW + 1)
    assert (second.target, second.braked, second.state.release_step) == (20, (), 1)


def test_bounds_of_a_file_are_not_braked():
    spec = replace(service(low=30), brakes=Brakes(growth=1.5, confirm_above=5))
    decision = decide(view_of(spec, QUIET, target=4))
    assert (decision.target, decision.reason, decision.braked) == (30, "bounds-changed", ())


def test_no_brake_holds_a_target_below_its_minimum():
    spec = replace(service(low=10), brakes=Brakes(growth=1.5, grow_cooldown_s=60.0))
    state = ScalingState(4, brakes=BrakeMemory(grown_at=NOW - 1))
    assert decide(view_of(spec, BUSY, state=state)).target == 10


BRAKES = st.builds(
    Brakes,
    growth=st.none() | st.floats(1.05, 4.0),
    growth_within_s=st.floats(1.0, 40.0),
    blast_radius=st.none() | st.floats(0.01, 1.0),
    confirm_above=st.none() | st.integers(0, 40),
    grow_cooldown_s=st.sampled_from([0.0, 3.0, 20.0]),
    shrink_cooldown_s=st.sampled_from([0.0, 3.0, 20.0]),
)


@given(BRAKES, st.lists(st.integers(0, 6000), min_size=2, max_size=6), st.integers(0, 99))
def test_whatever_the_load_every_bound_holds_over_the_whole_run(brakes: Brakes, loads: list[int], seed: int):
    world = SmallWorld(replace(service(), brakes=brakes), seed=seed)
    spec = world.spec.services[0]
    world.run(30 * len(loads), lambda tick: {"web": float(loads[(tick - 1) // 30])})
    targets = [spec.min_instances, *(seen["web"] for seen in world.targets_seen)]
    changes = [(at, after - before) for at, (before, after) in enumerate(pairwise(targets))]
    for at, change in changes:
        before = targets[at]
        if change > 0:
            window = targets[max(0, at + 1 - int(brakes.growth_within_s)) : at + 1]
            if brakes.growth is not None:
                assert targets[at + 1] <= max(min(window) + 1, brakes.growth * min(window) + 1e-6)
            if brakes.confirm_above is not None:
                assert targets[at + 1] <= max(brakes.confirm_above, before)
            grown = [one for one, by in changes[:at] if by > 0]
            assert not grown or at - grown[-1] >= brakes.grow_cooldown_s
        if change < 0 and brakes.blast_radius is not None:
            leaving = world.history[at]["web"].numbers["leaving"]
            assert -change <= max(1, brakes.blast_radius * (before + leaving) + 1e-6)
    said = {one.reason for step in world.history for one in step["web"].braked}
    assert said <= REASONS


@given(BRAKES, st.integers(2, 60), st.booleans())
def test_deciding_again_at_once_changes_nothing_more(brakes: Brakes, target: int, much: bool):
    spec = replace(service(), brakes=brakes)
    state = ScalingState(target, above_safe_since=NOW - TIMING.shrink_after_s)
    view = view_of(spec, BUSY if much else QUIET, target=target, state=state)
    first = decide(view)
    assert decide(replace(view, state=first.state)).target == first.target
