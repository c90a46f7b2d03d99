"""When services grow, to how many, and which of them together."""

from dataclasses import replace

import pytest
from scaling_builders import NOW, TIMING, application, by_name, sample, samples, service, view_of

from dcp.orchestration.scaling.model import BrakeMemory, Direction, Policy, ScalingState, ServiceView
from dcp.orchestration.scaling.targets import decide_targets
from dcp.orchestration.services.model import Capacity

# Four instances carry 1600 units/s at level 1; the fatal line 1.2 is crossed above 1333.
BELOW, ABOVE = 1400, 600


@pytest.mark.parametrize(
    ("units", "fires"),
    [
        ((ABOVE, ABOVE, BELOW, BELOW, BELOW), True),
        ((BELOW, BELOW, BELOW, ABOVE, ABOVE), True),
        ((ABOVE, BELOW, ABOVE, BELOW, BELOW), True),
        ((ABOVE, ABOVE, ABOVE, BELOW, BELOW), False),
        ((BELOW, BELOW, None, None, None), False),
        ((BELOW, None, BELOW, None, BELOW), True),
        ((BELOW, BELOW), False),
    ],
)
def test_three_of_the_last_five_samples_have_to_agree(units: tuple[int | None, ...], fires: bool) -> None:
    (decision,) = decide_targets(application(view_of(service(), samples(*units, arrived=500))))
    assert (decision.direction is Direction.GROW) is fires
    assert decision.target == (10 if fires else 4)


def test_growth_is_sized_from_demand_in_one_decision() -> None:
    (decision,) = decide_targets(application(view_of(service(), samples(*[9000] * 5, arrived=1200))))
    assert (decision.target, decision.reason) == (24, "below-fatal")
    assert replace(decision.state, brakes=BrakeMemory()) == ScalingState(target=24, grown_at=NOW)
    assert decision.numbers["needed"] == 24
    assert decision.numbers["level"] == pytest.approx(0.178)
    assert "from 4 to 24 instances" in decision.words
    assert "1,200 requests/s" in decision.words


def test_requests_that_wait_are_worked_off_within_the_time_to_catch_up() -> None:
    """Four instances hold 400 in normal work; the other 2,000 have 10 s, which is 200 requests/s more."""
    seen = samples(*[9000] * 5, arrived=1200, waiting=(0, 0, 900, 1800, 2400))
    (decision,) = decide_targets(application(view_of(service(), seen)))
    assert decision.numbers["demand_requests_per_s"] == pytest.approx(1400)
    assert decision.target == 28


def test_thirty_percent_is_the_smallest_growth() -> None:
    (decision,) = decide_targets(application(view_of(service(), samples(*[5000] * 5, arrived=505), target=10)))
    assert decision.numbers["needed"] == 11
    assert decision.target == 13


def test_growth_under_way_is_waited_for() -> None:
    state = ScalingState(target=24, grown_at=NOW - 2)
    seen = samples(*[9000] * 5, arrived=1250, waiting=(0, 500, 1000, 1500, 2000))
    (decision,) = decide_targets(application(view_of(service(), seen, serving=4, coming=20, state=state)))
    assert (decision.direction, decision.reason, decision.target) == (Direction.HOLD, "coming", 24)


def test_a_second_surge_grows_at_once_while_the_first_growth_is_under_way() -> None:
    state = ScalingState(target=24, grown_at=NOW - 2)
    seen = samples(*[9000] * 5, arrived=2600)
    (decision,) = decide_targets(application(view_of(service(), seen, serving=4, coming=20, state=state)))
    assert (decision.direction, decision.reason, decision.target) == (Direction.GROW, "below-fatal", 52)


def test_deciding_again_before_anything_was_started_holds() -> None:
    view = view_of(service(), samples(*[9000] * 5, arrived=1200))
    (first,) = decide_targets(application(view))
    (second,) = decide_targets(application(replace(view, state=first.state)))
    assert (second.direction, second.reason, second.target) == (Direction.HOLD, "coming", 24)


def grown(seen_waiting: tuple[int, ...], settled_s: float) -> ServiceView:
    """Ten instances, grown a minute ago, still below fatal although the requests alone would need only five."""
    state = ScalingState(target=10, grown_at=NOW - 60)
    return view_of(
        service(), samples(*[4000] * 5, arrived=250, waiting=seen_waiting), state=state, target=10, settled_s=settled_s
    )


def test_a_queue_that_is_worked_off_in_time_is_waited_for() -> None:
    (decision,) = decide_targets(application(grown((5000, 4000, 3000, 2500, 2000), 30)))
    assert (decision.direction, decision.reason) == (Direction.HOLD, "catching-up")


