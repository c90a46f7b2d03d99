"""The ledger of hosts: who has which, since when, at what price. Nothing is bought that is not written here first."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, insert, select, update

from dcp.hosts.model import Host, HostType, SourceKind
from dcp.hosts.states import ENDED, HostState, advance_host
from dcp.kernel.errors import Stale
from dcp.store import spans
from dcp.store.bulk import raise_versions
from dcp.store.codec import from_known_json, to_json
from dcp.store.keeping import Rows
from dcp.store.kept import KeptRows
from dcp.store.tables import hosts

_columns = hosts.c
_by_request = (_columns.requested_at, _columns.id)

_ADD = insert(hosts)
_CHANGE = update(hosts).where(
    _columns.id == bindparam("old_id"),
    _columns.version == bindparam("old_version"),
    _columns.state == bindparam("old_state"),
)
# Named one by one, because an index finds what is in a list and not what is missing from one.
_unended = _columns.state.in_([str(state) for state in HostState if state not in ENDED])
_EVERY = select(hosts).order_by(*_by_request)
_FIND = select(hosts).where(_columns.id == bindparam("id"))
_OF_TOKENS = select(hosts).where(_columns.token.in_(bindparam("some", expanding=True))).order_by(*_by_request)
_OF_IDS = select(hosts).where(_columns.id.in_(bindparam("some", expanding=True))).order_by(*_by_request)
_AT_ONCE = 500
"""Values in one question: databases bound how many there may be."""


def add(connection: Connection, new: Iterable[Host]) -> None:
    """Insert requested hosts; an id that exists raises Stale through its constraint."""
    added = tuple(new)
    if not added:
        return
    stamp = _KEPT.stamp(connection)
    connection.execute(_ADD, [{**_values(host), "stamp": stamp} for host in added])
    spans.follow(connection, [(None, host) for host in added])


def change(connection: Connection, before: Host, after: Host, at: float | None = None) -> Host:
    """Write `after` over `before`; refused unless the table allows the step and the row is still at its version.

    `at`: when its price or cluster changed, where its state did not; a change of state is at `changed_at`.
    """
    (stored,) = change_all(connection, [(before, after)], at)
    return stored


def claim(connection: Connection, versions: Mapping[str, int]) -> frozenset[str]:
    """Raise the version of every host that is still at the one given with its id; return those that are not.

    A plan claims each host that it puts something on, so that two plans never fill the same room.
    """
    return raise_versions(connection, hosts, versions, _KEPT.stamp(connection)) if versions else frozenset()


def change_all(
    connection: Connection, changes: Sequence[tuple[Host, Host]], at: float | None = None
) -> tuple[Host, ...]:
    """Write, of each pair, the second over the first, as `change` does; Stale if any is: then nothing may be kept.

    No host stands in two pairs.
    """
    if not changes:
        return ()
    for before, after in changes:
        if after.state != before.state:
            advance_host(before.state, after.state)
    stored = tuple(replace(after, id=before.id, version=before.version + 1) for before, after in changes)
    stamp = _KEPT.stamp(connection)
    rows = [
        {
            **_values(now),
            "stamp": stamp,
            "old_id": before.id,
            "old_version": before.version,
            "old_state": str(before.state),
        }
        for (before, _), now in zip(changes, stored, strict=True)
    ]
    if connection.execute(_CHANGE, rows).rowcount != len(rows):
        raise Stale(f"{_names(changes)} changed by somebody else meanwhile")
    spans.follow(connection, [(before, now) for (before, _), now in zip(changes, stored, strict=True)], at)
    return stored


def _names(changes: Sequence[tuple[Host, Host]]) -> str:
    return f"host {changes[0][0].id} was" if len(changes) == 1 else f"one of {len(changes)} hosts was"


def kept(connection: Connection) -> Rows[Host]:
    """Return hosts that were not given back yet, with all that is known of them; grouped by `source`."""
    return _KEPT.read(connection)


def current(connection: Connection, source: str | None = None) -> tuple[Host, ...]:
    """Return hosts that were not given back yet, in order of request."""
    rows = _KEPT.read(connection)
    return rows.all if source is None else rows.group("source", source)


def every(connection: Connection) -> tuple[Host, ...]:
    """Return the whole ledger, hosts given back included."""
    return _read(connection, _EVERY)


def find(connection: Connection, host_id: str) -> Host | None:
    """Return one host, given back or not."""
    row = connection.execute(_FIND, {"id": host_id}).one_or_none()
    return _host(row) if row is not None else None


def of_tokens(connection: Connection, tokens: Collection[str]) -> tuple[Host, ...]:
    """Return the hosts of these calls, given back or not, in order of request."""
    return _among(connection, _OF_TOKENS, tokens)


def of_ids(connection: Connection, ids: Collection[str]) -> tuple[Host, ...]:
    """Return those of these hosts that there are, given back or not."""
    return _among(connection, _OF_IDS, ids)


def _among(connection: Connection, query: Select[Any], values: Collection[str]) -> tuple[Host, ...]:
    wanted = sorted(set(values))
    parts = (wanted[first : first + _AT_ONCE] for first in range(0, len(wanted), _AT_ONCE))
    return tuple(host for part in parts for host in _read(connection, query, some=part))


def _read(connection: Connection, query: Select[Any], **values: object) -> tuple[Host, ...]:
    return tuple(_host(row) for row in connection.execute(query, values))


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
        "engine": host.engine,
        "reason": host.reason,
        "attempts": host.attempts,
        "not_before": host.not_before,
        "cluster": host.cluster,
        "variant": host.variant,
        "token": host.token,
        "leave_by": host.leave_by,
        "claimed_by": host.claimed_by,
        "cluster_since": host.cluster_since,
        "version": host.version,
    }


def _host(row: Row[Any]) -> Host:
    return Host(
        id=row.id,
        source=row.source,
        kind=SourceKind(row.kind),
        host_type=from_known_json(HostType, row.host_type),
        state=HostState(row.state),
        requested_at=row.requested_at,
        changed_at=row.changed_at,
        billed_from=row.billed_from,
        billed_until=row.billed_until,
        address=row.address,
        engine=row.engine,
        reason=row.reason,
        attempts=row.attempts,
        not_before=row.not_before,
        cluster=row.cluster,
        variant=row.variant,
        token=row.token,
        leave_by=row.leave_by,
        claimed_by=row.claimed_by,
        cluster_since=row.cluster_since,
        version=row.version,
    )


_KEPT: KeptRows[Host] = KeptRows(
    hosts,
    select(hosts).order_by(*_by_request),
    _unended,
    _host,
    current=lambda host: host.state not in ENDED,
    order=lambda host: (host.requested_at, host.id),
    groups={"source": lambda host: host.source},
)
