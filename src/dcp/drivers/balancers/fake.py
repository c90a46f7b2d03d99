"""Balancer `fake`: routes, endpoints and counters in memory, misbehaving exactly as it is told.

For simulation and tests. It keeps the contract of a real proxy and outlives controllers as long as the object is kept.
"""

from collections import deque
from collections.abc import Mapping

from dcp.kernel.clock import Clock
from dcp.kernel.errors import DriverError, LeaseLost
from dcp.orchestration.services.model import ServiceKey
from dcp.orchestration.traffic.model import Endpoint, EndpointStatus, Route, Traffic

VERBS = frozenset({"ensure_running", "set_routes", "set_endpoints", "endpoints", "traffic", "stop"})


class FakeBalancer:
    """`active` holds requests under way by (address, port); `traffic_of` what is counted by service."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._running = False
        self._routes: tuple[Route, ...] = ()
        self._endpoints: dict[ServiceKey, tuple[Endpoint, ...]] = {}
        self._fences: dict[ServiceKey, int] = {}
        self._faults: dict[str, deque[DriverError]] = {verb: deque() for verb in VERBS}
        self._counted: dict[ServiceKey, Traffic] = {}
        self.active: dict[tuple[str, int], int] = {}

    def fail(self, verb: str, error: DriverError, *, times: int = 1) -> None:
        """Let the next `times` calls of `verb` raise `error` without effect."""
        self._faults[verb].extend([error] * times)

    def set_traffic(self, service: ServiceKey, counted: Traffic) -> None:
        """Let the counters of a service be these."""
        self._counted[service] = counted

    def current(self, service: ServiceKey) -> tuple[Endpoint, ...]:
        """Return the endpoints as they were set last."""
        return self._endpoints.get(service, ())

    def all_endpoints(self) -> tuple[Endpoint, ...]:
        """Return the endpoints of every service."""
        return tuple(endpoint for endpoints in self._endpoints.values() for endpoint in endpoints)

    async def ensure_running(self) -> None:
        self._enter("ensure_running")
        self._running = True

    async def set_routes(self, routes: tuple[Route, ...]) -> None:
        self._enter("set_routes")
        self._routes = routes

    async def set_endpoints(self, service: ServiceKey, endpoints: tuple[Endpoint, ...], fence: int) -> None:
        self._enter("set_endpoints")
        if fence < self._fences.get(service, 0):
            raise LeaseLost(f"endpoints of {service}: token {fence} is older than {self._fences[service]}")
        self._fences[service] = fence
        self._endpoints[service] = endpoints

    async def endpoints(self, service: ServiceKey) -> tuple[EndpointStatus, ...]:
        self._enter("endpoints")
        return tuple(
            EndpointStatus(e.address, e.port, e.draining, self.active.get((e.address, e.port), 0))
            for e in self.current(service)
        )

    async def traffic(self) -> Mapping[ServiceKey, Traffic]:
        self._enter("traffic")
        routed = {route.service for route in self._routes}
        return {key: counted for key, counted in self._counted.items() if key in routed}

    async def stop(self) -> None:
        self._enter("stop")
        self._running = False

    def _enter(self, verb: str) -> None:
        if self._faults[verb]:
            raise self._faults[verb].popleft()
