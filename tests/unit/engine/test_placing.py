"""How a plan is written: nothing on a host that somebody else was first to take, everything else in one go."""

import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from placing_world import Controller, add_hosts, controller_of, make_context, overcommitted, shop

from dcp.engine import commands
from dcp.engine.application import ApplicationWorker
from dcp.engine.placing import Written
from dcp.engine.why import why
from dcp.hosts.states import HostState
from dcp.kernel.errors import LeaseLost
from dcp.orchestration.services.states import InstanceState
from dcp.simulation.crash import CrashingDatabase, Fuse, SimulatedCrash
from dcp.store import events, hosts, instances, leases, plans
from dcp.store.database import InlineDatabase


@pytest.fixture
async def database() -> AsyncIterator[InlineDatabase]:
    opened = InlineDatabase()
    yield opened
    opened.close()


async def hosts_of(controller: Controller) -> Counter[str]:
    return Counter(one.host_id for one in await controller.own())


async def test_only_what_was_to_go_to_a_changed_host_is_decided_again(database: InlineDatabase) -> None:
    await add_hosts(database, [400, 400, 400])
    ours = await controller_of(make_context(database), shop("ours", 9))
    await ours.decide()
    (first, *_) = await database.read(hosts.current)
    await database.write(lambda c: hosts.change(c, first, replace(first, state=HostState.CORDONED)))
    written = await ours.write()
    assert written.left_out == 3
    assert await hosts_of(ours) == {"rack-2": 3, "rack-3": 3}
    (told,) = [e for e in await database.read(lambda c: events.newest(c, 50)) if e.event.reason == "lost-race"]
    assert told.event.numbers == {"left_out": 3, "hosts": 1}
    await ours.decide()
    assert (await ours.write()).left_out == 0
    assert await hosts_of(ours) == {"rack-2": 4, "rack-3": 4}, "a cordoned host takes nothing, and one finds no room"


async def test_plans_for_different_hosts_do_not_hinder_each_other(database: InlineDatabase) -> None:
    """They only share numbers, which are given when a plan is written."""
    await add_hosts(database, [500, 500])
    context = make_context(database)
    ours = await controller_of(context, shop("ours", 3, constraints=("node.id==rack-1",)))
    theirs = await controller_of(context, shop("theirs", 2, constraints=("node.id==rack-2",)))
    await theirs.decide()
    await ours.decide()
    assert (await theirs.write(), await ours.write()) == (Written(("plan-1",)), Written(("plan-2",)))
    assert {one.id: one.plan_id for one in await theirs.own()} == {"feed-1": "plan-1", "feed-2": "plan-1"}
    assert {one.id: one.plan_id for one in await ours.own()} == dict.fromkeys(("feed-3", "feed-4", "feed-5"), "plan-2")


async def test_the_worker_looks_again_at_once_when_something_was_left_out(database: InlineDatabase) -> None:
    await add_hosts(database, [300, 300])
    context = make_context(database)
    ours = await controller_of(context, shop("ours", 4))
    claimed = {host.id: host.version for host in await database.read(hosts.current)}
    late = _Late(database, claimed)
    worker = ApplicationWorker(replace(context, database=late), "ours")
    assert await worker.step(ours.lease) == 0.0
    assert await ours.own() == ()
    assert await worker.step(ours.lease) == context.settings.poll_s
    assert len(await ours.own()) == 4


class _Late(InlineDatabase):
    """Somebody else claims the hosts just before the first write."""

    def __init__(self, inner: InlineDatabase, claimed: dict[str, int]) -> None:
        self._inner, self._claimed = inner, claimed
        self.read = inner.read  # type: ignore[method-assign]

    async def write(self, work):  # type: ignore[no-untyped-def]
        claimed, self._claimed = self._claimed, {}
        await self._inner.write(lambda c: hosts.claim(c, claimed))
        return await self._inner.write(work)


async def test_a_large_plan_is_written_in_parts_that_each_tell_their_story(database: InlineDatabase) -> None:
    await add_hosts(database, [500, 500, 500])
    ours = await controller_of(make_context(database, at_once=4), shop("ours", 11))
    plan = await ours.decide()
    written = await ours.write()
    assert written.plans == ("plan-1", "plan-2", "plan-3")
    found = [await database.read(lambda c, id_=id_: plans.find(c, id_)) for id_ in written.plans]
    assert [len(one.instances) for one in found if one] == [4, 4, 3]
    listed = [planned for one in found if one for planned in one.instances]
    assert sorted((p.instance for p in listed), key=lambda i: i.id) == sorted(await ours.own(), key=lambda i: i.id)
    assert [(p.instance.host_id, p.why) for p in listed] == [(p.instance.host_id, p.why) for p in plan.instances]
    for planned in listed:
        answer = await database.read(lambda c, id_=planned.instance.id: why(c, id_))
        assert f"placed because: {planned.why}" in answer.because
        assert any(line.startswith("planned because: ") for line in answer.because)
        assert [(e.event.reason, e.event.words) for e in answer.events] == [("placed", planned.why)]


