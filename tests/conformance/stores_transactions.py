"""Cases of transactions: group commit, what readers see, errors, cancelling and closing."""

import asyncio
import math
import time

import pytest
from sqlalchemy import Connection, Engine, event, insert
from sqlalchemy.exc import IntegrityError
from stores import Latch, Rig, case, make_host, note, noted, shared_case

from dcp.kernel.errors import Stale, Unavailable
from dcp.store import events, hosts
from dcp.store.database import ThreadedDatabase
from dcp.store.tables import counters


@case
async def a_write_returns_its_result_and_is_seen_by_every_later_read(rig: Rig) -> None:
    assert await rig.database.write(lambda connection: note("one")(connection) or "done") == "done"
    assert await rig.database.read(noted) == ["one"]


@case
async def a_write_that_raises_leaves_nothing_and_its_error_comes_through(rig: Rig) -> None:
    def fails(connection: Connection) -> None:
        note("never")(connection)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await rig.database.write(fails)
    assert await rig.database.read(noted) == []


@case
async def a_row_that_is_there_already_makes_the_writer_stale(rig: Rig) -> None:
    await rig.database.write(lambda connection: hosts.add(connection, [make_host("rack-1")]))

    def add_both(connection: Connection) -> None:
        note("never")(connection)
        hosts.add(connection, [make_host("rack-2"), make_host("rack-1")])

    with pytest.raises(Stale):
        await rig.database.write(add_both)
    assert [host.id for host in await rig.database.read(hosts.every)] == ["rack-1"]
    assert await rig.database.read(noted) == []


@case
async def a_missing_value_is_a_fault_of_ours_and_not_a_lost_race(rig: Rig) -> None:
    with pytest.raises(IntegrityError):
        await rig.database.write(lambda connection: connection.execute(insert(counters).values(name="x", value=None)))


@case
async def a_read_cannot_write(rig: Rig) -> None:
    with pytest.raises(Unavailable):
        await rig.database.read(note("never"))
    assert await rig.database.read(noted) == []
    await rig.database.write(note("after"))
    assert await rig.database.read(noted) == ["after"]


@case
async def writes_of_one_task_keep_their_order(rig: Rig) -> None:
    await asyncio.gather(*(rig.database.write(note(str(number))) for number in range(300)))
    assert await rig.database.read(noted) == [str(number) for number in range(300)]


@shared_case
async def a_group_commits_together_and_its_failures_undo_only_themselves(rig: Rig) -> None:
    latch, commits = Latch(), 0

    def count(_: Connection) -> None:
        nonlocal commits
        commits += 1

    def fails(connection: Connection) -> None:
        note("never")(connection)
        raise ValueError("mine")

    def stale(connection: Connection) -> None:
        note("never")(connection)
        hosts.add(connection, [make_host("rack-1")])

    assert isinstance(rig.database, ThreadedDatabase)
    rig.database.group_limit_s = math.inf  # however slow this machine is now
    await rig.database.write(lambda connection: hosts.add(connection, [make_host("rack-1")]))
    event.listen(Engine, "commit", count)
    try:
        blocked = asyncio.create_task(rig.database.write(latch.wait))
        await asyncio.to_thread(latch.reached.wait)
        works = [note("1"), fails, note("2"), stale, note("3"), _stops, _exits, note("4")]
        waiting = [asyncio.create_task(rig.database.write(work)) for work in works]
        await asyncio.sleep(0)
        latch.released.set()
        await blocked
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    finally:
        event.remove(Engine, "commit", count)
    assert commits == 2, "one for the blocked write, one for the whole group"
    kinds = [type(outcome) for outcome in outcomes]
    assert kinds == [type(None), ValueError, type(None), Stale, type(None), RuntimeError, GeneratorExit, type(None)]
    assert await rig.database.read(noted) == ["1", "2", "3", "4"]


