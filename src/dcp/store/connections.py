"""How transactions begin: one writer at a time, readers that see one moment and cannot write.

A write takes the writers' lock before anything else: on SQLite the file's (BEGIN IMMEDIATE), on PostgreSQL an advisory
lock that ends with the transaction. So writes are serial on both, whichever controller makes them: no deadlock is
possible, because there is only one lock to wait for; what a write has read cannot change before it commits; and
events become visible in the order of their numbers. Group commit makes the lock cheap: a transaction holds many
writes, and nothing is awaited inside one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import StaticPool

from dcp.kernel.errors import InvalidInput, Problem, Unavailable

READERS = 4
"""Threads that read, each with a connection of its own; more gain nothing while Python decodes the rows."""
WRITERS_LOCK = 0x6463_7077
"""Key of PostgreSQL's advisory lock ("dcpw"); advisory locks are apart in every database of a server."""
CHECKPOINT_PAGES = 20_000
"""SQLite's log grows to so many pages of 4 KiB before they are written back into the file."""
CACHE_KIB = 32_768
"""Of SQLite's pages, for each connection at most."""
_ADVICE = "sqlite:////DIRECTORY/FILE or postgresql://USER@HOST/NAME"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the database may keep us waiting, in seconds. Below the life of a lease (6 s), so that one stuck
    controller costs the others less than a take-over does."""

    lock_s: float = 5.0
    """A write waits this long for the writers' lock, then it is Unavailable."""
    idle_writer_s: float = 3.0
    """The server ends a write that does nothing for this long: its controller is paused or cut off."""
    connect_s: float = 5.0
    silence_s: float = 10.0
    """A server that acknowledges nothing for this long is gone."""


def open_engine(url: str, patience: Patience | None = None) -> Engine:
    """Return an engine for `sqlite:///PATH`, `sqlite://` (memory) or `postgresql://…`. Connects to nothing yet.

    Raises InvalidInput for any other URL and Unavailable where the driver is not installed.
    """
    patience = patience or Patience()
    parsed = _parsed(url)
    try:
        if parsed.drivername == "sqlite":
            return _sqlite(parsed, patience)
        return _postgresql(parsed, patience)
    except ImportError as error:
        raise Unavailable(f"the driver is missing: {error}", hint="install dcp[postgresql]") from error


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Yield a connection that sees the database as it is at one moment and cannot change it."""
    options: dict[str, Any] = {}
    if engine.dialect.name == "postgresql":
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with engine.connect() as connection, connection.execution_options(**options).begin():
        yield connection


@contextmanager
def writing(engine: Engine, lock_s: float | None = None) -> Iterator[Connection]:
    """Yield a connection that holds the writers' lock until the transaction ends; commit unless it raises."""
    with engine.connect() as connection, connection.execution_options(dcp_write=True).begin():
        if engine.dialect.name == "postgresql":
            patience: Patience = engine.get_execution_options().get("dcp_patience", Patience())
            wait_s = patience.lock_s if lock_s is None else lock_s
            connection.execute(_TAKE_LOCK, {"lock": f"{wait_s}s", "idle": f"{patience.idle_writer_s}s"})
        yield connection


# In one statement, because each costs a round trip; valid until the transaction ends. The settings come first: the
# server works a select list off from left to right.
_TAKE_LOCK = text(
    "SELECT set_config('lock_timeout', :lock, true),"
    " set_config('idle_in_transaction_session_timeout', :idle, true),"
    f" pg_advisory_xact_lock({WRITERS_LOCK})"
)


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
        if parsed.drivername in ("postgres", "postgresql"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        if parsed.drivername in ("sqlite", "postgresql+psycopg"):
            parsed.get_dialect()
            return parsed
    except (ArgumentError, NoSuchModuleError):
        pass
    # The text may hold a password: it is not repeated.
    raise InvalidInput((Problem("database", "is not the URL of a database that dcp knows", _ADVICE),))


def _sqlite(url: URL, patience: Patience) -> Engine:
    pool: dict[str, Any] = {"poolclass": StaticPool} if url.database in (None, "", ":memory:") else {}
    engine = create_engine(url, connect_args={"check_same_thread": False, "timeout": patience.lock_s}, **pool)

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, so that a write takes its lock at once
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")  # what was acknowledged survives a loss of power
        # Pages that many plans touch are written back once, not after each; they stay in memory until then.
        connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("dcp_write", False)
        driver: Any = connection.connection.driver_connection
        driver.execute(f"PRAGMA query_only={'OFF' if writes else 'ON'}")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgresql(url: URL, patience: Patience) -> Engine:
    options = {
        "connect_timeout": round(patience.connect_s),
        "keepalives_idle": round(patience.silence_s / 2),
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": round(patience.silence_s * 1000),
        "application_name": "dcp",
    }
    return create_engine(
        url,
        # A higher level would look at the rows as they were before the lock was waited for.
        isolation_level="READ COMMITTED",
        pool_pre_ping=True,
        pool_size=READERS + 1,
        max_overflow=2,
        connect_args={name: value for name, value in options.items() if name not in url.query},
        execution_options={"dcp_patience": patience},
    )
