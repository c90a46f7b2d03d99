"""What a Compose file asks for, as frozen values, and an instance: one running copy of one service."""

from dataclasses import dataclass, field
from enum import StrEnum

from dcp.hosts.model import Resources
from dcp.orchestration.services.brakes import Brakes
from dcp.orchestration.services.container import ContainerSpec
from dcp.orchestration.services.degrade import Degrade
from dcp.orchestration.services.forecasting import Forecasting
from dcp.orchestration.services.placement import PlacementRules, PlacementWishes
from dcp.orchestration.services.quiet_hours import QuietHours
from dcp.orchestration.services.signals import Signal
from dcp.orchestration.services.states import InstanceState
from dcp.orchestration.services.timetable import TimetableEntry


class DependencyCondition(StrEnum):
    """What a dependency must have reached before its dependant takes traffic (Compose `depends_on`)."""

    STARTED = "service_started"
    HEALTHY = "service_healthy"


@dataclass(frozen=True, slots=True)
class Dependency:
    """The dependant's first instances take no traffic before `service` has met `condition`."""

    service: str
    condition: DependencyCondition = DependencyCondition.HEALTHY


@dataclass(frozen=True, slots=True)
class Call:
    """The service calls `service` `per_request` times for each request it answers (x-dcp `calls`)."""

    service: str
    per_request: float


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """How to tell that an instance can answer.

    Exactly one of `command` (exit 0 is healthy; run with the instance's environment) and `http_path`
    (status 200 to 399 on the instance's own port is healthy) is set.
    """

    command: tuple[str, ...] = ()
    http_path: str = ""
    interval_s: float = 1.0
    timeout_s: float = 1.0
    retries: int = 3
    start_period_s: float = 30.0
    """Failures in the first `start_period_s` seconds do not count."""


class RestartCondition(StrEnum):
    """When an ended instance is replaced (Compose `deploy.restart_policy.condition`)."""

    NONE = "none"
    ON_FAILURE = "on-failure"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """A failed instance is replaced by a new one after a back-off that doubles from `delay_s` to 60 s at most.

    After `max_attempts` failures in `window_s` seconds (0: no bound) no replacement is made until the
    specification changes; the service is then reported as crash-looping.
    """

    condition: RestartCondition = RestartCondition.ANY
    delay_s: float = 1.0
    max_attempts: int = 0
    window_s: float = 120.0


@dataclass(frozen=True, slots=True)
class UpdatePolicy:
    """How a changed specification reaches running instances: `parallelism` at a time, new first if `start_first`."""

    parallelism: int = 1
    start_first: bool = True


@dataclass(frozen=True, slots=True)
class Capacity:
    """What one instance carries when its slow ratio passes 1%, measured at the same moment in both units.

    `units_per_s` is requests weighted by latency band; `requests_per_s` is the plain request rate.
    """

    units_per_s: float
    requests_per_s: float


@dataclass(frozen=True, slots=True)
class Elastic:
    """Bounds and lines of scaling. Water level = maximum capacity / live load: higher is safer."""

    min_instances: int
    max_instances: int
    safe_level: float = 2.0
    """Above it for `Timing.shrink_after_s` the service may shrink; growth aims at it."""
    fatal_level: float = 1.2
    """Below it in 3 of the last 5 samples the service grows at once."""


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """One service as asked for. Names are unique inside an application."""

    name: str
    command: tuple[str, ...]
    resources: Resources
    replicas: int = 1
    image: str = ""
    environment: tuple[tuple[str, str], ...] = ()
    working_dir: str = ""
    """Absolute; the Compose file's folder unless it says otherwise."""
    published_port: int | None = None
    """The balancer listens here; None: a port of the internal range is assigned."""
    target_port: int | None = None
    """The port inside a container. The `process` runtime gives each instance a port of its own in `PORT`."""
    depends_on: tuple[Dependency, ...] = ()
    calls: tuple[Call, ...] = ()
    health: HealthCheck | None = None
    """None: an instance counts as healthy once its process runs."""
    elastic: Elastic | None = None
    """None: never scaled; `replicas` instances."""
    signals: tuple[Signal, ...] = ()
    """Figures that others measure; the highest demand wins."""
    timetable: tuple[TimetableEntry, ...] = ()
    """Hours at which more is known to be needed; floors under the target."""
    forecast: Forecasting | None = None
    brakes: Brakes = Brakes()
    degrade: Degrade | None = None
    capacity: Capacity | None = None
    quiet_hours: QuietHours | None = None
    """When it may be measured without being asked for."""
    slow_threshold_ms: int = 1000
    """A request slower than this is slow. One of capacity.model.LATENCY_BOUNDS_MS."""
    max_per_host: int | None = None
    constraints: tuple[str, ...] = ()
    """Placement constraints as Compose writes them: `node.labels.zone==a`, `node.labels.disk!=hdd`."""
    rules: PlacementRules = PlacementRules()
    wishes: PlacementWishes = PlacementWishes()
    restart: RestartPolicy = RestartPolicy()
    update: UpdatePolicy = UpdatePolicy()
    stop_grace_s: float = 10.0
    stop_signal: str = "SIGTERM"
    labels: tuple[tuple[str, str], ...] = ()
    container: ContainerSpec = ContainerSpec()

    @property
    def min_instances(self) -> int:
        """The number of instances to come back to after a surge."""
        return self.elastic.min_instances if self.elastic else self.replicas

    @property
    def most_per_host(self) -> int | None:
        """Most instances on one host: one where each takes the same port of its host; None: no bound."""
        return 1 if self.container.host_port is not None else self.max_per_host

    @property
    def max_instances(self) -> int:
        return self.elastic.max_instances if self.elastic else self.replicas

    def dependencies(self) -> tuple[str, ...]:
        """Names of every service that this one needs, by `depends_on` or by `calls`, sorted."""
        return tuple(sorted({d.service for d in self.depends_on} | {c.service for c in self.calls}))


