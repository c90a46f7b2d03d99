"""Cases of the event log: order, paging, numbers, and that a reader who pages never misses an event."""

import asyncio
import hashlib
import json
import math
from collections.abc import Callable

from sqlalchemy import Connection
from stores import Rig, case, note, shared_case

from dcp.kernel.events import Event
from dcp.store import events
from dcp.store.database import Database

FEED = Event("service/shop/feed", "below-fatal", "grows", "4", "6", {"level": 1.05, "serving": 4, "policy": "gated"})

FEED_NUMBERS = '{"level":1.05,"policy":"gated","serving":4}'


@case
async def events_come_back_as_they_went_in_order(rig: Rig) -> None:
    other = Event("host/rack-1", "requested", "for feed")
    await rig.database.write(lambda connection: events.append(connection, 1.5, [FEED, other]))
    await rig.database.write(lambda connection: events.append(connection, 2.5, []))
    await rig.database.write(lambda connection: events.append(connection, 3.5, [FEED]))
    logged = await rig.database.read(lambda connection: events.after(connection, 0, 10))
    assert [(one.at, one.event) for one in logged] == [(1.5, FEED), (1.5, other), (3.5, FEED)]
    assert [one.seq for one in logged] == sorted({one.seq for one in logged})
    assert await rig.database.read(events.count) == 3


@case
async def pages_join_without_gap_or_overlap(rig: Rig) -> None:
    many = [Event(f"instance/feed-{number % 3}", "placed", str(number)) for number in range(25)]
    await rig.database.write(lambda connection: events.append(connection, 1.0, many))
    seen, last = list[str](), 0
    while page := await rig.database.read(lambda connection, last=last: events.after(connection, last, 10)):
        seen += [one.event.words for one in page]
        last = page[-1].seq
    assert seen == [str(number) for number in range(25)]
    newest = await rig.database.read(lambda connection: events.newest(connection, 3))
    assert [one.event.words for one in newest] == ["22", "23", "24"]
    mine = await rig.database.read(lambda connection: events.of_subject(connection, "instance/feed-1", 2))
    assert [one.event.words for one in mine] == ["19", "22"]


@case
async def numbers_stay_valid_json_and_what_is_not_finite_becomes_a_word(rig: Rig) -> None:
    odd = {"level": math.inf, "other": -math.inf, "none": math.nan, "large": 10**15, "small": 5e-324, "share": 0.1}
    await rig.database.write(lambda connection: events.append(connection, 1.0, [Event("s", "r", "w", numbers=odd)]))
    (logged,) = await rig.database.read(lambda connection: events.after(connection, 0, 1))
    numbers = logged.event.numbers
    words = {"level": "Infinity", "other": "-Infinity", "none": "NaN"}
    assert numbers == {**odd, **words}
    assert json.loads(json.dumps(dict(numbers), allow_nan=False)) == numbers


@case
async def words_may_quote_anything(rig: Rig) -> None:
    words = "exit 1: \0 \udcff é 漢 🎉 " + "x" * 100_000
    quoting = Event("s", "r", words, words, words, {"said": words})
    await rig.database.write(lambda connection: events.append(connection, 1.0, [quoting]))
    (logged,) = await rig.database.read(lambda connection: events.after(connection, 0, 1))
    kept = words.replace("\0", "\N{REPLACEMENT CHARACTER}").replace("\udcff", "?")
    assert logged.event == Event("s", "r", kept, kept, kept, {"said": kept})


@case
async def the_hash_is_of_every_event_in_order(rig: Rig) -> None:
    empty = await rig.database.read(events.log_hash)
    await rig.database.write(lambda connection: events.append(connection, 1.0, [FEED]))
    one = await rig.database.read(events.log_hash)
    await rig.database.write(lambda connection: events.append(connection, 1.0, [FEED]))
    two = await rig.database.read(events.log_hash)
    assert len({empty, one, two}) == 3
    row = (1, 1.0, FEED.subject, FEED.reason, FEED.words, FEED.before, FEED.after, FEED_NUMBERS)
    assert one == hashlib.sha256(repr(row).encode()).hexdigest(), "so it is the same on every database"


@case
async def old_events_are_dropped_and_their_numbers_never_given_again(rig: Rig) -> None:
    many = [Event("s", "r", str(number)) for number in range(10)]
    await rig.database.write(lambda connection: events.append(connection, 1.0, many))
    last = (await rig.database.read(lambda connection: events.newest(connection, 1)))[0].seq
    assert await rig.database.read(lambda connection: events.last_before(connection, 10)) is None
    edge = await rig.database.read(lambda connection: events.last_before(connection, 4))
    assert edge is not None
    dropped = [await rig.database.write(lambda connection: events.prune(connection, edge, 4)) for _ in range(3)]
    assert dropped == [4, 2, 0]
    kept = await rig.database.read(lambda connection: events.after(connection, 0, 100))
    assert [one.event.words for one in kept] == ["6", "7", "8", "9"]
    assert await rig.database.write(lambda connection: events.prune(connection, last, 50)) == 4
    await rig.database.write(note("after"))
    assert (await rig.database.read(lambda connection: events.newest(connection, 1)))[0].seq > last


@shared_case
async def a_reader_that_pages_never_misses_an_event_of_two_controllers(rig: Rig) -> None:
    """A number that becomes visible after a higher one would be missed for ever."""
    writers, reader, done = (rig.database, rig.again()), rig.again(), asyncio.Event()

    async def append(database: Database) -> None:
        for _ in range(15):
            await asyncio.gather(
                *(database.write(_append_or_fail(number)) for number in range(8)), return_exceptions=True
            )

    async def follow() -> list[int]:
        seen, last = list[int](), 0
        while True:
            finished = done.is_set()
            page = await reader.read(lambda connection, last=last: events.after(connection, last, 5))
            seen += [one.seq for one in page]
            last = seen[-1] if seen else 0
            if finished and not page:
                return seen

    following = asyncio.create_task(follow())
    await asyncio.gather(*(append(writer) for writer in writers))
    done.set()
    everything = await reader.read(lambda connection: events.after(connection, 0, 1_000_000))
    assert await following == [one.seq for one in everything]
    assert len(everything) == 2 * 15 * 7 * 2


def _append_or_fail(number: int) -> Callable[[Connection], None]:
    def work(connection: Connection) -> None:
        events.append(connection, 1.0, [FEED, FEED])
        if number == 3:
            raise ValueError("leaves a gap in the numbers")

    return work
