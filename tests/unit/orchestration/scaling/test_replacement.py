"""Additions and removals towards a target, after failures, and on a changed file."""

from dataclasses import replace

from dcp.hosts.model import Resources
from dcp.orchestration.scaling.replace import BACK_OFF_LIMIT_S, Replacement, decide_replacement
from dcp.orchestration.services.model import (
    Instance,
    RestartCondition,
    RestartPolicy,
    ServiceSpec,
    UpdatePolicy,
)
from dcp.orchestration.services.states import InstanceState

NOW = 1000.0
SPEC = ServiceSpec("feed", ("serve",), Resources(250, 64 << 20))


def some(count: int, state: InstanceState = InstanceState.SERVING, first: int = 0) -> tuple[Instance, ...]:
    return tuple(
        Instance(
            id=f"feed-{n}",
            application="shop",
            service="feed",
            host_id="private-1",
            spec_revision=1,
            state=state,
            plan_id="plan-1",
            created_at=0.0,
            resources=SPEC.resources,
            ended_at=NOW if state == InstanceState.FAILED else None,
        )
        for n in range(first, first + count)
    )


def decide(
    target: int,
    instances: tuple[Instance, ...],
    *,
    outdated: frozenset[str] = frozenset(),
    failures: tuple[Instance, ...] = (),
    spec: ServiceSpec = SPEC,
) -> Replacement:
    return decide_replacement(spec, target, instances, outdated, failures, NOW)


def test_the_target_is_reached_from_both_sides() -> None:
    assert decide(5, some(3)).add == 2
    shrunk = decide(2, some(5))
    assert (shrunk.remove, shrunk.remove_reason) == (3, "shrink")
    assert decide(3, some(3)) == Replacement()


def test_leaving_instances_do_not_count() -> None:
    leaving = tuple(replace(i, leave_reason="shrink") for i in some(1, first=9))
    assert decide(3, some(2) + leaving).add == 1


def test_back_off_doubles_up_to_a_limit() -> None:
    assert decide(1, (), failures=some(1, InstanceState.FAILED)).not_before == NOW + 1
    assert decide(1, (), failures=some(4, InstanceState.FAILED)).not_before == NOW + 8
    assert decide(1, (), failures=some(50, InstanceState.FAILED)).not_before == NOW + BACK_OFF_LIMIT_S


def test_a_crash_loop_ends_where_the_policy_says() -> None:
    spec = replace(SPEC, restart=RestartPolicy(max_attempts=3))
    assert decide(1, (), failures=some(2, InstanceState.FAILED), spec=spec).add == 1
    held = decide(1, (), failures=some(3, InstanceState.FAILED), spec=spec)
    assert (held.add, held.hold) == (0, "crash-loop")


def test_restart_none_replaces_nothing_that_failed() -> None:
    spec = replace(SPEC, restart=RestartPolicy(condition=RestartCondition.NONE))
    assert decide(1, (), failures=some(1, InstanceState.FAILED), spec=spec).hold == "restart-none"
    assert decide(1, (), spec=spec).add == 1


def play_update(spec: ServiceSpec, target: int) -> tuple[int, int, int]:
    """Follow the decisions until nothing changes; return fewest and most serving and rounds."""
    old = some(target)
    running = list(old)
    outdated = frozenset(i.id for i in old)
    fewest, most, made = target, target, target
    for rounds in range(1, 50):
        found = decide(target, tuple(running), outdated=outdated, spec=spec)
        if not found.add and not found.remove:
            assert not [i for i in running if i.id in outdated]
            return fewest, most, rounds
        running = [i for i in running if i not in found.removable[: found.remove]]
        running += some(found.add, first=made)
        made += found.add
        fewest, most = min(fewest, len(running)), max(most, len(running))
    raise AssertionError("the update never ends")


def test_an_update_starts_first_and_never_goes_below_the_target() -> None:
    fewest, most, _rounds = play_update(replace(SPEC, update=UpdatePolicy(parallelism=2)), 5)
    assert (fewest, most) == (5, 7)


def test_an_update_that_stops_first_stays_within_its_parallelism() -> None:
    fewest, most, _rounds = play_update(replace(SPEC, update=UpdatePolicy(parallelism=2, start_first=False)), 5)
    assert (fewest, most) == (3, 5)


def test_old_instances_wait_until_new_ones_serve() -> None:
    wanted = some(3) + some(1, InstanceState.STARTING, first=3)
    outdated = frozenset(i.id for i in some(3))
    assert decide(3, wanted, outdated=outdated).remove == 0


def test_on_failure_accepts_a_clean_end() -> None:
    spec = replace(SPEC, restart=RestartPolicy(condition=RestartCondition.ON_FAILURE))
    clean = tuple(replace(i, reason="completed") for i in some(1, InstanceState.FAILED))
    assert decide(1, (), failures=clean, spec=spec).hold == "completed"
    assert decide(1, (), failures=some(1, InstanceState.FAILED), spec=spec).add == 1


def serving(instances: tuple[Instance, ...]) -> tuple[Instance, ...]:
    return tuple(replace(one, serving_at=NOW - 5) for one in instances)


def relocate(target: int, instances: tuple[Instance, ...], displaced: set[str]) -> Replacement:
    return decide_replacement(SPEC, target, instances, frozenset(), (), NOW, frozenset(displaced))


def test_what_is_on_a_leaving_host_is_replaced_all_at_once_and_leaves_last() -> None:
    old, kept = serving(some(3)), serving(some(2, first=3))
    displaced = {one.id for one in old}
    first = relocate(5, (*old, *kept), displaced)
    assert (first.add, first.remove) == (3, 0)
    coming = some(3, InstanceState.STARTING, first=5)
    assert relocate(5, (*old, *kept, *coming), displaced) == Replacement(remove_reason="displaced")
    partly = relocate(5, (*old, *kept, *serving(some(2, first=5)), coming[2]), displaced)
    assert (partly.add, partly.remove, partly.remove_reason) == (0, 2, "displaced")
    assert {one.id for one in partly.removable} <= displaced
    assert relocate(5, (*old, *kept, *serving(some(3, first=5))), displaced).remove == 3


def test_what_does_not_serve_yet_leaves_a_leaving_host_at_once() -> None:
    idle = some(1, InstanceState.STARTING)
    found = relocate(2, (*idle, *serving(some(1, first=1))), {"feed-0"})
    assert (found.add, found.remove, found.removable) == (1, 1, idle)


def test_a_lower_target_lets_those_on_leaving_hosts_go_first() -> None:
    old, kept = serving(some(2)), serving(some(2, first=2))
    found = relocate(2, (*old, *kept), {one.id for one in old})
    assert (found.add, found.remove) == (0, 2)
