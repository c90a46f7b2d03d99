"""Cases of leases and counters: one owner, tokens that rise, and races that exactly one side wins."""

import asyncio
from collections.abc import Callable

import pytest
from sqlalchemy import Connection
from stores import Rig, case, note, noted, shared_case

from dcp.kernel.errors import LeaseLost, Stale
from dcp.kernel.events import Event
from dcp.store import counters, events, leases
from dcp.store.database import Database
from dcp.store.leases import Lease

TTL_S = 5.0
SUBJECT = "service/shop/feed"


async def acquire(database: Database, owner: str, now: float, subject: str = SUBJECT) -> Lease | None:
    return await database.write(lambda connection: leases.acquire(connection, subject, owner, now, TTL_S))


async def taken(database: Database, owner: str, now: float) -> Lease:
    lease = await acquire(database, owner, now)
    assert lease is not None
    return lease


async def check(database: Database, lease: Lease, now: float) -> None:
    await database.write(lambda connection: leases.check(connection, lease, now))


@case
async def only_one_of_two_gets_a_lease(rig: Rig) -> None:
    assert await acquire(rig.database, "a", 0.0) == Lease(SUBJECT, "a", 1)
    assert await acquire(rig.database, "b", 4.9) is None
    assert await rig.database.read(lambda connection: leases.held(connection, 4.9)) == {SUBJECT: ("a", 1)}


@case
async def taking_it_again_prolongs_it_under_the_same_token(rig: Rig) -> None:
    first = await taken(rig.database, "a", 0.0)
    assert await taken(rig.database, "a", 4.0) == first
    assert await acquire(rig.database, "b", 8.9) is None


@case
async def expiry_hands_it_over_with_a_higher_token(rig: Rig) -> None:
    await taken(rig.database, "a", 0.0)
    assert (await taken(rig.database, "b", 5.0)).token == 2
    assert (await taken(rig.database, "a", 10.0)).token == 3


@case
async def an_expired_lease_comes_back_to_its_owner_with_a_higher_token(rig: Rig) -> None:
    first = await taken(rig.database, "a", 0.0)
    again = await taken(rig.database, "a", 5.0)
    assert again.token == 2
    with pytest.raises(LeaseLost):
        await check(rig.database, first, 5.1)


@case
async def renewing_prolongs_what_is_still_ours(rig: Rig) -> None:
    await acquire(rig.database, "a", 0.0, "one")
    await acquire(rig.database, "a", 3.0, "two")
    await acquire(rig.database, "b", 3.0, "three")
    renewed = await rig.database.write(lambda connection: leases.renew(connection, "a", 6.0, TTL_S))
    assert renewed == {("two", 1)}, "`one` had expired and may be somebody else's by now"
    assert await acquire(rig.database, "b", 10.9, "two") is None
    assert await rig.database.read(lambda connection: leases.held(connection, 8.5)) == {"two": ("a", 1)}


@case
async def a_released_lease_is_free_at_once_under_a_higher_token(rig: Rig) -> None:
    lease = await taken(rig.database, "a", 0.0)
    await rig.database.write(lambda connection: leases.release(connection, lease))
    with pytest.raises(LeaseLost):
        await check(rig.database, lease, 0.1)
    assert (await taken(rig.database, "b", 0.2)).token == 2
    await rig.database.write(lambda connection: leases.release(connection, lease))
    assert await acquire(rig.database, "a", 0.3) is None, "an old owner cannot release the new one's lease"


@case
async def a_check_passes_for_the_owner_and_for_nobody_else(rig: Rig) -> None:
    lease = await taken(rig.database, "a", 0.0)
    await check(rig.database, lease, 4.9)
    for other in (Lease(SUBJECT, "a", 2), Lease(SUBJECT, "b", 1), Lease("service/shop/user", "a", 1)):
        with pytest.raises(LeaseLost):
            await check(rig.database, other, 1.0)
    with pytest.raises(LeaseLost):
        await check(rig.database, lease, 5.0)


@case
async def an_owner_that_was_paused_changes_nothing(rig: Rig) -> None:
    lease = await taken(rig.database, "a", 0.0)

    def late(connection: Connection) -> None:
        note("late")(connection)
        leases.check(connection, lease, 2.0)  # its own clock stood still, too

    await taken(rig.database, "b", 5.0)
    with pytest.raises(LeaseLost):
        await rig.database.write(late)
    assert await rig.database.read(noted) == []


