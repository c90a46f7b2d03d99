"""Numbers that only rise: what identifiers are made of. Taken inside the transaction that uses them."""

from sqlalchemy import Connection, bindparam, insert, select, text, update

from dcp.kernel.errors import Stale
from dcp.store.tables import counters

_PEEK = select(counters.c.value).where(counters.c.name == bindparam("counter"))
_ADVANCE = text(
    "INSERT INTO counters (name, value) VALUES (:counter, :count)"
    " ON CONFLICT (name) DO UPDATE SET value = counters.value + excluded.value RETURNING value"
)
_TAKE = update(counters).where(counters.c.name == bindparam("counter"), counters.c.value == bindparam("before"))


def peek(connection: Connection, name: str) -> int:
    """Return the last number taken; 0 if none was."""
    value = connection.execute(_PEEK, {"counter": name}).scalar_one_or_none()
    return int(value or 0)


def take(connection: Connection, name: str, before: int, count: int) -> None:
    """Take `count` numbers after `before`; Stale if somebody took any meanwhile."""
    if count == 0:
        return
    if before == 0 and peek(connection, name) == 0:
        connection.execute(insert(counters).values(name=name, value=count))
        return
    if connection.execute(_TAKE, {"counter": name, "before": before, "value": before + count}).rowcount != 1:
        raise Stale(f"numbers of {name} were taken by somebody else meanwhile")


def advance(connection: Connection, name: str, count: int) -> int:
    """Take `count` numbers, whoever took some before; return the last one that was taken before them."""
    if count == 0:
        return peek(connection, name)
    return int(connection.execute(_ADVANCE, {"counter": name, "count": count}).scalar_one()) - count
