"""What a scenario of growth says, frozen. Files are read in `file`."""

from bisect import bisect_left
from dataclasses import dataclass

from dcp.hosts.boots import SpareSettings


@dataclass(frozen=True, slots=True)
class Quantiles:
    """A distribution by its quantiles: (share of all, seconds), from share 0 to 1, straight in between."""

    points: tuple[tuple[float, float], ...]

    def at(self, share: float) -> float:
        """Return the seconds that `share` of all take at most."""
        place = max(1, bisect_left([one for one, _ in self.points], share))
        (low, low_s), (high, high_s) = self.points[place - 1], self.points[place]
        return low_s + (high_s - low_s) * (share - low) / (high - low)


@dataclass(frozen=True, slots=True)
class CloudType:
    """A kind of host, offered in every zone."""

    name: str
    price_usd_per_hour: float


@dataclass(frozen=True, slots=True)
class CloudScenario:
    """The clouds: so many equal accounts, each with its own limits."""

    accounts: int
    hosts_per_account: int
    """Quota."""
    types: tuple[CloudType, ...]
    zones: tuple[str, ...]
    boot: Quantiles
    """Seconds from the creation until it runs."""
    failed_initialisations: float
    """Share of hosts that are never ready."""
    out_of_stock: float
    """Share of (type, zone) that are out at any time."""
    out_of_stock_s: float
    """How long one of them is out on average."""
    in_flight: int
    """Creations under way at once."""
    batch: int
    """Hosts in one call."""
    call_s: tuple[float, float]
    """How long a call takes."""
    creations_per_min: float
    """More are throttled, but for `burst` at once."""
    burst: int


@dataclass(frozen=True, slots=True)
class Promise:
    """What must hold for the share `quantile` of all seeds."""

    quantile: float
    serving_s: float
    """All serve so long after they were wanted."""
    own_share_s: float | None = None
    """dcp takes so much longer than the bound; None: not promised."""


@dataclass(frozen=True, slots=True)
class FleetScenario:
    """Add `nodes` instances that need a host each, to `before` that serve."""

    name: str
    before: int
    nodes: int
    private_hosts: int
    """The company's own; those that serve before stand on them."""
    promise: Promise
    start_s: tuple[float, float]
    """From the start of an instance until it is healthy."""
    cloud: CloudScenario
    spares: SpareSettings | None
    """What dcp is told to expect; None: it asks for no spares."""
