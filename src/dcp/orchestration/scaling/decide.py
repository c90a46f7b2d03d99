"""One decision for a whole application: targets, then removals, replacements, hosts and instances with their gates.

Pure: `decide_application(snapshot)` gives an `ApplicationPlan` that the engine writes in one transaction. The same
value is what `dcp plan` prints.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dcp.hosts.boots import SpareSettings
from dcp.hosts.clusters import UNBOUNDED, Allowance, Cluster
from dcp.hosts.cost.prices import price_lines
from dcp.hosts.model import Host, Offer, Resources, SourceKind
from dcp.hosts.pool import ALONE, Pool
from dcp.hosts.reserve import missing_headroom, reserve_hosts
from dcp.hosts.states import TAKEN_BACK, USABLE, HostState
from dcp.images.warming.model import as_pulled
from dcp.orchestration.ahead.forecast import Forecast, foretold
from dcp.orchestration.ahead.model import PlannedSurge
from dcp.orchestration.capacity.model import Sample
from dcp.orchestration.scaling.asks import ask_of, traits_for
from dcp.orchestration.scaling.borrowing import Claimant, ClaimPlan, place_with_claims, take_over
from dcp.orchestration.scaling.consolidation import decide_consolidation
from dcp.orchestration.scaling.graph import call_order, dependants_of, dependencies_of
from dcp.orchestration.scaling.hosts_wanted import (
    HostPlan,
    NewHost,
    offers_left,
    with_assignments,
)
from dcp.orchestration.scaling.model import (
    ApplicationView,
    Direction,
    Policy,
    ScalingState,
    ServiceView,
    TargetDecision,
    Timing,
)
from dcp.orchestration.scaling.moves import Moves, MovesView, decide_moves, relieving
from dcp.orchestration.scaling.plan import ApplicationPlan, Hold, PlannedHost, PlannedInstance, Removal
from dcp.orchestration.scaling.preempt import PreemptionView, places_kept, preempted
from dcp.orchestration.scaling.rebalancing import decide_rebalancing
from dcp.orchestration.scaling.rebind import Rebind, decide_rebinds, rebound
from dcp.orchestration.scaling.removals import choose_removals
from dcp.orchestration.scaling.replace import Replacement, decide_replacement
from dcp.orchestration.scaling.spares import SparesView, ask_for_spares, decide_spares
from dcp.orchestration.scaling.targets import decide_targets, frozen
from dcp.orchestration.scaling.warming import EXCLUDED, WarmingSnapshot, plan_warmings, stranded
from dcp.orchestration.services.decide import START_FAILURES
from dcp.orchestration.services.model import ApplicationSpec, Instance, ServiceKey, ServiceSpec
from dcp.orchestration.services.states import LEAVING, InstanceState
from dcp.orchestration.traffic.gate import gate_for
from dcp.scheduling.model import Ask, Assignment, Candidate, Placement, Trait
from dcp.scheduling.traits import avoided_in_domains, from_words

PLACEABLE = USABLE | TAKEN_BACK


@dataclass(frozen=True, slots=True)
class ServiceSnapshot:
    """One service with its instances."""

    spec: ServiceSpec
    scaling: ScalingState
    samples: tuple[Sample | None, ...]
    instances: tuple[Instance, ...]
    """Those that have not ended."""
    outdated: frozenset[str]
    """Instances whose revision differs so much that they must be replaced."""
    failures: tuple[Instance, ...]
    """Instances of the present specification that failed, as far back as its restart policy looks, oldest first."""
    signals: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)
    forecast: Forecast | None = None


@dataclass(frozen=True, slots=True)
class ApplicationSnapshot:
    """Everything `decide_application` looks at."""

    name: str
    spec: ApplicationSpec
    revision: int
    removing: bool
    now: float
    policy: Policy
    timing: Timing
    seed: int
    services: tuple[ServiceSnapshot, ...]
    gone_services: tuple[Instance, ...]
    """Instances of services that the present specification no longer has."""
    hosts: tuple[Host, ...]
    host_instances: tuple[Instance, ...]
    """Instances of every application that hold resources on those hosts."""
    offers: tuple[Offer, ...]
    last_instance: int
    last_host: int
    last_plan: int
    spares: SpareSettings | None = None
    """None: none are asked for, and what is placed stays where it is."""
    warming: WarmingSnapshot | None = None
    """None: nothing is known of images, and nothing waits for any."""
    allowance: Allowance = UNBOUNDED
    """What the application's cluster may still ask for."""
    cluster: Cluster | None = None
    """Bounds and reserves of the application's cluster, if it has any."""
    pool: Pool = ALONE
    """What the cluster shares with others."""
    may_move: bool = True
    """False: it was looked for moves a moment ago; that is the dearest part of a plan and never urgent."""
    moves_at_once: int = 10
    """Instances that go home from cloud hosts at the same time, at most."""
    frozen: str = ""
    """Why a person froze its targets; empty: it scales."""
    surges: tuple[PlannedSurge, ...] = ()
    """What people planned for the application and is not over."""
    others: Mapping[str, ApplicationSpec] = field(default_factory=dict)
    """Every application by name, if services of this one may take the places of others."""
    gave_way: tuple[Instance, ...] = ()
    """Instances of all applications that ended lately because a service of higher priority gets their places."""


