"""Instances: insert, guarded change, and the questions asked of them."""

from collections.abc import Iterable
from dataclasses import replace

from sqlalchemy import Connection, Row, and_, func, insert, or_, select, update

from dcp.hosts.model import Resources
from dcp.kernel.errors import Stale
from dcp.orchestration.services.model import GateCondition, Instance, ServiceKey
from dcp.orchestration.services.states import ENDED, InstanceState, advance_instance
from dcp.store.codec import from_known_json, to_json
from dcp.store.tables import instances

_Gate = tuple[GateCondition, ...]
_IDS_AT_ONCE = 1000
"""Both databases bound the parameters of one statement (32,766 and 65,535)."""


def add(connection: Connection, new: Iterable[Instance]) -> None:
    """Insert planned instances; an id that exists raises Stale through its constraint."""
    rows = [_values(instance) for instance in new]
    if rows:
        connection.execute(insert(instances), rows)


def change(connection: Connection, before: Instance, after: Instance) -> Instance:
    """Write `after` over `before`; refused unless the table allows the step and the row is still at its version."""
    if after.state != before.state:
        advance_instance(before.state, after.state)
    stored = replace(after, id=before.id, version=before.version + 1)
    rows = connection.execute(
        update(instances)
        .where(
            and_(
                instances.c.id == before.id,
                instances.c.version == before.version,
                instances.c.state == str(before.state),
            )
        )
        .values(**_values(stored))
    ).rowcount
    if rows != 1:
        raise Stale(f"instance {before.id} was changed by somebody else meanwhile")
    return stored


def live(connection: Connection, application: str | None = None, service: str | None = None) -> tuple[Instance, ...]:
    """Return instances that have not ended, in order of creation."""
    query = select(instances).where(instances.c.ended_at.is_(None)).order_by(instances.c.created_at, instances.c.id)
    if application is not None:
        query = query.where(instances.c.application == application)
    if service is not None:
        query = query.where(instances.c.service == service)
    return tuple(_instance(row) for row in connection.execute(query))


def find(connection: Connection, instance_id: str) -> Instance | None:
    """Return one instance, ended or not."""
    row = connection.execute(select(instances).where(instances.c.id == instance_id)).one_or_none()
    return _instance(row) if row is not None else None


def failures_since(connection: Connection, application: str, since: float) -> tuple[Instance, ...]:
    """Return instances of the application that failed after `since`, oldest first."""
    query = (
        select(instances)
        .where(
            and_(
                instances.c.application == application,
                instances.c.ended_at > since,
                instances.c.state == str(InstanceState.FAILED),
            )
        )
        .order_by(instances.c.ended_at, instances.c.id)
    )
    return tuple(_instance(row) for row in connection.execute(query))


def serving_counts(connection: Connection, application: str) -> dict[str, int]:
    """Return how many instances of each service take traffic: those that the balancer has acknowledged."""
    serving = and_(instances.c.state == str(InstanceState.SERVING), instances.c.serving_at.is_not(None))
    query = (
        select(instances.c.service, func.count())
        .where(and_(instances.c.application == application, serving))
        .group_by(instances.c.service)
    )
    return {service: int(number) for service, number in connection.execute(query)}


def unended_among(connection: Connection, ids: Iterable[str]) -> frozenset[str]:
    """Return those of `ids` that the ledger knows and that have not ended."""
    asked, found = tuple(ids), set[str]()
    for start in range(0, len(asked), _IDS_AT_ONCE):
        some = instances.c.id.in_(asked[start : start + _IDS_AT_ONCE])
        found.update(connection.execute(select(instances.c.id).where(some, instances.c.ended_at.is_(None))).scalars())
    return frozenset(found)


def last_end_by_host(connection: Connection, since: float) -> dict[str, float]:
    """Return, for every host on which an instance ended after `since`, when the last one did."""
    query = (
        select(instances.c.host_id, func.max(instances.c.ended_at))
        .where(instances.c.ended_at > since)
        .group_by(instances.c.host_id)
    )
    return {host: float(at) for host, at in connection.execute(query)}


def recent(connection: Connection, since: float) -> tuple[Instance, ...]:
    """Return live instances and those that ended after `since`."""
    query = (
        select(instances)
        .where(or_(instances.c.ended_at.is_(None), instances.c.ended_at > since))
        .order_by(instances.c.created_at, instances.c.id)
    )
    return tuple(_instance(row) for row in connection.execute(query))


def services_with_live(connection: Connection) -> frozenset[ServiceKey]:
    """Return every service that still has an instance that has not ended."""
    query = select(instances.c.application, instances.c.service).where(instances.c.ended_at.is_(None)).distinct()
    return frozenset(ServiceKey(row.application, row.service) for row in connection.execute(query))


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
        "gate": to_json(_Gate, instance.gate) if instance.gate else "",
        "not_before": instance.not_before,
        "address": instance.address,
        "port": instance.port,
        "changed_at": instance.changed_at,
        "serving_at": instance.serving_at,
        "ended_at": instance.ended_at,
        "leave_reason": instance.leave_reason,
        "reason": instance.reason,
        "version": instance.version,
    }


def _instance(row: Row[tuple[object, ...]]) -> Instance:
    data = dict(row._mapping)
    resources = Resources(data.pop("cpu_millis"), data.pop("memory_bytes"))
    gate = from_known_json(_Gate, data["gate"]) if data["gate"] else ()
    return Instance(**{**data, "gate": gate, "state": InstanceState(data["state"]), "resources": resources})


def is_ended(instance: Instance) -> bool:
    """Return whether the instance holds no resources any more."""
    return instance.state in ENDED
