"""Planned surges."""

from dataclasses import replace

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from dcp.orchestration.ahead.model import PlannedSurge
from dcp.store.codec import from_known_json, to_json
from dcp.store.tables import surges

_columns = surges.c
_ALL = select(_columns.body, _columns.cancelled_at)
_OPEN = _ALL.where(_columns.ends_at > bindparam("now"), _columns.cancelled_at.is_(None)).order_by(_columns.id)
_OPEN_OF = _OPEN.where(_columns.application == bindparam("application"))
_ONE = _ALL.where(_columns.id == bindparam("id"))
_CANCEL = (
    update(surges)
    .where(_columns.id == bindparam("surge_id"), _columns.cancelled_at.is_(None))
    .values(cancelled_at=bindparam("now"))
)


def add(connection: Connection, surge: PlannedSurge) -> None:
    """Store a new surge; an id that exists raises Stale through its constraint."""
    connection.execute(
        insert(surges).values(
            id=surge.id, application=surge.application, ends_at=surge.ends_at, body=to_json(PlannedSurge, surge)
        )
    )


def find(connection: Connection, surge_id: str) -> PlannedSurge | None:
    """Return one surge, also one that is over or was cancelled."""
    row = connection.execute(_ONE, {"id": surge_id}).one_or_none()
    return _surge(row.body, row.cancelled_at) if row is not None else None


def open_now(connection: Connection, now: float, application: str | None = None) -> tuple[PlannedSurge, ...]:
    """Return what is neither over nor cancelled, of one application or of all."""
    found = (
        connection.execute(_OPEN, {"now": now})
        if application is None
        else connection.execute(_OPEN_OF, {"now": now, "application": application})
    )
    return tuple(_surge(row.body, row.cancelled_at) for row in found)


def cancel(connection: Connection, surge_id: str, now: float) -> bool:
    """Cancel a surge; return whether it was not cancelled before."""
    return connection.execute(_CANCEL, {"surge_id": surge_id, "now": now}).rowcount == 1


def forget(connection: Connection, application: str) -> None:
    """Drop what was planned for an application."""
    connection.execute(delete(surges).where(_columns.application == application))


def prune(connection: Connection, before: float) -> None:
    """Drop what was over before a moment."""
    connection.execute(delete(surges).where(_columns.ends_at < before))


def _surge(body: str, cancelled_at: float | None) -> PlannedSurge:
    surge: PlannedSurge = from_known_json(PlannedSurge, body)
    return surge if cancelled_at is None else replace(surge, cancelled_at=cancelled_at)
