"""The worker of one application: load everything it depends on, decide its plan, write the plan in one transaction."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from dcp.engine.context import Context, log
from dcp.engine.placing import Written, write_plan
from dcp.hosts.clusters import UNBOUNDED, Allowance, allowance_of, month_began, quotas_left
from dcp.hosts.model import Host, Offer, SourceHost
from dcp.hosts.pool import PoolRules, left_of, look_at_pool, spoken_for
from dcp.hosts.ports import HostSource
from dcp.hosts.sharing import in_order, sharing_of
from dcp.images.warming.model import as_pulled
from dcp.images.warming.states import HostImageState, MirrorState
from dcp.kernel.errors import DriverError, NotFound
from dcp.kernel.events import Event
from dcp.orchestration.capacity.calls import with_learned
from dcp.orchestration.capacity.measured import with_measured
from dcp.orchestration.capacity.model import Sample
from dcp.orchestration.scaling.decide import ApplicationSnapshot, ServiceSnapshot, decide_application
from dcp.orchestration.scaling.plan import ApplicationPlan
from dcp.orchestration.scaling.warming import WarmingSnapshot
from dcp.orchestration.services.decide import HOST_GONE
from dcp.orchestration.services.difference import needs_replacement
from dcp.orchestration.services.model import ApplicationSpec, Instance, RestartCondition, ServiceKey, ServiceSpec
from dcp.store import (
    applications,
    capacity_tests,
    costs,
    counters,
    events,
    hosts,
    instances,
    learned_calls,
    rates,
    refusals,
    samples,
    signals,
    surges,
    warming,
)
from dcp.store.applications import Application, ServiceRow
from dcp.store.leases import Lease

KEPT_S = 60.0
"""A place that others gave up for a service is kept for it so long."""
MOVES_SHARE = 0.1
"""Of the time that an empty host lingers: so often a quiet application is looked at for instances to move."""
PAUSE_S = 50e-6
PAUSED_FROM = 5000
"""Above so many hosts and instances, an application waits longer between looks for each, however often it is woken."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A snapshot and the rows whose versions guard what is written from it."""

    application: Application
    rows: Mapping[str, ServiceRow]
    snapshot: ApplicationSnapshot