def decide_application(snapshot: ApplicationSnapshot) -> ApplicationPlan:
    """Return what changes now."""
    decisions = _targets(snapshot)
    targets = {decision.service: decision.target for decision in decisions}
    replacements = {
        service.spec.name: decide_replacement(
            service.spec,
            targets[service.spec.name],
            service.instances,
            service.outdated,
            service.failures,
            snapshot.now,
            _displaced(snapshot, service),
            _overdue(snapshot, service),
        )
        for service in snapshot.services
    }
    plan_id = f"plan-{snapshot.last_plan + 1}"
    claim_plan = _place(snapshot, replacements)
    moves = _moves(snapshot, decisions, replacements)
    host_plan = moves.host_plan if moves else claim_plan.host_plan
    host_plan = replace(host_plan, new_hosts=(*host_plan.new_hosts, *_reserve(snapshot, host_plan)))
    host_plan = replace(host_plan, new_hosts=(*host_plan.new_hosts, *_spares(snapshot, host_plan)))
    host_plan, take_overs = take_over(host_plan, snapshot.pool.idle, snapshot.last_host)
    hosts = tuple(PlannedHost(_requested(new, snapshot), new.why) for new in host_plan.new_hosts)
    removals = _removals(snapshot, replacements)
    removals = (*removals, *_preempted(snapshot, host_plan, {one.instance_id for one in removals}))
    rebinds = _rebinds(snapshot, host_plan, {one.instance_id for one in removals})
    planned = _instances(snapshot, plan_id, host_plan, targets, replacements)
    if moves:
        planned = relieving(planned, moves)
    return ApplicationPlan(
        id=plan_id,
        application=snapshot.name,
        at=snapshot.now,
        policy=snapshot.policy,
        targets=decisions,
        hosts=hosts,
        take_overs=take_overs,
        claims=claim_plan.claims,
        instances=planned,
        removals=removals,
        rebinds=rebinds,
        holds=(
            *(hold for name in sorted(replacements) for hold in _holds(name, replacements[name])),
            *(Hold(one.service, said.reason, said.words, said.numbers) for one in decisions for said in one.braked),
            *(Hold(ServiceKey.parse(key).name, "waits-for-claim", words) for key, words in claim_plan.waiting),
            *_spending(snapshot, host_plan),
        ),
        unplaced=host_plan.placement.unplaced,
        warming=plan_warmings(
            snapshot.warming,
            snapshot.spec,
            (*(one.instance for one in planned), *rebound(rebinds)),
            (*snapshot.hosts, *(one.host for one in hosts)),
        ),
        price_change_usd_per_hour=sum(new.host.host_type.price_usd_per_hour for new in hosts),
        prices=price_lines(
            snapshot.hosts, (new.host for new in hosts), snapshot.spec.cluster, (one.host for one in take_overs)
        ),
        ready_in_s=max((new.host.host_type.boot_s for new in hosts), default=0.0),
    )


def _targets(snapshot: ApplicationSnapshot) -> tuple[TargetDecision, ...]:
    if snapshot.removing:
        live = {service.spec.name for service in snapshot.services if service.instances}
        return tuple(
            _removed(service, dependants_of(snapshot.spec, service.spec.name) & live) for service in snapshot.services
        )
    views = tuple(_view(service, snapshot.now) for service in snapshot.services)
    decisions = decide_targets(
        ApplicationView(snapshot.name, snapshot.now, snapshot.policy, snapshot.timing, views, snapshot.surges)
    )
    if not snapshot.frozen:
        return decisions
    states = {service.spec.name: service.scaling for service in snapshot.services}
    return tuple(frozen(decision, states[decision.service], snapshot.frozen) for decision in decisions)


