"""Cases of rows: what goes in comes out, guarded changes, and the questions asked of each table."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import Connection
from stores import Rig, case, make_host, make_instance, make_spec

from dcp.hosts.states import HostState
from dcp.kernel.errors import NotFound, Stale
from dcp.kernel.states import IllegalTransition
from dcp.orchestration.capacity.model import Sample
from dcp.orchestration.discovery.model import Entry, Published, PublishedChange
from dcp.orchestration.scaling.model import Direction, Policy, ScalingState, TargetDecision
from dcp.orchestration.scaling.parts import in_batches
from dcp.orchestration.scaling.plan import ApplicationPlan, Hold, PlannedHost, PlannedInstance, Removal
from dcp.orchestration.services.addresses import AddressRange
from dcp.orchestration.services.model import GateCondition, Instance, ServiceKey
from dcp.orchestration.services.states import ENDED, InstanceState
from dcp.orchestration.traffic.model import Traffic
from dcp.scheduling.model import Refusal, Unplaced
from dcp.store import addresses, applications, history, hosts, instances, plans, published, samples
from dcp.store.applications import Application

FEED = ServiceKey("shop", "feed")
USER = ServiceKey("shop", "user")
DECISION = TargetDecision(
    "feed",
    Direction.GROW,
    6,
    "below-fatal",
    "grows from 4 to 6",
    {"level": 1.05, "target_before": 4},
    ScalingState(6, 100.25, 90.5, 8, 2, 95.0),
)
COUNTED = Traffic(10, 9, 1, 0, tuple(range(15)))
SAMPLE = Sample(60.0, 60.0, 10, 9, 1, 0, tuple(range(15)))


async def application_of(rig: Rig) -> Application:
    found = await rig.database.read(lambda connection: applications.find(connection, "shop"))
    assert found is not None
    return found


@case
async def an_application_is_found_at_its_newest_revision(rig: Rig) -> None:
    first, second = make_spec(), make_spec("shop", "feed", "user", "card")
    assert await rig.database.write(lambda connection: applications.put(connection, first, None, 1.5)) == 1
    before = await application_of(rig)
    assert before == Application("shop", 1, False, 1.5, 1, first)
    assert await rig.database.write(lambda connection: applications.put(connection, second, before, 2.5)) == 2
    assert (await application_of(rig)).spec == second
    assert await rig.database.read(lambda connection: applications.spec_at(connection, "shop", 1)) == first
    assert await rig.database.read(lambda connection: applications.find(connection, "other")) is None


@case
async def of_two_changes_to_one_application_the_second_is_stale(rig: Rig) -> None:
    await rig.database.write(lambda connection: applications.put(connection, make_spec(), None, 1.0))
    before = await application_of(rig)
    with pytest.raises(Stale):
        await rig.database.write(lambda connection: applications.put(connection, make_spec(), None, 2.0))
    await rig.database.write(lambda connection: applications.put(connection, make_spec(), before, 2.0))
    with pytest.raises(Stale):
        await rig.database.write(lambda connection: applications.put(connection, make_spec(), before, 3.0))
    with pytest.raises(Stale):
        await rig.database.write(lambda connection: applications.mark_removing(connection, before))
    now = await application_of(rig)
    await rig.database.write(lambda connection: applications.mark_removing(connection, now))
    assert (await application_of(rig)).removing is True
    assert now.revision == 2


@case
async def a_service_keeps_what_scaling_remembers(rig: Rig) -> None:
    state = ScalingState(4)
    await rig.database.write(lambda connection: applications.add_service(connection, FEED, 8000, state))
    (row,) = await rig.database.read(applications.service_rows)
    assert (row.key, row.listen_port, row.scaling, row.decision, row.unplaced) == (FEED, 8000, state, None, 0)
    await rig.database.write(lambda connection: applications.decide_service(connection, row, DECISION, 2))
    (after,) = await rig.database.read(lambda connection: applications.service_rows(connection, "shop"))
    assert (after.scaling, after.decision, after.attainable) == (DECISION.state, DECISION, 4)
    with pytest.raises(Stale):
        await rig.database.write(lambda connection: applications.decide_service(connection, row, DECISION, 0))


@case
async def no_two_services_listen_on_one_port(rig: Rig) -> None:
    def add(key: ServiceKey, port: int) -> Callable[[Connection], None]:
        return lambda connection: applications.add_service(connection, key, port, ScalingState(1))

    await rig.database.write(add(FEED, 8000))
    with pytest.raises(Stale):
        await rig.database.write(add(USER, 8000))
    await rig.database.write(add(USER, 8001))
    with pytest.raises(Stale):
        await rig.database.write(lambda connection: applications.move_service(connection, USER, 8000))
    await rig.database.write(lambda connection: applications.move_service(connection, USER, 8002))
    await rig.database.write(lambda connection: applications.drop_service(connection, FEED))
    assert [row.listen_port for row in await rig.database.read(applications.service_rows)] == [8002]


@case
async def forgetting_an_application_takes_everything_but_its_history(rig: Rig) -> None:
    def fill(connection: Connection) -> None:
        applications.put(connection, make_spec(), None, 1.0)
        applications.put(connection, make_spec("other"), None, 1.0)
        applications.add_service(connection, FEED, 8000, ScalingState(1))
        applications.add_service(connection, ServiceKey("other", "feed"), 8001, ScalingState(1))
        samples.add(connection, 60.0, {FEED: (SAMPLE, COUNTED)})
        instances.add(connection, [make_instance("feed-1", state=InstanceState.STOPPED, ended_at=5.0)])

    await rig.database.write(fill)
    await rig.database.write(lambda connection: applications.forget(connection, "shop"))
    assert await rig.database.read(applications.names) == ("other",)
    assert [row.key.application for row in await rig.database.read(applications.service_rows)] == ["other"]
    assert await rig.database.read(samples.last_counters) == {}
    assert await rig.database.read(lambda connection: instances.find(connection, "feed-1")) is not None


@case
async def names_sort_by_code_point(rig: Rig) -> None:
    wanted = ["B", "Z", "a", "a-b", "a_b", "ab", "b", "é"]

    def fill(connection: Connection) -> None:
        for number, name in enumerate(reversed(wanted)):
            applications.put(connection, make_spec(name), None, 1.0)
            applications.add_service(connection, ServiceKey(name, "feed"), 8000 + number, ScalingState(1))
        hosts.add(connection, [make_host(name) for name in reversed(wanted)])
        instances.add(connection, [make_instance(name) for name in reversed(wanted)])

    await rig.database.write(fill)
    assert await rig.database.read(applications.names) == tuple(wanted)
    rows = await rig.database.read(applications.service_rows)
    assert [row.key.application for row in rows] == [
        key.partition("/")[0] for key in sorted(f"{w}/feed" for w in wanted)
    ]
    assert [host.id for host in await rig.database.read(hosts.current)] == wanted
    assert [instance.id for instance in await rig.database.read(instances.live)] == wanted


@case
async def an_instance_changes_only_from_what_it_was(rig: Rig) -> None:
    placed = make_instance("feed-1")
    await rig.database.write(lambda connection: instances.add(connection, [placed]))
    starting = replace(placed, state=InstanceState.STARTING, port=9000)
    stored = await rig.database.write(lambda connection: instances.change(connection, placed, starting))
    assert stored == replace(starting, version=1)
    assert await rig.database.read(lambda connection: instances.find(connection, "feed-1")) == stored
    for old in (placed, replace(placed, version=stored.version)):
        with pytest.raises(Stale):
            await rig.database.write(lambda connection, old=old: instances.change(connection, old, starting))
    with pytest.raises(IllegalTransition):
        serving = replace(stored, state=InstanceState.SERVING)
        await rig.database.write(lambda connection: instances.change(connection, stored, serving))
    assert await rig.database.read(lambda connection: instances.find(connection, "feed-1")) == stored


@case
async def a_host_changes_only_from_what_it_was(rig: Rig) -> None:
    asked = make_host("cloud-1")
    await rig.database.write(lambda connection: hosts.add(connection, [asked]))
    creating = replace(asked, state=HostState.CREATING, attempts=1)
    stored = await rig.database.write(lambda connection: hosts.change(connection, asked, creating))
    assert stored == replace(creating, version=1)
    claimed = await rig.database.write(lambda connection: hosts.change(connection, stored, stored))
    assert await rig.database.read(lambda connection: hosts.find(connection, "cloud-1")) == claimed
    for old in (asked, stored, replace(asked, version=claimed.version)):
        with pytest.raises(Stale):
            await rig.database.write(lambda connection, old=old: hosts.change(connection, old, creating))
    with pytest.raises(IllegalTransition):
        draining = replace(claimed, state=HostState.DRAINING)
        await rig.database.write(lambda connection: hosts.change(connection, claimed, draining))
    assert await rig.database.read(hosts.every) == (claimed,)


@case
async def hosts_given_back_stay_in_the_ledger_only(rig: Rig) -> None:
    kept = make_host("rack-1", requested_at=2.0, state=HostState.READY)
    older = make_host("cloud-1", source="cloud", requested_at=1.0, state=HostState.LOST)
    gone = make_host("cloud-2", source="cloud", requested_at=3.0, state=HostState.RELEASED)
    out = make_host("cloud-3", source="cloud", state=HostState.RELEASED, reason="out-of-stock", changed_at=50.0)
    await rig.database.write(lambda connection: hosts.add(connection, [kept, older, gone, out]))
    assert await rig.database.read(hosts.current) == (older, kept)
    assert await rig.database.read(lambda connection: hosts.current(connection, "cloud")) == (older,)
    assert await rig.database.read(hosts.every) == (older, kept, gone, out)
    assert await rig.database.read(lambda connection: hosts.find(connection, "cloud-9")) is None


@case
async def hosts_of_a_call_are_found_whatever_became_of_them(rig: Rig) -> None:
    one = make_host("cloud-1", source="cloud", state=HostState.CREATING, token="a")
    gone = make_host("cloud-2", source="cloud", state=HostState.RELEASED, token="a")
    other = make_host("cloud-3", source="cloud", token="b")
    rest = [make_host(f"rack-{number}") for number in range(1200)]
    await rig.database.write(lambda connection: hosts.add(connection, [one, gone, other, *rest]))
    assert await rig.database.read(lambda connection: hosts.of_tokens(connection, {"a"})) == (one, gone)
    assert await rig.database.read(lambda connection: hosts.of_tokens(connection, ())) == ()
    ids = {host.id for host in rest} | {"cloud-2", "rack-9999"}
    assert {h.id for h in await rig.database.read(lambda c: hosts.of_ids(c, ids))} == ids - {"rack-9999"}


@case
async def instances_answer_what_is_asked_of_them(rig: Rig) -> None:
    serving = make_instance("feed-1", state=InstanceState.SERVING, serving_at=20.0, host_id="rack-2")
    told = make_instance("feed-2", state=InstanceState.SERVING, created_at=9.0)
    failed = make_instance("feed-3", state=InstanceState.FAILED, ended_at=30.0)
    stopped = make_instance("user-1", service="user", state=InstanceState.STOPPED, ended_at=40.0)
    other = make_instance("feed-4", application="other", state=InstanceState.HELD)
    every = [serving, told, failed, stopped, other]
    await rig.database.write(lambda connection: instances.add(connection, every))
    read = rig.database.read
    assert await read(instances.live) == (told, serving, other)
    assert await read(lambda connection: instances.live(connection, "shop")) == (told, serving)
    assert await read(lambda connection: instances.live(connection, "shop", "user")) == ()
    assert await read(lambda connection: instances.serving_counts(connection, "shop")) == {"feed": 1}
    assert await read(lambda connection: instances.failures_since(connection, "shop", 29.0)) == (failed,)
    assert await read(lambda connection: instances.failures_since(connection, "shop", 30.0)) == ()
    ends = await read(lambda connection: instances.last_end_by_host(connection, 0.0, ["rack-1", "rack-9"]))
    assert ends == {"rack-1": 40.0}
    assert await read(lambda connection: instances.recent(connection, 35.0)) == (told, serving, other, stopped)
    assert await read(instances.services_with_live) == {FEED, ServiceKey("other", "feed")}
    assert await read(lambda connection: instances.find(connection, "feed-9")) is None


@case
async def any_number_of_ids_may_be_asked_for(rig: Rig) -> None:
    ended = make_instance("feed-1", state=InstanceState.STOPPED, ended_at=1.0)
    await rig.database.write(lambda connection: instances.add(connection, [ended, make_instance("feed-70000")]))
    asked = [f"feed-{number}" for number in range(70_001)]
    assert await rig.database.read(lambda c: instances.unended_among(c, asked)) == {"feed-70000"}
    assert await rig.database.read(lambda c: instances.unended_among(c, ())) == frozenset()


@case
async def an_address_is_one_instances_until_that_is_gone(rig: Rig) -> None:
    two = AddressRange("a", "10.1.0.1", "10.1.0.2")
    names = ("i-1", "i-2", "i-3")
    one, other, third = (make_instance(name) for name in names)

    def fill(connection: Connection) -> None:
        hosts.add(connection, [make_host(one.host_id)])
        instances.add(connection, [one, other, third])

    def give(instance: Instance) -> Callable[[Connection], str | None]:
        return lambda connection: addresses.give(connection, instance, two, 5.0)

    def move(instance: Instance, *states: InstanceState) -> Callable[[Connection], None]:
        def work(connection: Connection) -> None:
            now = instances.find(connection, instance.id)
            for state in states:
                assert now is not None
                ended_at = 9.0 if state in ENDED else None
                now = instances.change(connection, now, replace(now, state=state, ended_at=ended_at))

        return work

    await rig.database.write(fill)
    assert await rig.database.write(give(one)) == "10.1.0.1"
    assert await rig.database.write(give(one)) == "10.1.0.1"
    assert await rig.database.write(give(other)) == "10.1.0.2"
    assert await rig.database.write(give(third)) is None
    await rig.database.write(move(one, InstanceState.LOST))
    assert await rig.database.write(give(third)) is None, "it may still run on a host that cannot be asked"
    await rig.database.write(move(other, InstanceState.STOPPED))
    assert await rig.database.write(give(third)) == "10.1.0.2"
    found = await rig.database.read(lambda connection: addresses.of(connection, names))
    assert found == {"i-1": "10.1.0.1", "i-3": "10.1.0.2"}


@case
async def history_is_forgotten_and_what_lives_is_kept(rig: Rig) -> None:
    def fill(connection: Connection) -> None:
        hosts.add(connection, [make_host("rack-1")])
        for name, plan in (("old", "plan-1"), ("new", "plan-2"), ("live", "plan-3"), ("holds", "plan-4")):
            made = make_instance(name, plan_id=plan)
            instances.add(connection, [made])
            if name != "live":
                ended_at = 99.0 if name == "new" else 10.0
                state = InstanceState.LOST
                instances.change(connection, made, replace(made, state=state, ended_at=ended_at))
            if name == "holds":
                addresses.give(connection, made, AddressRange("", "10.1.0.1", "10.1.0.9"), 5.0)
        for plan in ("plan-0", "plan-1", "plan-2", "plan-3", "plan-4"):
            plans.add(connection, ApplicationPlan(plan, "shop", 10.0, Policy.GATED, ()), ())

    await rig.database.write(fill)
    assert await rig.database.write(lambda connection: history.forget_instances(connection, 50.0, 1)) == 1
    assert await rig.database.write(lambda connection: history.forget_instances(connection, 50.0, 1)) == 0
    over = await rig.database.read(lambda connection: history.plans_over(connection, 50.0))
    assert sorted(over) == ["plan-0", "plan-1"]
    assert await rig.database.write(lambda connection: history.forget_plans(connection, over)) == 2
    assert await rig.database.read(lambda connection: history.plans_over(connection, 50.0)) == ()
    assert await rig.database.write(lambda connection: history.forget_plans(connection, over)) == 0
    left = await rig.database.read(lambda connection: {one.id for one in instances.recent(connection, 0.0)})
    assert left == {"new", "live", "holds"}
    assert await rig.database.read(lambda connection: plans.find(connection, "plan-1")) is None
    assert await rig.database.read(lambda connection: plans.find(connection, "plan-4")) is not None


@case
async def what_is_published_has_an_index_that_never_goes_back(rig: Rig) -> None:
    first, second = (Entry(f"feed-{n}", "10.0.0.1", 20000 + n, "a") for n in (1, 2))

    def write(before: Published, change: PublishedChange) -> Callable[[Connection], Published]:
        return lambda connection: published.change(connection, before, change, 50.0)

    both = PublishedChange((first, second), (first, second), (), (), 0)
    made = await rig.database.write(write(Published(FEED), both))
    (found,) = await rig.database.read(published.every)
    assert found == made
    assert (found.entries, found.index, found.last_cut_at) == ((first, second), 1, 0.0)
    await rig.database.write(lambda connection: published.allow_all(connection, FEED))
    one = PublishedChange((first,), (), (second,), (second,), 0)
    cut = await rig.database.write(write(replace(made, allow_all=True), one))
    assert (cut.index, cut.last_cut_at, cut.allow_all, cut.zombies) == (2, 50.0, False, 1)
    assert await rig.database.read(published.every) == (cut,)
    assert await rig.database.read(lambda connection: published.instances(connection, FEED)) == {"feed-1"}
    assert await rig.database.read(published.zombies) == 1
    last = await rig.database.write(write(cut, PublishedChange((), (), (first,), (), 0)))
    await rig.database.write(lambda connection: published.forget(connection, FEED))
    assert await rig.database.read(published.every) == ()
    assert await rig.database.read(published.index) == last.index + 1
    with pytest.raises(NotFound):
        await rig.database.write(lambda connection: published.allow_all(connection, FEED))


@case
async def a_plan_is_kept_as_it_was_applied(rig: Rig) -> None:
    plan = ApplicationPlan(
        id="plan-1",
        application="shop",
        at=100.5,
        policy=Policy.DEPENDENCY_FIRST,
        targets=(DECISION,),
        hosts=(PlannedHost(make_host("cloud-1"), "the pool is full"),),
        instances=(PlannedInstance(make_instance("feed-1", gate=(GateCondition("user", 3),)), "least used"),),
        removals=(Removal("feed-0", "replaced", "a new image"),),
        holds=(Hold("card", "crash-loop", "fails at once"),),
        unplaced=(Unplaced("user", 2, (Refusal("memory", 4),), "4 hosts lack memory"),),
        price_change_usd_per_hour=0.1,
        ready_in_s=30.0,
    )
    batches = in_batches(plan.instances, "plan-1", 0)
    await rig.database.write(lambda connection: plans.add(connection, plan, batches))
    assert await rig.database.read(lambda connection: plans.find(connection, "plan-1")) == plan
    assert await rig.database.read(lambda connection: plans.find(connection, "plan-2")) is None
    with pytest.raises(Stale):
        await rig.database.write(lambda connection: plans.add(connection, plan, batches))


@case
async def plans_of_one_moment_keep_their_order(rig: Rig) -> None:
    made = [ApplicationPlan(f"plan-{number}", "shop", 5.0, Policy.GATED, ()) for number in range(8, 13)]
    made.append(ApplicationPlan("plan-7", "shop", 6.0, Policy.GATED, ()))
    for plan in made:
        await rig.database.write(lambda connection, plan=plan: plans.add(connection, plan, ()))
    newest = await rig.database.read(lambda connection: plans.newest(connection, "shop", 4))
    assert [plan.id for plan in newest] == ["plan-10", "plan-11", "plan-12", "plan-7"]


@case
async def samples_keep_missing_windows_apart_from_empty_ones(rig: Rig) -> None:
    def fill(connection: Connection) -> None:
        samples.add(connection, 60.0, {FEED: (SAMPLE, COUNTED), USER: (None, COUNTED)})
        samples.add(connection, 120.0, {FEED: (None, None), USER: (SAMPLE, replace(COUNTED, arrived=20))})
        samples.add(connection, 180.0, {})

    await rig.database.write(fill)
    read = rig.database.read
    assert await read(lambda connection: samples.newest(connection, FEED, 5)) == ((60.0, SAMPLE), (120.0, None))
    assert await read(lambda connection: samples.newest(connection, USER, 1)) == ((120.0, SAMPLE),)
    counted = await read(samples.last_counters)
    assert counted == {FEED: (60.0, COUNTED), USER: (120.0, replace(COUNTED, arrived=20))}
    with pytest.raises(Stale):
        await rig.database.write(lambda connection: samples.add(connection, 60.0, {FEED: (None, None)}))
    await rig.database.write(lambda connection: samples.prune(connection, 120.0))
    assert await read(lambda connection: samples.newest(connection, FEED, 5)) == ((120.0, None),)