@shared_case
async def a_group_that_takes_long_is_committed_in_pieces(rig: Rig) -> None:
    """So that neither its own first writer nor another controller waits for all of it."""
    latch, commits = Latch(), 0

    def count(_: Connection) -> None:
        nonlocal commits
        commits += 1

    assert isinstance(rig.database, ThreadedDatabase)
    rig.database.group_limit_s = 0.01
    event.listen(Engine, "commit", count)
    try:
        blocked = asyncio.create_task(rig.database.write(latch.wait))
        await asyncio.to_thread(latch.reached.wait)
        slow = [asyncio.create_task(rig.database.write(lambda _: time.sleep(0.02))) for _ in range(4)]
        await asyncio.sleep(0)
        latch.released.set()
        await asyncio.gather(blocked, *slow)
    finally:
        event.remove(Engine, "commit", count)
    assert commits == 5


def _stops(_: Connection) -> None:
    raise StopIteration  # what a bare next() leaves behind; a task could not receive it


def _exits(_: Connection) -> None:
    raise GeneratorExit  # not an Exception, and still only its own write


@shared_case
async def readers_see_only_what_is_committed(rig: Rig) -> None:
    latch = Latch()

    def slow(connection: Connection) -> None:
        note("slow")(connection)
        latch.wait(connection)

    other = rig.again()
    writing = asyncio.create_task(rig.database.write(slow))
    await asyncio.to_thread(latch.reached.wait)
    assert await rig.database.read(noted) == []
    assert await other.read(noted) == []
    latch.released.set()
    await writing
    assert await rig.database.read(noted) == ["slow"]
    assert await other.read(noted) == ["slow"]


@shared_case
async def one_read_sees_one_moment(rig: Rig) -> None:
    latch = Latch()

    def look_twice(connection: Connection) -> tuple[int, int]:
        before = events.count(connection)
        latch.wait(connection)
        return before, events.count(connection)

    reading = asyncio.create_task(rig.database.read(look_twice))
    await asyncio.to_thread(latch.reached.wait)
    await rig.database.write(note("meanwhile"))
    latch.released.set()
    assert await reading == (0, 0)
    assert await rig.database.read(events.count) == 1


@shared_case
async def a_write_cancelled_before_its_turn_is_not_made(rig: Rig) -> None:
    latch = Latch()
    blocked = asyncio.create_task(rig.database.write(latch.wait))
    await asyncio.to_thread(latch.reached.wait)
    cancelled = asyncio.create_task(rig.database.write(note("never")))
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.gather(cancelled, return_exceptions=True)
    latch.released.set()
    await blocked
    await rig.database.write(note("after"))
    assert await rig.database.read(noted) == ["after"]


@shared_case
async def a_write_cancelled_in_its_turn_is_committed_all_the_same(rig: Rig) -> None:
    latch = Latch()

    def slow(connection: Connection) -> None:
        latch.wait(connection)
        note("slow")(connection)

    cancelled = asyncio.create_task(rig.database.write(slow))
    await asyncio.to_thread(latch.reached.wait)
    cancelled.cancel()
    await asyncio.gather(cancelled, return_exceptions=True)
    latch.released.set()
    await rig.database.write(note("after"))
    assert await rig.database.read(noted) == ["slow", "after"]


@shared_case
async def closing_finishes_what_was_accepted_and_accepts_nothing_more(rig: Rig) -> None:
    latch, database = Latch(), rig.again()
    accepted = [asyncio.create_task(database.write(latch.wait))]
    await asyncio.to_thread(latch.reached.wait)
    accepted += [asyncio.create_task(database.write(note(str(number)))) for number in range(600)]
    await asyncio.sleep(0)
    closing = asyncio.create_task(asyncio.to_thread(database.close))
    latch.released.set()
    await closing
    await asyncio.gather(*accepted)
    for door in (database.read, database.write):
        with pytest.raises(Unavailable, match="closed"):
            await door(noted)
    database.close()
    assert len(await rig.database.read(noted)) == 600


@shared_case
async def two_handles_write_beside_each_other(rig: Rig) -> None:
    other = rig.again()
    for handle in (rig.database, other):
        await asyncio.gather(*(handle.write(note("x")) for _ in range(5)))
    writes = [handle.write(note("y")) for _ in range(50) for handle in (rig.database, other)]
    await asyncio.gather(*writes)
    assert len(await other.read(noted)) == 110
