"""Routes, endpoints and counted traffic, as values."""

from dataclasses import dataclass

from dcp.orchestration.services.model import ServiceKey


@dataclass(frozen=True, slots=True)
class Route:
    """The balancer listens on `listen_port` for one service."""

    service: ServiceKey
    listen_port: int
    listen_address: str = "127.0.0.1"


DEFAULT_WEIGHT = 16
"""Of an endpoint that nobody weighted: leaves room to give one less as well as more."""
HEAVIEST = 256
"""The highest weight that every proxy knows (HAProxy's bound)."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One instance behind a route. A draining one gets no new request and keeps those it has.

    `weight` (1 to HEAVIEST) is its share of the requests relative to the others of its service: one of weight 32 gets
    twice what one of 16 gets.
    """

    instance_id: str
    address: str
    port: int
    draining: bool = False
    weight: int = DEFAULT_WEIGHT

    def __post_init__(self) -> None:
        if not 1 <= self.weight <= HEAVIEST:
            raise ValueError(f"endpoint {self.instance_id}: weight {self.weight} is not between 1 and {HEAVIEST}")


@dataclass(frozen=True, slots=True)
class EndpointStatus:
    """What the proxy itself says of one endpoint."""

    address: str
    port: int
    draining: bool
    active_requests: int


@dataclass(frozen=True, slots=True)
class Traffic:
    """Counters of one service since the balancer started; only differences mean anything.

    `arrived` counts requests received, `answered` those completed with a status below 500, `failed` those completed
    with 5xx or cut off; `waiting` is a gauge of those under way. `by_latency` holds cumulative counts of completed
    requests: for each bound of LATENCY_BOUNDS_MS in order, how many took at most that long, then all.
    """

    arrived: int
    answered: int
    failed: int
    waiting: int
    by_latency: tuple[int, ...]
