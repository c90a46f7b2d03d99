"""One door to the database: `read` and `write` run a function on a connection, away from the event loop.

Writes go through one thread that takes everything waiting and commits it together (group commit): each write keeps
its own savepoint, so one that fails undoes only itself. No session is held across a driver call, because a function
given to `read` or `write` cannot await.

`InlineDatabase` runs the same functions in the calling task, for simulation, where threads would break determinism.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from dcp.kernel.errors import DcpError, Stale, Unavailable
from dcp.store.tables import metadata

T = TypeVar("T")
GROUP_LIMIT = 256
"""Writes committed together at most; bounds how long the first of a group waits."""


class Database(Protocol):
    """Runs functions in transactions."""

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Return `work(connection)`, run in one read transaction."""
        ...

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Return `work(connection)` after it was committed. If it raises, nothing of it stays."""
        ...

    def close(self) -> None:
        """Finish what was accepted and let go of the database."""
        ...


@dataclass(slots=True)
class _Write:
    work: Callable[[Connection], Any]
    done: Future[Any]


def open_engine(url: str) -> Engine:
    """Return an engine for `sqlite:///PATH`, `sqlite://` (memory) or `postgresql+psycopg://…`."""
    if not url.startswith("sqlite"):
        return create_engine(url, pool_pre_ping=True, pool_size=8, max_overflow=8)
    in_memory = url in ("sqlite://", "sqlite:///:memory:")
    options: dict[str, Any] = {"poolclass": StaticPool} if in_memory else {}
    engine = create_engine(url, connect_args={"check_same_thread": False, "timeout": 30}, **options)

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, so that a write takes its lock at once
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("dcp_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


class ThreadedDatabase:
    """SQLite or PostgreSQL behind threads: many readers, one writer with group commit."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writes: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write_loop, name="dcp-store-writer", daemon=True)
        self._writer.start()

    async def read(self, work: Callable[[Connection], T]) -> T:
        return await asyncio.to_thread(self._read, work)

    async def write(self, work: Callable[[Connection], T]) -> T:
        done: Future[T] = Future()
        self._writes.put(_Write(work, done))
        return await asyncio.wrap_future(done)

    def close(self) -> None:
        self._writes.put(None)
        self._writer.join(timeout=30)
        self._engine.dispose()

    def _read(self, work: Callable[[Connection], T]) -> T:
        try:
            with self._engine.connect() as connection, connection.begin():
                return work(connection)
        except DBAPIError as error:
            raise _translated(error) from error

    def _write_loop(self) -> None:
        while True:
            group = self._next_group()
            if group is None:
                return
            self._commit(group)

    def _next_group(self) -> list[_Write] | None:
        first = self._writes.get()
        if first is None:
            return None
        group = [first]
        while len(group) < GROUP_LIMIT:
            try:
                following = self._writes.get_nowait()
            except queue.Empty:
                break
            if following is None:
                self._writes.put(None)
                break
            group.append(following)
        return group

    def _commit(self, group: list[_Write]) -> None:
        outcomes: list[tuple[_Write, Any, BaseException | None]] = []
        try:
            with self._engine.connect().execution_options(dcp_write=True) as connection, connection.begin():
                for write in group:
                    outcomes.append((write, *_run_in_savepoint(connection, write.work)))
        except SQLAlchemyError as error:
            for write in group:
                _settle(write, None, _translated(error))
            return
        for write, result, failure in outcomes:
            _settle(write, result, failure)


class InlineDatabase:
    """An in-memory SQLite that runs everything in the caller: deterministic, for simulation and unit tests."""

    def __init__(self) -> None:
        self._engine = open_engine("sqlite://")
        metadata.create_all(self._engine)

    async def read(self, work: Callable[[Connection], T]) -> T:
        with self._engine.connect() as connection, connection.begin():
            return work(connection)

    async def write(self, work: Callable[[Connection], T]) -> T:
        try:
            with self._engine.connect() as connection, connection.begin():
                return work(connection)
        except DBAPIError as error:
            raise _translated(error) from error

    def close(self) -> None:
        self._engine.dispose()


def _run_in_savepoint(connection: Connection, work: Callable[[Connection], Any]) -> tuple[Any, BaseException | None]:
    savepoint = connection.begin_nested()
    try:
        result = work(connection)
    except DBAPIError as error:
        savepoint.rollback()
        return None, _translated(error)
    except Exception as error:
        savepoint.rollback()
        return None, error
    savepoint.commit()
    return result, None


def _settle(write: _Write, result: Any, failure: BaseException | None) -> None:
    if not write.done.set_running_or_notify_cancel():
        return
    if failure is not None:
        write.done.set_exception(failure)
    else:
        write.done.set_result(result)


def _translated(error: SQLAlchemyError) -> DcpError:
    """A constraint that a racing writer met first means that our plan is old; anything else, that the store is away."""
    if isinstance(error, DBAPIError) and not isinstance(error, OperationalError):
        name = type(error.orig).__name__
        if name in ("IntegrityError", "UniqueViolation", "SerializationFailure", "DeadlockDetected"):
            return Stale(f"another writer was first: {error.orig}")
    if isinstance(error, OperationalError) and type(error.orig).__name__ in (
        "DeadlockDetected",
        "SerializationFailure",
    ):
        return Stale(f"another writer was first: {error.orig}")
    cause = error.orig if isinstance(error, DBAPIError) else error
    return Unavailable(f"the database failed: {cause}", hint="is its disk full, or the server down?")
