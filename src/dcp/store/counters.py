"""Numbers that only rise: what identifiers are made of. Taken inside the transaction that uses them."""

from sqlalchemy import Connection, and_, insert, select, update

from dcp.kernel.errors import Stale
from dcp.store.tables import counters


def peek(connection: Connection, name: str) -> int:
    """Return the last number taken; 0 if none was."""
    value = connection.execute(select(counters.c.value).where(counters.c.name == name)).scalar_one_or_none()
    return int(value or 0)


def take(connection: Connection, name: str, before: int, count: int) -> None:
    """Take `count` numbers after `before`; Stale if somebody took any meanwhile."""
    if count == 0:
        return
    if before == 0 and peek(connection, name) == 0:
        connection.execute(insert(counters).values(name=name, value=count))
        return
    rows = connection.execute(
        update(counters).where(and_(counters.c.name == name, counters.c.value == before)).values(value=before + count)
    ).rowcount
    if rows != 1:
        raise Stale(f"numbers of {name} were taken by somebody else meanwhile")
