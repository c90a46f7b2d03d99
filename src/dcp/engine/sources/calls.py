"""Makes a source's calls beside its worker's looks, some at a time, and collects every answer.

A call takes seconds, and its source is looked at several times meanwhile. What a call is under way for is not asked
again before its answer was collected. Calls of a controller that dies are mended as ever: by the ledger.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dcp.hosts.answers import whole
from dcp.hosts.creation import Call
from dcp.hosts.model import Host
from dcp.hosts.ports import HostSource, Refusals, StoppingSource
from dcp.kernel.errors import DriverError, Rejected

Verb = Callable[[tuple[str, ...]], Awaitable[Refusals]]


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
    """What a source is to be asked."""

    create: Sequence[Call] = ()
    delete: Sequence[Host] = ()
    collect: Sequence[str] = ()
    stop: Sequence[Host] = ()
    start: Sequence[Host] = ()


Answering = Callable[[Any], Answers]


class Caller:
    """Asks one source, with at most `parallel` calls under way; `answered` is called after each."""

    def __init__(self, source: HostSource, parallel: int, answered: Callable[[], None]) -> None:
        self._source = source
        self._limit = asyncio.Semaphore(parallel)
        self._answered = answered
        self._tasks: dict[asyncio.Task[Answers], tuple[frozenset[str], str]] = {}

    @property
    def hosts(self) -> frozenset[str]:
        """Return the ids of hosts that a call is under way for, or was answered and not collected."""
        return frozenset().union(*(ids for ids, _ in self._tasks.values()))

    @property
    def tokens(self) -> frozenset[str]:
        """Return the tokens of such calls that ask for hosts."""
        return frozenset(token for _, token in self._tasks.values() if token)

    def begin(self, wanted: Round) -> None:
        """Begin all calls but those for hosts that a call is under way for."""
        source, busy, tokens = self._source, self.hosts, self.tokens
        for call in wanted.create:
            if call.token not in tokens:
                self._begin(self._create(call), frozenset(host.id for host in call.hosts), call.token)
        off, on = (source.stop, source.start) if isinstance(source, StoppingSource) else (_cannot, _cannot)
        self._begin_by_id(
            {host.id: host for host in wanted.delete}, busy, source.delete, lambda found: Answers(deleted=found)
        )
        self._begin_by_id(
            {host_id: host_id for host_id in wanted.collect},
            busy,
            source.delete,
            lambda found: Answers(collected=found),
        )
        self._begin_by_id({host.id: host for host in wanted.stop}, busy, off, lambda found: Answers(stopped=found))
        self._begin_by_id({host.id: host for host in wanted.start}, busy, on, lambda found: Answers(started=found))

    async def collect(self, patience_s: float = 0.0) -> Answers:
        """Return all answers there are; wait for those under way, but not for longer than `patience_s`.

        Never raises DriverError: it is an answer. Any other error of a driver is raised here.
        """
        if self._tasks and patience_s > 0:
            await asyncio.wait(self._tasks, timeout=patience_s)
        done = [task for task in self._tasks if task.done()]
        for task in done:
            del self._tasks[task]
        return together(task.result() for task in done)

    async def close(self) -> None:
        """Cancel what is under way; whoever asks next mends it."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()

    def _begin(self, work: Coroutine[None, None, Answers], ids: frozenset[str], token: str = "") -> None:
        task = asyncio.create_task(work, name=f"call:{self._source.name}")
        self._tasks[task] = (ids, token)
        task.add_done_callback(lambda _task: self._answered())

    def _begin_by_id(
        self, subjects: Mapping[str, object], busy: frozenset[str], verb: Verb, answers: Answering
    ) -> None:
        size = max(1, self._source.limits.batch)
        ids = [host_id for host_id in subjects if host_id not in busy]
        for first in range(0, len(ids), size):
            some = {host_id: subjects[host_id] for host_id in ids[first : first + size]}
            self._begin(self._several(some, verb, answers), frozenset(some))

    async def _create(self, call: Call) -> Answers:
        async with self._limit:
            try:
                return Answers(created=((call, await self._source.create(call.orders)),))
            except DriverError as error:
                return Answers(created=((call, whole(call.wanted, error)),))

    async def _several(self, subjects: Mapping[str, Any], verb: Verb, answers: Answering) -> Answers:
        async with self._limit:
            try:
                refused = await verb(tuple(subjects))
            except DriverError as error:
                refused = dict.fromkeys(subjects, error)
        return answers(tuple((one, refused.get(host_id)) for host_id, one in subjects.items()))


def together(parts: Iterable[Answers]) -> Answers:
    """Return all answers as one."""
    some = tuple(parts)
    return Answers(
        created=tuple(one for part in some for one in part.created),
        deleted=tuple(one for part in some for one in part.deleted),
        collected=tuple(one for part in some for one in part.collected),
        stopped=tuple(one for part in some for one in part.stopped),
        started=tuple(one for part in some for one in part.started),
    )


async def _cannot(host_ids: tuple[str, ...]) -> Refusals:
    return dict.fromkeys(host_ids, Rejected("this source does not switch hosts off and on"))
