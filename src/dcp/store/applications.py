"""Applications, their revisions, and per service the listen port, the target and what scaling remembers."""

from dataclasses import dataclass

from sqlalchemy import Connection, and_, bindparam, delete, insert, select, update

from dcp.kernel.errors import Stale
from dcp.orchestration.scaling.model import ScalingState, TargetDecision
from dcp.orchestration.services.model import ApplicationSpec, ServiceKey
from dcp.store.codec import from_json, from_known_json, to_json
from dcp.store.tables import applications, revisions, samples, services

_NAMES = select(applications.c.name).order_by(applications.c.name)
_FIND = (
    select(applications, revisions.c.spec)
    .join(
        revisions,
        and_(revisions.c.application == applications.c.name, revisions.c.revision == applications.c.revision),
    )
    .where(applications.c.name == bindparam("name"))
)
_SPEC_AT = select(revisions.c.spec).where(
    revisions.c.application == bindparam("application"), revisions.c.revision == bindparam("revision")
)
_SERVICES = select(services).order_by(services.c.key)
_SERVICES_OF_APPLICATION = _SERVICES.where(services.c.application == bindparam("application"))
_DECIDE = update(services).where(services.c.key == bindparam("old_key"), services.c.version == bindparam("old_version"))


@dataclass(frozen=True, slots=True)
class Application:
    """An application as it is wanted now."""

    name: str
    revision: int
    removing: bool
    applied_at: float
    version: int
    spec: ApplicationSpec
    frozen: str = ""
    """Why a person froze its targets; empty: it scales."""


@dataclass(frozen=True, slots=True)
class ServiceRow:
    """What is kept of one service beside its specification."""

    key: ServiceKey
    listen_port: int
    scaling: ScalingState
    decision: TargetDecision | None
    unplaced: int
    """Instances of the target that fit on no host that there is or could be; gates do not wait for them."""
    version: int

    @property
    def attainable(self) -> int:
        """How many instances can be had now."""
        return max(0, self.scaling.target - self.unplaced)


def names(connection: Connection) -> tuple[str, ...]:
    """Return every application's name, sorted; those being removed too."""
    return tuple(connection.execute(_NAMES).scalars())


def find(connection: Connection, name: str) -> Application | None:
    """Return the application with its newest specification."""
    row = connection.execute(_FIND, {"name": name}).one_or_none()
    if row is None:
        return None
    spec = from_known_json(ApplicationSpec, row.spec)
    return Application(row.name, row.revision, row.removing, row.applied_at, row.version, spec, row.frozen)


def every_spec(connection: Connection) -> tuple[ApplicationSpec, ...]:
    """Return the newest specification of every application, those being removed too."""
    found = (find(connection, name) for name in names(connection))
    return tuple(one.spec for one in found if one is not None)


def spec_at(connection: Connection, name: str, revision: int) -> ApplicationSpec:
    """Return the specification of one revision; an instance runs what it was planned with."""
    text = connection.execute(_SPEC_AT, {"application": name, "revision": revision}).scalar_one()
    spec: ApplicationSpec = from_known_json(ApplicationSpec, text)
    return spec


def recent_specs(connection: Connection, earlier: int) -> tuple[tuple[str, int, ApplicationSpec], ...]:
    """Return (application, revision, specification) of every current revision and the `earlier` ones before each."""
    query = (
        select(revisions)
        .join(applications, applications.c.name == revisions.c.application)
        .where(revisions.c.revision >= applications.c.revision - earlier)
        .order_by(revisions.c.application, revisions.c.revision)
    )
    rows = connection.execute(query)
    return tuple((row.application, row.revision, from_known_json(ApplicationSpec, row.spec)) for row in rows)


def put(connection: Connection, spec: ApplicationSpec, before: Application | None, now: float) -> int:
    """Store a new revision; guarded by the version of `before`. Return the revision."""
    revision = before.revision + 1 if before else 1
    if before is None:
        connection.execute(
            insert(applications).values(
                name=spec.name, revision=revision, removing=False, applied_at=now, frozen="", version=1
            )
        )
    else:
        _changed_one(
            connection.execute(
                update(applications)
                .where(and_(applications.c.name == spec.name, applications.c.version == before.version))
                .values(revision=revision, removing=False, applied_at=now, version=before.version + 1)
            ).rowcount,
            f"application {spec.name}",
        )
    connection.execute(
        insert(revisions).values(application=spec.name, revision=revision, spec=to_json(ApplicationSpec, spec))
    )
    return revision


