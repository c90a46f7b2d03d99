"""Passing over instances at rest must change nothing: the same steps as if every one were looked at."""

import math
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from dcp.engine.resting import Resting
from dcp.hosts.model import Host, HostType, Resources, SourceKind
from dcp.hosts.states import HostState
from dcp.orchestration.services.decide import HOST_GONE, Health, InstanceView, ServiceLife, decide_service
from dcp.orchestration.services.model import GateCondition, HealthCheck, Instance, Observation, ServiceSpec
from dcp.orchestration.services.rest import is_steady, waits
from dcp.orchestration.services.states import ENDED, LEAVING, InstanceState

NOW = 1000.0
SHAPE = Resources(250, 64 << 20)
SPEC = ServiceSpec("feed", ("serve",), SHAPE, health=HealthCheck(http_path="/healthz", retries=3))

HEALTH = st.none() | st.builds(Health, st.booleans(), st.integers(0, 5))
SEEN = st.none() | st.builds(Observation, st.just("feed-1"), running=st.booleans())
STATE = st.sampled_from([*(one for one in InstanceState if one not in ENDED), *[InstanceState.SERVING] * 10])


@st.composite
def views(draw: st.DrawFn) -> InstanceView:
    state = draw(STATE)
    instance = Instance(
        id=f"feed-{draw(st.integers(0, 10**9))}",
        application="shop",
        service="feed",
        host_id="rack-1",
        spec_revision=1,
        state=state,
        plan_id="plan-1",
        created_at=NOW - 20,
        resources=SHAPE,
        changed_at=draw(st.sampled_from([NOW - 10, NOW - 100])),
        serving_at=draw(st.none() | st.just(NOW - 10)),
        leave_reason=draw(st.sampled_from(["", "", "", "shrink"])),
        reason=draw(st.sampled_from(["", "", "unhealthy"])) if state in LEAVING else "",
        gate=draw(st.sampled_from([(), (GateCondition("user", 2),)])),
    )
    return InstanceView(
        instance,
        SPEC,
        draw(st.sampled_from([HostState.READY] * 8 + list(HostState))),
        draw(SEEN),
        draw(HEALTH | st.just(Health(healthy=True))),
        draw(st.none() | st.integers(0, 2)),
        reachable=draw(st.sampled_from([True] * 5 + [False])),
        published=draw(st.booleans()),
        image_missing=draw(st.sampled_from(["", "its image"])),
    )


def life(of: Sequence[InstanceView], steady: int = 0) -> ServiceLife:
    return ServiceLife(NOW, 30.0, tuple(of), {"user": 1}, {"feed": 4, "user": 2}, {"feed": 4, "user": 2}, steady)


@given(st.lists(views(), max_size=12, unique_by=lambda view: view.instance.id))
def test_the_same_steps_follow_without_those_at_rest(all_of_them: list[InstanceView]) -> None:
    steady = [view for view in all_of_them if is_steady(view)]
    awake = [view for view in all_of_them if not is_steady(view) and not waits(view)]
    assert decide_service(life(awake, len(steady))) == decide_service(life(all_of_them))


def test_what_was_decided_for_them_before_would_be_nothing() -> None:
    serves = view_of(InstanceState.SERVING)
    assert is_steady(serves)
    for broken in (
        replace(serves, health=None),
        replace(serves, health=Health(healthy=False)),
        replace(serves, observation=None),
        replace(serves, reachable=False),
        replace(serves, host_state=HostState.LOST),
        replace(serves, instance=replace(serves.instance, leave_reason="shrink")),
        replace(serves, instance=replace(serves.instance, serving_at=None)),
    ):
        assert not is_steady(broken)
    assert waits(view_of(InstanceState.PLACED, HostState.BOOTING))
    assert not waits(view_of(InstanceState.PLACED, HostState.READY))
    assert not any(waits(view_of(InstanceState.PLACED, gone)) for gone in HOST_GONE)


def test_an_instance_wakes_when_its_row_its_host_or_its_health_changes_or_its_observation_grows_old() -> None:
    view, host = view_of(InstanceState.SERVING), rack(HostState.READY)
    for own, hosts, doubtful, now in (
        (replace(view.instance, leave_reason="shrink"), {"rack-1": host}, frozenset[str](), NOW),
        (view.instance, {"rack-1": rack(HostState.LOST)}, frozenset[str](), NOW),
        (view.instance, dict[str, Host](), frozenset[str](), NOW),
        (view.instance, {"rack-1": host}, frozenset({view.instance.id}), NOW),
        (view.instance, {"rack-1": host}, frozenset[str](), NOW + 0.9),
    ):
        resting = Resting()
        resting.rest(view, host, NOW + 0.9)
        assert resting.wake([view.instance], {"rack-1": host}, frozenset(), NOW) == ()
        assert resting.steady == 1
        assert resting.wake([own], hosts, doubtful, now) == (own,)
        assert resting.steady == 0
        assert resting.wake([own], hosts, frozenset(), now) == (own,), "it is awake until it may rest again"


def test_one_that_waits_for_its_host_rests_until_either_row_changes_and_does_not_count_as_serving() -> None:
    view, host = view_of(InstanceState.PLACED, HostState.BOOTING), rack(HostState.BOOTING)
    resting = Resting()
    resting.rest(view, host, NOW)
    assert resting.wake([view.instance], {"rack-1": host}, frozenset(), math.inf) == (view.instance,)
    resting.rest(view, host, NOW)
    assert resting.wake([view.instance], {"rack-1": host}, frozenset(), NOW + 3600) == ()
    assert resting.steady == 0
    assert resting.wake([view.instance], {"rack-1": rack(HostState.READY)}, frozenset(), NOW) == (view.instance,)


def view_of(state: InstanceState, host_state: HostState = HostState.READY) -> InstanceView:
    instance = Instance("feed-1", "shop", "feed", "rack-1", 1, state, "plan-1", NOW - 20, SHAPE, serving_at=NOW - 10)
    return InstanceView(instance, SPEC, host_state, Observation("feed-1", running=True), Health(healthy=True), None)


def rack(state: HostState) -> Host:
    return Host("rack-1", "private", SourceKind.PRIVATE, HostType("p", Resources(4000, 8 << 30)), state, 0.0)
