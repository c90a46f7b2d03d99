"""What the databases' codes mean for the caller."""

import sqlite3
from collections.abc import Callable

import psycopg
import pytest
from sqlalchemy.exc import (
    DBAPIError,
    IntegrityError,
    InternalError,
    NoResultFound,
    OperationalError,
    PendingRollbackError,
    ProgrammingError,
    TimeoutError,
)

from dcp.kernel.errors import LeaseLost, Stale, Unavailable
from dcp.store.faults import lost, translated, translating

Wrap = Callable[[BaseException], DBAPIError]


def wrapped(kind: type[DBAPIError], cause: BaseException, *, broken: bool = False) -> DBAPIError:
    return kind("SELECT 1", {}, cause, connection_invalidated=broken)


def of_sqlite(statement: str) -> sqlite3.Error:
    """Return a real error of SQLite, with its code."""
    connection = sqlite3.connect(":memory:")
    connection.executescript("CREATE TABLE t (n INTEGER PRIMARY KEY, m UNIQUE, o NOT NULL DEFAULT 1, CHECK (n < 9))")
    connection.execute("INSERT INTO t VALUES (1, 1, 1)")
    try:
        connection.execute(statement)
    except sqlite3.Error as error:
        return error
    finally:
        connection.close()
    raise AssertionError("nothing failed")


@pytest.mark.parametrize("statement", ["INSERT INTO t VALUES (1, 2, 1)", "INSERT INTO t VALUES (2, 1, 1)"])
def test_a_row_that_is_there_means_a_lost_race_on_sqlite(statement: str) -> None:
    error = wrapped(IntegrityError, of_sqlite(statement))
    meaning = translated(error)
    assert isinstance(meaning, Stale)
    assert meaning.__cause__ is error


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("INSERT INTO t VALUES (2, 2, NULL)", IntegrityError),
        ("INSERT INTO t VALUES (9, 2, 1)", IntegrityError),
        ("SELECT missing FROM t", OperationalError),
        ("SELECT nonsense syntax", OperationalError),
    ],
)
def test_a_fault_of_ours_stays_what_it_is_on_sqlite(statement: str, kind: type[DBAPIError]) -> None:
    error = wrapped(kind, of_sqlite(statement))
    assert translated(error) is error


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (sqlite3.SQLITE_BUSY, "another process"),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, "another process"),
        (sqlite3.SQLITE_FULL, "space"),
        (sqlite3.SQLITE_READONLY, "right to write"),
        (sqlite3.SQLITE_CANTOPEN, "directory"),
        (sqlite3.SQLITE_IOERR_FSYNC, "disk"),
        (sqlite3.SQLITE_CORRUPT, "damaged"),
        (sqlite3.SQLITE_NOTADB, "something else"),
    ],
)
def test_what_somebody_can_mend_is_unavailable_with_a_hint_on_sqlite(code: int, words: str) -> None:
    cause = sqlite3.OperationalError("it failed")
    cause.sqlite_errorcode = code
    meaning = translated(wrapped(OperationalError, cause))
    assert isinstance(meaning, Unavailable)
    assert words in meaning.hint


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        (psycopg.errors.UniqueViolation("x"), IntegrityError),
        (psycopg.errors.DeadlockDetected("x"), OperationalError),
        (psycopg.errors.SerializationFailure("x"), OperationalError),
    ],
)
def test_a_lost_race_on_postgresql(cause: psycopg.Error, kind: type[DBAPIError]) -> None:
    assert isinstance(translated(wrapped(kind, cause)), Stale)


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        (psycopg.errors.NotNullViolation("x"), IntegrityError),
        (psycopg.errors.UndefinedTable("x"), ProgrammingError),
        (psycopg.errors.InFailedSqlTransaction("x"), InternalError),
        (psycopg.errors.NumericValueOutOfRange("x"), DBAPIError),
        (psycopg.ProgrammingError("the driver was used wrongly"), ProgrammingError),
    ],
)
def test_a_fault_of_ours_stays_what_it_is_on_postgresql(cause: psycopg.Error, kind: type[DBAPIError]) -> None:
    error = wrapped(kind, cause)
    assert translated(error) is error


@pytest.mark.parametrize(
    ("cause", "kind", "words"),
    [
        (psycopg.OperationalError("connection refused"), OperationalError, "server up"),
        (psycopg.errors.AdminShutdown("x"), OperationalError, "starting or stopping"),
        (psycopg.errors.CannotConnectNow("x"), OperationalError, "starting or stopping"),
        (psycopg.errors.TooManyConnections("x"), OperationalError, "connections"),
        (psycopg.errors.DiskFull("x"), OperationalError, "disk"),
        (psycopg.errors.LockNotAvailable("x"), OperationalError, "lock"),
        (psycopg.errors.IdleInTransactionSessionTimeout("x"), InternalError, "unfinished"),
        (psycopg.errors.ReadOnlySqlTransaction("x"), InternalError, "only reads"),
        (psycopg.errors.InsufficientPrivilege("x"), ProgrammingError, "right to make"),
        (psycopg.errors.InvalidPassword("x"), OperationalError, "password"),
        (psycopg.errors.InvalidCatalogName("x"), OperationalError, "createdb"),
        (psycopg.errors.DataCorrupted("x"), InternalError, "damage"),
    ],
)
def test_what_somebody_can_mend_is_unavailable_with_a_hint_on_postgresql(
    cause: psycopg.Error, kind: type[DBAPIError], words: str
) -> None:
    meaning = translated(wrapped(kind, cause))
    assert isinstance(meaning, Unavailable)
    assert words in meaning.hint


def test_a_broken_connection_is_unavailable_whatever_the_class() -> None:
    error = wrapped(DBAPIError, psycopg.InterfaceError("the connection is closed"), broken=True)
    assert isinstance(translated(error), Unavailable)


@pytest.mark.parametrize("error", [TimeoutError("no connection is free"), PendingRollbackError("broken")])
def test_sqlalchemy_that_cannot_go_on_is_unavailable(error: Exception) -> None:
    assert isinstance(translated(error), Unavailable)


@pytest.mark.parametrize("error", [ValueError("x"), NoResultFound("x"), LeaseLost("x"), KeyboardInterrupt()])
def test_everything_else_stays_what_it_is(error: BaseException) -> None:
    assert translated(error) is error


def test_a_write_lost_through_another_one_is_unavailable() -> None:
    assert isinstance(lost(ValueError("somebody's")), Unavailable)
    assert isinstance(lost(wrapped(IntegrityError, psycopg.errors.UniqueViolation("x"))), Stale)
    assert isinstance(lost(wrapped(ProgrammingError, psycopg.errors.UndefinedTable("x"))), Unavailable)


def test_translating_keeps_the_cause() -> None:
    error = wrapped(IntegrityError, psycopg.errors.UniqueViolation("x"))
    with pytest.raises(Stale) as caught, translating():
        raise error
    assert caught.value.__cause__ is error
    ours = wrapped(ProgrammingError, psycopg.errors.UndefinedTable("x"))
    with pytest.raises(ProgrammingError) as kept, translating():
        raise ours
    assert kept.value is ours
    assert kept.value.__cause__ is None