def test_a_queue_that_shrinks_too_slowly_is_not_waited_for() -> None:
    (decision,) = decide_targets(application(grown((2005, 2004, 2003, 2002, 2001), 30)))
    assert decision.target > 10


def test_what_settled_just_now_is_not_judged_yet() -> None:
    (decision,) = decide_targets(application(grown((0,) * 5, 2)))
    assert (decision.direction, decision.reason) == (Direction.HOLD, "catching-up")
    assert "fewer than the 3 samples" in decision.words


def test_still_below_fatal_after_three_samples_is_one_step_more() -> None:
    (decision,) = decide_targets(application(grown((0,) * 5, 3)))
    assert (decision.direction, decision.reason, decision.target) == (Direction.GROW, "still-below-fatal", 13)


def feed_user_card(policy: Policy = Policy.GATED, **user: object) -> dict[str, ServiceView]:
    """Feed is overloaded at ten times its usual load; what it calls has not felt it yet."""
    services = {
        "feed": view_of(service("feed", calls={"user": 0.4, "card": 0.3}), samples(*[9000] * 5, arrived=1000)),
        "user": view_of(service("user", low=1), samples(*[80] * 5, arrived=40), target=1),
        "card": view_of(service("card", low=1), samples(*[60] * 5, arrived=30), target=1),
    }
    services["user"] = replace(services["user"], **user)  # type: ignore[arg-type]
    return services


def decide(services: dict[str, ServiceView], policy: Policy = Policy.GATED) -> dict[str, tuple[int, str]]:
    found = by_name(decide_targets(application(*services.values(), policy=policy)))
    return {name: (decision.target, decision.reason) for name, decision in found.items()}


def test_all_services_that_the_load_reaches_grow_in_the_same_decision() -> None:
    assert decide(feed_user_card()) == {
        "feed": (20, "below-fatal"),
        "user": (8, "load-of-callers"),
        "card": (6, "load-of-callers"),
    }


def test_the_published_example_ten_feed_bring_four_user_and_three_card() -> None:
    """From the least of one each, at 1 request/s an instance and safe level 1."""
    one = Capacity(units_per_s=2.0, requests_per_s=1.0)
    feed = service("feed", calls={"user": 0.4, "card": 0.3}, low=0, capacity=one)
    specs = [feed, service("user", low=0, capacity=one), service("card", low=0, capacity=one)]
    exact = [
        replace(spec, elastic=replace(spec.elastic, safe_level=1.0, fatal_level=0.9)) for spec in specs if spec.elastic
    ]
    views = [view_of(spec, samples(*[0] * 5, arrived=0), target=0) for spec in exact]
    views[0] = view_of(exact[0], samples(*[20] * 5, arrived=10), target=0)
    assert [decision.target for decision in decide_targets(application(*views))] == [10, 4, 3]


def test_a_service_without_capacity_is_not_scaled_but_passes_load_on() -> None:
    door = view_of(
        service("door", calls={"web": 1.0}, elastic=False, capacity=None, low=3),
        samples(*[9] * 5, arrived=900),
        target=3,
    )
    middle = view_of(service("web", calls={"rows": 2.0}, low=2), samples(*[9000] * 5, arrived=300), target=2)
    rows = view_of(service("rows", low=2, high=50), samples(*[60] * 5, arrived=30), target=2)
    assert decide({"door": door, "web": middle, "rows": rows}) == {
        "door": (3, "not-elastic"),
        "web": (18, "below-fatal"),
        "rows": (36, "load-of-callers"),
    }


def test_an_elastic_service_of_unknown_capacity_is_not_scaled() -> None:
    (decision,) = decide_targets(application(view_of(service(capacity=None), samples(*[90_000] * 5))))
    assert (decision.reason, decision.target) == ("not-elastic", 4)
    assert "capacity is not known" in decision.words


def test_independent_services_look_only_at_themselves() -> None:
    assert decide(feed_user_card(), Policy.INDEPENDENT) == {
        "feed": (20, "below-fatal"),
        "user": (1, "steady"),
        "card": (1, "steady"),
    }