class ApplicationWorker:
    """Plans one application again whenever a sample arrived or something changed."""

    def __init__(self, context: Context, name: str) -> None:
        self.subject = f"application/{name}"
        self._context = context
        self._name = name
        self._told: dict[str, str] = {}
        self._moves_sought_at = -math.inf
        self.pause_s = 0.0

    async def step(self, lease: Lease) -> float:
        """Decide and apply once; return seconds until the next look."""
        now, timing = self._context.clock.now(), self._context.settings.timing
        may_move = now - self._moves_sought_at >= MOVES_SHARE * timing.host_linger_s
        loaded = await load(self._context, self._name, may_move=may_move)
        if loaded is None:
            return self._context.settings.poll_s
        looked_at = len(loaded.snapshot.hosts) + len(loaded.snapshot.host_instances)
        self.pause_s = min(self._context.settings.poll_s, PAUSE_S * max(0, looked_at - PAUSED_FROM))
        if may_move:
            self._moves_sought_at = now
        await self._drop_gone_services(loaded, lease)
        if await self._finished_removing(loaded, lease):
            return self._context.settings.poll_s
        plan = decide_application(loaded.snapshot)
        written = Written()
        if plan.changes_anything or self._remembers_something_new(plan, loaded):
            news = self._news(plan)
            written = await write_plan(self._context, lease, plan, loaded.snapshot, loaded.rows, news)
            self._remember_told(plan)
        if plan.changes_anything:
            log.info(
                "plan",
                application=self._name,
                plans=written.plans,
                hosts=len(plan.hosts),
                instances=len(plan.instances),
                removals=len(plan.removals),
                left_out=written.left_out,
            )
            self._context.wakes.wake_kind("source")
            self._context.wakes.wake_kind("service")
        return 0.0 if written.left_out else self._context.settings.poll_s

    async def _drop_gone_services(self, loaded: Loaded, lease: Lease) -> None:
        """A service that left the file keeps its route until its last instance has drained."""
        names = {service.name for service in loaded.application.spec.services}
        live = {instance.service for instance in loaded.snapshot.gone_services}
        gone = [row.key for name, row in loaded.rows.items() if name not in names and name not in live]
        if not gone:
            return
        now = self._context.clock.now()

        def drop(connection: Connection) -> None:
            for key in gone:
                applications.drop_service(connection, key)
            events.append(
                connection, now, [Event(f"service/{key}", "removed", "its last instance is gone") for key in gone]
            )

        await self._context.write_under(lease, drop)
        self._context.wakes.wake("edge")

    async def _finished_removing(self, loaded: Loaded, lease: Lease) -> bool:
        application = loaded.application
        if not application.removing or any(service.instances for service in loaded.snapshot.services):
            return False
        if loaded.snapshot.gone_services:
            return False
        gone = Event(self.subject, "removed", "its last instance is gone", before="removing", after="")
        now = self._context.clock.now()

        def forget(connection: Connection) -> None:
            applications.forget(connection, application.name)
            capacity_tests.forget(connection, application.name)
            learned_calls.forget(connection, application.name)
            rates.forget(connection, application.name)
            surges.forget(connection, application.name)
            events.append(connection, now, [gone])

        await self._context.write_under(lease, forget)
        self._context.wakes.wake("edge")
        return True

    def _remembers_something_new(self, plan: ApplicationPlan, loaded: Loaded) -> bool:
        unplaced = _unplaced(plan)
        return bool(self._news(plan)) or any(
            (row.decision, row.unplaced) != (decision, unplaced.get(decision.service, 0))
            for decision in plan.targets
            for row in (loaded.rows[decision.service],)
        )

    def _news(self, plan: ApplicationPlan) -> tuple[Event, ...]:
        """Holds and refusals become an event when they begin, not at every look."""
        said = _complaints(plan)
        return tuple(event for key, event in said.items() if self._told.get(key) != event.reason)

    def _remember_told(self, plan: ApplicationPlan) -> None:
        self._told = {key: event.reason for key, event in _complaints(plan).items()}


async def load(context: Context, name: str, *, may_move: bool = True) -> Loaded | None:
    """Return the snapshot of one application; None if there is none of that name."""
    offers = await current_offers(context)
    return await context.database.read(lambda connection: _load(connection, context, name, offers, may_move))


def load_with(connection: Connection, context: Context, name: str, offers: tuple[Offer, ...]) -> Loaded | None:
    """Return the snapshot of one application as `connection` sees it."""
    return _load(connection, context, name, offers, may_move=True)


async def current_offers(context: Context) -> tuple[Offer, ...]:
    """Return what every source could give in all, ours included, in order. One that does not answer offers nothing."""
    offers: list[Offer] = []
    for source in context.sources:
        try:
            offers.extend(await _in_all(source))
        except DriverError as error:
            log.warning("source does not answer", source=source.name, error=str(error))
    return tuple(offers)


async def _in_all(source: HostSource) -> tuple[Offer, ...]:
    """What is free plus what is ours: the ledger, not the source, says how much of it is spoken for already.

    A source without bounds is not listed for it: plans are made often, and clouds count how often they are asked.
    """
    unbounded = await source.offers()
    if all(offer.available is None for offer in unbounded):
        return unbounded
    while True:
        listed = await source.list_all()
        offers = await source.offers()
        if await source.list_all() == listed:
            return tuple(_plus(offer, listed) for offer in offers)


def _plus(offer: Offer, listed: tuple[SourceHost, ...]) -> Offer:
    if offer.available is None:
        return offer
    ours = sum(1 for one in listed if one.type_name == offer.host_type.name)
    return replace(offer, available=offer.available + ours)


