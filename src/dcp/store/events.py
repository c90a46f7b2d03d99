"""The event log: append, read on, and a hash over it that two runs of one seed must share.

Numbers rise in the order of commits, because an event is numbered under the writers' lock (`store.connections`): a
reader that goes on after the last number it saw never misses one, whichever controllers append. Numbers may be left
out where a write failed.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, Row, delete, func, insert, select

from dcp.kernel.events import Event
from dcp.store.codec import numbers_from_json, numbers_to_json
from dcp.store.tables import events


@dataclass(frozen=True, slots=True)
class Logged:
    """An event with its place in the log and its time (seconds since the epoch)."""

    seq: int
    at: float
    event: Event


def append(connection: Connection, at: float, new: Iterable[Event]) -> None:
    """Add events in order."""
    rows = [
        {
            "at": at,
            "subject": _storable(one.subject),
            "reason": one.reason,
            "words": _storable(one.words),
            "before": _storable(one.before),
            "after": _storable(one.after),
            "numbers": numbers_to_json(one.numbers),
        }
        for one in new
    ]
    if rows:
        connection.execute(insert(events), rows)


def after(connection: Connection, seq: int, limit: int) -> tuple[Logged, ...]:
    """Return up to `limit` events after `seq`, oldest first."""
    rows = connection.execute(select(events).where(events.c.seq > seq).order_by(events.c.seq).limit(limit))
    return tuple(_logged(row) for row in rows)


def newest(connection: Connection, limit: int) -> tuple[Logged, ...]:
    """Return the last `limit` events, oldest first."""
    rows = connection.execute(select(events).order_by(events.c.seq.desc()).limit(limit)).all()
    return tuple(_logged(row) for row in reversed(rows))


def of_subject(connection: Connection, subject: str, limit: int) -> tuple[Logged, ...]:
    """Return the last `limit` events of one subject, oldest first."""
    query = select(events).where(events.c.subject == subject).order_by(events.c.seq.desc()).limit(limit)
    return tuple(_logged(row) for row in reversed(connection.execute(query).all()))


def prune(connection: Connection, keep: int) -> int:
    """Drop all but the last `keep` events; return how many were dropped. Numbers are not given again."""
    edge = select(events.c.seq).order_by(events.c.seq.desc()).offset(keep).limit(1).scalar_subquery()
    return connection.execute(delete(events).where(events.c.seq <= edge)).rowcount


def count(connection: Connection) -> int:
    """Return how many events there are."""
    return int(connection.execute(select(func.count()).select_from(events)).scalar_one())


def log_hash(connection: Connection) -> str:
    """Return SHA-256 over every event in order."""
    digest = hashlib.sha256()
    in_pages = select(events).order_by(events.c.seq).execution_options(yield_per=1000)
    for row in connection.execute(in_pages):
        digest.update(repr(tuple(row)).encode())
    return digest.hexdigest()


def _storable(text: str) -> str:
    """Return `text` without what PostgreSQL cannot hold (NUL) or UTF-8 cannot say; an error may have quoted it."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def _logged(row: Row[tuple[object, ...]]) -> Logged:
    data = row._mapping
    event = Event(
        subject=data["subject"],
        reason=data["reason"],
        words=data["words"],
        before=data["before"],
        after=data["after"],
        numbers=numbers_from_json(data["numbers"]),
    )
    return Logged(seq=data["seq"], at=data["at"], event=event)
