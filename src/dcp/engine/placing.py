"""Writes a plan: part by part, each in one transaction, without what others were first to take.

Every host that a part puts something on is claimed at the version that the plan was decided from. Where somebody else
was first, only what was to go there is left out and decided again; the rest is committed. Numbers for instances and
plans are taken when they are written, so that plans of several controllers do not hinder each other. Hosts that are
asked for, taken over or claimed are different: they share offers and money, so a plan with some is dropped whole if
another one had some meanwhile.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from sqlalchemy import Connection

from dcp.engine.context import Context
from dcp.hosts.sharing import claimed_back, taken_over
from dcp.hosts.steps import after_step
from dcp.kernel.events import Event
from dcp.orchestration.scaling.decide import ApplicationSnapshot
from dcp.orchestration.scaling.parts import in_batches, in_parts, without
from dcp.orchestration.scaling.plan import ApplicationPlan
from dcp.orchestration.services.model import ServiceKey
from dcp.store import applications, counters, events, hosts, instances, placements, plans
from dcp.store.applications import ServiceRow
from dcp.store.leases import Lease


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a plan."""

    plans: tuple[str, ...] = ()
    """As which plans its parts were stored."""
    left_out: int = 0
    """Placements, moves and removals that somebody else's change came before: they are to be decided again."""


@dataclass(frozen=True, slots=True)
class _Part:
    """What one transaction is to write."""

    plan: ApplicationPlan
    snapshot: ApplicationSnapshot
    rows: Mapping[str, ServiceRow]
    """Of services whose targets it carries; empty: an earlier part has written them."""
    versions: Mapping[str, int]
    """At which each host is claimed; one that is missing was lost, or comes with this part."""
    news: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class _Done:
    plan_id: str
    left_out: int
    claimed: Mapping[str, int]
    """At which version the next part may claim them again."""
    lost: frozenset[str]


async def write_plan(
    context: Context,
    lease: Lease,
    plan: ApplicationPlan,
    snapshot: ApplicationSnapshot,
    rows: Mapping[str, ServiceRow],
    news: tuple[Event, ...] = (),
) -> Written:
    """Write a plan that was decided from `snapshot`, with `news` that belong to it.

    Raises LeaseLost, and Stale where a target, or what other plans asked for, has changed; earlier parts stay.
    """
    written = Written()
    versions = {host.id: host.version for host in snapshot.hosts}
    for some in in_parts(plan, context.settings.placements_at_once):
        part = _Part(some, snapshot, rows, versions, news)
        done = await context.write_under(lease, partial(_write, part))
        rows, news = {}, ()
        versions.update(done.claimed)
        for host_id in done.lost:
            versions.pop(host_id, None)
        stored = (done.plan_id,) if done.plan_id else ()
        written = Written((*written.plans, *stored), written.left_out + done.left_out)
    return written


def _write(part: _Part, connection: Connection) -> _Done:
    _write_targets(connection, part)
    numbers = len(part.plan.hosts) + len(part.plan.take_overs) + len(part.plan.claims)
    counters.take(connection, "host", part.snapshot.last_host, numbers)
    hosts.add(connection, (planned.host for planned in part.plan.hosts))
    part = _share(connection, part)
    ours = {one.host.id: part.versions[one.host.id] for one in part.plan.take_overs}
    claimed, lost = _claim(connection, part)
    plan = without(part.plan, lost)
    plan = _change_instances(connection, plan, part.snapshot)
    left_out = _weight(part.plan) - _weight(plan)
    events.append(connection, plan.at, (*_target_events(part), *_host_events(plan)))
    plan_id = _place(connection, plan) if plan.changes_anything else ""
    told = (_lost_race(plan.application, left_out, len(lost)),) if left_out else ()
    events.append(connection, plan.at, (*_instance_events(plan), *told, *part.news))
    return _Done(plan_id, left_out, {**ours, **claimed}, lost)


def _write_targets(connection: Connection, part: _Part) -> None:
    if not part.rows:
        return
    unplaced = {ServiceKey.parse(one.service).name: one.count for one in part.plan.unplaced}
    for decision in part.plan.targets:
        name = decision.service
        applications.decide_service(connection, part.rows[name], decision, unplaced.get(name, 0))


