"""When services shrink, by how much, in which order, and when they must not."""

from dataclasses import replace

import pytest
from scaling_builders import NOW, TIMING, application, by_name, sample, samples, service, view_of

from dcp.orchestration.capacity.model import Sample
from dcp.orchestration.scaling.model import BrakeMemory, Direction, Policy, ScalingState, ServiceView, TargetDecision
from dcp.orchestration.scaling.targets import decide_targets

QUIET = samples(*[100] * 5, arrived=50)
LONG_AGO = NOW - TIMING.shrink_after_s
"""Above safe for just long enough."""


def quiet(
    name: str = "web", target: int = 22, *, seen: tuple[Sample | None, ...] = QUIET, **state: object
) -> ServiceView:
    remembered = ScalingState(target, above_safe_since=LONG_AGO)
    return view_of(service(name), seen, target=target, state=replace(remembered, **state))  # type: ignore[arg-type]


def decide(view: ServiceView) -> TargetDecision:
    (decision,) = decide_targets(application(view))
    return decision


def test_shrinking_begins_only_after_the_whole_time_above_safe() -> None:
    first = decide(quiet(above_safe_since=None))
    assert (first.direction, first.reason) == (Direction.HOLD, "above-safe")
    assert first.state.above_safe_since == NOW
    assert decide(quiet(above_safe_since=LONG_AGO + 0.5)).direction is Direction.HOLD
    assert decide(quiet()).direction is Direction.SHRINK


def test_what_was_added_is_given_back_in_the_published_shares() -> None:
    """22 - 2 = 20 were added: 10%, 30%, 50%, 100% of them."""
    view, targets = quiet(), []
    for step in range(4):
        decision = decide(view)
        assert (decision.reason, decision.direction) == ("release-step", Direction.SHRINK)
        targets.append(decision.target)
        remembered = replace(decision.state, released_at=decision.state.released_at - TIMING.shrink_every_s)
        view = view_of(service(), QUIET, target=decision.target, state=remembered)
        assert decision.numbers["release_step"] == step + 1
    assert targets == [20, 16, 12, 2]
    assert decide(view).reason == "steady"
    assert replace(decide(view).state, brakes=BrakeMemory()) == ScalingState(2)


def test_the_next_step_waits_for_its_time() -> None:
    view = quiet(target=20, release_from=22, release_step=1, released_at=NOW - TIMING.shrink_every_s + 1)
    decision = decide(view)
    assert (decision.direction, decision.reason, decision.state.release_step) == (Direction.HOLD, "above-safe", 1)


def test_each_step_gives_back_one_at_least() -> None:
    view = quiet(target=4, above_safe_since=LONG_AGO)
    assert decide(view).target == 3


def test_a_step_stops_where_the_load_needs_the_rest_and_goes_on_when_it_falls() -> None:
    busy = samples(*[1200] * 5, arrived=400)
    view = quiet(target=12, seen=busy, release_from=22, release_step=3, released_at=NOW - 60)
    decision = decide(view)
    assert decision.target == 8
    held = decide(view_of(service(), busy, target=8, state=replace(decision.state, released_at=NOW - 60)))
    assert (held.target, held.reason, held.state.release_from) == (8, "steady", 22)
    later = decide(view_of(service(), QUIET, target=8, state=held.state))
    assert (later.target, later.reason) == (2, "release-step")


def test_heavy_requests_count_as_much_as_many() -> None:
    """50 requests/s would need one instance; their weight of 1600 units/s needs eight."""
    heavy = samples(*[1600] * 5, arrived=50)
    assert decide(quiet(seen=heavy, target=12, release_from=22, release_step=3)).target == 8


@pytest.mark.parametrize("missing", range(5))
def test_a_missing_sample_anywhere_holds_and_waiting_begins_anew(missing: int) -> None:
    seen = tuple(None if i == missing else one for i, one in enumerate(QUIET))
    decision = decide(quiet(seen=seen))
    assert (decision.direction, decision.reason) == (Direction.HOLD, "metrics-missing")
    assert decision.state.above_safe_since is None


@pytest.mark.parametrize("seen", [(), (None,), (None,) * 5, QUIET[:4]])
def test_too_few_samples_never_shrink(seen: tuple[Sample | None, ...]) -> None:
    assert decide(quiet(seen=seen)).direction is Direction.HOLD


def test_a_gap_in_the_middle_of_a_release_delays_its_next_step() -> None:
    view = quiet(target=20, release_from=22, release_step=1, released_at=NOW - 60)
    gap = decide(replace(view, samples=(*QUIET[:4], None)))
    assert (gap.target, gap.reason) == (20, "metrics-missing")
    assert (gap.state.release_from, gap.state.release_step) == (22, 1)
    assert decide(replace(view, state=gap.state)).target == 16


