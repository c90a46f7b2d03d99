"""What holds of every decision, whatever the view."""

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from scaling_builders import NOW, TIMING, application, sample, service

from dcp.orchestration.capacity.model import Sample
from dcp.orchestration.scaling.brakes import REASONS as BRAKES
from dcp.orchestration.scaling.model import (
    ApplicationView,
    Direction,
    Policy,
    ScalingState,
    ServiceView,
    TargetDecision,
)
from dcp.orchestration.scaling.targets import decide_targets
from dcp.orchestration.services.model import ServiceSpec

REASONS = frozenset(
    {
        *("steady", "metrics-missing", "not-elastic", "bounds-changed", "at-maximum"),
        *("below-fatal", "load-of-callers", "still-below-fatal", "coming", "catching-up"),
        *BRAKES,
        *("above-safe", "release-step", "waits-for-dependants", "waits-for-dependencies"),
    }
)
SPECS = (
    service("feed", calls={"user": 0.4, "card": 0.3}),
    service("user", calls={"rows": 1.5}, low=1, published_port=8081),
    service("card", depends_on=["door"], low=1),
    service("door", elastic=False, low=2),
    service("rows", low=1, high=40),
)


@st.composite
def windows(draw: st.DrawFn, missing: bool = True) -> tuple[Sample | None, ...]:
    count = draw(st.integers(0, TIMING.samples))
    found: list[Sample | None] = []
    for age in range(count - 1, -1, -1):
        if missing and draw(st.integers(0, 9)) == 0:
            found.append(None)
            continue
        found.append(
            sample(
                age,
                arrived=draw(st.integers(0, 5000)),
                units=draw(st.integers(0, 20_000)),
                waiting=draw(st.integers(0, 5000)),
            )
        )
    return tuple(found)


@st.composite
def states(draw: st.DrawFn, spec: ServiceSpec, in_bounds: bool) -> ScalingState:
    low, high = (spec.min_instances, spec.max_instances) if in_bounds else (0, 150)
    target = draw(st.integers(low, high))
    ages = st.floats(0, 2 * TIMING.shrink_after_s)
    shrinking = draw(st.booleans())
    return ScalingState(
        target=target,
        grown_at=draw(st.sampled_from([0.0, NOW - 2, NOW - 30])),
        above_safe_since=draw(st.none() | ages.map(lambda age: NOW - age)),
        release_from=target + draw(st.integers(0, 20)) if shrinking else None,
        release_step=draw(st.integers(1, 4)) if shrinking else 0,
        released_at=NOW - draw(ages) if shrinking else 0.0,
    )


@st.composite
def service_views(draw: st.DrawFn, spec: ServiceSpec, in_bounds: bool = True, missing: bool = True) -> ServiceView:
    state = draw(states(spec, in_bounds))
    coming = draw(st.integers(0, state.target)) if draw(st.booleans()) else 0
    leaving = draw(st.integers(0, 5)) if draw(st.booleans()) else 0
    return ServiceView(
        spec=spec,
        state=state,
        serving=state.target - coming,
        coming=coming,
        leaving=leaving,
        settled_since=None if coming or leaving else NOW - draw(st.floats(0, 100)),
        samples=draw(windows(missing)),
    )


@st.composite
def views(draw: st.DrawFn, in_bounds: bool = True, missing: bool = True) -> ApplicationView:
    services = tuple(draw(service_views(spec, in_bounds, missing)) for spec in SPECS)
    return application(*services, policy=draw(st.sampled_from(list(Policy))))


def after(view: ApplicationView, decisions: tuple[TargetDecision, ...]) -> ApplicationView:
    """The same moment and samples with the new states, before any instance was started or stopped."""
    services = zip(view.services, decisions, strict=True)
    return replace(view, services=tuple(replace(one, state=said.state) for one, said in services))


@given(views(in_bounds=False))
def test_every_decision_is_complete_and_inside_the_bounds(view: ApplicationView) -> None:
    decisions = decide_targets(view)
    assert [decision.service for decision in decisions] == [one.spec.name for one in view.services]
    for decision, one in zip(decisions, view.services, strict=True):
        assert one.spec.min_instances <= decision.target <= one.spec.max_instances
        assert decision.state.target == decision.target
        assert decision.reason in REASONS
        assert decision.words
        change = decision.target - one.state.target
        assert decision.direction is (
            Direction.GROW if change > 0 else Direction.SHRINK if change < 0 else Direction.HOLD
        )
        json.dumps(dict(decision.numbers), allow_nan=False)


@given(views())
def test_missing_metrics_never_shrink(view: ApplicationView) -> None:
    for decision, one in zip(decide_targets(view), view.services, strict=True):
        if len(one.samples) < TIMING.samples or None in one.samples:
            assert decision.target >= one.state.target


@given(views(missing=False), st.integers(0, 4), st.integers(0, 4))
def test_losing_a_sample_never_lowers_a_target_or_hastens_a_shrink(
    view: ApplicationView, which: int, lost: int
) -> None:
    one = view.services[which]
    blind = replace(one, samples=tuple(None if i == lost else seen for i, seen in enumerate(one.samples)))
    changed = replace(view, services=tuple(blind if other is one else other for other in view.services))
    seen, unseen = decide_targets(view)[which], decide_targets(changed)[which]
    if seen.direction is not Direction.GROW:
        assert unseen.target >= seen.target
    if unseen.state.above_safe_since is not None and seen.state.above_safe_since is not None:
        assert unseen.state.above_safe_since >= seen.state.above_safe_since


@given(views())
def test_only_what_is_elastic_and_known_is_scaled(view: ApplicationView) -> None:
    door = next(decision for decision in decide_targets(view) if decision.service == "door")
    assert (door.target, door.reason) == (2, "not-elastic")


@given(views())
def test_deciding_twice_at_once_changes_a_target_only_once(view: ApplicationView) -> None:
    first = decide_targets(view)
    later = after(view, first)
    for before, again in zip(first, decide_targets(later), strict=True):
        if before.direction is Direction.GROW:
            assert again.target == before.target
        assert not (before.direction is Direction.SHRINK and again.direction is Direction.SHRINK)


def busier(one: ServiceView, factor: float) -> ServiceView:
    seen = tuple(sample and replace(sample, arrived=round(sample.arrived * factor)) for sample in one.samples)
    return replace(one, samples=seen)


@given(views(), st.floats(1, 10))
def test_more_requests_never_give_a_smaller_target_while_nothing_is_released(
    view: ApplicationView, factor: float
) -> None:
    still = tuple(replace(one, state=ScalingState(one.state.target, one.state.grown_at)) for one in view.services)
    less = decide_targets(replace(view, services=still))
    more = decide_targets(replace(view, services=tuple(busier(one, factor) for one in still)))
    if view.policy is Policy.DEPENDENCY_FIRST:
        return
    for low, high in zip(less, more, strict=True):
        assert high.target >= low.target


@given(service_views(SPECS[4]), st.floats(1, 10), st.floats(1, 10))
def test_more_load_of_one_service_never_gives_a_smaller_target(one: ServiceView, factor: float, heavier: float) -> None:
    def loaded(sample: Sample | None) -> Sample | None:
        if sample is None:
            return None
        weights = tuple(round(count * heavier) for count in sample.by_latency)
        return replace(sample, arrived=round(sample.arrived * factor), by_latency=weights)

    busy = replace(one, samples=tuple(loaded(seen) for seen in one.samples))
    (low,), (high,) = decide_targets(application(one)), decide_targets(application(busy))
    assert high.target >= low.target