def _share(connection: Connection, part: _Part) -> _Part:
    """Take hosts of other clusters over, and claim others. They share quotas and money too, so: all or Stale."""
    plan, cluster, versions = part.plan, part.snapshot.spec.cluster, dict(part.versions)
    steps = [taken_over(one.host, cluster, one.words) for one in plan.take_overs]
    steps += [claimed_back(one.host, cluster, one.leave_by, one.words) for one in plan.claims]
    for step in steps:
        after = hosts.change(connection, step.host, after_step(step, step.host, plan.at), at=plan.at)
        versions[after.id] = after.version
    told = [
        Event(step.host.subject, step.reason, step.words, before=str(step.host.state), after=str(step.after))
        for step in steps
    ]
    events.append(connection, plan.at, told)
    return replace(part, versions=versions)


def _claim(connection: Connection, part: _Part) -> tuple[Mapping[str, int], frozenset[str]]:
    """Claim every host that takes something; return the versions of what is ours now, and the hosts that are lost."""
    new = {planned.host.id: planned.host.version for planned in part.plan.hosts}
    used = {one.instance.host_id for one in part.plan.instances} | {one.host_id for one in part.plan.rebinds}
    wanted = {host_id: part.versions[host_id] for host_id in sorted(used) if host_id in part.versions}
    lost = hosts.claim(connection, wanted) | used.difference(wanted, new)
    claimed = {host_id: version + 1 for host_id, version in wanted.items() if host_id not in lost}
    return {**claimed, **new}, lost


def _change_instances(connection: Connection, plan: ApplicationPlan, snapshot: ApplicationSnapshot) -> ApplicationPlan:
    """Rebind and mark those that leave; return the plan without those that somebody else changed meanwhile."""
    if not plan.rebinds and not plan.removals:
        return plan
    known = {instance.id: instance for instance in snapshot.host_instances} if plan.removals else {}
    known |= {one.instance.id: one.instance for one in plan.rebinds}
    asked = {one.instance.id for one in plan.rebinds} | {one.instance_id for one in plan.removals}
    versions = instances.versions_of(connection, sorted(asked))
    same = {instance_id for instance_id in asked if versions.get(instance_id) == known[instance_id].version}
    rebinds = tuple(one for one in plan.rebinds if one.instance.id in same)
    removals = tuple(one for one in plan.removals if one.instance_id in same)
    instances.change_all(
        connection,
        [
            *((one.instance, replace(one.instance, host_id=one.host_id)) for one in rebinds),
            *(
                (i, replace(i, leave_reason=one.reason, place_for=one.place_for))
                for one in removals
                for i in (known[one.instance_id],)
            ),
        ],
    )
    return replace(plan, rebinds=rebinds, removals=removals)


def _place(connection: Connection, plan: ApplicationPlan) -> str:
    """Insert the instances and the plan itself; return its id."""
    plan_id = f"plan-{counters.advance(connection, 'plan', 1) + 1}"
    last_instance = counters.advance(connection, "instance", len(plan.instances))
    batches = in_batches(plan.instances, plan_id, last_instance)
    placements.add(connection, plan.at, batches)
    plans.add(connection, replace(plan, id=plan_id), batches)
    return plan_id


def _weight(plan: ApplicationPlan) -> int:
    return len(plan.instances) + len(plan.rebinds) + len(plan.removals)


def _target_events(part: _Part) -> list[Event]:
    found: list[Event] = []
    for decision in part.plan.targets if part.rows else ():
        row = part.rows[decision.service]
        off_before, off = row.scaling.switches.off, decision.state.switches.off
        if off != off_before:
            reason = "feature-off" if off > off_before else "feature-on"
            numbers = {"features_off": off}
            found.append(Event(f"service/{row.key}", reason, decision.words, str(off_before), str(off), numbers))
        changed = row.scaling.target != decision.target
        if changed or row.decision is None or row.decision.reason != decision.reason:
            found.append(
                Event(
                    f"service/{row.key}",
                    decision.reason,
                    decision.words,
                    before=str(row.scaling.target),
                    after=str(decision.target),
                    numbers=decision.numbers,
                )
            )
    return found


def _host_events(plan: ApplicationPlan) -> list[Event]:
    return [Event(one.host.subject, "requested", one.why, after=str(one.host.state)) for one in plan.hosts]


def _instance_events(plan: ApplicationPlan) -> list[Event]:
    """Return events of instances that were there; those of new ones come with their rows."""
    rebound = [
        Event(one.instance.subject, "rebound", one.words, before=one.instance.host_id, after=one.host_id)
        for one in plan.rebinds
    ]
    return rebound + [Event(f"instance/{one.instance_id}", one.reason, one.words) for one in plan.removals]


def _lost_race(application: str, left_out: int, lost_hosts: int) -> Event:
    words = f"{left_out} placements and moves are decided again: somebody else was first"
    numbers = {"left_out": left_out, "hosts": lost_hosts}
    return Event(f"application/{application}", "lost-race", words, numbers=numbers)