async def test_instances_that_changed_meanwhile_do_not_hold_the_others_up(database: InlineDatabase) -> None:
    await add_hosts(database, [500, 500])
    context = make_context(database)
    ours = await controller_of(context, shop("ours", 6))
    await ours.decide()
    await ours.write()
    await commands.apply(context, shop("ours", 2))
    plan = await ours.decide()
    assert len(plan.removals) == 4
    moving = next(i for i in await ours.own() if i.id == plan.removals[0].instance_id)
    await database.write(lambda c: instances.change(c, moving, replace(moving, state=InstanceState.STARTING)))
    assert (await ours.write()).left_out == 1
    assert sum(1 for one in await ours.own() if one.leave_reason) == 3
    await ours.decide()
    await ours.write()
    assert sum(1 for one in await ours.own() if one.leave_reason) == 4


async def test_without_the_lease_nothing_is_written(database: InlineDatabase) -> None:
    await add_hosts(database, [500])
    ours = await controller_of(make_context(database), shop("ours", 3))
    await ours.decide()
    await database.write(leases.break_all)
    with pytest.raises(LeaseLost):
        await ours.write()
    assert await ours.own() == ()


@pytest.mark.parametrize("boundary", range(1, 12))
async def test_a_crash_anywhere_leaves_what_the_next_look_completes(database: InlineDatabase, boundary: int) -> None:
    """Parts of three: the controller dies before a write, or after it and before it knows."""
    await add_hosts(database, [400, 400, 400, 400])
    context = make_context(database, at_once=3)
    before = await controller_of(context, shop("ours", 10))
    fuse = Fuse(boundary)
    dying = replace(context, database=CrashingDatabase(database, fuse, effects_only=True))
    with contextlib.suppress(SimulatedCrash):
        await ApplicationWorker(dying, "ours").step(before.lease)
    assert fuse.burnt.is_set() == (boundary <= 8), "four parts, a boundary before and after each"
    assert len(await before.own()) == min(10, 3 * (boundary // 2))
    await ApplicationWorker(make_context(database, at_once=3), "ours").step(before.lease)
    own = await before.own()
    assert len(own) == 10
    assert await database.read(overcommitted) == {}
    logged = await database.read(lambda c: events.newest(c, 100))
    assert Counter(e.event.subject for e in logged if e.event.reason == "placed") == {one.subject: 1 for one in own}
    stored = [await database.read(lambda c, id_=id_: plans.find(c, id_)) for id_ in {one.plan_id for one in own}]
    assert sorted(p.instance.id for plan in stored if plan for p in plan.instances) == sorted(one.id for one in own)


@settings(max_examples=40, deadline=None)
@given(
    cpus=st.lists(st.integers(100, 900), min_size=1, max_size=6),
    wanted=st.lists(st.tuples(st.integers(1, 12), st.sampled_from([100, 150, 300])), min_size=2, max_size=3),
    at_once=st.integers(1, 6),
    order=st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=24),
)
async def test_controllers_that_decide_at_once_never_overcommit_and_place_each_once(
    cpus: list[int], wanted: list[tuple[int, int]], at_once: int, order: list[tuple[int, bool]]
) -> None:
    """Any order of deciding and writing; in between, specifications change; in the end each has what fits."""
    database = InlineDatabase()
    await add_hosts(database, cpus)
    them = [
        await controller_of(make_context(database, f"c{number}", at_once), shop(f"shop-{number}", replicas, cpu))
        for number, (replicas, cpu) in enumerate(wanted)
    ]
    for turn, writes in order:
        controller = them[turn % len(them)]
        if writes and controller.plan is not None:
            await controller.write()
            assert await database.read(overcommitted) == {}
        else:
            await controller.decide()
    for controller in them:
        if controller.plan is not None:
            await controller.write()
            assert await database.read(overcommitted) == {}
    unplaced = []
    for controller in them:
        await controller.decide()
        assert controller.plan is not None
        unplaced.append(sum(one.count for one in controller.plan.unplaced))
        assert (await controller.write()).left_out == 0
    assert await database.read(overcommitted) == {}
    for controller, missing, (replicas, _) in zip(them, unplaced, wanted, strict=True):
        assert len(await controller.own()) == replicas - missing
    database.close()
