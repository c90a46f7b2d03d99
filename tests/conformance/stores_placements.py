"""Cases of placements: batches with their events, hosts claimed by version, numbers that several take."""

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import Connection
from stores import Rig, case, make_host, make_instance, shared_case

from dcp.hosts.model import Resources
from dcp.hosts.states import HostState
from dcp.kernel.errors import Stale
from dcp.kernel.events import Event
from dcp.orchestration.scaling.parts import Batch, in_batches, one_by_one
from dcp.orchestration.scaling.plan import PlannedInstance
from dcp.orchestration.services.model import GateCondition
from dcp.store import counters, events, hosts, instances, placements

ODD = "tab\tline\nreturn\rback\\slash \\N 'quote' \"double\" é ☃ 100%s {braces}"
GATE = (GateCondition("user", 3), GateCondition("card", 2))


ODD_SIZE = Resources(250, 1 << 28, 10 << 30, (("gpu", 2),))
TRAITS = ("heavy:encode", "port:443", "avoids:shop/web:zone")


def planned(count: int, **changes: object) -> tuple[PlannedInstance, ...]:
    return tuple(
        PlannedInstance(make_instance("", host_id=f"rack-{number % 3}", gate=GATE, **changes), f"{ODD} {number}")
        for number in range(count)
    )


@case
async def placements_come_out_as_they_went_in_however_many(rig: Rig) -> None:
    """Few rows and many take different ways into PostgreSQL."""
    for count in (1, 5, 19, 20, 300):
        plan = f"plan-{count}"
        last = await rig.database.read(lambda connection: counters.peek(connection, "instance"))
        batches = in_batches(
            (*planned(count), *planned(count, service="user", resources=ODD_SIZE, traits=TRAITS)), plan, last
        )
        assert [len(batch.ids) for batch in batches] == [count, count]

        def write(connection: Connection, batches: tuple[Batch, ...] = batches, count: int = count) -> None:
            counters.advance(connection, "instance", 2 * count)
            placements.add(connection, 50.5, batches)

        await rig.database.write(write)
        wanted = [one.instance for one in one_by_one(batches)]
        live = await rig.database.read(instances.live)
        assert sorted((i for i in live if i.plan_id == plan), key=lambda i: i.id) == sorted(wanted, key=lambda i: i.id)
        for one in one_by_one(batches)[:: max(1, count // 3)]:
            (told,) = await rig.database.read(
                lambda connection, one=one: events.of_subject(connection, one.instance.subject, 5)
            )
            assert told.at == 50.5
            assert told.event == Event(one.instance.subject, "placed", one.why, after="placed")


@case
async def a_batch_with_an_id_that_exists_leaves_nothing(rig: Rig) -> None:
    for count in (3, 60):
        there = make_instance(f"user-{count + 4}", service="user")
        await rig.database.write(lambda connection, there=there: instances.add(connection, [there]))
        batches = in_batches((*planned(2), *planned(count, service="user")), "plan-9", count)
        before = await rig.database.read(instances.live), await rig.database.read(events.count)
        with pytest.raises(Stale):
            await rig.database.write(lambda connection, batches=batches: placements.add(connection, 1.0, batches))
        assert (await rig.database.read(instances.live), await rig.database.read(events.count)) == before
        assert await rig.database.write(lambda connection: counters.advance(connection, "other", 1)) >= 0


@case
async def a_claim_raises_the_versions_that_nobody_raised_before(rig: Rig) -> None:
    await rig.database.write(lambda c: hosts.add(c, [make_host(f"rack-{number}") for number in range(40)]))
    seen = {host.id: host.version for host in await rig.database.read(hosts.current)}
    booted = make_host("rack-7")
    await rig.database.write(lambda c: hosts.change(c, booted, replace(booted, state=HostState.CREATING)))
    lost = await rig.database.write(lambda c: hosts.claim(c, {**seen, "gone": 0}))
    assert lost == {"rack-7", "gone"}
    assert await rig.database.write(lambda c: hosts.claim(c, seen)) == set(seen), "the second claim is late everywhere"
    now = {host.id: host.version for host in await rig.database.read(hosts.current)}
    assert now == {name: version + 1 for name, version in seen.items()}
    assert await rig.database.write(lambda c: hosts.claim(c, {})) == frozenset()
    with pytest.raises(Stale):
        await rig.database.write(lambda c: hosts.change(c, make_host("rack-3"), make_host("rack-3")))


@case
async def a_claim_that_is_undone_raises_nothing(rig: Rig) -> None:
    await rig.database.write(lambda c: hosts.add(c, [make_host("rack-1")]))

    def fail(connection: Connection) -> None:
        assert hosts.claim(connection, {"rack-1": 0}) == frozenset()
        raise RuntimeError("undone")

    with pytest.raises(RuntimeError):
        await rig.database.write(fail)
    assert await rig.database.read(hosts.current) == (make_host("rack-1"),)
    assert await rig.database.write(lambda c: hosts.claim(c, {"rack-1": 0})) == frozenset()


@case
async def numbers_are_given_once(rig: Rig) -> None:
    taken = [
        await rig.database.write(lambda c, count=count: counters.advance(c, "instance", count)) for count in (3, 0, 2)
    ]
    assert taken == [0, 3, 3]
    assert await rig.database.read(lambda c: counters.peek(c, "instance")) == 5
    with pytest.raises(Stale):
        await rig.database.write(lambda c: counters.take(c, "instance", 3, 1))


@shared_case
async def two_controllers_never_get_the_same_host_or_number(rig: Rig) -> None:
    """Both claim all hosts at the versions that they saw; each host is won once a round, and no number given twice."""
    await rig.database.write(lambda c: hosts.add(c, [make_host(f"rack-{number}") for number in range(30)]))
    other = rig.again()
    try:
        for _ in range(10):
            seen = {host.id: host.version for host in await rig.database.read(hosts.current)}

            def claim(connection: Connection, seen: dict[str, int] = seen) -> tuple[frozenset[str], int]:
                lost = hosts.claim(connection, seen)
                return frozenset(seen) - lost, counters.advance(connection, "instance", 7)

            (ours, our_number), (theirs, their_number) = await asyncio.gather(
                rig.database.write(claim), other.write(claim)
            )
            assert ours | theirs == set(seen)
            assert not ours & theirs
            assert abs(our_number - their_number) == 7
    finally:
        other.close()
