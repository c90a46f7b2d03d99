"""Routes, endpoints and counted traffic, as values."""

from dataclasses import dataclass

from dcp.orchestration.services.model import ServiceKey


@dataclass(frozen=True, slots=True)
class Route:
    """The balancer listens on `listen_port` for one service."""

    service: ServiceKey
    listen_port: int
    listen_address: str = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One instance behind a route. A draining one gets no new request and keeps those it has."""

    instance_id: str
    address: str
    port: int
    draining: bool = False


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