def _removed(service: ServiceSnapshot, dependants: frozenset[str]) -> TargetDecision:
    """Whoever is still needed by a dependant that has not left stays."""
    if dependants:
        words = f"the application is being removed; {', '.join(sorted(dependants))} leaves first"
        target, reason = service.scaling.target, "waits-for-dependants"
    else:
        words, target, reason = "the application is being removed", 0, "removed"
    direction = Direction.SHRINK if target < service.scaling.target else Direction.HOLD
    state = replace(service.scaling, target=target)
    return TargetDecision(service.spec.name, direction, target, reason, words, {}, state)


def _view(service: ServiceSnapshot, now: float) -> ServiceView:
    serving = [i for i in service.instances if _serves(i) and not i.leave_reason]
    leaving = [i for i in service.instances if i.state in LEAVING or i.leave_reason]
    coming = len(service.instances) - len(serving) - len(leaving)
    settled = not leaving and not coming and len(serving) == service.scaling.target
    since = max((i.serving_at or i.changed_at for i in serving), default=0.0) if settled else None
    return ServiceView(
        spec=service.spec,
        state=service.scaling,
        serving=len(serving),
        coming=coming,
        leaving=len(leaving),
        settled_since=since,
        samples=service.samples,
        signals=service.signals,
        foretold=foretold(service.spec.forecast, service.forecast, service.samples, now),
    )


def _serves(instance: Instance) -> bool:
    return instance.state == InstanceState.SERVING and instance.serving_at is not None


def _place(snapshot: ApplicationSnapshot, replacements: Mapping[str, Replacement]) -> ClaimPlan:
    """Dependencies get their hosts first: the dependants' gates wait for them."""
    asks = tuple(
        _ask(snapshot, name, replacements[name].add) for name in call_order(snapshot.spec) if replacements[name].add
    )
    asks = tuple(sorted(asks, key=lambda ask: -ask.priority))
    if not asks:
        return ClaimPlan(HostPlan(Placement((), ()), ()))
    claimant = Claimant(snapshot.spec.cluster, snapshot.now, snapshot.allowance)
    offers, pool = snapshot.offers, snapshot.pool
    return place_with_claims(asks, _candidates(snapshot), offers, snapshot.last_host, snapshot.seed, claimant, pool)


def _reserve(snapshot: ApplicationSnapshot, host_plan: HostPlan) -> tuple[NewHost, ...]:
    """Return hosts to ask for beside the plan, so that the cluster's headroom stays what it should be."""
    cluster, new = snapshot.cluster, host_plan.new_hosts
    if cluster is None or snapshot.removing:
        return ()
    taken = {one.host_id for one in snapshot.host_instances} | {a.host_id for a in host_plan.placement.assignments}
    coming = [_requested(one, snapshot) for one in new]
    count = missing_headroom(cluster, (*snapshot.hosts, *coming), taken)
    spoken = [one.offer for one in new]
    left = offers_left(snapshot.offers, spoken)
    first = snapshot.last_host + len(new) + 1
    words = f"headroom of cluster {cluster.name or 'none'}: {count} more to be empty and ready"
    chosen = reserve_hosts(cluster, count, left, snapshot.allowance.less(spoken))
    return tuple(NewHost(f"{offer.source}-{number}", offer, words) for number, offer in enumerate(chosen, first))


def _displaced(snapshot: ApplicationSnapshot, service: ServiceSnapshot) -> frozenset[str]:
    """Instances on hosts that have to be empty by some time, or are no longer the application's."""
    own = snapshot.spec.cluster
    leaving = {host.id for host in snapshot.hosts if host.leave_by is not None or host.cluster != own}
    return frozenset(one.id for one in service.instances if one.host_id in leaving)


def _overdue(snapshot: ApplicationSnapshot, service: ServiceSnapshot) -> frozenset[str]:
    """Instances on hosts whose time is up and that others own: they leave, whether there is room elsewhere or not."""
    pool = snapshot.pool
    over = pool.lent - pool.until.keys()
    due = {
        host.id
        for host in snapshot.hosts
        if host.leave_by is not None
        and host.leave_by <= snapshot.now
        and (host.claimed_by is not None or host.source in over)
    }
    return frozenset(one.id for one in service.instances if one.host_id in due) if due else frozenset()