def _load(
    connection: Connection, context: Context, name: str, offers: tuple[Offer, ...], may_move: bool
) -> Loaded | None:
    application = applications.find(connection, name)
    if application is None:
        return None
    measured = capacity_tests.measured(connection, name)
    learned = learned_calls.find(connection, name)
    application = replace(application, spec=with_learned(with_measured(application.spec, measured), learned))
    now = context.clock.now()
    rows = {row.key.name: row for row in applications.service_rows(connection, name)}
    every = instances.live(connection)
    mine = [instance for instance in every if instance.application == name]
    known = hosts.current(connection)
    gone = frozenset(i.host_id for i in mine) - {host.id for host in known if host.state not in HOST_GONE}
    memory = refusals.live(connection, now)
    services = tuple(
        _service(connection, context, application, service, rows[service.name], mine, gone)
        for service in application.spec.services
    )
    names = {service.name for service in application.spec.services}
    own, rules = application.spec.cluster, _pool_rules(context, offers)
    pool = look_at_pool(own, known, (one.host_id for one in every), offers, rules, now)
    spoken = spoken_for(known, pool)
    may_preempt = any(service.wishes.priority for service in application.spec.services)
    snapshot = ApplicationSnapshot(
        name=name,
        spec=application.spec,
        revision=application.revision,
        removing=application.removing,
        now=now,
        policy=context.settings.policy,
        timing=context.settings.timing,
        seed=context.settings.seed,
        services=services,
        gone_services=tuple(instance for instance in mine if instance.service not in names),
        hosts=known,
        host_instances=every,
        offers=in_order(own, left_of(offers, spoken, pool.idle, memory, now), rules.sharing),
        last_instance=counters.peek(connection, "instance"),
        last_host=counters.peek(connection, "host"),
        last_plan=counters.peek(connection, "plan"),
        spares=context.spares,
        warming=_warming(connection, context, application.spec),
        cluster=context.settings.cluster(application.spec.cluster),
        frozen=application.frozen,
        surges=surges.open_now(connection, now, name),
        allowance=_allowance(connection, context, own, known, spoken),
        pool=pool,
        may_move=may_move,
        moves_at_once=context.settings.moves_at_once,
        others={one.name: one for one in applications.every_spec(connection)} if may_preempt else {},
        gave_way=instances.gave_way_since(connection, now - KEPT_S),
    )
    return Loaded(application, rows, snapshot)


def _pool_rules(context: Context, offers: tuple[Offer, ...]) -> PoolRules:
    settings = context.settings
    sharing = sharing_of(settings.clusters, settings.access, offers)
    timing = settings.timing
    return PoolRules(settings.clusters, sharing, settings.loans, timing.shrink_after_s, timing.host_linger_s)


def _allowance(
    connection: Connection, context: Context, name: str, known: tuple[Host, ...], spoken: tuple[Host, ...]
) -> Allowance:
    """Return what is left of bounds and quotas; what is there and may be taken over is not spoken for."""
    by_source = quotas_left(context.settings.access, spoken)
    cluster = context.settings.cluster(name)
    if cluster is None:
        return replace(UNBOUNDED, by_source=by_source)
    spent = 0.0
    if cluster.hard_cap_usd_per_month is not None:
        spent = costs.spent_usd(connection, name, month_began(context.clock.now()))
    return replace(allowance_of(cluster, known, spent), by_source=by_source)


def _warming(connection: Connection, context: Context, spec: ApplicationSpec) -> WarmingSnapshot | None:
    if context.warming is None:
        return None
    present: dict[str, set[str]] = {}
    for host_id, image in warming.in_state(connection, HostImageState.PRESENT):
        present.setdefault(image, set()).add(host_id)
    standing = Counter(one.site for one in warming.mirrors_of(connection) if one.state == MirrorState.READY)
    return WarmingSnapshot(
        settings=context.warming.settings,
        present={image: frozenset(hosts) for image, hosts in present.items()},
        excluded=warming.in_state(connection, HostImageState.EXCLUDED),
        images=warming.sizes(connection, filter(None, (as_pulled(service.image) for service in spec.services))),
        standing=standing,
    )


