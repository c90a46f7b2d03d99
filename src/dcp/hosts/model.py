"""Hosts and where they come from. A host is one machine or VM, or, with the `process` runtime, a slice of this one."""

from dataclasses import dataclass, field
from enum import StrEnum

from dcp.hosts.states import HostState


@dataclass(frozen=True, slots=True)
class Resources:
    """What an instance needs or a host has: thousandths of a processor and bytes of memory."""

    cpu_millis: int
    memory_bytes: int

    def fits_in(self, other: "Resources") -> bool:
        """Return whether every dimension is at most the other's."""
        return self.cpu_millis <= other.cpu_millis and self.memory_bytes <= other.memory_bytes


class SourceKind(StrEnum):
    """Private sources are used first and given back last."""

    PRIVATE = "private"
    CLOUD = "cloud"


@dataclass(frozen=True, slots=True)
class HostType:
    """A kind of host a source can give: its size, its price while we hold it, its labels."""

    name: str
    resources: Resources
    price_usd_per_hour: float = 0.0
    labels: tuple[tuple[str, str], ...] = ()
    boot_s: float = 0.0
    """Expected seconds from request to ready; used in plans, not waited for."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a source can give now. `available` counts further hosts of this type; None means no known bound."""

    source: str
    kind: SourceKind
    host_type: HostType
    available: int | None


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