def _ask(snapshot: ApplicationSnapshot, name: str, count: int) -> Ask:
    ask = ask_of(snapshot.spec, name, count)
    return replace(
        ask,
        constraints=(*ask.constraints, *_kept_from(snapshot, name)),
        not_on=_failed_on(snapshot, name),
        image=_image(snapshot, name),
    )


def _waiting(snapshot: ApplicationSnapshot) -> tuple[Instance, ...]:
    """Return what is placed and not started, dependencies first."""
    own = {service.spec.name: service.instances for service in snapshot.services}
    return tuple(
        one
        for name in call_order(snapshot.spec)
        for one in own.get(name, ())
        if one.state is InstanceState.PLACED and not one.leave_reason
    )


def _rebinds(snapshot: ApplicationSnapshot, host_plan: HostPlan, leaving: Collection[str]) -> tuple[Rebind, ...]:
    if snapshot.spares is None:
        return ()
    waiting = [one for one in _waiting(snapshot) if one.id not in leaving]
    if not waiting or not any(host.state is HostState.READY for host in snapshot.hosts):
        return ()
    placed = host_plan.placement.assignments
    asks = {one.service: one for one in (ask_of(snapshot.spec, service.name, 1) for service in snapshot.spec.services)}
    room = with_assignments(placed, asks, _candidates(snapshot, _is_ready_with_room))
    known = {host.id: host for host in snapshot.hosts}
    avoided = avoided_in_domains(one.traits for one in snapshot.host_instances if one.traits)
    return decide_rebinds(waiting, known, room, lambda name, count: _ask(snapshot, name, count), snapshot.seed, avoided)


def _spares(snapshot: ApplicationSnapshot, host_plan: HostPlan) -> tuple[NewHost, ...]:
    """Return the spares to ask for, beside what the plan asks for."""
    if snapshot.spares is None or snapshot.removing:
        return ()
    placed = {one.host_id for one in host_plan.placement.assignments}
    new = [one for one in host_plan.new_hosts if one.offer.kind is SourceKind.CLOUD and one.host_id in placed]
    view = SparesView(
        now=snapshot.now,
        settings=snapshot.spares,
        hosts=tuple(host for host in snapshot.hosts if host.cluster == snapshot.spec.cluster),
        taken={one.host_id for one in snapshot.host_instances} | placed,
        new=len(new),
    )
    spares = decide_spares(view)
    if not spares.count:
        return ()
    counts = Counter(one.service for one in _waiting(snapshot))
    counts.update(ServiceKey.parse(one.service).name for one in host_plan.placement.assignments)
    asks = tuple(_ask(snapshot, name, counts[name]) for name in call_order(snapshot.spec) if counts[name])
    left = offers_left(snapshot.offers, (host.offer for host in host_plan.new_hosts))
    allowance = snapshot.allowance.less(host.offer for host in host_plan.new_hosts)
    first = snapshot.last_host + len(host_plan.new_hosts) + 1
    offers = enumerate(ask_for_spares(spares, asks, left, allowance), first)
    return tuple(NewHost(f"{offer.source}-{number}", offer, spares.words) for number, offer in offers)


def _failed_on(snapshot: ApplicationSnapshot, name: str) -> frozenset[str]:
    """Hosts that could not start an instance of the service within the window of its restart policy."""
    (service,) = (one for one in snapshot.services if one.spec.name == name)
    since = snapshot.now - service.spec.restart.window_s
    return frozenset(
        failed.host_id
        for failed in service.failures
        if failed.reason in START_FAILURES and (failed.ended_at or snapshot.now) > since
    )


def _kept_from(snapshot: ApplicationSnapshot, name: str) -> tuple[str, ...]:
    """Constraints that keep instances from hosts that cannot get their image."""
    if snapshot.warming is None:
        return ()
    return tuple(f"node.id!={host}" for host in sorted(snapshot.warming.excluded_from(_image(snapshot, name))))


def _image(snapshot: ApplicationSnapshot, name: str) -> str:
    return as_pulled(snapshot.spec.service(name).image) if snapshot.warming else ""


