"""What people ask for: apply a specification, remove an application. The doors call these; workers do the rest.

A command is acknowledged once it is committed; from then on it survives the controller.
"""

from dataclasses import dataclass, replace

from sqlalchemy import Connection

from dcp.engine.context import Context
from dcp.engine.images.pinning import SiteResolver, pin, revive
from dcp.engine.preview import plan_after
from dcp.hosts.cost.prices import PriceLine
from dcp.hosts.model import Resources
from dcp.kernel.errors import Conflict, InvalidInput, NotFound, Problem
from dcp.kernel.events import Event
from dcp.orchestration.scaling.model import ScalingState
from dcp.orchestration.services.containable import problems_of_containers
from dcp.orchestration.services.difference import Change, difference
from dcp.orchestration.services.model import ApplicationSpec, ServiceKey, ServiceSpec
from dcp.orchestration.services.validate import problems_of, unplaceable
from dcp.orchestration.traffic.ports import PortProbe
from dcp.store import applications, events, images, published
from dcp.store.applications import Application, ServiceRow


@dataclass(frozen=True, slots=True)
class Applied:
    """What applying changes. `revision` is the application's revision after it, or now in a dry run."""

    application: str
    revision: int
    changes: tuple[Change, ...]
    created: bool
    prices: tuple[PriceLine, ...] = ()
    """In a dry run: what all hosts cost an hour now and with those that would be asked for, by cluster and source."""


async def apply(
    context: Context, spec: ApplicationSpec, *, dry_run: bool = False, expected_revision: int | None = None
) -> Applied:
    """Make `spec` the wanted state. Applying the same again changes nothing and returns no changes.

    `expected_revision` (0: must not exist) guards against somebody else's apply between preview and confirmation.
    Raises InvalidInput with every problem, or Conflict; either leaves everything as it was.
    """
    await _refuse_invalid(context, spec)
    spec = await _pinned(context, spec)
    if dry_run:
        compared = await context.database.read(lambda connection: _compare(connection, spec, expected_revision)[0])
        return await _with_prices(context, spec, compared)
    applied = await context.database.write(lambda connection: _apply(connection, context, spec, expected_revision))
    if applied.changes:
        context.wakes.wake("controller")
        context.wakes.wake("edge")
        context.wakes.wake(f"application/{spec.name}")
    return applied


async def remove(context: Context, name: str) -> None:
    """Drain and stop every instance of an application, then forget it. Removing it again changes nothing."""

    def work(connection: Connection) -> None:
        application = applications.find(connection, name)
        if application is None:
            raise NotFound(f"there is no application {name}", hint="see `dcp status`")
        if not application.removing:
            applications.mark_removing(connection, application)
            asked = Event(f"application/{name}", "removing", "its removal was asked for", after="removing")
            events.append(connection, context.clock.now(), [asked])

    await context.database.write(work)
    context.wakes.wake(f"application/{name}")


async def freeze(context: Context, name: str, why: str) -> Application:
    """Keep the targets of an application as they are, for a reason; with an empty one let them move again.

    What fails is still replaced, and what a person asks for by `apply` or `remove` is done. Raises NotFound.
    """

    def work(connection: Connection) -> Application:
        application = applications.find(connection, name)
        if application is None:
            raise NotFound(f"there is no application {name}", hint="see `dcp status`")
        if application.frozen != why:
            applications.freeze(connection, application, why)
            reason, words = ("frozen", why) if why else ("thawed", "its targets move again")
            told = Event(f"application/{name}", reason, words, before=application.frozen, after=why)
            events.append(connection, context.clock.now(), [told])
        return replace(application, frozen=why)

    application = await context.database.write(work)
    context.wakes.wake(f"application/{name}")
    return application


async def allow_cut(context: Context, application: str, service: str) -> ServiceKey:
    """Let the next step take away as many published entries of a service as it likes. Asking again changes nothing."""
    key = ServiceKey(application, service)

    def work(connection: Connection) -> None:
        published.allow_all(connection, key)
        words = "a person allowed the next step to cut as many entries as it likes"
        events.append(connection, context.clock.now(), [Event(f"service/{key}", "cut-allowed", words)])

    await context.database.write(work)
    context.wakes.wake("discovery")
    return key


async def _with_prices(context: Context, spec: ApplicationSpec, compared: Applied) -> Applied:
    if not compared.changes:
        return compared
    plan = await plan_after(context, spec.name, lambda connection: _apply(connection, context, spec, None))
    return replace(compared, prices=plan.prices) if plan else compared


