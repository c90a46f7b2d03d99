"""The verbs of the balancer `envoy`: write the file, wait until the proxy has taken it over, and only then return."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from dcp.drivers.balancers.envoy import documents
from dcp.drivers.balancers.envoy.admin import Admin, wait_until
from dcp.drivers.balancers.envoy.counters import TRAFFIC_FILTER, read_endpoints, read_traffic
from dcp.drivers.balancers.envoy.directory import BalancerDirectory, EndpointsVersion
from dcp.drivers.balancers.envoy.names import encode
from dcp.drivers.balancers.envoy.proxy import Proxy
from dcp.drivers.balancers.envoy.routing import ACKNOWLEDGE_BOUND_S, Routing, is_free
from dcp.kernel.clock import Clock
from dcp.kernel.errors import DriverError, Unavailable
from dcp.orchestration.services.model import ServiceKey
from dcp.orchestration.traffic.model import Endpoint, EndpointStatus, Route, Traffic


class EnvoyBalancer:
    """One Envoy with its files in `directory`; any number of these objects may share it, in several processes.

    `admin_port` None: any free port. `workers` are Envoy's threads: one carries some ten thousand requests a second.
    Both count from the proxy's next start.
    """

    def __init__(self, directory: Path, clock: Clock, admin_port: int | None = None, workers: int = 1) -> None:
        self._clock = clock
        self._directory = BalancerDirectory(directory, clock)
        self._admin = Admin(self._directory.admin)
        self._proxy = Proxy(self._directory, clock, admin_port, workers)
        self._routing = Routing(self._directory, self._admin, clock)

    async def ensure_running(self) -> None:
        if not (self._proxy.running() and await self._admin.ready()):
            async with self._directory.locked("proxy"):
                await self._proxy.start(self._admin)
        if not await self._routing.in_force():
            # The proxy runs, so this is no failure; whoever sets the routes is told.
            with suppress(Unavailable):
                async with self._directory.locked("routes"):
                    await self._routing.settle()

    async def set_routes(self, routes: tuple[Route, ...]) -> None:
        async with self._directory.locked("routes"):
            await self._routing.apply(routes)

    async def set_endpoints(self, service: ServiceKey, endpoints: tuple[Endpoint, ...], fence: int) -> None:
        """As promised; for a service without a route they are kept until it has one."""
        wanted = documents.assignment(service, endpoints)
        version = await self._directory.write_endpoints(service, wanted, fence)
        name = encode(service)
        if name not in self._directory.clustered():
            return

        async def taken_over() -> bool:
            return EndpointsVersion.parse(await self._admin.version(f"cluster.{name}")) >= version

        if not await wait_until(self._clock, taken_over, ACKNOWLEDGE_BOUND_S):
            raise DriverError(f"the proxy has not taken over the endpoints of {service} in {ACKNOWLEDGE_BOUND_S:g} s")
        async with self._directory.locked("workers"):
            await self._admin.pass_gate()

    async def endpoints(self, service: ServiceKey) -> tuple[EndpointStatus, ...]:
        name = encode(service)
        return read_endpoints(await self._admin.json("/clusters", format="json", filter=f"^{name}$"), name)

    async def traffic(self) -> Mapping[ServiceKey, Traffic]:
        """As promised. The latencies lag behind the counts by a quarter of a second at most."""
        stats = await self._admin.json("/stats", format="json", histogram_buckets="cumulative", filter=TRAFFIC_FILTER)
        routed = {route.service for route in self._directory.routes()}
        return {service: counted for service, counted in read_traffic(stats).items() if service in routed}

    def can_listen(self, address: str, port: int) -> bool:
        return is_free(documents.address_text(address, port))

    async def stop(self) -> None:
        async with self._directory.locked("proxy"):
            await self._proxy.stop()