def _moves(
    snapshot: ApplicationSnapshot, decisions: tuple[TargetDecision, ...], replacements: Mapping[str, Replacement]
) -> Moves | None:
    """Only a quiet application moves instances."""
    if not snapshot.may_move:
        return None
    busy = any(decision.state.release_from is not None for decision in decisions)
    if snapshot.removing or snapshot.frozen or busy or any(one.add or one.remove for one in replacements.values()):
        return None
    own = tuple(instance for service in snapshot.services for instance in service.instances)
    if not all(_serves(instance) and not instance.leave_reason for instance in own):
        return None
    on_host = Counter(one.host_id for one in snapshot.host_instances)
    short = snapshot.cluster is not None and missing_headroom(snapshot.cluster, snapshot.hosts, on_host) > 0
    view = MovesView(
        now=snapshot.now,
        instances=tuple(i for i in own if snapshot.now - (i.serving_at or 0.0) >= snapshot.timing.host_linger_s),
        on_host=on_host,
        candidates=_candidates(snapshot),
        sources={host.id: host.source for host in snapshot.hosts},
        offers=() if short else snapshot.offers,
        last_host=snapshot.last_host,
        seed=snapshot.seed,
        limit=snapshot.moves_at_once,
        stays_s=snapshot.timing.shrink_after_s,
        allowance=snapshot.allowance,
        pool=snapshot.pool,
    )

    def ask_of(name: str, count: int) -> Ask:
        return _ask(snapshot, name, count)

    moves = decide_moves(view, ask_of) or decide_consolidation(view, ask_of)
    # What is about to be given back still holds hosts; spreading over those would keep them for good.
    if moves is None and all(decision.state.above_safe_since is None for decision in decisions):
        moves = decide_rebalancing(view, ask_of)
    return moves


def _candidates(
    snapshot: ApplicationSnapshot, among: Callable[[Host, Sequence[Instance]], bool] | None = None
) -> tuple[Candidate, ...]:
    """Return the usable hosts; with `among` only those for which it holds, given what is there."""
    there: dict[str, list[Instance]] = {}
    for instance in snapshot.host_instances:
        there.setdefault(instance.host_id, []).append(instance)
    for place in places_kept(snapshot.gave_way, snapshot.host_instances, snapshot.name):
        there.setdefault(place.host_id, []).append(place)
    usable = [
        host
        for host in snapshot.hosts
        if _is_usable(host, snapshot.spec.cluster) and (among is None or among(host, there.get(host.id, ())))
    ]
    if snapshot.warming is None:
        return tuple(_candidate(host, there.get(host.id, ())) for host in usable)
    images = snapshot.warming.images_by_host()
    return tuple(
        replace(_candidate(host, there.get(host.id, ())), images=images.get(host.id, frozenset())) for host in usable
    )


def _is_ready_with_room(host: Host, there: Sequence[Instance]) -> bool:
    if host.state is not HostState.READY:
        return False
    total = host.host_type.resources
    return total.cpu_millis > sum(one.resources.cpu_millis for one in there) and total.memory_bytes > sum(
        one.resources.memory_bytes for one in there
    )


def _is_usable(host: Host, cluster: str) -> bool:
    return host.state in PLACEABLE and host.leave_by is None and host.cluster == cluster


def _candidate(host: Host, instances: Sequence[Instance]) -> Candidate:
    counts: dict[str, int] = {}
    traits: Counter[Trait] = Counter()
    cpu_millis = memory_bytes = 0
    rest = Resources(0, 0)
    for instance in instances:
        if instance.ended_at is None:
            key = f"{instance.application}/{instance.service}"
            counts[key] = counts.get(key, 0) + 1
        cpu_millis += instance.resources.cpu_millis
        memory_bytes += instance.resources.memory_bytes
        if instance.resources.disk_bytes or instance.resources.extra:
            rest = rest.plus(replace(instance.resources, cpu_millis=0, memory_bytes=0))
        if instance.traits:
            traits.update(from_words(instance.traits))
    return Candidate(
        host_id=host.id,
        total=host.host_type.resources,
        used=replace(rest, cpu_millis=cpu_millis, memory_bytes=memory_bytes),
        kind=host.kind,
        ready=host.state == HostState.READY,
        price_usd_per_hour=host.host_type.price_usd_per_hour,
        labels=dict(host.host_type.labels),
        instances=counts,
        traits=traits,
    )


def _requested(new: NewHost, snapshot: ApplicationSnapshot) -> Host:
    offer, now = new.offer, snapshot.now
    return Host(
        id=new.host_id,
        source=offer.source,
        kind=offer.kind,
        host_type=offer.host_type,
        state=HostState.REQUESTED,
        requested_at=now,
        changed_at=now,
        cluster=snapshot.spec.cluster,
    )


