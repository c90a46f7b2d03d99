"""Priority between applications: who leaves, whose place it is then, and until when it is kept."""

from dataclasses import replace

from test_decide_application import HOSTS, NOW, SPEC, running, snapshot

from dcp.hosts.model import Resources
from dcp.orchestration.scaling.decide import ApplicationSnapshot, decide_application
from dcp.orchestration.scaling.model import ScalingState
from dcp.orchestration.services.model import ApplicationSpec, Instance
from dcp.orchestration.services.placement import PlacementWishes
from dcp.orchestration.services.states import InstanceState


def spec(name: str, priority: int, replicas: int) -> ApplicationSpec:
    wishes = PlacementWishes(priority=priority)
    return ApplicationSpec(
        name, (replace(SPEC.services[1], name="web", replicas=replicas, elastic=None, wishes=wishes),)
    )


def of(application: str, number: int, host_id: str = "private-1") -> Instance:
    return replace(running("web", host_id, number), id=f"{application}-{number}", application=application)


THREE = Resources(3 * SPEC.services[1].resources.cpu_millis, 3 * SPEC.services[1].resources.memory_bytes)
LOW, HIGH, EQUAL = spec("batch", 2, 2), spec("shop", 5, 1), spec("other", 5, 2)


def seen_by(own: ApplicationSpec, there: tuple[Instance, ...], *others: ApplicationSpec) -> ApplicationSnapshot:
    """One host for two instances, no offers."""
    one = snapshot(spec=own, hosts=HOSTS[:1], host_instances=there, offers=())
    mine = tuple(i for i in there if i.application == own.name)
    services = tuple(
        replace(one.services[0], spec=each, scaling=ScalingState(target=each.replicas or 0), instances=mine)
        for each in own.services
    )
    specs = {each.name: each for each in (own, *others)}
    return replace(one, name=own.name, services=services, others=specs)


def ended(one: Instance) -> Instance:
    return replace(
        one,
        state=InstanceState.STOPPED,
        ended_at=NOW - 5,
        leave_reason="preempted",
        place_for="shop/web",
        created_at=0.0,
    )


def test_another_application_of_lower_priority_gives_way_and_knows_to_whom() -> None:
    (removal,) = decide_application(seen_by(HIGH, (of("batch", 1), of("batch", 2)), LOW)).removals
    assert (removal.instance_id, removal.reason, removal.place_for) == ("batch-2", "preempted", "shop/web")
    assert "priority 2 gives way on private-1 to shop/web of priority 5" in removal.words


def test_equals_and_unknown_applications_stay() -> None:
    full = (of("other", 1), of("other", 2))
    assert not decide_application(seen_by(HIGH, full, EQUAL)).removals
    assert not decide_application(seen_by(HIGH, full)).removals, "it is being removed, or came this moment"
    assert not decide_application(seen_by(spec("plain", 0, 1), full, EQUAL)).removals


def test_while_one_leaves_for_it_nobody_else_is_asked_to() -> None:
    leaving = replace(of("batch", 2), leave_reason="preempted", place_for="shop/web")
    assert not decide_application(seen_by(HIGH, (of("batch", 1), leaving), LOW)).removals
    for_others = replace(leaving, place_for="search/web")
    assert len(decide_application(seen_by(HIGH, (of("batch", 1), for_others), LOW)).removals) == 1


def test_the_place_is_kept_for_whom_it_was_given_up_until_that_one_is_there() -> None:
    there, gone = (of("batch", 1),), (ended(of("batch", 2)),)
    for_batch = replace(seen_by(LOW, there), gave_way=gone)
    assert [one.count for one in decide_application(for_batch).unplaced] == [1]
    for_shop = replace(seen_by(HIGH, there, LOW), gave_way=gone)
    plan = decide_application(for_shop)
    assert [one.instance.host_id for one in plan.instances] == ["private-1"]
    assert not plan.removals
    came = replace(of("shop", 3), created_at=NOW - 1)
    larger = tuple(replace(host, host_type=replace(host.host_type, resources=THREE)) for host in HOSTS[:1])
    for_batch = replace(seen_by(LOW, (*there, came)), gave_way=gone, hosts=larger)
    assert [one.instance.host_id for one in decide_application(for_batch).instances] == ["private-1"]
    for_batch = replace(seen_by(LOW, there), gave_way=(*gone, ended(of("batch", 9))), hosts=larger)
    assert decide_application(for_batch).instances == (), "two places of three are kept"
