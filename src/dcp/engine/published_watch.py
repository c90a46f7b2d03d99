"""Waiting for what is published to change: one look at the store for all that wait, however many they are."""

import asyncio
from collections.abc import Callable

from dcp.kernel.clock import Clock
from dcp.orchestration.discovery.model import Published
from dcp.store import published
from dcp.store.database import Database

LOOK_S = 0.1
"""A change is noticed within this time, whichever controller made it."""

View = tuple[Published, ...]


class PublishedWatch:
    """One for each process that answers clients of discovery."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._waiting = 0
        self._index = -1
        self._view: View = ()
        self._changed = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None

    async def now(self) -> tuple[int, View]:
        """Return the index of everything published, and the view itself."""
        return await self._database.read(lambda connection: (published.index(connection), published.every(connection)))

    async def after(self, index: int, wait_s: float, index_of: Callable[[int, View], int]) -> tuple[int, View]:
        """Return the view once `index_of` it is above `index`, or as it is when `wait_s` is over.

        A client with an index from the future (its store was restored) is answered at once, so that it starts anew.
        """
        found = await self.now()
        give_up_at = self._clock.now() + wait_s
        while index_of(*found) == index and self._clock.now() < give_up_at:
            await self._next_change(give_up_at - self._clock.now())
            found = (self._index, self._view) if self._index >= found[0] else await self.now()
        return found

    async def _next_change(self, timeout_s: float) -> None:
        self._waiting += 1
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(), name="published-watch")
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            pass
        finally:
            self._waiting -= 1

    async def _look(self) -> None:
        while self._waiting:
            index = await self._database.read(published.index)
            if index != self._index:
                self._index, self._view = await self.now()
                self._changed.set()
                self._changed = asyncio.Event()
            await self._clock.sleep(LOOK_S)
