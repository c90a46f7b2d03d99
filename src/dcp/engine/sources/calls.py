"""Makes a round's calls of a source, some at a time, and collects every answer."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from dcp.hosts.answers import whole
from dcp.hosts.creation import Call
from dcp.hosts.model import Host
from dcp.hosts.ports import HostSource, Refusals, StoppingSource
from dcp.kernel.errors import DriverError, Rejected

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answers:
    """What the source said, call by call. A host that is not among the refusals was accepted."""

    created: tuple[tuple[Call, Refusals], ...] = ()
    deleted: tuple[tuple[Host, DriverError | None], ...] = ()
    collected: tuple[tuple[str, DriverError | None], ...] = ()
    stopped: tuple[tuple[Host, DriverError | None], ...] = ()
    started: tuple[tuple[Host, DriverError | None], ...] = ()


@dataclass(frozen=True, slots=True)
class Round:
    """What a source is asked in one round."""

    create: Sequence[Call] = ()
    delete: Sequence[Host] = ()
    collect: Sequence[str] = ()
    stop: Sequence[Host] = ()
    start: Sequence[Host] = ()


class Caller:
    """Asks one source, with at most `parallel` calls under way."""

    def __init__(self, source: HostSource, parallel: int) -> None:
        self._source = source
        self._limit = asyncio.Semaphore(parallel)

    async def call(self, wanted: Round) -> Answers:
        """Make all calls and wait for every answer. Never raises DriverError: it is an answer."""
        source = self._source
        off, on = (source.stop, source.start) if isinstance(source, StoppingSource) else (_cannot, _cannot)
        created, deleted, collected, stopped, started = await asyncio.gather(
            asyncio.gather(*(self._create(call) for call in wanted.create)),
            self._by_id({host.id: host for host in wanted.delete}, source.delete),
            self._by_id({host_id: host_id for host_id in wanted.collect}, source.delete),
            self._by_id({host.id: host for host in wanted.stop}, off),
            self._by_id({host.id: host for host in wanted.start}, on),
        )
        return Answers(tuple(created), deleted, collected, stopped, started)

    async def _create(self, call: Call) -> tuple[Call, Refusals]:
        async with self._limit:
            try:
                return call, await self._source.create(call.orders)
            except DriverError as error:
                return call, whole(call.wanted, error)

    async def _by_id(
        self, subjects: dict[str, T], verb: Callable[[tuple[str, ...]], Awaitable[Refusals]]
    ) -> tuple[tuple[T, DriverError | None], ...]:
        size = max(1, self._source.limits.batch)
        ids = list(subjects)
        parts = [tuple(ids[first : first + size]) for first in range(0, len(ids), size)]
        found = await asyncio.gather(*(self._several(part, verb) for part in parts))
        refused = {host_id: error for refusals in found for host_id, error in refusals.items()}
        return tuple((subject, refused.get(host_id)) for host_id, subject in subjects.items())

    async def _several(self, ids: tuple[str, ...], verb: Callable[[tuple[str, ...]], Awaitable[Refusals]]) -> Refusals:
        async with self._limit:
            try:
                return await verb(ids)
            except DriverError as error:
                return dict.fromkeys(ids, error)


async def _cannot(host_ids: tuple[str, ...]) -> Refusals:
    return dict.fromkeys(host_ids, Rejected("this source does not switch hosts off and on"))
