"""What goes over the wire, as types: OpenAPI is made from them, and every answer is checked against them.

Shapes repeat a noun of the engine where they show all of it; they leave out what a client must not rely on (versions,
leases) and what must not be shown (a service's command and environment, where secrets stand).
"""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from dcp.engine.confirming import Confirmation
from dcp.engine.cost.report import CostReport
from dcp.engine.queries import HostSummary, PlannedCall, ServiceSummary
from dcp.engine.why import Answer
from dcp.hosts.cost.model import HOUR_MS, Amount, to_usd
from dcp.hosts.cost.period import Question
from dcp.kernel.events import Number
from dcp.orchestration.scaling.model import Policy
from dcp.orchestration.scaling.plan import ApplicationPlan
from dcp.orchestration.services.model import ApplicationSpec, Instance, ServiceSpec
from dcp.orchestration.services.placement import PlacementRules, PlacementWishes
from dcp.store.applications import Application
from dcp.store.events import Logged


class Shape(BaseModel):
    """Base of all: unknown keys in a request are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ApplicationBrief(Shape):
    """An application; `removing`: it is drained and then forgotten; `frozen`: why its targets do not move."""

    name: str
    revision: int
    removing: bool
    frozen: str

    @classmethod
    def of(cls, application: Application) -> Self:
        return cls(
            name=application.name,
            revision=application.revision,
            removing=application.removing,
            frozen=application.frozen,
        )


class GraphShape(Shape):
    """The calls between the services of an application; callers in the order of the file."""

    application: str
    calls: list[PlannedCall]


class FreezeBody(Shape):
    """Why the targets of an application shall stay as they are."""

    why: str = Field(min_length=1, max_length=500)


class PlaceBody(Shape):
    """So many instances of each of these services, in all."""

    counts: dict[str, int] = Field(min_length=1)
    dry_run: bool = False


class RehearsalBody(Shape):
    """So many times what arrives at a service now, for so long."""

    service: str
    times: float
    lasts_s: float


class ConfirmBody(Shape):
    """So many instances each of these services may grow to without asking again, for so long."""

    counts: dict[str, int] = Field(min_length=1)
    lasts_s: float


class ConfirmedShape(Shape):
    """What was confirmed, in the order in which it was asked for."""

    application: str
    confirmed: list[Confirmation]


class ControllerShape(Shape):
    """A living controller and when it was last seen (seconds since the epoch)."""

    id: str
    address: str
    seen_at: float


class AbilitiesShape(Shape):
    """What the runtime can enforce here; `why_not` says what is missing."""

    cpu_limit: bool
    memory_limit: bool
    why_not: str
    containers: bool


class RuntimeShape(Shape):
    """The runtime."""

    abilities: AbilitiesShape


class StatusShape(Shape):
    """What serves here."""

    now: float
    policy: Policy
    time_scale: float
    version: str
    applications: list[ApplicationBrief]
    controllers: list[ControllerShape]
    runtime: RuntimeShape


class ApplicationList(Shape):
    """Every application, by name."""

    applications: list[ApplicationBrief]


class ServiceSpecShape(Shape):
    """A service as it is wanted, without its command and environment: secrets stand there."""

    name: str
    image: str
    replicas: int
    min_instances: int
    max_instances: int
    cpu_millis: int
    memory_bytes: int
    published_port: int | None
    depends_on: list[str]
    calls: dict[str, float]
    safe_level: float | None
    fatal_level: float | None
    units_per_s: float | None
    requests_per_s: float | None
    slow_threshold_ms: int
    constraints: list[str]
    disk_bytes: int
    named_resources: dict[str, int]
    rules: PlacementRules
    wishes: PlacementWishes

    @classmethod
    def of(cls, spec: ServiceSpec) -> Self:
        return cls(
            name=spec.name,
            image=spec.image,
            replicas=spec.replicas,
            min_instances=spec.min_instances,
            max_instances=spec.max_instances,
            cpu_millis=spec.resources.cpu_millis,
            memory_bytes=spec.resources.memory_bytes,
            published_port=spec.published_port,
            depends_on=[dependency.service for dependency in spec.depends_on],
            calls={call.service: call.per_request for call in spec.calls},
            safe_level=spec.elastic.safe_level if spec.elastic else None,
            fatal_level=spec.elastic.fatal_level if spec.elastic else None,
            units_per_s=spec.capacity.units_per_s if spec.capacity else None,
            requests_per_s=spec.capacity.requests_per_s if spec.capacity else None,
            slow_threshold_ms=spec.slow_threshold_ms,
            constraints=list(spec.constraints),
            disk_bytes=spec.resources.disk_bytes,
            named_resources=dict(spec.resources.extra),
            rules=spec.rules,
            wishes=spec.wishes,
        )


class ApplicationShape(ApplicationBrief):
    """One application with its services."""

    applied_at: float
    services: list[ServiceSpecShape]

    @classmethod
    def of(cls, application: Application) -> Self:
        return cls(
            name=application.name,
            revision=application.revision,
            removing=application.removing,
            frozen=application.frozen,
            applied_at=application.applied_at,
            services=[ServiceSpecShape.of(service) for service in application.spec.services],
        )


class ApplyBody(Shape):
    """Make `spec` the wanted state. `expected_revision` (0: must not exist) refuses if somebody else was first."""

    spec: ApplicationSpec
    dry_run: bool = False
    expected_revision: int | None = Field(default=None, ge=0)


class RemovingShape(Shape):
    """The removal was taken; it is done when the application is no longer listed."""

    application: str
    removing: bool


class ServiceShape(Shape):
    """One service at a glance. null: not measured."""

    application: str
    name: str
    target: int
    serving: int
    coming: int
    leaving: int
    listen_url: str
    water_level: float | None
    slow_ratio: float | None
    requests_per_s: float | None
    waiting: int | None
    reason: str
    words: str

    @classmethod
    def of(cls, summary: ServiceSummary, listen_address: str) -> Self:
        return cls(
            application=summary.application,
            name=summary.name,
            target=summary.target,
            serving=summary.serving,
            coming=summary.coming,
            leaving=summary.leaving,
            listen_url=listen_url(listen_address, summary.listen_port),
            water_level=summary.water_level,
            slow_ratio=summary.slow_ratio,
            requests_per_s=summary.requests_per_s,
            waiting=summary.waiting,
            reason=summary.reason,
            words=summary.words,
        )


class ServiceList(Shape):
    """Every service, by application and name."""

    services: list[ServiceShape]


class InstanceShape(Shape):
    """One instance. Times are seconds since the epoch."""

    id: str
    application: str
    service: str
    host: str
    state: str
    port: int
    reason: str
    leave_reason: str
    revision: int
    created_at: float
    serving_at: float | None
    ended_at: float | None

    @classmethod
    def of(cls, instance: Instance) -> Self:
        return cls(
            id=instance.id,
            application=instance.application,
            service=instance.service,
            host=instance.host_id,
            state=str(instance.state),
            port=instance.port,
            reason=instance.reason,
            leave_reason=instance.leave_reason,
            revision=instance.spec_revision,
            created_at=instance.created_at,
            serving_at=instance.serving_at,
            ended_at=instance.ended_at,
        )


class InstanceList(Shape):
    """Instances in order of creation."""

    instances: list[InstanceShape]


class LogsShape(Shape):
    """The last lines that an instance wrote."""

    instance: str
    lines: list[str]


class HostShape(Shape):
    """One host and the instances on it."""

    id: str
    source: str
    kind: str
    type: str
    state: str
    price_usd_per_hour: float
    instances: list[str]
    reason: str
    site: str
    address: str
    engine: str
    variant: str
    leave_by: float | None
    cluster: str
    since: float

    @classmethod
    def of(cls, summary: HostSummary) -> Self:
        return cls(
            id=summary.id,
            source=summary.source,
            kind=summary.kind,
            type=summary.type_name,
            state=summary.state,
            price_usd_per_hour=summary.price_usd_per_hour,
            instances=list(summary.instances),
            reason=summary.reason,
            site=summary.site,
            address=summary.address,
            engine=summary.engine,
            variant=summary.variant,
            leave_by=summary.leave_by,
            cluster=summary.cluster,
            since=summary.since,
        )


class HostList(Shape):
    """Hosts in order of request."""

    hosts: list[HostShape]


class EventShape(Shape):
    """What happened to which subject, why, and the numbers that decided it."""

    seq: int
    at: float
    subject: str
    reason: str
    words: str
    before: str
    after: str
    numbers: dict[str, Number]

    @classmethod
    def of(cls, logged: Logged) -> Self:
        event = logged.event
        return cls(
            seq=logged.seq,
            at=logged.at,
            subject=event.subject,
            reason=event.reason,
            words=event.words,
            before=event.before,
            after=event.after,
            numbers=dict(event.numbers),
        )


class EventList(Shape):
    """Events, oldest first."""

    events: list[EventShape]


class PlanBrief(Shape):
    """A plan that was applied, in numbers."""

    id: str
    application: str
    at: float
    policy: Policy
    hosts: int
    instances: int
    removals: int
    price_change_usd_per_hour: float
    ready_in_s: float

    @classmethod
    def of(cls, plan: ApplicationPlan) -> Self:
        return cls(
            id=plan.id,
            application=plan.application,
            at=plan.at,
            policy=plan.policy,
            hosts=len(plan.hosts),
            instances=len(plan.instances),
            removals=len(plan.removals),
            price_change_usd_per_hour=plan.price_change_usd_per_hour,
            ready_in_s=plan.ready_in_s,
        )


class PlanList(Shape):
    """Plans, oldest first."""

    plans: list[PlanBrief]


class WhyShape(Shape):
    """What a subject is now, why, and the events that led there, oldest first."""

    subject: str
    now: str
    because: list[str]
    events: list[EventShape]

    @classmethod
    def of(cls, answer: Answer) -> Self:
        return cls(
            subject=answer.subject,
            now=answer.now,
            because=list(answer.because),
            events=[EventShape.of(logged) for logged in answer.events],
        )


class AmountShape(Shape):
    """Money and host time. `charged` is owed by the contract, `amortised` in proportion to the time held."""

    charged_usd: float
    amortised_usd: float
    host_hours: float

    @classmethod
    def of(cls, amount: Amount) -> Self:
        return cls(
            charged_usd=to_usd(amount.charged_nano_usd),
            amortised_usd=to_usd(amount.amortised_nano_usd),
            host_hours=amount.host_ms / HOUR_MS,
        )


class CostRowShape(AmountShape):
    """What one key cost in the period from `since` to `until`, seconds since the epoch."""

    key: list[str]
    since: float
    until: float


class CostShape(Shape):
    """What the hosts cost in a time. Each row's key has a part for each word of `by`, in its order."""

    by: list[str]
    timezone: str
    since: float
    until: float
    rows: list[CostRowShape]
    total: AmountShape
    cost_usd: float
    """The same as `total.charged_usd`."""

    @classmethod
    def of(cls, question: Question, report: CostReport) -> Self:
        return cls(
            by=list(question.order),
            timezone=question.zone_name,
            since=report.since_s,
            until=report.until_s,
            rows=[
                CostRowShape(
                    key=list(row.key),
                    since=row.since_s,
                    until=row.until_s,
                    **AmountShape.of(row.amount).model_dump(),
                )
                for row in report.rows
            ],
            total=AmountShape.of(report.total),
            cost_usd=to_usd(report.total.charged_nano_usd),
        )


def listen_url(address: str, port: int) -> str:
    """Return where somebody on this machine reaches a listener."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(address, f"[{address}]" if ":" in address else address)
    return f"http://{host}:{port}"