def test_dependency_first_puts_the_dependant_off_until_the_growth_of_its_dependencies_serves() -> None:
    services = feed_user_card()
    assert decide(services, Policy.DEPENDENCY_FIRST) == {
        "feed": (4, "waits-for-dependencies"),
        "user": (8, "load-of-callers"),
        "card": (6, "load-of-callers"),
    }
    grown_now = {"user": ScalingState(8, grown_at=NOW - 1), "card": ScalingState(6, grown_at=NOW - 1)}
    for name, state in grown_now.items():
        services[name] = replace(services[name], state=state, coming=3, serving=state.target - 3, settled_since=None)
    assert decide(services, Policy.DEPENDENCY_FIRST)["feed"] == (4, "waits-for-dependencies")
    for name, state in grown_now.items():
        services[name] = replace(services[name], coming=0, serving=state.target, settled_since=NOW)
    assert decide(services, Policy.DEPENDENCY_FIRST)["feed"] == (20, "below-fatal")


def test_dependency_first_does_not_wait_for_ever_for_growth_that_never_serves() -> None:
    services = feed_user_card()
    for name, target in (("user", 8), ("card", 6)):
        state = ScalingState(target, grown_at=NOW - TIMING.catch_up_s - 1)
        services[name] = replace(services[name], state=state, coming=1, serving=target - 1, settled_since=None)
    assert decide(services, Policy.DEPENDENCY_FIRST)["feed"] == (20, "below-fatal")


def test_the_caller_of_a_slow_dependency_does_not_grow_by_steps() -> None:
    slow = view_of(service("user", low=2), samples(*[9000] * 5, arrived=40), target=2)
    caller = view_of(service("feed", calls={"user": 0.4}), samples(*[9000] * 5, arrived=100))
    found = by_name(decide_targets(application(caller, slow)))
    assert (found["feed"].target, found["feed"].reason) == (4, "waits-for-dependencies")
    assert "user" in found["feed"].words
    assert (found["user"].target, found["user"].reason) == (3, "still-below-fatal")


def test_the_rush_of_a_caller_that_catches_up_does_not_grow_its_dependencies() -> None:
    rush = samples(*[9000] * 5, arrived=400, waiting=(3000, 2500, 2000, 1500, 1000))
    caller = view_of(
        service("feed", calls={"user": 1.0}), rush, state=ScalingState(20, NOW - 5), target=20, settled_s=2
    )
    called = view_of(service("user"), samples(*[900] * 5, arrived=900), target=10)
    assert decide({"feed": caller, "user": called})["user"] == (10, "steady")


def test_the_maximum_bounds_growth_and_the_words_say_what_was_wanted() -> None:
    view = view_of(service(high=6), samples(*[9000] * 5, arrived=1200))
    (decision,) = decide_targets(application(view))
    assert (decision.direction, decision.target, decision.reason) == (Direction.GROW, 6, "at-maximum")
    assert decision.numbers["wanted"] == 24
    assert "24 instances wanted, 6 is its maximum" in decision.words
    (again,) = decide_targets(application(replace(view, state=replace(decision.state, grown_at=NOW - 60), serving=6)))
    assert (again.direction, again.target, again.reason) == (Direction.HOLD, 6, "at-maximum")


def test_a_caller_passes_on_no_more_than_its_maximum_carries() -> None:
    feed = view_of(service("feed", calls={"user": 1.0}, high=6), samples(*[9000] * 5, arrived=5000))
    user = view_of(service("user", low=1), samples(*[80] * 5, arrived=40), target=1)
    assert decide({"feed": feed, "user": user})["user"] == (12, "load-of-callers")


def test_load_from_outside_on_a_service_that_is_also_called_is_kept() -> None:
    """User gets 200 requests/s from outside besides 40 from feed, which will send 400."""
    feed = view_of(
        service("feed", calls={"user": 0.4}),
        tuple(sample(age, arrived=1000, completed=100, units=None, waiting=0) for age in range(4, -1, -1)),
        target=2,
    )
    slow = replace(feed, samples=tuple(replace(s, by_latency=(0,) * 14 + (100,)) for s in feed.samples if s))
    user = view_of(service("user", published_port=8081), samples(*[480] * 5, arrived=240), target=5)
    found = by_name(decide_targets(application(slow, user)))
    assert found["user"].numbers["demand_requests_per_s"] == pytest.approx(400 + 200)


@pytest.mark.parametrize(("target", "after", "direction"), [(1, 2, Direction.GROW), (200, 100, Direction.SHRINK)])
def test_a_target_outside_changed_bounds_moves_to_the_bound(target: int, after: int, direction: Direction) -> None:
    (decision,) = decide_targets(application(view_of(service(), samples(*[100] * 5), target=target)))
    assert (decision.target, decision.direction, decision.reason) == (after, direction, "bounds-changed")


def test_changed_replicas_of_a_service_that_is_not_elastic() -> None:
    (decision,) = decide_targets(application(view_of(service(elastic=False, low=3), (), target=5)))
    assert (decision.target, decision.reason) == (3, "bounds-changed")
