"""Spans of host time, opened and closed in the transaction that changes the host.

Nothing is written behind what was accrued: a change that comes late, or after the clock went back, counts from where
the accrual stands. So what was entered once never changes, and nothing is charged twice.
"""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, case, func, insert, or_, select, update

from dcp.hosts.cost import follow as decisions
from dcp.hosts.cost.model import Holding, Span, SpanState, to_ms
from dcp.hosts.model import Billing, Host
from dcp.store import counters
from dcp.store.tables import host_spans, instances

CURSOR = "cost_accrued_until_ms"

_columns = host_spans.c
_OF_HOSTS = select(host_spans).where(_columns.host_id.in_(bindparam("some", expanding=True))).order_by(_columns.number)
_AT_ONCE = 500
"""Hosts in one question: databases bound how many there may be."""
_ADD = insert(host_spans)
_CLOSE = (
    update(host_spans)
    .where(_columns.host_id == bindparam("host"), _columns.number == bindparam("last"))
    .values(until_ms=bindparam("until"))
)
_overlaps = and_(
    _columns.from_ms < bindparam("until"),
    or_(
        _columns.until_ms.is_(None),
        _columns.until_ms > bindparam("since"),
        # Owed when it began, and over at once.
        and_(_columns.from_ms >= bindparam("since"), _columns.first),
    ),
)
_WITHIN = select(host_spans).where(_overlaps).order_by(_columns.host_id, _columns.number)
_ALL_OPEN = select(host_spans).where(_columns.until_ms.is_(None)).order_by(_columns.host_id)
_COUNT = select(func.count()).where(or_(_columns.until_ms.is_(None), _columns.until_ms > bindparam("since")))
_EARLIEST = select(func.min(_columns.from_ms))
_BEGUN = select(func.count()).where(_columns.from_ms >= bindparam("since"), _columns.from_ms < bindparam("until"))
_ENDED = select(func.count()).where(_columns.until_ms >= bindparam("since"), _columns.until_ms < bindparam("until"))

_held = instances.c
_from = case((_held.created_at < bindparam("since"), bindparam("since")), else_=_held.created_at)
_until = case(
    (or_(_held.ended_at.is_(None), _held.ended_at > bindparam("until")), bindparam("until")), else_=_held.ended_at
)
_HOLDINGS = (
    select(
        _held.host_id,
        _held.application,
        _held.service,
        _from.label("held_from"),
        _until.label("held_until"),
        func.sum(_held.cpu_millis).label("cpu_millis"),
        func.sum(_held.memory_bytes).label("memory_bytes"),
    )
    .where(_held.created_at < bindparam("until"), or_(_held.ended_at.is_(None), _held.ended_at > bindparam("since")))
    .group_by("host_id", "application", "service", "held_from", "held_until")
)


def follow(connection: Connection, changes: Iterable[tuple[Host | None, Host]], at: float | None = None) -> None:
    """Close and open spans as the changes ask for; `at` is when, by default when each host entered its state."""
    looked_at = [(before, after) for before, after in changes if decisions.needs_look(before, after)]
    if not looked_at:
        return
    last = _last(connection, [after.id for _, after in looked_at])
    accrued_ms = counters.peek(connection, CURSOR)
    closed: list[dict[str, object]] = []
    opened: list[dict[str, object]] = []
    for before, after in looked_at:
        newest = last.get(after.id)
        span = newest if newest and newest.until_ms is None else None
        at_ms = max(to_ms(after.changed_at if at is None else at), accrued_ms)
        ended, begun = decisions.follow(span, before, after, at_ms, (newest.number if newest else 0) + 1)
        if ended:
            closed.append({"host": ended.host_id, "last": ended.number, "until": ended.until_ms})
        if begun:
            opened.append(asdict(begun))
    if closed:
        connection.execute(_CLOSE, closed)
    if opened:
        connection.execute(_ADD, opened)


def _last(connection: Connection, host_ids: list[str]) -> dict[str, Span]:
    """Return the newest span of each host that has any."""
    found: dict[str, Span] = {}
    for first in range(0, len(host_ids), _AT_ONCE):
        rows = connection.execute(_OF_HOSTS, {"some": host_ids[first : first + _AT_ONCE]})
        found.update((row.host_id, _span(row)) for row in rows)
    return found


def accrued_until(connection: Connection) -> int | None:
    """Return up to when costs were entered; before the first time, when the first span began. None: there is none."""
    cursor = counters.peek(connection, CURSOR)
    if cursor:
        return cursor
    earliest = connection.execute(_EARLIEST).scalar_one_or_none()
    return None if earliest is None else int(earliest)


def within(connection: Connection, since_ms: int, until_ms: int) -> tuple[Span, ...]:
    """Return spans that may cost something in [since, until)."""
    return tuple(_span(row) for row in connection.execute(_WITHIN, {"since": since_ms, "until": until_ms}))


def count(connection: Connection, since_ms: int) -> int:
    """Return how many spans go on, or ended after `since`."""
    return int(connection.execute(_COUNT, {"since": since_ms}).scalar_one())


def going_on(connection: Connection) -> tuple[Span, ...]:
    """Return spans that have not ended."""
    return tuple(_span(row) for row in connection.execute(_ALL_OPEN))


def changes(connection: Connection, since_ms: int, until_ms: int) -> tuple[int, int]:
    """Return how many spans begin and end in [since, until): as many as when they were read, or they are others."""
    period = {"since": since_ms, "until": until_ms}
    return int(connection.execute(_BEGUN, period).scalar_one()), int(connection.execute(_ENDED, period).scalar_one())


def holdings(connection: Connection, since_ms: int, until_ms: int) -> Iterable[Holding]:
    """Return what instances held of hosts in [since, until)."""
    rows = connection.execute(_HOLDINGS, {"since": since_ms / 1000, "until": until_ms / 1000})
    for host_id, application, service, begin, end, cpu_millis, memory_bytes in rows:
        yield Holding(host_id, f"{application}/{service}", to_ms(begin), to_ms(end), int(cpu_millis), int(memory_bytes))


def _span(row: Row[Any]) -> Span:
    return Span(
        host_id=row.host_id,
        number=row.number,
        cluster=row.cluster,
        source=row.source,
        billing=Billing(row.billing),
        state=SpanState(row.state),
        price_nano_usd_per_hour=row.price_nano_usd_per_hour,
        minimum_ms=row.minimum_ms,
        anchor_ms=row.anchor_ms,
        from_ms=row.from_ms,
        until_ms=row.until_ms,
        first=row.first,
        cpu_millis=row.cpu_millis,
        memory_bytes=row.memory_bytes,
    )
