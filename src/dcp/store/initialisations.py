"""How far the initialisation of each bare host is, and the logs of tries that failed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, exists, insert, select, update

from dcp.hosts.initialising import LOG_BYTES, Initialisation, InitialisationState
from dcp.hosts.states import HostState
from dcp.hosts.view import InitLook
from dcp.kernel.errors import Stale
from dcp.store.tables import hosts, initialisation_logs, initialisations

_columns = initialisations.c
_logs = initialisation_logs.c
_ADD = insert(initialisations)
_CHANGE = update(initialisations).where(
    _columns.host_id == bindparam("old_id"),
    _columns.version == bindparam("old_version"),
    _columns.state == bindparam("old_state"),
)
_ALL = select(initialisations).order_by(_columns.host_id)
_FORGET = delete(initialisations).where(
    ~exists().where(hosts.c.id == _columns.host_id, hosts.c.state == str(HostState.INITIALISING))
)
_DROP_LOG = delete(initialisation_logs).where(
    _logs.host_id == bindparam("b_host_id"), _logs.attempt == bindparam("b_attempt")
)
_ADD_LOG = insert(initialisation_logs)
_LOGS = select(initialisation_logs).where(_logs.host_id == bindparam("host_id")).order_by(_logs.attempt)
_EXPIRE_LOGS = delete(initialisation_logs).where(_logs.at < bindparam("before"))


@dataclass(frozen=True, slots=True)
class InitLog:
    """The end of what was said in one try that failed."""

    host_id: str
    attempt: int
    at: float
    words: str
    text: str


def add(connection: Connection, new: Iterable[Initialisation]) -> None:
    """Insert rows; a host that has one raises Stale through its constraint."""
    if rows := [_values(one) for one in new]:
        connection.execute(_ADD, rows)


def change(connection: Connection, before: Initialisation, after: Initialisation) -> Initialisation:
    """Write `after` over `before`. Raises Stale if the row is no longer at its version."""
    stored = replace(after, host_id=before.host_id, version=before.version + 1)
    guard = {"old_id": before.host_id, "old_version": before.version, "old_state": str(before.state)}
    if connection.execute(_CHANGE, {**_values(stored), **guard}).rowcount != 1:
        raise Stale(f"initialisation of {before.host_id} was changed by somebody else meanwhile")
    return stored


def rows(connection: Connection) -> Mapping[str, Initialisation]:
    """Return every row, by host."""
    return {row.host_id: _row(row) for row in connection.execute(_ALL)}


def looks(connection: Connection) -> Mapping[str, InitLook]:
    """Return how far each host is, as the worker of its source sees it."""
    return {host_id: row.look for host_id, row in rows(connection).items()}


def forget(connection: Connection, logs_before: float) -> None:
    """Drop the rows of hosts that are ready or given up, and logs of tries before that time."""
    connection.execute(_FORGET)
    connection.execute(_EXPIRE_LOGS, {"before": logs_before})


def keep_log(connection: Connection, log: InitLog) -> None:
    """Write the end of a log over an older one of the same try."""
    connection.execute(_DROP_LOG, {"b_host_id": log.host_id, "b_attempt": log.attempt})
    end = log.text.replace("\0", "").encode()[-LOG_BYTES:].decode(errors="ignore")
    values = {"host_id": log.host_id, "attempt": log.attempt, "at": log.at, "words": log.words, "text": end}
    connection.execute(_ADD_LOG, values)


def logs(connection: Connection, host_id: str) -> tuple[InitLog, ...]:
    """Return the logs of a host's tries that failed, in order; also of one that was given back since."""
    return tuple(
        InitLog(row.host_id, row.attempt, row.at, row.words, row.text)
        for row in connection.execute(_LOGS, {"host_id": host_id})
    )


def _values(one: Initialisation) -> dict[str, object]:
    return {
        "host_id": one.host_id,
        "state": str(one.state),
        "since": one.since,
        "phase": one.phase,
        "attempts": one.attempts,
        "not_before": one.not_before,
        "words": one.words,
        "version": one.version,
    }


def _row(row: Row[Any]) -> Initialisation:
    return Initialisation(**{**row._asdict(), "state": InitialisationState(row.state)})