def _instances(
    snapshot: ApplicationSnapshot,
    plan_id: str,
    host_plan: HostPlan,
    targets: Mapping[str, int],
    replacements: Mapping[str, Replacement],
) -> tuple[PlannedInstance, ...]:
    serving = {service.spec.name: sum(1 for i in service.instances if _serves(i)) for service in snapshot.services}
    traits = {name: traits_for(snapshot.spec, name) for name in replacements}
    planned: list[PlannedInstance] = []
    for number, assignment in enumerate(host_plan.placement.assignments, snapshot.last_instance + 1):
        key = ServiceKey.parse(assignment.service)
        spec = snapshot.spec.service(key.name)
        instance = Instance(
            id=f"{key.name}-{number}",
            application=key.application,
            service=key.name,
            host_id=assignment.host_id,
            spec_revision=snapshot.revision,
            state=InstanceState.PLACED,
            plan_id=plan_id,
            created_at=snapshot.now,
            resources=spec.resources,
            traits=traits[key.name],
            gate=gate_for(
                spec,
                targets,
                serving,
                snapshot.policy,
                serving[key.name] == 0,
                indirect=dependencies_of(snapshot.spec, key.name),
            ),
            not_before=replacements[key.name].not_before,
            changed_at=snapshot.now,
            reason="planned",
        )
        planned.append(PlannedInstance(instance, _placement_words(assignment)))
    return tuple(planned)


def _placement_words(assignment: Assignment) -> str:
    parts = ", ".join(f"{name} {value:.2f}" for name, value in assignment.parts.items())
    words = f"host {assignment.host_id}, score {assignment.score:.2f} ({parts})"
    if assignment.domain:
        return f"{words}; {assignment.domain} had the fewest"
    other = assignment.runner_up
    if other is None:
        return f"{words}; no other host would take it"
    lead = ((name, value - other.parts.get(name, 0.0)) for name, value in assignment.parts.items())
    by = ", ".join(f"{name} {value:+.2f}" for name, value in lead if round(value, 2))
    return f"{words}; next {other.host_id}, {other.score:.2f} ({by or 'alike, the seed decides'})"


def _removals(snapshot: ApplicationSnapshot, replacements: Mapping[str, Replacement]) -> tuple[Removal, ...]:
    hosts = {host.id: host for host in snapshot.hosts}
    on_host = Counter(instance.host_id for instance in snapshot.host_instances)
    removals = [
        Removal(instance.id, "removed", f"service {instance.service} is no longer in the application")
        for instance in snapshot.gone_services
        if not instance.leave_reason and instance.state not in LEAVING
    ]
    waiting = [i for one in snapshot.services for i in one.instances if i.state == InstanceState.PLACED]
    gone = {one.instance_id for one in removals}
    removals += [
        Removal(instance.id, EXCLUDED, words)
        for instance, words in stranded(snapshot.warming, snapshot.spec, waiting)
        if not instance.leave_reason and instance.id not in gone
    ]
    gone = {one.instance_id for one in removals}
    for service in snapshot.services:
        replacement = replacements[service.spec.name]
        reason = "removed" if snapshot.removing else replacement.remove_reason
        chosen = choose_removals(replacement.removable, replacement.remove, hosts, on_host)
        removals.extend(Removal(one.id, reason, words) for one, words in chosen if one.id not in gone)
    return tuple(removals)


def _preempted(snapshot: ApplicationSnapshot, host_plan: HostPlan, leaving: Collection[str]) -> tuple[Removal, ...]:
    if snapshot.removing or not host_plan.placement.unplaced:
        return ()

    def candidates() -> tuple[Candidate, ...]:
        asks = {one.service: one for one in (_ask(snapshot, each.name, 1) for each in snapshot.spec.services)}
        return with_assignments(host_plan.placement.assignments, asks, _candidates(snapshot))

    view = PreemptionView(
        specs={**snapshot.others, snapshot.name: snapshot.spec},
        application=snapshot.name,
        refused=host_plan.placement.unplaced,
        instances=tuple(one for one in snapshot.host_instances if one.id not in leaving),
        seed=snapshot.seed,
    )
    return preempted(view, candidates, lambda name, count: _ask(snapshot, name, count))


def _holds(name: str, replacement: Replacement) -> tuple[Hold, ...]:
    return (Hold(name, replacement.hold, replacement.hold_words),) if replacement.hold else ()


def _spending(snapshot: ApplicationSnapshot, host_plan: HostPlan) -> tuple[Hold, ...]:
    """Going over a soft cap holds nothing up, but is said."""
    words = snapshot.allowance.over_soft_cap([new.offer for new in host_plan.new_hosts]) if host_plan.new_hosts else ""
    return (Hold("", "soft-cap", words),) if words else ()
