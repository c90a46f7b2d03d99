"""The ledger of hosts: who has which, since when, at what price. Nothing is bought that is not written here first."""

from collections.abc import Iterable
from dataclasses import replace

from sqlalchemy import Connection, Row, and_, insert, select, update

from dcp.hosts.model import Host, HostType, SourceKind
from dcp.hosts.states import ENDED, HostState, advance_host
from dcp.kernel.errors import Stale
from dcp.store.codec import from_known_json, to_json
from dcp.store.tables import hosts


def add(connection: Connection, new: Iterable[Host]) -> None:
    """Insert requested hosts; an id that exists raises Stale through its constraint."""
    rows = [_values(host) for host in new]
    if rows:
        connection.execute(insert(hosts), rows)


def change(connection: Connection, before: Host, after: Host) -> Host:
    """Write `after` over `before`; refused unless the table allows the step and the row is still at its version."""
    if after.state != before.state:
        advance_host(before.state, after.state)
    stored = replace(after, id=before.id, version=before.version + 1)
    guard = and_(hosts.c.id == before.id, hosts.c.version == before.version, hosts.c.state == str(before.state))
    rows = connection.execute(update(hosts).where(guard).values(**_values(stored))).rowcount
    if rows != 1:
        raise Stale(f"host {before.id} was changed by somebody else meanwhile")
    return stored


def current(connection: Connection, source: str | None = None) -> tuple[Host, ...]:
    """Return hosts that were not given back yet, in order of request."""
    query = select(hosts).where(hosts.c.state.in_([str(state) for state in HostState if state not in ENDED]))
    if source is not None:
        query = query.where(hosts.c.source == source)
    return tuple(_host(row) for row in connection.execute(query.order_by(hosts.c.requested_at, hosts.c.id)))


def every(connection: Connection) -> tuple[Host, ...]:
    """Return the whole ledger, hosts given back included."""
    return tuple(_host(row) for row in connection.execute(select(hosts).order_by(hosts.c.requested_at, hosts.c.id)))


def find(connection: Connection, host_id: str) -> Host | None:
    """Return one host, given back or not."""
    row = connection.execute(select(hosts).where(hosts.c.id == host_id)).one_or_none()
    return _host(row) if row is not None else None


def out_of_stock_since(connection: Connection, since: float) -> frozenset[tuple[str, str]]:
    """Return (source, type name) of hosts that their source was out of after `since`."""
    query = select(hosts.c.source, hosts.c.host_type).where(
        and_(hosts.c.reason == "out-of-stock", hosts.c.changed_at > since)
    )
    return frozenset((row.source, from_known_json(HostType, row.host_type).name) for row in connection.execute(query))


def _values(host: Host) -> dict[str, object]:
    return {
        "id": host.id,
        "source": host.source,
        "kind": str(host.kind),
        "host_type": to_json(HostType, host.host_type),
        "state": str(host.state),
        "requested_at": host.requested_at,
        "changed_at": host.changed_at,
        "billed_from": host.billed_from,
        "billed_until": host.billed_until,
        "address": host.address,
        "reason": host.reason,
        "attempts": host.attempts,
        "not_before": host.not_before,
        "version": host.version,
    }


def _host(row: Row[tuple[object, ...]]) -> Host:
    data = dict(row._mapping)
    return Host(
        **{
            **data,
            "kind": SourceKind(data["kind"]),
            "state": HostState(data["state"]),
            "host_type": from_known_json(HostType, data["host_type"]),
        }
    )