@dataclass(frozen=True, slots=True)
class ApplicationSpec:
    """All services of one Compose file, planned together."""

    name: str
    services: tuple[ServiceSpec, ...]
    cluster: str = ""
    """The business line whose hosts it uses."""

    def service(self, name: str) -> ServiceSpec:
        """Return the service called `name`; KeyError if there is none."""
        service = self.find(name)
        if service is None:
            raise KeyError(name)
        return service

    def find(self, name: str) -> ServiceSpec | None:
        """Return the service called `name`, if there is one."""
        return next((service for service in self.services if service.name == name), None)


@dataclass(frozen=True, slots=True)
class GateCondition:
    """Holds while fewer than `serving_at_least` instances of `service` serve."""

    service: str
    serving_at_least: int


@dataclass(frozen=True, slots=True)
class Instance:
    """One copy of one service on one host. Times are seconds since the epoch. A failed one is replaced, not revived."""

    id: str
    application: str
    service: str
    host_id: str
    spec_revision: int
    """The application revision whose specification this instance runs."""
    state: InstanceState
    plan_id: str
    created_at: float
    resources: Resources
    gate: tuple[GateCondition, ...] = ()
    not_before: float = 0.0
    """Starts no earlier (restart back-off)."""
    address: str = ""
    port: int = 0
    changed_at: float = 0.0
    serving_at: float | None = None
    """When the balancer acknowledged it; gates count it from then on."""
    ended_at: float | None = None
    replaces: str = ""
    """The instance that leaves once this one serves; empty: it was added for its service's target."""
    leave_reason: str = ""
    """Why it has to leave (the plan's word, a stable code); empty: it is wanted."""
    place_for: str = ""
    """The service (`application/name`) of higher priority that gets its place."""
    reason: str = ""
    """Why it is in its state: a stable code."""
    traits: tuple[str, ...] = ()
    """What it brings to its host for those that come later, as `traits` of the scheduler write it."""
    version: int = 0

    @property
    def subject(self) -> str:
        return f"instance/{self.id}"


@dataclass(frozen=True, slots=True)
class ServiceKey:
    """A service anywhere in dcp: `application/name`."""

    application: str
    name: str

    def __str__(self) -> str:
        return f"{self.application}/{self.name}"

    @classmethod
    def parse(cls, text: str) -> "ServiceKey":
        application, _, name = text.partition("/")
        return cls(application, name)


@dataclass(frozen=True, slots=True)
class Observation:
    """What the runtime of its host sees of one instance."""

    instance_id: str
    running: bool
    address: str = "127.0.0.1"
    port: int = 0
    exit_code: int | None = None
    """None while running, and where the runtime cannot know it."""
    labels: tuple[tuple[str, str], ...] = field(default=())


@dataclass(frozen=True, slots=True)
class StartOrder:
    """Everything a runtime needs to start one instance."""

    instance_id: str
    host_id: str
    service: ServiceKey
    command: tuple[str, ...]
    resources: Resources
    image: str = ""
    environment: tuple[tuple[str, str], ...] = ()
    """Complete but for `PORT`, which the runtime adds with the port it gave."""
    working_dir: str = ""
    health: HealthCheck | None = None
    stop_signal: str = "SIGTERM"
    target_port: int | None = None
    container: ContainerSpec = ContainerSpec()
    address: str = ""
    """The address of the site's network that is this instance's own; only with network mode `underlay`."""
    stop_grace_s: float = 10.0
    """For runtimes whose engine can stop an instance without us."""
