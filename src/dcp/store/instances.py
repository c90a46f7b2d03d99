"""Instances: insert, guarded change, and the questions asked of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, func, or_, select, update

from dcp.hosts.model import Resources
from dcp.kernel.errors import Stale
from dcp.orchestration.services.model import GateCondition, Instance, ServiceKey
from dcp.orchestration.services.states import InstanceState, advance_instance
from dcp.store.bulk import insert_alike, insert_rows
from dcp.store.codec import from_known_json, to_json
from dcp.store.keeping import Rows
from dcp.store.kept import KeptRows
from dcp.store.tables import instances

_Gate = tuple[GateCondition, ...]
_IDS_AT_ONCE = 1000
"""Both databases bound the parameters of one statement (32,766 and 65,535)."""

_columns = instances.c
_unended = _columns.ended_at.is_(None)
_of_application = _columns.application == bindparam("application")
_ended_since = _columns.ended_at > bindparam("since")
_by_creation = (_columns.created_at, _columns.id)

_CHANGE = update(instances).where(
    _columns.id == bindparam("old_id"),
    _columns.version == bindparam("old_version"),
    _columns.state == bindparam("old_state"),
)
_FIND = select(instances).where(_columns.id == bindparam("id"))
_FAILURES = (
    select(instances)
    .where(_of_application, _ended_since, _columns.state == str(InstanceState.FAILED))
    .order_by(_columns.ended_at, _columns.id)
)
_GAVE_WAY = select(instances).where(_ended_since, _columns.leave_reason == "preempted").order_by(*_by_creation)
_FAILED_PLACES = select(_columns.host_id, _columns.application, _columns.service).where(
    _ended_since, _columns.state == str(InstanceState.FAILED)
)
_SERVING = (
    select(_columns.service, func.count().label("number"))
    .where(_of_application, _columns.state == str(InstanceState.SERVING), _columns.serving_at.is_not(None))
    .group_by(_columns.service)
)
_UNENDED_AMONG = select(_columns.id).where(_columns.id.in_(bindparam("ids", expanding=True)), _unended)
_VERSIONS_AMONG = select(_columns.id, _columns.version).where(_columns.id.in_(bindparam("ids", expanding=True)))
_LAST_ENDS = (
    select(_columns.host_id, func.max(_columns.ended_at).label("at"))
    .where(_columns.host_id.in_(bindparam("ids", expanding=True)), _ended_since)
    .group_by(_columns.host_id)
)
_RECENT = select(instances).where(or_(_unended, _ended_since)).order_by(*_by_creation)
_SERVICES = select(_columns.application, _columns.service).where(_unended).distinct()


def add(connection: Connection, new: Iterable[Instance]) -> None:
    """Insert planned instances; an id that exists raises Stale through its constraint."""
    added = tuple(new)
    if added:
        stamp = _KEPT.stamp(connection)
        rows = [{**_values(instance), "stamp": stamp} for instance in added]
        insert_rows(connection, instances, tuple(rows[0]), [tuple(row.values()) for row in rows])


def add_alike(connection: Connection, like: Instance, host_ids: Mapping[str, str]) -> None:
    """Insert an instance for each key of `host_ids`, on the host that is its value and in all else as `like` is."""
    same = {**_values(like), "stamp": _KEPT.stamp(connection)}
    del same["id"], same["host_id"]
    insert_alike(connection, instances, ("id", "host_id"), host_ids, same)


def change(connection: Connection, before: Instance, after: Instance) -> Instance:
    """Write `after` over `before`; refused unless the table allows the step and the row is still at its version."""
    (stored,) = change_all(connection, [(before, after)])
    return stored


def change_all(connection: Connection, changes: Sequence[tuple[Instance, Instance]]) -> tuple[Instance, ...]:
    """Write, of each pair, the second over the first, as `change` does; Stale if any is: then nothing may be kept.

    No instance stands in two pairs.
    """
    if not changes:
        return ()
    for before, after in changes:
        if after.state != before.state:
            advance_instance(before.state, after.state)
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
    return stored


def _names(changes: Sequence[tuple[Instance, Instance]]) -> str:
    return f"instance {changes[0][0].id} was" if len(changes) == 1 else f"one of {len(changes)} instances was"


def kept(connection: Connection) -> Rows[Instance]:
    """Return instances that have not ended; grouped by `application`, `service` (with its application) and `host`."""
    return _KEPT.read(connection)


def live(connection: Connection, application: str | None = None, service: str | None = None) -> tuple[Instance, ...]:
    """Return instances that have not ended, in order of creation; of one application, or of one of its services."""
    rows = _KEPT.read(connection)
    if application is None:
        return rows.all
    if service is None:
        return rows.group("application", application)
    return rows.group("service", (application, service))


def find(connection: Connection, instance_id: str) -> Instance | None:
    """Return one instance, ended or not."""
    row = connection.execute(_FIND, {"id": instance_id}).one_or_none()
    return _instance(row) if row is not None else None


def failures_since(connection: Connection, application: str, since: float) -> tuple[Instance, ...]:
    """Return instances of the application that failed after `since`, oldest first."""
    return _read(connection, _FAILURES, application=application, since=since)


def gave_way_since(connection: Connection, since: float) -> tuple[Instance, ...]:
    """Return instances that ended after `since` because others got their places."""
    return _read(connection, _GAVE_WAY, since=since)


def failed_places(connection: Connection, since: float) -> tuple[tuple[str, ServiceKey], ...]:
    """Return host and service of every instance that failed after `since`."""
    rows = connection.execute(_FAILED_PLACES, {"since": since})
    return tuple((row.host_id, ServiceKey(row.application, row.service)) for row in rows)


def serving_counts(connection: Connection, application: str) -> dict[str, int]:
    """Return how many instances of each service take traffic: those that the balancer has acknowledged."""
    return {row.service: int(row.number) for row in connection.execute(_SERVING, {"application": application})}


def versions_of(connection: Connection, ids: Iterable[str]) -> dict[str, int]:
    """Return the version of each of `ids` that there is."""
    asked, found = tuple(ids), dict[str, int]()
    for start in range(0, len(asked), _IDS_AT_ONCE):
        rows = connection.execute(_VERSIONS_AMONG, {"ids": asked[start : start + _IDS_AT_ONCE]})
        found.update((row.id, row.version) for row in rows)
    return found


def unended_among(connection: Connection, ids: Iterable[str]) -> frozenset[str]:
    """Return those of `ids` that the ledger knows and that have not ended."""
    asked, found = tuple(ids), set[str]()
    for start in range(0, len(asked), _IDS_AT_ONCE):
        some = asked[start : start + _IDS_AT_ONCE]
        found.update(connection.execute(_UNENDED_AMONG, {"ids": some}).scalars())
    return frozenset(found)


def last_end_by_host(connection: Connection, since: float, host_ids: Iterable[str]) -> dict[str, float]:
    """Return, for each of these hosts on which an instance ended after `since`, when the last one did."""
    asked, found = tuple(host_ids), dict[str, float]()
    for start in range(0, len(asked), _IDS_AT_ONCE):
        some = {"since": since, "ids": asked[start : start + _IDS_AT_ONCE]}
        found.update((row.host_id, float(row.at)) for row in connection.execute(_LAST_ENDS, some))
    return found


def recent(connection: Connection, since: float) -> tuple[Instance, ...]:
    """Return live instances and those that ended after `since`."""
    return _read(connection, _RECENT, since=since)


def services_with_live(connection: Connection) -> frozenset[ServiceKey]:
    """Return every service that still has an instance that has not ended."""
    return frozenset(ServiceKey(row.application, row.service) for row in connection.execute(_SERVICES))


def _read(connection: Connection, query: Select[Any], **values: object) -> tuple[Instance, ...]:
    return tuple(_instance(row) for row in connection.execute(query, values))


def _values(instance: Instance) -> dict[str, object]:
    return {
        "id": instance.id,
        "application": instance.application,
        "service": instance.service,
        "host_id": instance.host_id,
        "spec_revision": instance.spec_revision,
        "state": str(instance.state),
        "plan_id": instance.plan_id,
        "created_at": instance.created_at,
        "cpu_millis": instance.resources.cpu_millis,
        "memory_bytes": instance.resources.memory_bytes,
        "gate": _gate_text(instance.gate) if instance.gate else "",
        "not_before": instance.not_before,
        "address": instance.address,
        "port": instance.port,
        "changed_at": instance.changed_at,
        "serving_at": instance.serving_at,
        "ended_at": instance.ended_at,
        "replaces": instance.replaces,
        "leave_reason": instance.leave_reason,
        "reason": instance.reason,
        "holds": _holds_text(instance),
        "version": instance.version,
    }


@dataclass(frozen=True, slots=True)
class _Holds:
    """What an instance has of its host beside processor and memory, and who gets it next; none: the column is empty."""

    disk_bytes: int = 0
    extra: tuple[tuple[str, int], ...] = ()
    traits: tuple[str, ...] = ()
    place_for: str = ""


_NOTHING_MORE = _Holds()


def _holds_text(instance: Instance) -> str:
    own = instance.resources
    if not (own.disk_bytes or own.extra or instance.traits or instance.place_for):
        return ""
    return to_json(_Holds, _Holds(own.disk_bytes, own.extra, instance.traits, instance.place_for))


@lru_cache(maxsize=1024)
def _gate_text(gate: _Gate) -> str:
    return to_json(_Gate, gate)


def _instance(row: Row[Any]) -> Instance:
    holds = from_known_json(_Holds, row.holds) if row.holds else _NOTHING_MORE
    return Instance(
        id=row.id,
        application=row.application,
        service=row.service,
        host_id=row.host_id,
        spec_revision=row.spec_revision,
        state=InstanceState(row.state),
        plan_id=row.plan_id,
        created_at=row.created_at,
        resources=Resources(row.cpu_millis, row.memory_bytes, holds.disk_bytes, holds.extra),
        gate=from_known_json(_Gate, row.gate) if row.gate else (),
        not_before=row.not_before,
        address=row.address,
        port=row.port,
        changed_at=row.changed_at,
        serving_at=row.serving_at,
        ended_at=row.ended_at,
        replaces=row.replaces,
        leave_reason=row.leave_reason,
        reason=row.reason,
        traits=holds.traits,
        place_for=holds.place_for,
        version=row.version,
    )


_KEPT: KeptRows[Instance] = KeptRows(
    instances,
    select(instances).order_by(*_by_creation),
    _unended,
    _instance,
    current=lambda instance: instance.ended_at is None,
    order=lambda instance: (instance.created_at, instance.id),
    groups={
        "application": lambda instance: instance.application,
        "service": lambda instance: (instance.application, instance.service),
        "host": lambda instance: instance.host_id,
    },
)
