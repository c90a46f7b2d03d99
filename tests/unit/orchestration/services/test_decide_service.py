"""The life of an instance, decided from what ledger, runtime, checks and balancer say."""

from dataclasses import replace

import pytest

from dcp.hosts.model import Resources
from dcp.hosts.states import HostState
from dcp.orchestration.services.decide import Health, InstanceView, ServiceLife, Step, decide_service
from dcp.orchestration.services.model import GateCondition, HealthCheck, Instance, Observation, ServiceSpec
from dcp.orchestration.services.states import ENDED as ENDED_STATES
from dcp.orchestration.services.states import InstanceState

NOW = 1000.0
SHAPE = Resources(250, 64 << 20)
SPEC = ServiceSpec("feed", ("serve",), SHAPE, health=HealthCheck(http_path="/healthz", retries=3))
RUNS = Observation("feed-1", running=True, port=20001)
ENDED = Observation("feed-1", running=False, exit_code=3)
HEALTHY = Health(healthy=True)
FAILING = Health(healthy=False, failures=3, words="timed out")


def instance(state: InstanceState, **changes: object) -> Instance:
    made = Instance(
        id="feed-1",
        application="shop",
        service="feed",
        host_id="private-1",
        spec_revision=1,
        state=state,
        plan_id="plan-1",
        created_at=NOW - 20,
        resources=SHAPE,
        changed_at=NOW - 10,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def view(one: Instance, **changes: object) -> InstanceView:
    made = InstanceView(one, SPEC, HostState.READY, replace(RUNS, instance_id=one.id), HEALTHY, None)
    return replace(made, **changes)  # type: ignore[arg-type]


def steps(*views: InstanceView, serving: dict[str, int] | None = None) -> tuple[Step, ...]:
    targets = {"user": 5}
    life = ServiceLife(NOW, 30.0, views, serving or {}, targets, attainable={"user": 5})
    return decide_service(life)


def only(found: tuple[Step, ...]) -> Step:
    assert len(found) == 1
    return found[0]


def test_it_starts_once_its_host_is_ready() -> None:
    placed = instance(InstanceState.PLACED)
    assert only(steps(view(placed, observation=None))).after == InstanceState.STARTING
    assert steps(view(placed, observation=None, host_state=HostState.BOOTING)) == ()


def test_it_waits_for_its_back_off() -> None:
    assert steps(view(instance(InstanceState.PLACED, not_before=NOW + 1), observation=None)) == ()


def test_a_healthy_one_is_held_then_serves_without_a_gate() -> None:
    assert only(steps(view(instance(InstanceState.STARTING)))).after == InstanceState.HELD
    assert only(steps(view(instance(InstanceState.HELD)))).after == InstanceState.SERVING


def test_the_gate_holds_it_back_until_its_dependency_serves() -> None:
    held = instance(InstanceState.HELD, gate=(GateCondition("user", 5),))
    assert steps(view(held), serving={"user": 4}) == ()
    opened = only(steps(view(held), serving={"user": 5}))
    assert opened.after == InstanceState.SERVING
    assert opened.numbers == {"serving_user": 5}


@pytest.mark.parametrize("state", [InstanceState.STARTING, InstanceState.HELD, InstanceState.SERVING])
def test_one_that_ended_by_itself_has_failed(state: InstanceState) -> None:
    step = only(steps(view(instance(state), observation=ENDED)))
    assert (step.after, step.reason) == (InstanceState.FAILED, "exited")
    assert "exit code 3" in step.words


def test_one_that_was_not_started_yet_has_not_failed() -> None:
    assert steps(view(instance(InstanceState.STARTING), observation=None, health=None)) == ()


def test_never_healthy_is_stopped_and_then_failed() -> None:
    step = only(steps(view(instance(InstanceState.STARTING), health=FAILING)))
    assert (step.after, step.reason) == (InstanceState.STOPPING, "never-healthy")
    stopping = instance(InstanceState.STOPPING, reason="never-healthy")
    assert only(steps(view(stopping, observation=None))).after == InstanceState.FAILED


def test_a_wanted_end_is_no_failure() -> None:
    stopping = instance(InstanceState.STOPPING, reason="shrink")
    assert only(steps(view(stopping, observation=ENDED))).after == InstanceState.STOPPED
    assert steps(view(stopping)) == ()


def test_leaving_goes_through_the_balancer_first() -> None:
    leaving = instance(InstanceState.SERVING, leave_reason="shrink")
    assert only(steps(view(leaving))).after == InstanceState.DRAINING
    draining = instance(InstanceState.DRAINING, reason="shrink")
    assert steps(view(draining, active_requests=None)) == ()
    assert steps(view(draining, active_requests=2)) == ()
    assert only(steps(view(draining, active_requests=0))).after == InstanceState.STOPPING


def test_draining_has_a_limit() -> None:
    draining = instance(InstanceState.DRAINING, reason="shrink", changed_at=NOW - 31)
    step = only(steps(view(draining, active_requests=2)))
    assert step.after == InstanceState.STOPPING
    assert step.numbers["active_requests"] == 2


def test_a_gone_host_takes_its_instances_with_it() -> None:
    for state in (InstanceState.PLACED, InstanceState.SERVING, InstanceState.STOPPING):
        for gone in (HostState.LOST, HostState.RELEASED):
            found = view(instance(state), host_state=gone, health=FAILING)
            assert only(steps(found)).after == InstanceState.LOST


def serving_views(failing: int, of: int) -> list[InstanceView]:
    return [
        view(instance(InstanceState.SERVING, id=f"feed-{n}"), health=FAILING if n < failing else HEALTHY)
        for n in range(of)
    ]


def test_few_unhealthy_ones_leave_at_a_time() -> None:
    found = steps(*serving_views(failing=4, of=10))
    assert [step.reason for step in found] == ["unhealthy", "unhealthy"]


def test_when_most_seem_unhealthy_none_leaves() -> None:
    assert steps(*serving_views(failing=6, of=10)) == ()


def test_the_only_instance_leaves_when_it_hangs() -> None:
    assert only(steps(*serving_views(failing=1, of=1))).after == InstanceState.DRAINING


@pytest.mark.parametrize("state", [s for s in InstanceState if s not in ENDED_STATES])
def test_nothing_is_concluded_about_an_instance_whose_engine_does_not_answer(state: InstanceState) -> None:
    one = instance(state, leave_reason="shrink")
    assert steps(view(one, observation=None, health=FAILING, active_requests=0, reachable=False)) == ()
    lost = view(one, observation=None, reachable=False, health=FAILING, host_state=HostState.LOST)
    assert only(steps(lost)).after == InstanceState.LOST


def test_it_starts_only_where_its_image_is() -> None:
    placed = instance(InstanceState.PLACED)
    assert steps(view(placed, observation=None, image_missing="pulls shop/feed:2")) == ()
    assert only(steps(view(placed, observation=None))).after == InstanceState.STARTING


def on_lost_host(state: InstanceState, **changes: object) -> InstanceView:
    """It answers its health checks, though its host is lost: the engine alone is away."""
    return view(instance(state, serving_at=NOW - 9), host_state=HostState.LOST, reachable=False, **changes)


def feed_steps(*views: InstanceView) -> tuple[Step, ...]:
    return decide_service(ServiceLife(NOW, 30.0, views, {}, {"feed": 1}, attainable={"feed": 1}))


def test_what_still_answers_on_a_lost_host_serves_until_others_do() -> None:
    ghost = on_lost_host(InstanceState.SERVING)
    coming = view(instance(InstanceState.HELD, id="feed-2", gate=(GateCondition("user", 5),)))
    assert [s for s in feed_steps(ghost, coming) if s.instance.id == "feed-1"] == []
    other = view(instance(InstanceState.SERVING, id="feed-2", serving_at=NOW - 1))
    (step,) = feed_steps(ghost, other)
    assert (step.instance.id, step.after, step.reason) == ("feed-1", InstanceState.DRAINING, "host-gone")


def test_it_is_lost_once_its_requests_are_done_or_waited_for_long_enough() -> None:
    assert feed_steps(on_lost_host(InstanceState.DRAINING, active_requests=2)) == ()
    assert feed_steps(on_lost_host(InstanceState.DRAINING)) == ()
    assert only(feed_steps(on_lost_host(InstanceState.DRAINING, active_requests=0))).after == InstanceState.LOST
    late = on_lost_host(InstanceState.DRAINING, active_requests=2)
    late = replace(late, instance=replace(late.instance, changed_at=NOW - 31))
    assert only(feed_steps(late)).after == InstanceState.LOST


@pytest.mark.parametrize("state", [InstanceState.PLACED, InstanceState.STARTING, InstanceState.HELD])
def test_what_does_not_serve_on_a_lost_host_is_lost_at_once(state: InstanceState) -> None:
    assert only(feed_steps(on_lost_host(state))).after == InstanceState.LOST
