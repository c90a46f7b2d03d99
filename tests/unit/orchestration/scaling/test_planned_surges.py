"""Planned surges: floors of every service that they reach, never below what load asks for, and no ratchet."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scaling_builders import NOW, application, by_name, samples, service, view_of

from dcp.orchestration.ahead.model import Expected, PlannedSurge
from dcp.orchestration.scaling.model import ApplicationView, Direction, Policy, ScalingState
from dcp.orchestration.scaling.targets import decide_targets, frozen
from dcp.orchestration.services.timetable import TimetableEntry

CALM = samples(200, 200, 200, 200, 200)
SURGE = PlannedSurge("surge-1", "shop", (Expected("feed", 600.0),), NOW + 300, NOW + 3900, 600.0, "feed=6x", NOW - 60)


def shop(*surges: PlannedSurge, now: float = NOW, policy: Policy = Policy.GATED) -> ApplicationView:
    """Feed calls user twice a request; card stands apart. 100 requests/s arrive at each."""
    feed = service("feed", calls={"user": 2.0}, published_port=80)
    views = [view_of(one, CALM) for one in (feed, service("user"), service("card", published_port=81))]
    return replace(application(*views, policy=policy, now=now), surges=surges)


def test_what_a_surge_needs_is_there_before_it_begins():
    decided = by_name(decide_targets(shop(SURGE)))
    assert (decided["feed"].target, decided["feed"].reason, decided["feed"].direction) == (
        12,
        "planned-surge",
        Direction.GROW,
    )
    assert "planned surge surge-1 (feed=6x) needs 12: from 4 to 12 instances" in decided["feed"].words


def test_the_load_reaches_what_is_called_and_nothing_else():
    decided = by_name(decide_targets(shop(SURGE)))
    assert decided["user"].target == 24
    assert decided["card"].target == 4


def test_services_planned_apart_grow_only_where_it_was_said():
    decided = by_name(decide_targets(shop(SURGE, policy=Policy.INDEPENDENT)))
    assert (decided["feed"].target, decided["user"].target) == (12, 4)


@pytest.mark.parametrize("now", [NOW - 301, NOW + 3900])
def test_it_asks_for_nothing_before_its_lead_and_after_its_end(now: float):
    assert by_name(decide_targets(shop(SURGE, now=now)))["feed"].target == 4


def test_one_that_was_cancelled_asks_for_nothing():
    assert by_name(decide_targets(shop(replace(SURGE, cancelled_at=NOW))))["feed"].target == 4


def test_of_several_the_highest_counts():
    second = replace(SURGE, id="surge-2", expected=(Expected("feed", instances=20),), asked="feed=20")
    decided = by_name(decide_targets(shop(SURGE, second)))
    assert decided["feed"].target == 20
    assert "surge-2" in decided["feed"].words


def test_instances_bring_the_load_that_they_carry():
    surge = replace(SURGE, expected=(Expected("feed", instances=20),))
    assert by_name(decide_targets(shop(surge)))["user"].target == 40


def test_a_maximum_holds():
    surge = replace(SURGE, expected=(Expected("feed", 1e6),))
    assert by_name(decide_targets(shop(surge)))["feed"].target == 100


def test_nothing_shrinks_below_it_and_the_words_say_why():
    view = shop(SURGE)
    grown = [replace(one, state=replace(one.state, target=12), serving=12) for one in view.services[:1]]
    decided = decide_targets(replace(view, services=(*grown, *view.services[1:]), now=NOW + 3000))
    assert (decided[0].target, decided[0].reason) == (12, "steady")
    assert "planned surge surge-1" in decided[0].words


def test_load_beyond_the_plan_is_answered_as_ever():
    flooded = samples(6000, 6000, 6000, 6000, 6000, arrived=1500)
    feed = view_of(service("feed", published_port=80), flooded, target=12)
    decided = by_name(decide_targets(replace(application(feed), surges=(SURGE,))))
    assert decided["feed"].reason == "below-fatal"
    assert decided["feed"].target >= 30


@given(st.floats(1, 5000), st.integers(1, 80), st.integers(-2000, 6000))
def test_it_never_lowers_a_target_and_deciding_again_holds(rate: float, instances: int, later_s: int):
    surges = (
        replace(SURGE, expected=(Expected("feed", rate),)),
        replace(SURGE, expected=(Expected("card", 0, instances),)),
    )
    without, with_them = (by_name(decide_targets(shop(*some, now=NOW + later_s))) for some in ((), surges))
    assert all(with_them[name].target >= one.target for name, one in without.items())
    view = shop(*surges, now=NOW + later_s)
    again = replace(view, services=tuple(replace(one, state=with_them[one.spec.name].state) for one in view.services))
    assert {one.service: one.target for one in decide_targets(again)} == {
        name: one.target for name, one in with_them.items()
    }


def test_a_timetable_is_a_floor_for_all_that_its_load_reaches():
    evening = TimetableEntry(0, 0, requests_per_s=600.0)  # from midnight to midnight
    view = shop()
    feed = replace(view.services[0], spec=replace(view.services[0].spec, timetable=(evening,)))
    decided = by_name(decide_targets(replace(view, services=(feed, *view.services[1:]))))
    assert (decided["feed"].target, decided["user"].target, decided["card"].target) == (12, 24, 4)
    assert "timetable of feed (00:00-00:00 UTC) needs 12" in decided["feed"].words


def test_what_is_frozen_stays_and_says_what_it_would_have_done():
    before = ScalingState(4)
    decision = by_name(decide_targets(shop(SURGE)))["feed"]
    held = frozen(decision, before, "gala")
    assert (held.target, held.direction, held.reason, held.state) == (4, Direction.HOLD, "frozen", before)
    assert "frozen (gala): stays at 4 instances; would be 12: planned surge" in held.words
    fixed = by_name(decide_targets(application(view_of(service("db", elastic=False, low=3), CALM))))["db"]
    assert frozen(fixed, ScalingState(4), "gala") == fixed
