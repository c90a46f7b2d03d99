"""What is published to clients of discovery: entries of every service, and the index that they wait on."""

from dataclasses import replace

from sqlalchemy import Connection, delete, func, insert, select, update

from dcp.kernel.errors import NotFound
from dcp.orchestration.discovery.model import Entry, Published, PublishedChange
from dcp.orchestration.services.model import ServiceKey
from dcp.store import counters
from dcp.store.tables import published, published_entries

INDEX = "published"
"""The counter of the index."""


def index(connection: Connection) -> int:
    """Return the index of the last change; it survives restarts and never goes back. 0: nothing was ever published."""
    return counters.peek(connection, INDEX)


def every(connection: Connection) -> tuple[Published, ...]:
    """Return what is published of every service, by name."""
    entries: dict[str, list[Entry]] = {}
    for row in connection.execute(select(published_entries).order_by(published_entries.c.instance_id)):
        entries.setdefault(row.service, []).append(Entry(row.instance_id, row.address, row.port, row.site))
    return tuple(
        Published(
            service=ServiceKey.parse(row.service),
            entries=tuple(entries.get(row.service, ())),
            index=row.modify_index,
            last_cut_at=row.last_cut_at,
            allow_all=row.allow_all,
            zombies=row.zombies,
        )
        for row in connection.execute(select(published).order_by(published.c.service))
    )


def zombies(connection: Connection) -> int:
    """Return how many zombies were ever removed."""
    return int(connection.execute(select(func.coalesce(func.sum(published.c.zombies), 0))).scalar_one())


def instances(connection: Connection, service: ServiceKey) -> frozenset[str]:
    """Return the instances of a service that clients can see."""
    query = select(published_entries.c.instance_id).where(published_entries.c.service == str(service))
    return frozenset(connection.execute(query).scalars())


def last_cut_at(connection: Connection, service: ServiceKey) -> float:
    """Return when entries of a service were last taken away, in seconds since the epoch; 0: never."""
    query = select(published.c.last_cut_at).where(published.c.service == str(service))
    return float(connection.execute(query).scalar_one_or_none() or 0.0)


def change(connection: Connection, before: Published, decided: PublishedChange, now: float) -> Published:
    """Write what was decided, with a new index if clients can see a difference."""
    differs = bool(decided.added or decided.cut)
    after = replace(
        before,
        entries=decided.entries,
        index=_next_index(connection) if differs or not before.index else before.index,
        last_cut_at=now if decided.cut else before.last_cut_at,
        allow_all=before.allow_all and not decided.cut,
        zombies=before.zombies + len(decided.zombies),
    )
    _put(connection, after)
    key = str(before.service)
    if decided.cut:
        gone = [entry.instance_id for entry in decided.cut]
        of_service = published_entries.c.service == key
        connection.execute(delete(published_entries).where(of_service, published_entries.c.instance_id.in_(gone)))
    if decided.added:
        rows = [
            {"service": key, "instance_id": e.instance_id, "address": e.address, "port": e.port, "site": e.site}
            for e in decided.added
        ]
        connection.execute(insert(published_entries), rows)
    return after


def forget(connection: Connection, service: ServiceKey) -> None:
    """Drop a service that is no more and has no entry left."""
    _next_index(connection)
    connection.execute(delete(published).where(published.c.service == str(service)))


def allow_all(connection: Connection, service: ServiceKey) -> None:
    """Let the next step cut as much as it likes. Raises NotFound for a service that is not published."""
    changed = connection.execute(update(published).where(published.c.service == str(service)).values(allow_all=True))
    if changed.rowcount != 1:
        raise NotFound(f"{service} is not published", hint="see `dcp discovery`")


def _next_index(connection: Connection) -> int:
    last = counters.peek(connection, INDEX)
    counters.take(connection, INDEX, last, 1)
    return last + 1


def _put(connection: Connection, after: Published) -> None:
    values = {
        "modify_index": after.index,
        "last_cut_at": after.last_cut_at,
        "allow_all": after.allow_all,
        "zombies": after.zombies,
    }
    key = str(after.service)
    if connection.execute(update(published).where(published.c.service == key).values(**values)).rowcount != 1:
        connection.execute(insert(published).values(service=key, **values))
