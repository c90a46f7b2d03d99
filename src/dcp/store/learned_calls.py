"""Who calls whom how often, as learned: one row an application, replaced as a whole."""

from sqlalchemy import Connection, bindparam, delete, insert, select

from dcp.orchestration.capacity.calls import CallEstimate
from dcp.store.codec import from_known_json, to_json
from dcp.store.tables import learned_calls

_FIND = select(learned_calls.c.body).where(learned_calls.c.application == bindparam("application"))
_Graph = tuple[CallEstimate, ...]


def find(connection: Connection, application: str) -> tuple[CallEstimate, ...]:
    """Return what was learned of an application; nothing if that was never."""
    body = connection.execute(_FIND, {"application": application}).scalar_one_or_none()
    found: tuple[CallEstimate, ...] = from_known_json(_Graph, body) if body is not None else ()
    return found


def put(connection: Connection, application: str, at: float, found: tuple[CallEstimate, ...]) -> None:
    """Replace what was learned of an application."""
    forget(connection, application)
    connection.execute(insert(learned_calls).values(application=application, at=at, body=to_json(_Graph, found)))


def forget(connection: Connection, application: str) -> None:
    """Drop what was learned of an application."""
    connection.execute(delete(learned_calls).where(learned_calls.c.application == application))