def mark_removing(connection: Connection, application: Application) -> None:
    """From now on every service of it has target 0; `forget` follows when all is gone."""
    _changed_one(
        connection.execute(
            update(applications)
            .where(and_(applications.c.name == application.name, applications.c.version == application.version))
            .values(removing=True, version=application.version + 1)
        ).rowcount,
        f"application {application.name}",
    )


def freeze(connection: Connection, application: Application, why: str) -> None:
    """Keep its targets as they are for a reason, or with an empty one let them move again."""
    _changed_one(
        connection.execute(
            update(applications)
            .where(and_(applications.c.name == application.name, applications.c.version == application.version))
            .values(frozen=why, version=application.version + 1)
        ).rowcount,
        f"application {application.name}",
    )


def forget(connection: Connection, name: str) -> None:
    """Drop an application whose last instance is gone; its events and ended instances stay."""
    keys = select(services.c.key).where(services.c.application == name)
    connection.execute(delete(samples).where(samples.c.service.in_(keys)))
    connection.execute(delete(services).where(services.c.application == name))
    connection.execute(delete(revisions).where(revisions.c.application == name))
    connection.execute(delete(applications).where(applications.c.name == name))


def service_rows(connection: Connection, application: str | None = None) -> tuple[ServiceRow, ...]:
    """Return the services of one application, or of all, sorted by key."""
    if application is None:
        rows = connection.execute(_SERVICES)
    else:
        rows = connection.execute(_SERVICES_OF_APPLICATION, {"application": application})
    return tuple(
        ServiceRow(
            key=ServiceKey(row.application, row.name),
            listen_port=row.listen_port,
            scaling=from_json(ScalingState, row.scaling),
            decision=from_json(TargetDecision, row.decision) if row.decision else None,
            unplaced=row.unplaced,
            version=row.version,
        )
        for row in rows
    )


def add_service(connection: Connection, key: ServiceKey, listen_port: int, scaling: ScalingState) -> None:
    """Add a service; a listen port that another one has raises Stale through its constraint."""
    connection.execute(
        insert(services).values(
            key=str(key),
            application=key.application,
            name=key.name,
            listen_port=listen_port,
            scaling=to_json(ScalingState, scaling),
            decision="",
            unplaced=0,
            version=1,
        )
    )


def move_service(connection: Connection, key: ServiceKey, listen_port: int) -> None:
    """Give a service another listen port."""
    connection.execute(update(services).where(services.c.key == str(key)).values(listen_port=listen_port))


def drop_service(connection: Connection, key: ServiceKey) -> None:
    """Drop a service that is in no specification any more and has no instance."""
    connection.execute(delete(samples).where(samples.c.service == str(key)))
    connection.execute(delete(services).where(services.c.key == str(key)))


def decide_service(connection: Connection, row: ServiceRow, decision: TargetDecision, unplaced: int) -> None:
    """Store a decision, what scaling remembers and what found no host; guarded by the row's version."""
    values = {
        "scaling": to_json(ScalingState, decision.state),
        "decision": to_json(TargetDecision, decision),
        "unplaced": unplaced,
        "version": row.version + 1,
    }
    guard = {"old_key": str(row.key), "old_version": row.version}
    _changed_one(connection.execute(_DECIDE, {**values, **guard}).rowcount, f"service {row.key}")


def remember(connection: Connection, row: ServiceRow, scaling: ScalingState) -> None:
    """Store what scaling is to remember besides its decisions; guarded by the row's version."""
    guarded = update(services).where(and_(services.c.key == str(row.key), services.c.version == row.version))
    values = {"scaling": to_json(ScalingState, scaling), "version": row.version + 1}
    _changed_one(connection.execute(guarded.values(**values)).rowcount, f"service {row.key}")


def _changed_one(rows: int, what: str) -> None:
    if rows != 1:
        raise Stale(f"{what} was changed by somebody else meanwhile")
