"""One door to the database: `read` and `write` run a function on a connection, away from the event loop.

Writes go through one thread that takes everything waiting and commits it together (group commit): each write keeps
its own savepoint, so one that fails undoes only itself. No session is held across a driver call, because a function
given to `read` or `write` cannot await.

`InlineDatabase` runs the same functions in the calling task, for simulation, where threads would break determinism.
"""

import asyncio
import threading
from collections.abc import Callable
from typing import Protocol, TypeVar

from sqlalchemy import Connection, Engine

from dcp.store.connections import READERS, Patience, open_engine, reading, writing
from dcp.store.faults import lost, translated, translating
from dcp.store.groups import run_group
from dcp.store.jobs import Job, Jobs
from dcp.store.schema import bring_to_head
from dcp.store.tables import metadata

T = TypeVar("T")
GROUP_LIMIT = 256
"""Writes committed together at most."""
GROUP_LIMIT_S = 0.25
"""After this long a group is committed with what it has: bounds how long the first of it and other controllers wait."""
CLOSE_LIMIT_S = 10.0
"""How long closing waits for writes under way, and as long again for reads."""


class Database(Protocol):
    """Runs functions in transactions.

    Both raise Unavailable when the database cannot be used (after `close` too); whatever the function itself raises
    comes through. A function must not end its transaction nor keep the connection.
    """

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Return `work(connection)`. All of it sees the database at one moment; it cannot write."""
        ...

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Return `work(connection)` after it was committed. If it raises, nothing of it stays.

        Stale: a constraint showed that another writer was first. Where the awaiting task is cancelled, and where
        Unavailable says that the connection broke, the write may have been committed all the same: load again.
        """
        ...

    def close(self) -> None:
        """Finish what was accepted and let go of the database."""
        ...


def open_database(url: str, patience: Patience | None = None) -> "ThreadedDatabase":
    """Open the database at `url`, with its tables brought up to date first.

    Any number of controllers may do so at once. Raises InvalidInput for a URL that is none of ours; Unavailable when
    the server is away, the directory cannot be written, or a newer dcp has written the tables.
    """
    engine = open_engine(url, patience)
    try:
        with translating():
            bring_to_head(engine)
    except BaseException:
        engine.dispose()
        raise
    return ThreadedDatabase(engine)


class ThreadedDatabase:
    """SQLite or PostgreSQL behind threads: a few readers, one writer with group commit.

    The threads are daemons: a process that forgets to close ends all the same, and loses only what was not
    acknowledged.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.group_limit_s = GROUP_LIMIT_S
        self._reads = Jobs(consumers=READERS)
        self._writes = Jobs(consumers=1)
        self._threads = [
            threading.Thread(target=self._write_loop, name="dcp-store-writer", daemon=True),
            *(
                threading.Thread(target=self._read_loop, name=f"dcp-store-reader-{number}", daemon=True)
                for number in range(READERS)
            ),
        ]
        for thread in self._threads:
            thread.start()

    async def read(self, work: Callable[[Connection], T]) -> T:
        result: T = await asyncio.wrap_future(self._reads.put(work))
        return result

    async def write(self, work: Callable[[Connection], T]) -> T:
        result: T = await asyncio.wrap_future(self._writes.put(work))
        return result

    def close(self) -> None:
        self._writes.close()
        self._reads.close()
        writer, *readers = self._threads
        writer.join(timeout=CLOSE_LIMIT_S)
        for reader in readers:
            reader.join(timeout=CLOSE_LIMIT_S / len(readers))
        self._engine.dispose()

    def _read_loop(self) -> None:
        while group := self._reads.take(1):
            self._read(group.pop())

    def _read(self, job: Job) -> None:
        try:
            with reading(self._engine) as connection:
                result = job.work(connection)
        except BaseException as error:
            job.fail(translated(error))
        else:
            job.succeed(result)

    def _write_loop(self) -> None:
        while group := self._writes.take(GROUP_LIMIT):
            while group:
                group = group[self._commit(group) :]

    def _commit(self, group: list[Job]) -> int:
        """Commit what can be done within `group_limit_s`, at least one; return how many."""
        try:
            with writing(self._engine) as connection:
                outcomes = run_group(connection, [job.work for job in group], self.group_limit_s)
        except Exception as error:
            for job in group:
                job.fail(lost(error))
            return len(group)
        for job, (result, failure) in zip(group, outcomes, strict=False):
            if failure is None:
                job.succeed(result)
            else:
                job.fail(failure)
        return len(outcomes)


class InlineDatabase:
    """An in-memory SQLite that runs everything in the caller: deterministic, for simulation and unit tests."""

    def __init__(self) -> None:
        self._engine = open_engine("sqlite://")
        with writing(self._engine) as connection:
            metadata.create_all(connection)

    async def read(self, work: Callable[[Connection], T]) -> T:
        with translating(), reading(self._engine) as connection:
            return work(connection)

    async def write(self, work: Callable[[Connection], T]) -> T:
        with translating(), writing(self._engine) as connection:
            return work(connection)

    def close(self) -> None:
        self._engine.dispose()
