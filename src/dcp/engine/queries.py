"""What people look at: one frozen view for each noun, read in one transaction."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from sqlalchemy import Connection

from dcp.hosts.cost.prices import price_now
from dcp.kernel.errors import NotFound
from dcp.orchestration.capacity.calls import CallVerdict, estimate_calls, with_learned
from dcp.orchestration.capacity.measured import with_measured
from dcp.orchestration.capacity.model import Sample
from dcp.orchestration.capacity.units import slow_ratio
from dcp.orchestration.capacity.water_level import water_level
from dcp.orchestration.services.model import Instance, ServiceSpec
from dcp.orchestration.services.states import LEAVING, InstanceState
from dcp.store import applications, capacity_tests, hosts, instances, learned_calls, samples


@dataclass(frozen=True, slots=True)
class ServiceSummary:
    """One service at a glance. None: not measured."""

    application: str
    name: str
    target: int
    serving: int
    coming: int
    leaving: int
    listen_port: int
    water_level: float | None
    slow_ratio: float | None
    requests_per_s: float | None
    waiting: int | None
    reason: str
    words: str


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """What the rates say now of one edge of the graph, and what plans count on: calls per request. None: not known."""

    caller: str
    callee: str
    declared: float | None
    learned: float | None
    low: float | None
    high: float | None
    windows: int
    verdict: CallVerdict
    planned: float | None


@dataclass(frozen=True, slots=True)
class HostSummary:
    """One host at a glance."""

    id: str
    source: str
    kind: str
    type_name: str
    state: str
    price_usd_per_hour: float
    instances: tuple[str, ...]
    reason: str
    site: str
    address: str
    engine: str
    variant: str
    leave_by: float | None
    cluster: str
    since: float


def call_graph(connection: Connection, name: str) -> tuple[PlannedCall, ...]:
    """Return who calls whom in an application: as declared, as its rates say, as plans count. Raises NotFound."""
    application = applications.find(connection, name)
    if application is None:
        raise NotFound(f"there is no application {name}", hint="see `dcp status`")
    counted = with_learned(application.spec, learned_calls.find(connection, name))
    planned = {(one.name, call.service): call.per_request for one in counted.services for call in one.calls}
    estimates = estimate_calls(application.spec, samples.windows(connection, name))
    return tuple(PlannedCall(**asdict(one), planned=planned.get((one.caller, one.callee))) for one in estimates)


def services(connection: Connection) -> tuple[ServiceSummary, ...]:
    """Return every service, sorted by application and name."""
    found: list[ServiceSummary] = []
    specs: dict[str, Mapping[str, ServiceSpec]] = {}
    live = instances.live(connection)
    for row in applications.service_rows(connection):
        if row.key.application not in specs:
            application = applications.find(connection, row.key.application)
            measured = capacity_tests.measured(connection, row.key.application)
            spec = with_measured(application.spec, measured) if application else None
            specs[row.key.application] = {one.name: one for one in spec.services} if spec else {}
        own = [i for i in live if (i.application, i.service) == (row.key.application, row.key.name)]
        newest = samples.newest(connection, row.key, 1)
        sample = newest[-1][1] if newest else None
        found.append(_summary(row, specs[row.key.application].get(row.key.name), own, sample))
    return tuple(found)


def _summary(
    row: applications.ServiceRow, spec: ServiceSpec | None, own: list[Instance], sample: Sample | None
) -> ServiceSummary:
    serving = sum(1 for i in own if i.state == InstanceState.SERVING and i.serving_at is not None)
    leaving = sum(1 for i in own if i.state in LEAVING or i.leave_reason)
    capacity = spec.capacity if spec else None
    return ServiceSummary(
        application=row.key.application,
        name=row.key.name,
        target=row.scaling.target,
        serving=serving,
        coming=max(0, len(own) - serving - leaving),
        leaving=leaving,
        listen_port=row.listen_port,
        water_level=water_level(serving, capacity, sample) if capacity and sample else None,
        slow_ratio=slow_ratio(sample, spec.slow_threshold_ms) if spec and sample else None,
        requests_per_s=sample.arrived / sample.window_s if sample else None,
        waiting=sample.waiting if sample else None,
        reason=row.decision.reason if row.decision else "",
        words=row.decision.words if row.decision else "",
    )


def host_list(connection: Connection) -> tuple[HostSummary, ...]:
    """Return hosts that were not given back, in order of request."""
    carried: dict[str, list[str]] = {}
    for instance in instances.live(connection):
        carried.setdefault(instance.host_id, []).append(instance.id)
    return tuple(
        HostSummary(
            id=host.id,
            source=host.source,
            kind=str(host.kind),
            type_name=host.host_type.name,
            state=str(host.state),
            price_usd_per_hour=price_now(host),
            instances=tuple(carried.get(host.id, ())),
            reason=host.reason,
            site=host.site,
            address=host.address,
            engine=host.engine,
            variant=host.variant,
            leave_by=host.leave_by,
            cluster=host.cluster,
            since=host.requested_at,
        )
        for host in hosts.current(connection)
    )
