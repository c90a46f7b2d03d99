"""Samples of traffic, one row a service and window, with the raw counters that the next window subtracts."""

from collections.abc import Mapping

from sqlalchemy import Connection, delete, func, insert, select

from dcp.orchestration.capacity.model import Sample
from dcp.orchestration.services.model import ServiceKey
from dcp.orchestration.traffic.model import Traffic
from dcp.store.codec import from_json, to_json
from dcp.store.tables import samples


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
        connection.execute(insert(samples), values)


def last_counters(connection: Connection) -> dict[ServiceKey, tuple[float, Traffic]]:
    """Return, by service, when its counters were last read and what they were."""
    newest = (
        select(samples.c.service, func.max(samples.c.at).label("at"))
        .where(samples.c.counters.is_not(None))
        .group_by(samples.c.service)
        .subquery()
    )
    query = select(samples).join(newest, (samples.c.service == newest.c.service) & (samples.c.at == newest.c.at))
    return {
        ServiceKey.parse(row.service): (row.at, from_json(Traffic, row.counters)) for row in connection.execute(query)
    }


def newest(connection: Connection, key: ServiceKey, limit: int) -> tuple[tuple[float, Sample | None], ...]:
    """Return the last `limit` windows of one service as (end, sample), oldest first."""
    query = (
        select(samples.c.at, samples.c.sample)
        .where(samples.c.service == str(key))
        .order_by(samples.c.at.desc())
        .limit(limit)
    )
    rows = connection.execute(query).all()
    return tuple((row.at, from_json(Sample, row.sample) if row.sample else None) for row in reversed(rows))


def prune(connection: Connection, before: float) -> None:
    """Drop windows that ended before `before`."""
    connection.execute(delete(samples).where(samples.c.at < before))
