"""Samples of traffic, one row a service and window, with the raw counters that the next window subtracts."""

from collections.abc import Mapping

from sqlalchemy import Connection, bindparam, delete, func, insert, select

from dcp.orchestration.capacity.model import Sample
from dcp.orchestration.services.model import ServiceKey
from dcp.orchestration.traffic.model import Traffic
from dcp.store.codec import from_json, to_json
from dcp.store.tables import samples

_newest_counted = (
    select(samples.c.service, func.max(samples.c.at).label("at"))
    .where(samples.c.counters.is_not(None))
    .group_by(samples.c.service)
    .subquery()
)

_ADD = insert(samples)
_LAST_COUNTERS = select(samples).join(
    _newest_counted, (samples.c.service == _newest_counted.c.service) & (samples.c.at == _newest_counted.c.at)
)
_NEWEST = (
    select(samples.c.at, samples.c.sample)
    .where(samples.c.service == bindparam("key"))
    .order_by(samples.c.at.desc())
    .limit(bindparam("limit"))
)
_OF_APPLICATION = (
    select(samples.c.service, samples.c.at, samples.c.sample)
    .where(samples.c.service > bindparam("first"), samples.c.service < bindparam("last"))
    .order_by(samples.c.at)
)
"""`0` follows `/`: all services of one application, by the index of the primary key."""
_BETWEEN = select(samples.c.sample).where(
    samples.c.service == bindparam("key"), samples.c.at > bindparam("after"), samples.c.at <= bindparam("until")
)
_PRUNE = delete(samples).where(samples.c.at < bindparam("before"))


def add(connection: Connection, at: float, rows: Mapping[ServiceKey, tuple[Sample | None, Traffic | None]]) -> None:
    """Add one window for each service; None where the metrics were missing."""
    values = [
        {
            "service": str(key),
            "at": at,
            "sample": to_json(Sample, sample) if sample else None,
            "counters": to_json(Traffic, counters) if counters else None,
        }
        for key, (sample, counters) in rows.items()
    ]
    if values:
        connection.execute(_ADD, values)


def last_counters(connection: Connection) -> dict[ServiceKey, tuple[float, Traffic]]:
    """Return, by service, when its counters were last read and what they were."""
    rows = connection.execute(_LAST_COUNTERS)
    return {ServiceKey.parse(row.service): (row.at, from_json(Traffic, row.counters)) for row in rows}


def newest(connection: Connection, key: ServiceKey, limit: int) -> tuple[tuple[float, Sample | None], ...]:
    """Return the last `limit` windows of one service as (end, sample), oldest first."""
    rows = connection.execute(_NEWEST, {"key": str(key), "limit": limit}).all()
    return tuple((row.at, from_json(Sample, row.sample) if row.sample else None) for row in reversed(rows))


def windows(connection: Connection, application: str) -> tuple[dict[str, Sample | None], ...]:
    """Return the kept windows of an application, oldest first: samples by service that ended at the same moment."""
    found: dict[float, dict[str, Sample | None]] = {}
    for row in connection.execute(_OF_APPLICATION, {"first": f"{application}/", "last": f"{application}0"}):
        sample = from_json(Sample, row.sample) if row.sample else None
        found.setdefault(row.at, {})[ServiceKey.parse(row.service).name] = sample
    return tuple(found.values())


def between(connection: Connection, key: ServiceKey, after: float, until: float) -> tuple[Sample, ...]:
    """Return the windows of a service that ended after one moment and not after another, but for the missing ones."""
    rows = connection.execute(_BETWEEN, {"key": str(key), "after": after, "until": until})
    return tuple(from_json(Sample, row.sample) for row in rows if row.sample)


def prune(connection: Connection, before: float) -> None:
    """Drop windows that ended before `before`."""
    connection.execute(_PRUNE, {"before": before})
