"""One plan for a whole application: hosts, instances, gates and removals together."""

from collections import Counter
from dataclasses import replace

from dcp.hosts.clusters import Cluster, allowance_of
from dcp.hosts.model import Host, HostType, Offer, Resources, SourceKind
from dcp.hosts.states import HostState
from dcp.orchestration.capacity.model import LATENCY_BOUNDS_MS, Sample
from dcp.orchestration.scaling.decide import ApplicationSnapshot, ServiceSnapshot, decide_application
from dcp.orchestration.scaling.model import Policy, ScalingState, Timing
from dcp.orchestration.services.container import ContainerSpec
from dcp.orchestration.services.model import (
    ApplicationSpec,
    Call,
    Capacity,
    Elastic,
    GateCondition,
    Instance,
    ServiceSpec,
)
from dcp.orchestration.services.placement import PlacementRules, PlacementWishes
from dcp.orchestration.services.states import InstanceState

NOW = 10_000.0
SHAPE = Resources(500, 64 << 20)
SLICE = HostType("slice", Resources(1000, 1 << 30))
CLOUD = HostType("c1", Resources(1000, 1 << 30), price_usd_per_hour=0.1, boot_s=4.0)


def service(name: str, replicas: int, **changes: object) -> ServiceSpec:
    made = ServiceSpec(
        name=name,
        command=("serve",),
        resources=SHAPE,
        replicas=replicas,
        elastic=Elastic(replicas, 20),
        capacity=Capacity(units_per_s=200.0, requests_per_s=50.0),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


SPEC = ApplicationSpec("shop", (service("feed", 2, calls=(Call("user", 0.5),)), service("user", 1)))
HOSTS = tuple(
    Host(f"private-{n}", "private", SourceKind.PRIVATE, SLICE, HostState.READY, requested_at=0.0) for n in (1, 2)
)


def running(name: str, host_id: str, number: int) -> Instance:
    return Instance(
        id=f"{name}-{number}",
        application="shop",
        service=name,
        host_id=host_id,
        spec_revision=1,
        state=InstanceState.SERVING,
        plan_id="plan-1",
        created_at=0.0,
        resources=SHAPE,
        serving_at=1.0,
    )


RUNNING = (running("feed", "private-1", 1), running("feed", "private-2", 2), running("user", "private-1", 3))


def sample(at: float, requests: int, latency_ms: int) -> Sample:
    counts = tuple(requests if latency_ms <= bound else 0 for bound in LATENCY_BOUNDS_MS)
    return Sample(at, 60.0, requests, requests, 0, 0, (*counts, requests))


def snapshot(*, feed_requests: int = 600, latency_ms: int = 40, **changes: object) -> ApplicationSnapshot:
    def one(spec: ServiceSpec, requests: int, slow: int) -> ServiceSnapshot:
        window = tuple(sample(NOW - 60.0 * n, requests, slow) for n in range(4, -1, -1))
        own = tuple(i for i in RUNNING if i.service == spec.name)
        return ServiceSnapshot(spec, ScalingState(target=len(own)), window, own, frozenset(), ())

    made = ApplicationSnapshot(
        name="shop",
        spec=SPEC,
        revision=1,
        removing=False,
        now=NOW,
        policy=Policy.GATED,
        timing=Timing(),
        seed=0,
        services=(one(SPEC.services[0], feed_requests, latency_ms), one(SPEC.services[1], feed_requests // 2, 10)),
        gone_services=(),
        hosts=HOSTS,
        host_instances=RUNNING,
        offers=(Offer("private", SourceKind.PRIVATE, SLICE, 1), Offer("cloud", SourceKind.CLOUD, CLOUD, None)),
        last_instance=3,
        last_host=2,
        last_plan=1,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def test_a_quiet_application_needs_nothing() -> None:
    plan = decide_application(snapshot())
    assert not plan.changes_anything
    assert {d.service: d.target for d in plan.targets} == {"feed": 2, "user": 1}


def test_a_surge_is_one_plan_for_all_services_private_first() -> None:
    plan = decide_application(snapshot(feed_requests=12_000, latency_ms=800))
    targets = {d.service: d.target for d in plan.targets}
    assert targets["feed"] >= 8
    assert targets["user"] >= 4
    added = {name: sum(1 for p in plan.instances if p.instance.service == name) for name in targets}
    assert added == {"feed": targets["feed"] - 2, "user": targets["user"] - 1}
    assert [h.host.source for h in plan.hosts][:1] == ["private"]
    assert sum(h.host.source == "private" for h in plan.hosts) == 1
    clouds = sum(h.host.source == "cloud" for h in plan.hosts)
    assert clouds >= 1
    assert plan.price_change_usd_per_hour == clouds * 0.1
    assert plan.ready_in_s == 4.0


def test_new_dependants_carry_a_gate_and_dependencies_do_not() -> None:
    plan = decide_application(snapshot(feed_requests=12_000, latency_ms=800))
    user_target = next(d.target for d in plan.targets if d.service == "user")
    for planned in plan.instances:
        expected = (GateCondition("user", user_target),) if planned.instance.service == "feed" else ()
        assert planned.instance.gate == expected


def test_independent_services_have_no_gate() -> None:
    plan = decide_application(snapshot(feed_requests=12_000, latency_ms=800, policy=Policy.INDEPENDENT))
    assert plan.instances
    assert all(planned.instance.gate == () for planned in plan.instances)


def test_no_host_is_over_committed_by_its_plan() -> None:
    plan = decide_application(snapshot(feed_requests=12_000, latency_ms=800))
    used: dict[str, int] = {}
    for instance in (*RUNNING, *(planned.instance for planned in plan.instances)):
        used[instance.host_id] = used.get(instance.host_id, 0) + instance.resources.cpu_millis
    assert max(used.values()) <= 1000


def test_what_fits_nowhere_is_said() -> None:
    none_left = (Offer("private", SourceKind.PRIVATE, SLICE, 0), Offer("cloud", SourceKind.CLOUD, CLOUD, 0))
    plan = decide_application(snapshot(feed_requests=12_000, latency_ms=800, offers=none_left))
    assert plan.hosts == ()
    assert sum(unplaced.count for unplaced in plan.unplaced) > 0
    assert all(unplaced.words for unplaced in plan.unplaced)


def test_removing_takes_dependants_out_first() -> None:
    plan = decide_application(snapshot(removing=True))
    assert sorted(removal.instance_id for removal in plan.removals) == ["feed-1", "feed-2"]
    without_feed = tuple(
        replace(one, instances=() if one.spec.name == "feed" else one.instances) for one in snapshot().services
    )
    plan = decide_application(snapshot(removing=True, services=without_feed))
    assert [removal.instance_id for removal in plan.removals] == ["user-3"]
    assert {removal.reason for removal in plan.removals} == {"removed"}
    assert not plan.instances


def test_a_service_that_left_the_file_leaves() -> None:
    stray = running("old", "private-2", 9)
    plan = decide_application(snapshot(gone_services=(stray,), host_instances=(*RUNNING, stray)))
    assert [removal.instance_id for removal in plan.removals] == ["old-9"]


def test_the_same_snapshot_gives_the_same_plan() -> None:
    surge = snapshot(feed_requests=12_000, latency_ms=800)
    assert decide_application(surge) == decide_application(surge)


CLOUD_HOST = Host("cloud-9", "cloud", SourceKind.CLOUD, CLOUD, HostState.READY, requested_at=0.0)
AWAY = replace(RUNNING[2], host_id="cloud-9")


def with_user_in_the_cloud(*extra: Instance, **changes: object) -> ApplicationSnapshot:
    quiet = snapshot(hosts=(*HOSTS, CLOUD_HOST), host_instances=(*RUNNING[:2], AWAY, *extra))
    feed, user = quiet.services
    return replace(quiet, services=(feed, replace(user, instances=(AWAY, *extra))), **changes)  # type: ignore[arg-type]


def test_an_instance_comes_home_when_a_private_host_has_room() -> None:
    plan = decide_application(with_user_in_the_cloud())
    assert [(p.instance.service, p.instance.replaces) for p in plan.instances] == [("user", "user-3")]
    assert plan.instances[0].instance.host_id.startswith("private")
    assert plan.removals == ()


def test_it_stays_while_no_private_host_has_room() -> None:
    full = tuple(replace(host, host_type=HostType("slice", SHAPE)) for host in HOSTS)
    cloud_only = (Offer("cloud", SourceKind.CLOUD, CLOUD, None),)
    assert not decide_application(with_user_in_the_cloud(hosts=(*full, CLOUD_HOST), offers=cloud_only)).changes_anything


def test_the_old_one_leaves_once_the_new_one_serves() -> None:
    coming = replace(running("user", "private-1", 7), replaces="user-3", state=InstanceState.STARTING, serving_at=None)
    assert not decide_application(with_user_in_the_cloud(coming)).changes_anything
    serving = replace(coming, state=InstanceState.SERVING, serving_at=NOW - 1)
    plan = decide_application(with_user_in_the_cloud(serving))
    assert [(removal.instance_id, removal.reason) for removal in plan.removals] == [("user-3", "moved")]
    assert plan.instances == ()


def test_hosts_of_another_cluster_are_not_used_and_new_ones_carry_the_cluster() -> None:
    mine = replace(SPEC, cluster="news")
    plan = decide_application(snapshot(spec=mine))
    assert {one.instance.host_id for one in plan.instances} <= {one.host.id for one in plan.hosts}
    assert {one.host.cluster for one in plan.hosts} == {"news"}
    assert len(plan.instances) == len(RUNNING), "what runs on hosts of another cluster is replaced"
    assert not plan.removals, "the new ones first"


def test_a_plan_over_the_soft_cap_is_made_and_said() -> None:
    left = allowance_of(Cluster("", soft_cap_usd_per_hour=0.001), HOSTS, 0.0)
    plan = decide_application(snapshot(feed_requests=12_000, latency_ms=800, allowance=left))
    assert any(one.host.source == "cloud" for one in plan.hosts)
    assert [hold.reason for hold in plan.holds] == ["soft-cap"]


def test_a_plan_inside_the_hard_cap_leaves_the_rest_unplaced_with_words() -> None:
    left = allowance_of(Cluster("", max_cloud_hosts=0), HOSTS, 0.0)
    plan = decide_application(snapshot(feed_requests=12_000, latency_ms=800, allowance=left))
    assert {one.host.source for one in plan.hosts} == {"private"}
    assert any("quota of cloud hosts" in one.words for one in plan.unplaced)


def test_headroom_is_asked_for_beside_the_plan_and_only_while_it_is_missing() -> None:
    bounds = Cluster("", headroom_hosts=1)
    plan = decide_application(snapshot(cluster=bounds))
    (extra,) = plan.hosts
    assert (extra.host.source, plan.instances) == ("private", ())
    assert "headroom" in extra.why
    assert not decide_application(snapshot(cluster=bounds, hosts=(*HOSTS, extra.host), offers=())).changes_anything
    assert not decide_application(snapshot(cluster=bounds, removing=True)).hosts


def test_rules_hold_against_what_other_applications_placed() -> None:
    """The other application's port, heavy kind and dislike are known by what its instances brought there."""
    feed = replace(SPEC.services[0], rules=PlacementRules(heavy="encode"), container=ContainerSpec(host_port=443))
    there = (("heavy:encode",), ("port:443",))
    others = tuple(
        replace(running("other", host.id, 90 + n), application="blog", traits=there[n]) for n, host in enumerate(HOSTS)
    )
    spec = replace(SPEC, services=(replace(feed, calls=()), SPEC.services[1]))
    one = snapshot(spec=spec)
    moved = (replace(one.services[0], spec=spec.services[0], instances=()), one.services[1])
    plan = decide_application(replace(one, services=moved, host_instances=(*RUNNING[2:], *others), offers=()))
    assert not [planned for planned in plan.instances if planned.instance.service == "feed"]
    (refused,) = plan.unplaced
    assert {(r.reason, r.hosts) for r in refused.refusals} == {("heavy", 1), ("host-port", 1)}
    free = decide_application(replace(one, services=moved, host_instances=RUNNING[2:], offers=()))
    placed = [planned.instance for planned in free.instances if planned.instance.service == "feed"]
    assert {instance.host_id for instance in placed} == {"private-1", "private-2"}
    assert {instance.traits for instance in placed} == {("heavy:encode", "port:443")}


def test_disk_and_named_resources_of_what_runs_are_counted() -> None:
    size = Resources(100, 1 << 20, 10 << 30, (("gpu", 1),))
    large = replace(SLICE, resources=Resources(1000, 1 << 30, 20 << 30, (("gpu", 2),)))
    hosts = tuple(replace(host, host_type=large) for host in HOSTS)
    feed = replace(SPEC.services[0], resources=size, calls=(), replicas=4, elastic=None)
    spec = ApplicationSpec("shop", (feed,))
    other = replace(running("other", "private-1", 9), application="blog", resources=size)
    one = snapshot(spec=spec, hosts=hosts, host_instances=(other,), offers=())
    service_now = replace(one.services[0], spec=feed, scaling=ScalingState(target=4), instances=())
    plan = decide_application(replace(one, services=(service_now,)))
    assert Counter(planned.instance.host_id for planned in plan.instances) == {"private-1": 1, "private-2": 2}
    assert [(one.service, one.count) for one in plan.unplaced] == [("shop/feed", 1)]
    assert plan.unplaced[0].refusals[0].reason == "disk-and-gpu"


def test_higher_priority_is_placed_first() -> None:
    low, high = (replace(service(name, 2), elastic=None, capacity=None) for name in ("low", "high"))
    spec = ApplicationSpec("shop", (low, replace(high, wishes=PlacementWishes(priority=5))))
    one = snapshot(spec=spec, hosts=HOSTS[:1], host_instances=(), offers=())
    waiting = tuple(
        replace(one.services[0], spec=each, scaling=ScalingState(target=2), instances=()) for each in spec.services
    )
    plan = decide_application(replace(one, services=waiting))
    assert [planned.instance.service for planned in plan.instances] == ["high", "high"]


def test_lower_priority_gives_way_only_where_no_host_can_be_had() -> None:
    low, high = (replace(service(name, 2), elastic=None, capacity=None) for name in ("low", "high"))
    spec = ApplicationSpec("shop", (low, replace(high, replicas=1, wishes=PlacementWishes(priority=5))))
    there = (running("low", "private-1", 1), running("low", "private-1", 2))
    one = snapshot(spec=spec, hosts=HOSTS[:1], host_instances=there, offers=())
    services = (
        replace(one.services[0], spec=spec.services[0], scaling=ScalingState(target=2), instances=there),
        replace(one.services[0], spec=spec.services[1], scaling=ScalingState(target=1), instances=()),
    )
    full = replace(one, services=services)
    plan = decide_application(full)
    assert [(removal.instance_id, removal.reason) for removal in plan.removals] == [("low-2", "preempted")]
    assert "priority 0 gives way on private-1 to shop/high of priority 5" in plan.removals[0].words
    gone = tuple(replace(i, leave_reason="preempted", place_for="shop/high") if i.id == "low-2" else i for i in there)
    waiting = replace(full, services=(replace(services[0], instances=gone), services[1]), host_instances=gone)
    assert not decide_application(waiting).removals, "one at a time: what leaves already is waited for"
    left = there[:1]
    after = replace(full, services=(replace(services[0], instances=left), services[1]), host_instances=left)
    last = decide_application(after)
    assert [planned.instance.service for planned in last.instances] == ["high"]
    assert not last.removals
    bought = decide_application(replace(full, offers=(Offer("cloud", SourceKind.CLOUD, CLOUD, None),)))
    assert (len(bought.hosts), bought.removals) == (1, ())


def test_nobody_gives_way_to_a_part_of_a_group() -> None:
    low, high = (replace(service(name, 2), elastic=None, capacity=None) for name in ("low", "high"))
    whole = replace(high, replicas=9, wishes=PlacementWishes(priority=5, group="all"))
    spec = ApplicationSpec("shop", (low, whole))
    there = (running("low", "private-1", 1), running("low", "private-1", 2))
    one = snapshot(spec=spec, hosts=HOSTS[:1], host_instances=there, offers=())
    services = (
        replace(one.services[0], spec=low, scaling=ScalingState(target=2), instances=there),
        replace(one.services[0], spec=whole, scaling=ScalingState(target=9), instances=()),
    )
    plan = decide_application(replace(one, services=services))
    assert (plan.removals, plan.instances) == ((), ())
    assert [(refused.service, refused.count) for refused in plan.unplaced] == [("shop/high", 9)]


def crowded(least_users: int) -> ApplicationSnapshot:
    """Return a state in which both of feed stand on one host, and two of user on a host each."""
    hosts = (*HOSTS, replace(HOSTS[0], id="private-3"))
    feeds = (running("feed", "private-1", 1), running("feed", "private-1", 2))
    users = (running("user", "private-2", 3), running("user", "private-3", 4))
    made = snapshot(hosts=hosts, host_instances=(*feeds, *users), last_instance=4, last_host=3)
    feed, user = made.services
    spec = service("user", least_users)
    return replace(
        made,
        spec=ApplicationSpec("shop", (feed.spec, spec)),
        services=(
            replace(feed, instances=feeds),
            replace(user, spec=spec, instances=users, scaling=ScalingState(target=2)),
        ),
    )


def test_a_service_is_spread_only_once_nothing_is_about_to_be_given_back() -> None:
    (relief,) = decide_application(crowded(least_users=2)).instances
    assert (relief.instance.service, relief.instance.host_id in ("private-2", "private-3")) == ("feed", True)
    waiting = decide_application(crowded(least_users=1))
    assert {one.service: one.reason for one in waiting.targets}["user"] == "above-safe"
    assert not waiting.changes_anything
