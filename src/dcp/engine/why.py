"""Answers "why?" in plain words from what was decided and logged, for services, instances, hosts and applications."""

from dataclasses import dataclass

from sqlalchemy import Connection

from dcp.engine.capacity.report import capacities
from dcp.engine.images.why import why_image
from dcp.hosts.model import Host
from dcp.hosts.sharing import EVERYBODYS, Sharing
from dcp.hosts.states import HostState
from dcp.images.warming.model import as_pulled
from dcp.images.warming.states import HostImageState
from dcp.kernel.errors import Conflict, NotFound
from dcp.orchestration.scaling.plan import ApplicationPlan
from dcp.orchestration.scaling.switches import features_off
from dcp.orchestration.services.model import Instance
from dcp.orchestration.services.states import InstanceState
from dcp.orchestration.traffic.gate import gate_open
from dcp.store import applications, edge, events, hosts, instances, plans, warming
from dcp.store.events import Logged

EVENTS = 20
NO_ROOM = "no-room"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a subject is now, why, and the events that led there, oldest first."""

    subject: str
    now: str
    because: tuple[str, ...]
    events: tuple[Logged, ...]


def why(connection: Connection, subject: str, sharing: Sharing = EVERYBODYS) -> Answer:
    """Explain `feed`, `shop/feed`, `feed-3`, `cloud-1`, `shop/web:1` or an application.

    Raises NotFound, or Conflict where several services have the name.
    """
    instance = instances.find(connection, subject)
    if instance is not None:
        return _of_instance(connection, instance)
    host = hosts.find(connection, subject)
    if host is not None:
        lines = [f"{host.kind} host from {host.source}, {host.host_type.price_usd_per_hour:.3f} USD per hour"]
        if host.engine:
            lines.append(f"engine {host.engine}" + (f" at site {host.site}" if host.site else ""))
        lines += _whose(host, sharing)
        lines += [f"carries {i.id} ({i.state})" for i in instances.live(connection) if i.host_id == host.id]
        return _answer(connection, host.subject, f"{host.id} is {host.state} ({host.reason or 'new'})", lines)
    named = [row for row in applications.service_rows(connection) if subject in (row.key.name, str(row.key))]
    if len(named) > 1:
        choices = ", ".join(str(row.key) for row in named)
        raise Conflict(f"{subject} is the name of {len(named)} services", hint=f"say which: {choices}")
    if named:
        return _of_service(connection, named[0])
    proxy = edge.find_proxy(connection, subject.removeprefix("proxy/"))
    if proxy is not None:
        state = "counted on" if proxy.counted else "away"
        lines = [proxy.words] if proxy.words else ["it has the present state"]
        return _answer(connection, f"proxy/{proxy.node}", f"{proxy.node} is {state}", lines)
    if applications.find(connection, subject) is not None:
        return _of_application(connection, subject)
    image = why_image(connection, subject.removeprefix("image/"))
    if image is not None:
        return _answer(connection, image[0], image[1], list(image[2]))
    raise NotFound(f"nothing here is called {subject}", hint="see `dcp services`, `dcp instances`, `dcp hosts`")


def _whose(host: Host, sharing: Sharing) -> list[str]:
    lender = sharing.lender(host)
    lines = [f"cluster {host.cluster or 'none'} has it" + (f", lent by {lender}" if lender else "")]
    if host.claimed_by is not None:
        lines.append(f"cluster {host.claimed_by or 'none'} claims it back and gets it when nothing runs there any more")
    return lines if lender or host.cluster or host.claimed_by is not None else []


def _of_instance(connection: Connection, instance: Instance) -> Answer:
    lines = [f"on host {instance.host_id}, planned by {instance.plan_id}, revision {instance.spec_revision}"]
    plan = plans.find(connection, instance.plan_id)
    if plan is not None:
        lines += [f"planned because: {d.words}" for d in plan.targets if d.service == instance.service]
        lines += [f"placed because: {p.why}" for p in plan.instances if p.instance.id == instance.id]
    if instance.leave_reason:
        lines.append(f"has to leave: {instance.leave_reason}")
    host = hosts.find(connection, instance.host_id)
    if host is not None and host.state == HostState.UNREACHABLE:
        lines.append(f"the engine of {host.id} does not answer: nothing is known of it now, and nothing concluded")
    if instance.state == InstanceState.PLACED:
        if host is None or host.state != HostState.READY:
            lines.append(f"waits for its host, which is {host.state if host else 'unknown'}")
        lines += _images(connection, instance, plan)
    if instance.state == InstanceState.HELD:
        serving = instances.serving_counts(connection, instance.application)
        rows = applications.service_rows(connection, instance.application)
        targets = {row.key.name: row.scaling.target for row in rows}
        attainable = {row.key.name: row.attainable for row in rows}
        closed = gate_open(instance.gate, serving, targets, attainable)
        lines.append(f"held at its gate: {closed}" if closed else "its gate is open; it takes traffic next")
    return _answer(connection, instance.subject, f"{instance.id} is {instance.state} ({instance.reason})", lines)


def _images(connection: Connection, instance: Instance, plan: ApplicationPlan | None) -> list[str]:
    """Say how far its image is, and what the plan expected."""
    spec = applications.spec_at(connection, instance.application, instance.spec_revision).service(instance.service)
    row = warming.find(connection, instance.host_id, image) if (image := as_pulled(spec.image)) else None
    if row is None or row.state == HostImageState.PRESENT:
        return []
    failed = f", {row.attempts} failed so far: {row.reason}: {row.words}" if row.attempts else ""
    source = f" from {row.source}" if row.source else ""
    lines = [f"waits for its image {image}, which is {row.state} on {row.host_id}{source}{failed}"]
    planned = plan.warming if plan else ()
    return lines + [f"planned: {one.words}" for one in planned if one.image == image and instance.host_id in one.hosts]


def _of_service(connection: Connection, row: applications.ServiceRow) -> Answer:
    own = instances.live(connection, row.key.application, row.key.name)
    counts: dict[str, int] = {}
    for instance in own:
        counts[str(instance.state)] = counts.get(str(instance.state), 0) + 1
    states = ", ".join(f"{number} {state}" for state, number in sorted(counts.items())) or "none"
    lines = [f"instances: {states}"]
    if row.decision is not None:
        lines.append(f"last decision: {row.decision.words}")
        lines += [f"held by {one.reason}: {one.words}" for one in row.decision.braked]
        lines += [f"{name} = {value}" for name, value in sorted(row.decision.numbers.items())]
    lines += [one.words for one in capacities(connection, row.key)]
    application = applications.find(connection, row.key.application)
    spec = application.spec.find(row.key.name) if application else None
    if spec is not None and (off := features_off(spec, row.scaling)):
        lines.append(f"features off: {', '.join(off)}")
    if row.unplaced:
        lines += [f"{row.unplaced:,} fit nowhere: {words}" for words in _last_refusal(connection, f"service/{row.key}")]
    return _answer(connection, f"service/{row.key}", f"{row.key} has target {row.scaling.target}", lines)


def _last_refusal(connection: Connection, subject: str) -> tuple[str, ...]:
    """Return in words why what is not placed fits nowhere, as it was said last."""
    told = [one.event.words for one in events.of_subject(connection, subject, EVENTS) if one.event.reason == NO_ROOM]
    return tuple(told[-1:]) or ("see `dcp plan`",)


def _of_application(connection: Connection, name: str) -> Answer:
    lines = []
    for row in applications.service_rows(connection, name):
        words = row.decision.words if row.decision else "not decided yet"
        lines.append(f"{row.key.name}: target {row.scaling.target}; {words}")
    newest = plans.newest(connection, name, 1)
    if newest:
        plan = newest[0]
        lines.append(
            f"last plan {plan.id}: {len(plan.hosts)} hosts asked for, {len(plan.instances)} instances added, "
            f"{len(plan.removals)} removed, {plan.price_change_usd_per_hour:+.3f} USD per hour"
        )
        lines += [f"took {one.host.id} over: {one.words}" for one in plan.take_overs]
        lines += [f"claims {one.host.id} back from cluster {one.host.cluster}: {one.words}" for one in plan.claims]
    return _answer(connection, f"application/{name}", f"application {name}", lines)


def _answer(connection: Connection, subject: str, now: str, lines: list[str]) -> Answer:
    return Answer(subject, now, tuple(lines), events.of_subject(connection, subject, EVENTS))