@case
async def breaking_all_frees_every_lease_and_ends_every_token(rig: Rig) -> None:
    lease = await taken(rig.database, "a", 0.0)
    await rig.database.write(leases.break_all)
    assert await rig.database.read(lambda connection: leases.held(connection, 0.1)) == {}
    with pytest.raises(LeaseLost):
        await check(rig.database, lease, 0.1)
    assert (await taken(rig.database, "b", 0.1)).token == 2


@case
async def a_controller_that_leaves_frees_its_leases(rig: Rig) -> None:
    def beat(connection: Connection) -> None:
        leases.heartbeat(connection, "a", "127.0.0.1:1", 1.0, 2.0)
        leases.heartbeat(connection, "b", "127.0.0.1:2", 0.0, 3.0)
        leases.heartbeat(connection, "a", "127.0.0.1:1", 1.0, 4.0)

    await rig.database.write(beat)
    await taken(rig.database, "a", 0.0)
    seen = await rig.database.read(lambda connection: leases.living(connection, 3.0))
    assert seen == (("b", "127.0.0.1:2", 3.0), ("a", "127.0.0.1:1", 4.0))
    await rig.database.write(lambda connection: leases.leave(connection, "a"))
    assert (await taken(rig.database, "b", 0.1)).token == 2
    await rig.database.write(lambda connection: leases.forget_dead(connection, 3.5))
    assert await rig.database.read(lambda connection: leases.living(connection, 0.0)) == ()


@case
async def numbers_are_taken_once(rig: Rig) -> None:
    def peek(connection: Connection) -> int:
        return counters.peek(connection, "host")

    assert await rig.database.read(peek) == 0
    await rig.database.write(lambda connection: counters.take(connection, "host", 0, 3))
    await rig.database.write(lambda connection: counters.take(connection, "host", 3, 0))
    await rig.database.write(lambda connection: counters.take(connection, "host", 3, 2))
    assert await rig.database.read(peek) == 5
    for old in (0, 3, 6):
        with pytest.raises(Stale):
            await rig.database.write(lambda connection, old=old: counters.take(connection, "host", old, 1))
    assert await rig.database.read(peek) == 5


@shared_case
async def of_two_controllers_that_race_for_a_lease_exactly_one_wins(rig: Rig) -> None:
    handles = {"a": rig.database, "b": rig.again()}
    for round_ in range(5):
        subjects = [f"service/shop/{round_}-{number}" for number in range(40)]
        asked = [(owner, subject) for subject in subjects for owner in handles]
        got = await asyncio.gather(*(acquire(handles[owner], owner, 1.0, subject) for owner, subject in asked))
        winners = [lease.subject for lease in got if lease is not None]
        assert sorted(winners) == sorted(subjects)


@shared_case
async def two_controllers_that_race_for_numbers_never_get_the_same(rig: Rig) -> None:
    handles, got = (rig.database, rig.again()), list[int]()

    async def take(database: Database) -> None:
        for _ in range(25):
            while True:
                before = await database.read(lambda connection: counters.peek(connection, "instance"))
                try:
                    await database.write(
                        lambda connection, before=before: counters.take(connection, "instance", before, 2)
                    )
                except Stale:
                    continue
                got.extend((before + 1, before + 2))
                break

    await asyncio.gather(*(take(handle) for handle in handles for _ in range(2)))
    assert sorted(got) == list(range(1, 201))


@shared_case
async def writes_under_a_lease_never_come_after_those_of_a_later_owner(rig: Rig) -> None:
    """Two owners whose clocks stand still while they write steal one lease from each other."""
    handles, now, refused = {"a": rig.database, "b": rig.again()}, 0.0, 0

    async def act(owner: str) -> None:
        nonlocal now, refused
        turns = 0
        while turns < 20 or (refused == 0 and turns < 1000):
            turns += 1
            now += TTL_S
            lease = await acquire(handles[owner], owner, now)
            if lease is not None:
                work = acting(lease, now)
                outcomes = await asyncio.gather(*(handles[owner].write(work) for _ in range(3)), return_exceptions=True)
                refused += sum(isinstance(outcome, LeaseLost) for outcome in outcomes)

    await asyncio.gather(act("a"), act("b"))
    logged = await rig.database.read(lambda connection: events.of_subject(connection, SUBJECT, 10_000))
    tokens = [one.event.numbers["token"] for one in logged]
    assert tokens == sorted(tokens) != []
    assert refused > 0


def acting(lease: Lease, now: float) -> Callable[[Connection], None]:
    """Return work that leaves an event with the token, if the lease is still ours."""

    def work(connection: Connection) -> None:
        leases.check(connection, lease, now)
        events.append(connection, now, [Event(SUBJECT, "acted", lease.owner, numbers={"token": lease.token})])

    return work
