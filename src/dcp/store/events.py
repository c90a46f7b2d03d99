"""The event log: append, read on, and a hash over it that two runs of one seed must share.

Numbers rise in the order of commits, because an event is numbered under the writers' lock (`store.connections`): a
reader that goes on after the last number it saw never misses one, whichever controllers append. Numbers may be left
out where a write failed.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, select

from dcp.kernel.events import Event, Number
from dcp.store.bulk import insert_alike, insert_rows
from dcp.store.codec import numbers_from_json, numbers_to_json
from dcp.store.tables import events

_COLUMNS = ("at", "subject", "reason", "words", "before", "after", "numbers")
_AFTER = select(events).where(events.c.seq > bindparam("last")).order_by(events.c.seq).limit(bindparam("limit"))
_NEWEST = select(events).order_by(events.c.seq.desc()).limit(bindparam("limit"))
_NEWEST_OF_SUBJECT = _NEWEST.where(events.c.subject == bindparam("about"))
_LAST_BEFORE = select(events.c.seq).order_by(events.c.seq.desc()).offset(bindparam("keep")).limit(1)
_OLDEST = select(events.c.seq).where(events.c.seq <= bindparam("last")).order_by(events.c.seq).limit(bindparam("limit"))
_PRUNE = delete(events).where(events.c.seq.in_(_OLDEST))
_COUNT = select(func.count()).select_from(events)
_ALL_IN_PAGES = select(events).order_by(events.c.seq).execution_options(yield_per=1000)


@dataclass(frozen=True, slots=True)
class Logged:
    """An event with its place in the log and its time (seconds since the epoch)."""

    seq: int
    at: float
    event: Event


def append(connection: Connection, at: float, new: Iterable[Event]) -> None:
    """Add events in order."""
    insert_rows(connection, events, _COLUMNS, [_values(at, event) for event in new])


def append_alike(connection: Connection, at: float, like: Event, words: Mapping[str, str]) -> None:
    """Add an event for each subject, with its words and in all else as `like` is; in order."""
    same = dict(zip(_COLUMNS, _values(at, like), strict=True))
    del same["subject"], same["words"]
    told = {_storable(subject): _storable(some) for subject, some in words.items()}
    insert_alike(connection, events, ("subject", "words"), told, same)


def after(connection: Connection, seq: int, limit: int) -> tuple[Logged, ...]:
    """Return up to `limit` events after `seq`, oldest first."""
    return tuple(_logged(row) for row in connection.execute(_AFTER, {"last": seq, "limit": limit}))


def newest(connection: Connection, limit: int) -> tuple[Logged, ...]:
    """Return the last `limit` events, oldest first."""
    rows = connection.execute(_NEWEST, {"limit": limit}).all()
    return tuple(_logged(row) for row in reversed(rows))


def of_subject(connection: Connection, subject: str, limit: int) -> tuple[Logged, ...]:
    """Return the last `limit` events of one subject, oldest first."""
    rows = connection.execute(_NEWEST_OF_SUBJECT, {"about": subject, "limit": limit}).all()
    return tuple(_logged(row) for row in reversed(rows))


def last_before(connection: Connection, keep: int) -> int | None:
    """Return the number of the last event before the newest `keep`; None if there is none."""
    return connection.execute(_LAST_BEFORE, {"keep": keep}).scalar_one_or_none()


def prune(connection: Connection, last: int, limit: int) -> int:
    """Drop the oldest events up to number `last`, up to `limit`; return how many. Numbers are not given again."""
    return connection.execute(_PRUNE, {"last": last, "limit": limit}).rowcount


def count(connection: Connection) -> int:
    """Return how many events there are."""
    return int(connection.execute(_COUNT).scalar_one())


def log_hash(connection: Connection) -> str:
    """Return SHA-256 over every event in order."""
    digest = hashlib.sha256()
    for row in connection.execute(_ALL_IN_PAGES):
        digest.update(repr(tuple(row)).encode())
    return digest.hexdigest()


def _values(at: float, event: Event) -> tuple[object, ...]:
    return (
        at,
        _storable(event.subject),
        event.reason,
        _storable(event.words),
        _storable(event.before),
        _storable(event.after),
        _numbers(event.numbers) if event.numbers else "{}",
    )


def _numbers(numbers: Mapping[str, Number]) -> str:
    return numbers_to_json({name: _storable(one) if isinstance(one, str) else one for name, one in numbers.items()})


def _storable(text: str) -> str:
    """Return `text` without what PostgreSQL cannot hold (NUL) or UTF-8 cannot say; an error may have quoted it."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def _logged(row: Row[Any]) -> Logged:
    event = Event(
        subject=row.subject,
        reason=row.reason,
        words=row.words,
        before=row.before,
        after=row.after,
        numbers=numbers_from_json(row.numbers),
    )
    return Logged(seq=row.seq, at=row.at, event=event)
