"""Those who wait for what is published: woken soon, by one look for all, whatever the store does meanwhile."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from sqlalchemy import Connection

from dcp.engine.published_watch import PublishedWatch, View
from dcp.kernel.clock import SystemClock
from dcp.kernel.errors import Unavailable
from dcp.orchestration.discovery.model import Entry, Published, PublishedChange
from dcp.orchestration.services.model import ServiceKey
from dcp.store import counters, published
from dcp.store.database import InlineDatabase

FEED, USER = ServiceKey("shop", "feed"), ServiceKey("shop", "user")


class Store(InlineDatabase):
    """Counts reads; answers some of them late, or not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.delays_s: list[float] = []
        self.away = False

    async def read(self, work: Callable[[Connection], Any]) -> Any:
        self.reads += 1
        if self.away:
            raise Unavailable("no store")
        found = await super().read(work)
        await asyncio.sleep(self.delays_s.pop(0) if self.delays_s else 0)
        return found

    async def publish(self, service: ServiceKey, number: int) -> None:
        def work(connection: Connection) -> None:
            before = next((one for one in published.every(connection) if one.service == service), Published(service))
            entry = Entry(f"{service.name}-{number}", "10.0.0.1", 20000 + number)
            published.change(connection, before, PublishedChange((*before.entries, entry), (entry,), (), (), 0), 1.0)

        await self.write(work)


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    store = Store()
    await store.publish(FEED, 1)
    await store.publish(USER, 1)
    yield store
    store.close()


@pytest.fixture
def watch(store: Store) -> PublishedWatch:
    return PublishedWatch(store, SystemClock())


def of_feed(view: View) -> int:
    return view.index_of("shop.feed")


async def test_index_zero_never_waits(watch: PublishedWatch):
    async with asyncio.timeout(1):
        assert (await watch.after(0, 60, of_feed)).index == 2


async def test_one_look_serves_all_who_wait_and_wakes_them_within_a_tenth_of_a_second(
    store: Store, watch: PublishedWatch
):
    first = asyncio.create_task(watch.after(1, 30, of_feed))
    await asyncio.sleep(0.05)
    store.reads = 0
    others = [asyncio.create_task(watch.after(1, 30, of_feed)) for _ in range(2000)]
    await asyncio.sleep(0.4)
    assert store.reads <= 8
    began = time.monotonic()
    await store.publish(FEED, 2)
    await first
    assert time.monotonic() - began < 0.5  # 0.1 s, and room for a busy machine with 2,000 tasks to wake
    assert {view.index for view in await asyncio.gather(*others)} == {3}
    assert store.reads <= 16


async def test_a_change_of_another_service_wakes_nobody_here(store: Store, watch: PublishedWatch):
    waiting = asyncio.create_task(watch.after(1, 0.5, of_feed))
    await asyncio.sleep(0.1)
    await store.publish(USER, 2)
    await asyncio.sleep(0.2)
    assert not waiting.done()
    assert of_feed(await waiting) == 1


async def test_a_change_between_reading_and_waiting_is_not_missed(store: Store, watch: PublishedWatch):
    store.delays_s = [0.0, 0.4]
    quick = asyncio.create_task(watch.after(1, 30, of_feed))
    late = asyncio.create_task(watch.after(1, 30, of_feed))
    await asyncio.sleep(0.05)
    await store.publish(FEED, 2)
    async with asyncio.timeout(5):
        assert of_feed(await quick) == of_feed(await late) == 3


async def test_who_waits_while_the_store_is_away_is_answered_when_it_is_back(store: Store, watch: PublishedWatch):
    waiting = asyncio.create_task(watch.after(1, 30, of_feed))
    await asyncio.sleep(0.05)
    store.away = True
    await asyncio.sleep(0.3)
    assert not waiting.done()
    with pytest.raises(Unavailable):
        await watch.now()
    store.away = False
    await store.publish(FEED, 2)
    async with asyncio.timeout(5):
        assert of_feed(await waiting) == 3


async def test_a_store_that_went_back_answers_those_who_wait(store: Store, watch: PublishedWatch):
    waiting = asyncio.create_task(watch.after(2, 30, lambda view: view.index))
    await asyncio.sleep(0.05)

    def restore(connection: Connection) -> None:
        connection.exec_driver_sql("UPDATE counters SET value = 1 WHERE name = 'published'")
        assert counters.peek(connection, published.INDEX) == 1

    await store.write(restore)
    async with asyncio.timeout(5):
        assert (await waiting).index == 1


async def test_nobody_looks_when_nobody_waits(store: Store, watch: PublishedWatch):
    await watch.after(1, 0.05, of_feed)
    await asyncio.sleep(0.3)
    store.reads = 0
    await asyncio.sleep(0.3)
    assert store.reads == 0