def _service(
    connection: Connection,
    context: Context,
    application: Application,
    spec: ServiceSpec,
    row: ServiceRow,
    mine: list[Instance],
    gone: frozenset[str],
) -> ServiceSnapshot:
    """Read one service. An instance on a host that is `gone` counts for nothing, even while it still serves."""
    own = tuple(one for one in mine if one.service == spec.name and one.host_id not in gone)
    specs = {application.revision: application.spec}
    for revision in {instance.spec_revision for instance in own} - set(specs):
        specs[revision] = applications.spec_at(connection, application.name, revision)
    old = frozenset(
        revision for revision, was in specs.items() if revision != application.revision and _is_outdated(was, spec)
    )
    outdated = frozenset(i.id for i in own if i.spec_revision in old)
    bounded = spec.restart.condition == RestartCondition.ANY and not spec.restart.max_attempts
    since = context.clock.now() - spec.restart.window_s if bounded else application.applied_at
    failures = tuple(
        instance
        for instance in instances.failures_since(connection, application.name, since)
        if instance.service == spec.name and instance.spec_revision == application.revision
    )
    return ServiceSnapshot(
        spec=spec,
        scaling=row.scaling,
        samples=_window(connection, context, row.key),
        signals=_figures(connection, context, row.key) if spec.signals else {},
        forecast=rates.forecast_of(connection, row.key) if spec.forecast else None,
        instances=own,
        outdated=outdated,
        failures=failures,
    )


def _is_outdated(was: ApplicationSpec, now: ServiceSpec) -> bool:
    try:
        return needs_replacement(was.service(now.name), now)
    except KeyError:
        return True


def _figures(connection: Connection, context: Context, key: ServiceKey) -> Mapping[str, tuple[float | None, ...]]:
    """The figures of its signals that are young enough to count, so that silence of whoever asks shows as missing."""
    timing = context.settings.timing
    return signals.since(connection, key, context.clock.now() - (timing.samples + 0.5) * timing.sample_s)


def _window(connection: Connection, context: Context, key: ServiceKey) -> tuple[Sample | None, ...]:
    """The newest windows, with None at the end when the sampler itself has fallen silent."""
    timing = context.settings.timing
    rows = samples.newest(connection, key, timing.samples)
    found = tuple(sample for _at, sample in rows)
    if rows and context.clock.now() - rows[-1][0] > 2.5 * timing.sample_s:
        return (*found[1:], None) if len(found) == timing.samples else (*found, None)
    return found


def _complaints(plan: ApplicationPlan) -> dict[str, Event]:
    said: dict[str, Event] = {}
    for hold in plan.holds:
        kind, name = ("service", f"{plan.application}/{hold.service}") if hold.service else ("application", "")
        subject = f"{kind}/{name or plan.application}"
        said[f"{hold.service}:{hold.reason}"] = Event(subject, hold.reason, hold.words, numbers=hold.numbers)
    for unplaced in plan.unplaced:
        numbers = {refusal.reason: refusal.hosts for refusal in unplaced.refusals}
        event = Event(f"service/{unplaced.service}", "no-room", unplaced.words, numbers=numbers)
        said[f"{unplaced.service}:no-room:{unplaced.count}"] = event
    return said


def _unplaced(plan: ApplicationPlan) -> dict[str, int]:
    return {ServiceKey.parse(one.service).name: one.count for one in plan.unplaced}


async def dry_run(context: Context, name: str) -> ApplicationPlan:
    """Load and decide without writing. Raises NotFound."""
    loaded = await load(context, name)
    if loaded is None:
        raise NotFound(f"there is no application {name}", hint="see `dcp status`")
    return decide_application(loaded.snapshot)
