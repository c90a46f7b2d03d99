"""Hosts and where they come from. A host is one machine or VM, or, with the `process` runtime, a slice of this one."""

from dataclasses import dataclass, field
from enum import StrEnum

from dcp.hosts.states import HostState
from dcp.kernel.errors import DriverError


@dataclass(frozen=True, slots=True)
class Resources:
    """What an instance needs or a host has: thousandths of a processor, bytes, and pieces of what has a name."""

    cpu_millis: int
    memory_bytes: int
    disk_bytes: int = 0
    extra: tuple[tuple[str, int], ...] = ()
    """Named ones such as `gpu`, sorted by name, each above 0."""

    def amounts(self) -> dict[str, int]:
        """Return every amount by name: `cpu`, `memory`, `disk`, then the extra ones."""
        return {"cpu": self.cpu_millis, "memory": self.memory_bytes, "disk": self.disk_bytes, **dict(self.extra)}

    def fits_in(self, other: "Resources") -> bool:
        """Return whether every dimension is at most the other's."""
        has = other.amounts()
        return all(amount <= has.get(name, 0) for name, amount in self.amounts().items())

    def plus(self, other: "Resources", times: int = 1) -> "Resources":
        """Return the sum with `times` the other, which may be negative; no dimension is cut off at 0."""
        extra = dict(self.extra)
        for name, amount in other.extra:
            extra[name] = extra.get(name, 0) + times * amount
        return Resources(
            self.cpu_millis + times * other.cpu_millis,
            self.memory_bytes + times * other.memory_bytes,
            self.disk_bytes + times * other.disk_bytes,
            tuple(sorted((name, amount) for name, amount in extra.items() if amount)),
        )


class SourceKind(StrEnum):
    """Private sources are used first and given back last."""

    PRIVATE = "private"
    CLOUD = "cloud"


class Billing(StrEnum):
    """How a source charges for a host; spot hosts are charged by the second and may be taken away."""

    PER_SECOND = "per-second"
    HOURLY = "hourly"
    MONTHLY = "monthly"
    YEARLY = "yearly"
    SPOT = "spot"


@dataclass(frozen=True, slots=True)
class HostType:
    """A kind of host a source can give: its size, its price while we hold it, its labels."""

    name: str
    resources: Resources
    price_usd_per_hour: float = 0.0
    labels: tuple[tuple[str, str], ...] = ()
    boot_s: float = 0.0
    """Expected seconds from request to ready; used in plans, not waited for."""
    billing: Billing = Billing.PER_SECOND
    price_stopped_usd_per_hour: float = 0.0
    """What is charged while the host is switched off and kept."""
    initialise: bool = False
    """Whether it comes bare: it is initialised before instances start there."""
    minimum_s: float = 60.0
    """Billed by the second, at least this long is charged each time it starts; private hosts have no minimum."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One place where a source can make hosts of a type: a zone with its subnet and security group, for instance."""

    key: str
    """Unique within source and type; what the driver is asked with."""
    price_usd_per_hour: float | None = None
    """None: the price of the type."""


ANYWHERE = (Variant(""),)
"""A source that has no places to choose from."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a source can give now. `available` counts further hosts of this type; None means no known bound."""

    source: str
    kind: SourceKind
    host_type: HostType
    available: int | None
    variants: tuple[Variant, ...] = ANYWHERE
    """Where, in the source's own order of preference."""
    clusters: tuple[str, ...] = ()
    """Who may have it; empty: whoever may use the source."""
    lender: str = ""
    """Whose hosts they are, where they are borrowed."""


@dataclass(frozen=True, slots=True)
class Host:
    """One host in the ledger. Times are seconds since the epoch."""

    id: str
    source: str
    kind: SourceKind
    host_type: HostType
    state: HostState
    requested_at: float
    changed_at: float = 0.0
    """When it entered its state."""
    billed_from: float | None = None
    billed_until: float | None = None
    address: str = ""
    engine: str = ""
    """URL of its container engine: `unix:///path`, `tcp://address:port`, `ssh://user@address`; empty: none."""
    reason: str = ""
    attempts: int = 0
    not_before: float = 0.0
    """The source is not asked again before this time (back-off)."""
    cluster: str = ""
    """The business line that has it; instances of others are not placed there."""
    variant: str = ""
    """Where its source was asked for it; see `Variant`."""
    token: str = ""
    """Names the call that asks for it, and for all hosts with the same token; a repeated call carries it again."""
    leave_by: float | None = None
    """What runs there has to be elsewhere by then; None: it may stay."""
    claimed_by: str | None = None
    """The cluster that gets it next: an owner who claims it back; None: nobody does."""
    cluster_since: float | None = None
    """When its cluster got it from another one; None: it was requested for it."""
    version: int = 0

    @property
    def subject(self) -> str:
        return f"host/{self.id}"

    @property
    def site(self) -> str:
        """The data centre or cloud region that its label `site` names; empty: none."""
        return dict(self.host_type.labels).get("site", "")


class SourceHostState(StrEnum):
    """What a source says about one of our hosts."""

    PENDING = "pending"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    DELETING = "deleting"


@dataclass(frozen=True, slots=True)
class SourceHost:
    """One of our hosts as its source shows it."""

    host_id: str
    state: SourceHostState
    type_name: str
    address: str = ""
    engine: str = ""
    labels: tuple[tuple[str, str], ...] = field(default=())
    leave_by: float | None = None
    """The source takes it away then: a spot notice, maintenance, the end of a loan."""
    leave_words: str = ""
    """Why, in the source's words."""
    price_usd_per_hour: float | None = None
    """Its price now, where that changes while we hold it (spot); None: the price of its type."""
    refusal: DriverError | None = None
    """Why it will never run, where its source accepted it first and found that out later; it is taken back like any."""


@dataclass(frozen=True, slots=True)
class HostOrder:
    """One host of a call that asks for several of the same type and variant."""

    host_id: str
    type_name: str
    variant: str = ""
    token: str = ""
    """The same for all hosts of the call and for its repetitions; a call with other hosts has another token."""
    carried: bool = False
    """Made already, or wanted no more: it is there because a repeated call names the same hosts as the first. A source
    that has no tokens of its own leaves it out."""


@dataclass(frozen=True, slots=True)
class SourceLimits:
    """How a source wants to be asked."""

    batch: int = 1
    """Most hosts in one call."""
    in_flight: int = 32
    """Most hosts that are asked for and not yet shown by the source, at any time."""
    can_stop: bool = False
    """Whether a host can be switched off, kept, and switched on again."""
    list_every_s: float = 0.0
    """It is not listed more often; clouds count calls."""
