"""The ledger of costs: what host time cost, by quarter of an hour, entered exactly once."""

from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, and_, bindparam, func, insert, select, update

from dcp.hosts.cost.model import BUCKET_S, Amount, Entry, to_ms, to_usd
from dcp.kernel.errors import Stale
from dcp.store import counters, spans
from dcp.store.tables import costs

_columns = costs.c
_KEY = ("at_s", "cluster", "service", "source", "billing", "state")
_SUMS = ("charged_nano_usd", "amortised_nano_usd", "host_ms")
_totals = [func.coalesce(func.sum(_columns[name]), 0).label(name) for name in _SUMS]
_period = and_(_columns.at_s >= bindparam("since"), _columns.at_s < bindparam("until"))

_FOUND = select(*(_columns[name] for name in _KEY)).where(
    _columns.at_s >= bindparam("first"), _columns.at_s <= bindparam("last")
)
_ADD = insert(costs)
_ADD_TO = (
    update(costs)
    .where(*(_columns[name] == bindparam(f"b_{name}") for name in _KEY))
    .values({name: _columns[name] + bindparam(f"b_{name}") for name in _SUMS})
)
_SPENT = select(_totals[0]).where(_columns.at_s >= bindparam("since"), _columns.cluster == bindparam("cluster"))
_SPENT_UP_TO: WeakKeyDictionary[Engine, dict[str, tuple[int, int, int]]] = WeakKeyDictionary()
"""By database and cluster: the cursor and the begin of what was last asked for, and its sum; valid for that cursor."""
_EARLIEST = select(func.min(_columns.at_s))


def enter(
    connection: Connection,
    entries: Mapping[Entry, Amount],
    since_ms: int,
    until_ms: int,
    changes: tuple[int, int],
) -> None:
    """Add the entries of [since, until) and move the cursor there, once.

    Raises Stale if that was done already, or if a span began or ended in that time after it was read (`changes`).
    """
    cursor = counters.peek(connection, spans.CURSOR)
    if cursor not in (0, since_ms) or spans.changes(connection, since_ms, until_ms) != changes:
        raise Stale("costs were entered, or hosts changed, meanwhile")
    if cursor == 0 and connection.execute(_EARLIEST).scalar_one_or_none() is not None:
        raise Stale("costs were entered by somebody else meanwhile")
    counters.take(connection, spans.CURSOR, cursor, until_ms - cursor)
    rows = {tuple(map(str, _key(entry))): (entry, amount) for entry, amount in entries.items()}
    if not rows:
        return
    span = {"first": min(entry.at_s for entry in entries), "last": max(entry.at_s for entry in entries)}
    there = {tuple(map(str, row)) for row in connection.execute(_FOUND, span)}
    new = [_values(*pair) for key, pair in rows.items() if key not in there]
    more = [{f"b_{name}": value for name, value in _values(*pair).items()} for k, pair in rows.items() if k in there]
    if new:
        connection.execute(_ADD, new)
    if more:
        connection.execute(_ADD_TO, more)


def totals(connection: Connection, by: Sequence[str], since_s: int, until_s: int) -> dict[tuple[str, ...], Amount]:
    """Return amounts of quarters that begin in [since, until), by columns `by` of cluster, service, source, ..."""
    chosen = [_columns[name] for name in by]
    query = select(*chosen, *_totals).where(_period).group_by(*chosen)
    rows = connection.execute(query, {"since": since_s, "until": until_s}).all()
    found = {
        tuple(str(value) for value in row[: len(by)]): Amount(*(int(value) for value in row[len(by) :])) for row in rows
    }
    return {key: amount for key, amount in found.items() if amount}


def earliest_s(connection: Connection) -> int | None:
    """Return the first quarter of an hour with an entry."""
    found = connection.execute(_EARLIEST).scalar_one_or_none()
    return None if found is None else int(found)


def spent_usd(connection: Connection, cluster: str, since: float) -> float:
    """Return what the hosts of a cluster were charged since `since`, up to the last accrual.

    From the quarter of an hour that `since` lies in: spent is never less than it was. Asked again before the next
    accrual it costs one small read: plans ask all the time, and a month has many entries.
    """
    bucket = to_ms(since) // 1000 // BUCKET_S * BUCKET_S
    cursor = counters.peek(connection, spans.CURSOR)
    kept = _SPENT_UP_TO.setdefault(connection.engine, {})
    found = kept.get(cluster)
    if found is None or found[:2] != (cursor, bucket):
        nano_usd = int(connection.execute(_SPENT, {"since": bucket, "cluster": cluster}).scalar_one())
        found = kept[cluster] = (cursor, bucket, nano_usd)
    return to_usd(found[2])


def _key(entry: Entry) -> tuple[Any, ...]:
    return tuple(getattr(entry, name) for name in _KEY)


def _values(entry: Entry, amount: Amount) -> dict[str, Any]:
    key = {name: str(value) if name != "at_s" else value for name, value in zip(_KEY, _key(entry), strict=True)}
    return {**key, **{name: getattr(amount, name) for name in _SUMS}}