async def _pinned(context: Context, spec: ApplicationSpec) -> ApplicationSpec:
    """Return `spec` with digests instead of tags, where containers run and a registry is configured."""
    sites = context.images
    if sites is None or not context.runtimes.abilities().containers:
        return spec

    async def known(repository: str, tag: str) -> str | None:
        head = await context.database.read(lambda connection: images.head(connection, repository, tag))
        return head.digest if head else None

    return await pin(spec, sites.name, SiteResolver(sites, known))


async def _refuse_invalid(context: Context, spec: ApplicationSpec) -> None:
    problems = problems_of(spec)
    if not problems:
        others = await context.database.read(applications.every_spec)
        abilities = context.runtimes.abilities()
        problems = problems_of_containers(
            spec, containers=abilities.containers, underlay=bool(context.settings.underlay), others=others
        )
    if not problems and context.metrics is None:
        problems = tuple(
            Problem(f"services.{one.name}.x-dcp.signals", "no metrics server is configured", "metrics.url in dcp.yaml")
            for one in spec.services
            if one.signals
        )
    if not problems:
        problems = unplaceable(spec, await _largest_hosts(context))
    if problems:
        raise InvalidInput(problems, subject=f"application {spec.name}")


async def _largest_hosts(context: Context) -> tuple[Resources, ...]:
    return tuple({offer.host_type.resources for source in context.sources for offer in await source.offers()})


def _compare(
    connection: Connection, spec: ApplicationSpec, expected_revision: int | None
) -> tuple[Applied, Application | None]:
    before = applications.find(connection, spec.name)
    revision = before.revision if before else 0
    if expected_revision is not None and expected_revision != revision:
        words = f"application {spec.name} is at revision {revision}, not {expected_revision}"
        raise Conflict(words, hint="somebody else applied meanwhile; look at the difference again")
    known = before.spec if before and not before.removing else None
    changes = difference(known, spec)
    return Applied(spec.name, revision, changes, created=known is None), before


def _apply(connection: Connection, context: Context, spec: ApplicationSpec, expected_revision: int | None) -> Applied:
    applied, before = _compare(connection, spec, expected_revision)
    if not applied.changes:
        return applied
    now = context.clock.now()
    revision = applications.put(connection, spec, before, now)
    _place_services(connection, context, spec)
    if context.images is not None:
        revive(connection, spec, context.images.name, now)
    words = f"revision {revision} applied, {len(applied.changes)} changes"
    applied_event = Event(f"application/{spec.name}", "applied", words, str(revision - 1), str(revision))
    events.append(connection, now, [applied_event])
    return Applied(spec.name, revision, applied.changes, applied.created)


def _place_services(connection: Connection, context: Context, spec: ApplicationSpec) -> None:
    """Give every service its row and its listen port."""
    every = applications.service_rows(connection)
    rows = {row.key: row for row in every}
    taken = {row.listen_port: row.key for row in every}
    for service in spec.services:
        key = ServiceKey(spec.name, service.name)
        row = rows.get(key)
        port = _listen_port(context, service, key, row, taken)
        taken[port] = key
        if row is None:
            state = ScalingState(target=min(max(service.replicas, service.min_instances), service.max_instances))
            applications.add_service(connection, key, port, state)
        elif row.listen_port != port:
            applications.move_service(connection, key, port)


def _listen_port(
    context: Context,
    service: ServiceSpec,
    key: ServiceKey,
    row: ServiceRow | None,
    taken: dict[int, ServiceKey],
) -> int:
    low, high = context.settings.listen_ports
    if service.published_port is not None:
        holder = taken.get(service.published_port)
        if holder is not None and holder != key:
            raise _port_taken(service, key, f"belongs to {holder}", "or remove the other application")
        if holder is None and not _can_listen(context, service.published_port):
            raise _port_taken(service, key, "is taken by another program", "or end that program")
        return service.published_port
    if row is not None and low <= row.listen_port <= high:
        return row.listen_port
    for port in range(low, high + 1):
        if port not in taken and _can_listen(context, port):
            return port
    raise Conflict(f"no free listen port between {low} and {high}", hint="widen balancer.internal_ports in dcp.yaml")


def _can_listen(context: Context, port: int) -> bool:
    """Where the balancer cannot tell, it will say so when it is told to listen."""
    balancer = context.balancer
    return not isinstance(balancer, PortProbe) or balancer.can_listen(context.settings.listen_address, port)


def _port_taken(service: ServiceSpec, key: ServiceKey, why: str, instead: str) -> InvalidInput:
    problem = Problem(
        f"services.{service.name}.ports", f"port {service.published_port} {why}", f"publish another port, {instead}"
    )
    return InvalidInput((problem,), subject=f"application {key.application}")