def test_no_load_at_all_is_above_safe() -> None:
    idle = tuple(sample(age, arrived=0, completed=0) for age in range(4, -1, -1))
    assert decide(quiet(seen=idle)).target == 20


def test_one_sample_under_the_safe_line_breaks_the_waiting() -> None:
    seen = (*QUIET[:4], sample(0, arrived=50, units=4500))
    decision = decide(quiet(seen=seen))
    assert (decision.direction, decision.state.above_safe_since) == (Direction.HOLD, None)


def test_a_falling_level_ends_the_release() -> None:
    falling = samples(4300, 4400, 4800, 5000, 5200, arrived=800)
    decision = decide(quiet(target=20, seen=falling, release_from=22, release_step=1, released_at=NOW - 60))
    assert (decision.reason, decision.state) == ("steady", ScalingState(20))


def test_a_fatal_level_ends_the_release_and_grows() -> None:
    fatal = samples(*[9000] * 5, arrived=2000)
    decision = decide(quiet(target=20, seen=fatal, release_from=22, release_step=1, released_at=NOW - 60))
    assert decision.direction is Direction.GROW
    assert replace(decision.state, brakes=BrakeMemory()) == ScalingState(decision.target, grown_at=NOW)


def test_a_service_at_its_minimum_is_steady_and_remembers_nothing() -> None:
    decision = decide(quiet(target=2))
    assert (decision.reason, decision.state) == ("steady", ScalingState(2))
    assert "at its minimum of 2 instances" in decision.words


def pair(feed: ServiceView, user: ServiceView, policy: Policy = Policy.GATED) -> dict[str, TargetDecision]:
    spec = service("feed", calls={"user": 0.4})
    return by_name(decide_targets(application(replace(feed, spec=spec), user, policy=policy)))


def test_dependants_release_first() -> None:
    found = pair(quiet("feed"), quiet("user"))
    assert (found["feed"].target, found["user"].target) == (20, 22)
    assert found["user"].reason == "waits-for-dependants"
    assert "feed releases first (0 of 4 steps taken)" in found["user"].words


@pytest.mark.parametrize(
    ("change", "words"),
    [({"leaving": 2}, "2 instances of feed still leave"), ({"serving": 22}, "2 instances of feed still leave")],
)
def test_a_dependency_waits_until_the_released_dependants_are_gone(change: dict[str, int], words: str) -> None:
    feed = quiet("feed", 20, release_from=22, release_step=1, released_at=NOW - 1)
    found = pair(replace(feed, **change), quiet("user"))  # type: ignore[arg-type]
    assert found["user"].reason == "waits-for-dependants"
    assert words in found["user"].words
    assert pair(feed, quiet("user"))["user"].target == 20


def test_a_dependency_takes_no_step_that_its_dependant_has_not_taken() -> None:
    feed = quiet("feed", 20, release_from=22, release_step=1, released_at=NOW - 1)
    user = quiet("user", 20, release_from=22, release_step=1, released_at=NOW - 60)
    assert pair(feed, user)["user"].reason == "waits-for-dependants"


def test_services_on_their_own_do_not_wait() -> None:
    assert pair(quiet("feed"), quiet("user"), Policy.INDEPENDENT)["user"].target == 20


def test_a_dependant_at_its_minimum_is_not_waited_for() -> None:
    assert pair(quiet("feed", 2, above_safe_since=None), quiet("user"))["user"].target == 20


def test_a_dependant_that_needs_all_it_has_is_not_waited_for() -> None:
    between = samples(*[5500] * 5, arrived=50)
    assert pair(quiet("feed", 22, seen=between), quiet("user"))["user"].target == 20


def test_a_dependant_that_crashes_at_its_floor_is_not_waited_for() -> None:
    feed = replace(quiet("feed", 2), coming=1, serving=1, settled_since=None)
    assert pair(feed, quiet("user"))["user"].target == 20


def test_nothing_is_taken_from_under_a_dependant_below_fatal_or_unmeasured() -> None:
    burning = quiet("feed", 100, seen=samples(*[40_000] * 5, arrived=50))
    assert "below its fatal line" in pair(burning, quiet("user"))["user"].words
    unseen = quiet("feed", 22, seen=(None,) * 5)
    assert "metrics of feed are missing" in pair(unseen, quiet("user"))["user"].words


def test_dependants_behind_a_service_that_is_not_elastic_are_waited_for() -> None:
    views = (
        replace(quiet("feed"), spec=service("feed", calls={"door": 1.0})),
        view_of(service("door", calls={"user": 0.4}, elastic=False), QUIET, target=2),
        quiet("user"),
    )
    found = by_name(decide_targets(application(*views)))
    assert (found["feed"].target, found["user"].reason) == (20, "waits-for-dependants")
