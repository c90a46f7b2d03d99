"""Balancer `fake`: routes, endpoints and counters in memory, misbehaving exactly as it is told.

For simulation and tests. It keeps the contract of a real proxy: it serves on while no controller exists (keep the
object), it refuses old fences, and its counters start anew when the proxy was ended. Nothing runs in the background and
nothing is drawn: what it does follows from its calls and the clock alone.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from dcp.kernel.clock import Clock
from dcp.kernel.errors import DcpError, DriverError, LeaseLost, Rejected, Unavailable
from dcp.orchestration.capacity.model import LATENCY_BOUNDS_MS
from dcp.orchestration.services.model import ServiceKey
from dcp.orchestration.traffic.model import Endpoint, EndpointStatus, Route, Traffic

VERBS = frozenset({"ensure_running", "set_routes", "set_endpoints", "endpoints", "traffic", "stop"})
NOTHING_COUNTED = Traffic(0, 0, 0, 0, (0,) * (len(LATENCY_BOUNDS_MS) + 1))


@dataclass(slots=True)
class _Fault:
    error: DcpError
    after_effect: bool


@dataclass(slots=True)
class _Told:
    """What the proxy was told of one service, and when that takes effect."""

    fence: int = 0
    endpoints: tuple[Endpoint, ...] = ()
    effective_at: float = 0.0
    before: tuple[Endpoint, ...] = ()
    handed: dict[str, int] = field(default_factory=dict)
    """Requests by instance, where weights differ."""

    def seen(self, now: float) -> tuple[Endpoint, ...]:
        """Return the endpoints that the proxy goes by."""
        return self.endpoints if now >= self.effective_at else self.before


@dataclass(slots=True)
class _Counted:
    traffic: Traffic = NOTHING_COUNTED
    frozen: Traffic | None = None
    vanished: bool = False


@dataclass(slots=True, eq=False)
class FakeBalancer:
    """A proxy in memory. The attributes may be changed at any time; `delays_s` pass before a call has its effect."""

    clock: Clock
    running: bool = False
    delays_s: dict[str, float] = field(default_factory=dict)
    """Seconds that a verb takes; 0 lets others run once, one that is absent does not even that."""
    lag_s: float = 0.0
    """A broken proxy: it acknowledges endpoints at once and goes by the ones before for so long."""
    taken_ports: set[int] = field(default_factory=set)
    """Listen ports that somebody else has."""
    active: dict[tuple[str, int], int] = field(default_factory=dict)
    """Requests under way by address and port of the endpoint."""
    routes: tuple[Route, ...] = ()
    """What the proxy listens on."""
    _told: dict[ServiceKey, _Told] = field(default_factory=dict)
    _counted: dict[ServiceKey, _Counted] = field(default_factory=dict)
    _faults: dict[str, deque[_Fault]] = field(default_factory=lambda: {verb: deque() for verb in VERBS})

    # What a test or a simulation does to it.

    def fail(self, verb: str, error: DcpError, *, times: int = 1, after_effect: bool = False) -> None:
        """Let the next `times` calls of `verb` raise `error`, before or after they had their effect."""
        self._faults[verb].extend(_Fault(error, after_effect) for _ in range(times))

    def kill(self) -> None:
        """End the proxy as kill -9 would: requests under way are cut, counters start anew."""
        self.running = False
        self.active.clear()
        for counted in self._counted.values():
            counted.traffic = NOTHING_COUNTED

    def freeze(self, service: ServiceKey) -> None:
        """Let the counters of a service stand still for whoever reads them, while requests go on."""
        counted = self._of(service)
        counted.frozen = counted.traffic

    def vanish(self, service: ServiceKey) -> None:
        """Let the counters of a service be absent."""
        self._of(service).vanished = True

    def show(self, service: ServiceKey) -> None:
        """End `freeze` and `vanish`."""
        counted = self._of(service)
        counted.frozen, counted.vanished = None, False

    def set_traffic(self, service: ServiceKey, counted: Traffic) -> None:
        """Let the counters of a service be these."""
        self._of(service).traffic = counted

    def current(self, service: ServiceKey) -> tuple[Endpoint, ...]:
        """Return the endpoints that the proxy goes by now, draining ones included."""
        told = self._told.get(service)
        return told.seen(self.clock.now()) if told is not None else ()

    def all_endpoints(self) -> tuple[Endpoint, ...]:
        """Return the endpoints of every service."""
        return tuple(endpoint for service in self._told for endpoint in self.current(service))

    # What a client does.

    def begin(self, service: ServiceKey) -> Endpoint | None:
        """Let a request arrive and return who gets it: the endpoint with the fewest under way, the first of equals.

        Where weights differ: the one that is furthest behind its share since the endpoints were set.
        None: nobody does, and the request has failed. ConnectionRefusedError: the proxy does not listen.
        """
        if not self.running or service not in {route.service for route in self.routes}:
            raise ConnectionRefusedError(f"nothing listens for {service}")
        taking = [endpoint for endpoint in self.current(service) if not endpoint.draining]
        before = self._of(service).traffic
        if not taking:
            self._count(service, arrived=before.arrived + 1, failed=before.failed + 1, latency_ms=0.0)
            return None
        chosen = self._choose(service, taking)
        self.active[chosen.address, chosen.port] = self.active.get((chosen.address, chosen.port), 0) + 1
        self._count(service, arrived=before.arrived + 1, waiting=before.waiting + 1)
        return chosen

    def _choose(self, service: ServiceKey, taking: list[Endpoint]) -> Endpoint:
        if len({endpoint.weight for endpoint in taking}) == 1:
            return min(taking, key=lambda endpoint: self.active.get((endpoint.address, endpoint.port), 0))
        handed = self._told[service].handed
        chosen = min(taking, key=lambda endpoint: (handed.get(endpoint.instance_id, 0) + 1) / endpoint.weight)
        handed[chosen.instance_id] = handed.get(chosen.instance_id, 0) + 1
        return chosen

    def end(self, service: ServiceKey, endpoint: Endpoint, latency_ms: float, *, failed: bool = False) -> None:
        """Let a request that `begin` started complete. Its endpoint may be draining or gone by now."""
        place = (endpoint.address, endpoint.port)
        self.active[place] = max(0, self.active.get(place, 0) - 1)
        before = self._of(service).traffic
        counts = {"failed": before.failed + 1} if failed else {"answered": before.answered + 1}
        self._count(service, waiting=max(0, before.waiting - 1), latency_ms=latency_ms, **counts)

    # The contract.

    async def ensure_running(self) -> None:
        fault = await self._enter("ensure_running")
        self.running = True
        _leave(fault)

    async def set_routes(self, routes: tuple[Route, ...]) -> None:
        fault = await self._enter("set_routes")
        self._check_running()
        if len({(route.listen_address, route.listen_port) for route in routes}) < len(routes):
            raise Rejected("two routes have the same address")
        self.routes = tuple(route for route in routes if route.listen_port not in self.taken_ports)
        for route in routes:
            if route.listen_port in self.taken_ports:
                raise Unavailable(f"port {route.listen_port} for {route.service} is taken", hint="choose another port")
        _leave(fault)

    def can_listen(self, address: str, port: int) -> bool:
        return port not in self.taken_ports

    async def set_endpoints(self, service: ServiceKey, endpoints: tuple[Endpoint, ...], fence: int) -> None:
        fault = await self._enter("set_endpoints")
        told = self._told.setdefault(service, _Told())
        if fence < told.fence:
            raise LeaseLost(f"endpoints of {service}: token {fence} is older than {told.fence}")
        now = self.clock.now()
        self._told[service] = _Told(fence, endpoints, now + self.lag_s, told.seen(now))
        if service in {route.service for route in self.routes}:
            self._check_running()
        _leave(fault)

    async def endpoints(self, service: ServiceKey) -> tuple[EndpointStatus, ...]:
        fault = await self._enter("endpoints")
        self._check_running()
        _leave(fault)
        return tuple(
            EndpointStatus(e.address, e.port, e.draining, self.active.get((e.address, e.port), 0))
            for e in self.current(service)
        )

    async def traffic(self) -> Mapping[ServiceKey, Traffic]:
        fault = await self._enter("traffic")
        self._check_running()
        _leave(fault)
        counted = {route.service: self._of(route.service) for route in self.routes}
        return {key: one.frozen or one.traffic for key, one in counted.items() if not one.vanished}

    async def stop(self) -> None:
        fault = await self._enter("stop")
        self.kill()
        _leave(fault)

    async def _enter(self, verb: str) -> _Fault | None:
        if verb in self.delays_s:
            await self.clock.sleep(self.delays_s[verb])
        if not self._faults[verb]:
            return None
        fault = self._faults[verb].popleft()
        if not fault.after_effect:
            raise fault.error
        return fault

    def _check_running(self) -> None:
        if not self.running:
            raise DriverError("the proxy does not run")

    def _of(self, service: ServiceKey) -> _Counted:
        return self._counted.setdefault(service, _Counted())

    def _count(self, service: ServiceKey, *, latency_ms: float | None = None, **counts: int) -> None:
        before = self._of(service).traffic
        by_latency = list(before.by_latency)
        if latency_ms is not None:
            for place in range(bisect_left(LATENCY_BOUNDS_MS, latency_ms), len(by_latency)):
                by_latency[place] += 1
        self._of(service).traffic = replace(before, by_latency=tuple(by_latency), **counts)


def _leave(fault: _Fault | None) -> None:
    if fault is not None:
        raise fault.error
