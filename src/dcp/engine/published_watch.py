"""Waiting for what is published to change: one look at the store for all that wait, however many they are."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection

from dcp.engine.context import log
from dcp.kernel.clock import Clock
from dcp.kernel.errors import DcpError
from dcp.orchestration.discovery.model import Published, name_of
from dcp.store import published
from dcp.store.database import Database

LOOK_S = 0.08
"""Between two looks; with the time of a look itself, a change is noticed within 0.1 s, whichever controller made it."""


@dataclass(frozen=True, slots=True)
class View:
    """Everything published at one moment."""

    index: int
    services: tuple[Published, ...] = ()
    by_name: Mapping[str, Published] = field(default_factory=dict)
    """By the name that clients know."""

    def index_of(self, name: str) -> int:
        """Return the index of one service; of everything, if there is no such service."""
        found = self.by_name.get(name)
        return found.index if found else self.index


class PublishedWatch:
    """One for each process that answers clients of discovery."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._waiting = 0
        self._seen = View(-1)
        self._changed = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None

    async def now(self) -> View:
        """Return what is published."""
        return await self._database.read(_view)

    async def after(self, index: int, wait_s: float, index_of: Callable[[View], int]) -> View:
        """Return the view once `index_of` it is not `index` any more, or as it is when `wait_s` is over.

        A client with an index from the future (its store was restored) is answered at once, so that it starts anew.
        Index 0 never waits. While others wait, a client that comes back with what they have costs no look of its own.
        """
        found = self._seen if 0 < index <= self._seen.index and self._waiting else await self.now()
        give_up_at = self._clock.now() + wait_s
        while index and index_of(found) == index and self._clock.now() < give_up_at:
            await self._change_from(found.index, give_up_at - self._clock.now())
            found = self._seen if self._seen.index >= found.index else await self.now()
        return found

    async def _change_from(self, index: int, timeout_s: float) -> None:
        """Return at the next change, or at once if one after `index` was seen meanwhile."""
        if self._seen.index > index:
            return
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
        """Look as long as anybody waits. A store that is away is asked again: those who wait have the last view."""
        away = False
        while self._waiting:
            try:
                if await self._database.read(published.index) != self._seen.index:
                    self._seen = await self.now()
                    self._changed.set()
                    self._changed = asyncio.Event()
                away = False
            except DcpError as error:
                if not away:
                    log.warning("what is published cannot be read; trying on", error=str(error))
                away = True
            await self._clock.sleep(LOOK_S)


def _view(connection: Connection) -> View:
    services = published.every(connection)
    return View(published.index(connection), services, {name_of(one.service): one for one in services})
