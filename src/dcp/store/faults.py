"""What an error of the database means for the caller, in the tree of `dcp.kernel.errors`.

Decided by the database's own codes, because class names and messages differ between drivers and versions. Only what
somebody outside can mend becomes Unavailable, and only a lost race becomes Stale; every other error is a fault of our
own code and stays as it is, so that nobody retries it for ever.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, OperationalError, PendingRollbackError, SQLAlchemyError, TimeoutError

from dcp.kernel.errors import DcpError, Stale, Unavailable

_SQLITE_RACES = frozenset(
    {sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_ROWID}
)
_SQLITE_HINTS = {
    sqlite3.SQLITE_BUSY: "another process is writing to this file: stop it, or wait until it has finished",
    sqlite3.SQLITE_LOCKED: "another process is writing to this file: stop it, or wait until it has finished",
    sqlite3.SQLITE_FULL: "free some space on its disk",
    sqlite3.SQLITE_READONLY: "this user needs the right to write the file and its directory",
    sqlite3.SQLITE_PERM: "this user needs the right to write the file and its directory",
    sqlite3.SQLITE_CANTOPEN: "its directory must exist and this user must be able to write there",
    sqlite3.SQLITE_IOERR: "look at the health and the free space of its disk",
    sqlite3.SQLITE_NOMEM: "the machine is out of memory",
    sqlite3.SQLITE_CORRUPT: "the file is damaged: restore it from a backup, or begin with a new one",
    sqlite3.SQLITE_NOTADB: "this file is something else: name another one",
    sqlite3.SQLITE_PROTOCOL: "its file system must support locks and shared memory, which network ones often do not",
}

# SQLSTATE codes of PostgreSQL (its manual, appendix A).
_POSTGRESQL_RACES = frozenset({"23505", "23P01", "40001", "40P01"})
_POSTGRESQL_HINTS = {
    "08": "is the server up, and can it be reached from here?",
    "25P03": "the server ended a write that this controller had left unfinished for too long",
    "25006": "this server only reads now: name the one that writes",
    "28": "look at the user and the password in the database URL",
    "3D000": "make the database first: createdb NAME",
    "42501": "give the user of the database URL the right to make and change tables",
    "53": "the server is out of disk, memory or connections",
    "55P03": "another controller or session holds the writers' lock for very long",
    "57": "the server is starting or stopping, or somebody ended our session there",
    "58": "look at the health of the server's disk",
    "XX": "the server reports damage: look at its log",
}
_AWAY_HINT = "is the server up, and can it be reached from here?"


def translated(error: BaseException) -> BaseException:
    """Return what to raise for `error`: Stale, Unavailable, or itself where it is a fault of our code."""
    if isinstance(error, TimeoutError | PendingRollbackError):
        return _caused(Unavailable(f"the database failed: {error}", hint=_AWAY_HINT), error)
    if not isinstance(error, DBAPIError):
        return error
    meaning = _of_sqlite(error.orig) if isinstance(error.orig, sqlite3.Error) else _of_postgresql(error)
    return _caused(meaning, error) if meaning is not None else error


@contextmanager
def translating() -> Iterator[None]:
    """Raise what `translated` says for errors of the database inside."""
    try:
        yield
    except SQLAlchemyError as error:
        meaning = translated(error)
        if meaning is error:
            raise
        raise meaning from error


def lost(error: Exception) -> BaseException:
    """Return what to raise for a write whose whole transaction was lost through `error`, whoever caused it."""
    meaning = translated(error)
    if isinstance(meaning, DcpError):
        return meaning
    return _caused(Unavailable(f"the write was not committed: {error}"), error)


def _of_sqlite(error: sqlite3.Error) -> DcpError | None:
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # raised by Python's module, not by SQLite
        return None
    if code in _SQLITE_RACES:
        return Stale(f"another writer was first: {error}")
    hint = _SQLITE_HINTS.get(code & 0xFF)
    return Unavailable(f"the database failed: {error}", hint=hint) if hint else None


def _of_postgresql(error: DBAPIError) -> DcpError | None:
    code = getattr(error.orig, "sqlstate", None) or ""
    if code in _POSTGRESQL_RACES:
        return Stale(f"another writer was first: {_first_line(error)}")
    hint = _POSTGRESQL_HINTS.get(code) or _POSTGRESQL_HINTS.get(code[:2])
    if hint is None and (error.connection_invalidated or (not code and isinstance(error, OperationalError))):
        hint = _AWAY_HINT
    return Unavailable(f"the database failed: {_first_line(error)}", hint=hint) if hint else None


def _first_line(error: DBAPIError) -> str:
    return str(error.orig).partition("\n")[0]


def _caused(meaning: DcpError, cause: BaseException) -> DcpError:
    meaning.__cause__ = cause
    return meaning
