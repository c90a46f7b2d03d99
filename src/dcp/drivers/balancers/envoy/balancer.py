"""The verbs of the balancer `envoy`: write what is wanted, and return once the proxies have taken it over."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from dcp.drivers.balancers.envoy import bootstrap, documents
from dcp.drivers.balancers.envoy.certificates import Authority
from dcp.drivers.balancers.envoy.counters import (
    TRAFFIC_FILTER,
    read_endpoints,
    read_traffic,
    sum_endpoints,
    sum_traffic,
)
from dcp.drivers.balancers.envoy.directory import BalancerDirectory
from dcp.drivers.balancers.envoy.fleet import Fleet
from dcp.drivers.balancers.envoy.names import encode
from dcp.drivers.balancers.envoy.options import EMBEDDED, EnvoyOptions
from dcp.drivers.balancers.envoy.proxy import Proxy
from dcp.drivers.balancers.envoy.resources import revision_of, wanted
from dcp.drivers.balancers.envoy.routing import Routing, read_certificates
from dcp.drivers.balancers.envoy.server import Connected, XdsServer
from dcp.drivers.balancers.envoy.session import Wanted
from dcp.drivers.balancers.envoy.status import Beside, Elsewhere, Place, Status
from dcp.drivers.balancers.listening import check_distinct, is_free
from dcp.kernel.clock import Clock
from dcp.kernel.errors import DriverError, NotFound
from dcp.orchestration.services.model import ServiceKey
from dcp.orchestration.traffic.edge import EdgeState
from dcp.orchestration.traffic.model import Endpoint, EndpointStatus, Route, Traffic
from dcp.orchestration.traffic.ports import EdgeLedger


def bootstrap_of(node: str, directory: Path, options: EnvoyOptions, clock: Clock) -> documents.Document:
    """Return what a proxy elsewhere is started with, its own new certificate inside. NotFound: it is not named."""
    proxy = options.remote(node)
    if proxy is None:
        known = ", ".join(one.node for one in options.proxies) or "none is configured"
        raise NotFound(f"balancer.proxies names no {node}", hint=f"it has: {known}")
    identity = Authority.found(options.authority, directory, clock).for_proxy(node)
    return bootstrap.remote(proxy, options.controllers, identity)


class EnvoyBalancer:
    """Any number of Envoys that are told the same; any number of these objects may share ledger and directory."""

    def __init__(self, directory: Path, clock: Clock, ledger: EdgeLedger, options: EnvoyOptions | None = None) -> None:
        self._clock = clock
        self._ledger = ledger
        self._options = options or EnvoyOptions()
        self._directory = BalancerDirectory(directory, clock)
        self._certificates = read_certificates(self._options.tls)
        self._opening = asyncio.Lock()
        self._authority: Authority | None = None
        self._server = XdsServer(clock, ledger, self._view, known=self._known, trouble=self._trouble)
        self._statuses = self._make_statuses()
        self._proxy = Proxy(self._directory, clock, self._options.admin_port, self._options.workers)
        self._fleet = Fleet(self._server, ledger, self._statuses, self._options, clock)
        self._routing = Routing(self._server, self._fleet, self._options)

    async def open(self) -> None:
        """Begin to answer proxies. Idempotent."""
        async with self._opening:
            identity = self._signer().for_controller() if self._options.proxies else None
            path = self._directory.socket if self._options.embedded else None
            await self._server.open(path, self._options.listen if identity else None, identity)

    async def aclose(self) -> None:
        """Let go of the proxies; they serve on."""
        await self._server.close()

    async def ensure_running(self) -> None:
        await self.open()
        state = await self._server.refresh()
        if state.stopped:
            await self._ledger.set_stopped(False)
            state = await self._server.refresh()
        if self._options.embedded:
            await self._embedded(state)
        await self._fleet.note_silence()

    async def _embedded(self, state: EdgeState) -> None:
        status = self._statuses[EMBEDDED]
        runs = self._proxy.running() and await status.alive()
        if not runs:
            async with self._directory.locked("proxy"):
                await self._proxy.start(status)
        await self._routing.embedded_in_force(state)
        if not runs:
            # What a proxy acknowledges while it starts, its workers begin to listen on a moment later.
            await self._routing.embedded_listens(state, self._clock)

    async def set_routes(self, routes: tuple[Route, ...]) -> None:
        check_distinct(routes)
        for route in routes:
            documents.listener(route)
        await self.open()
        if self._options.embedded and not self._proxy.running():
            raise DriverError("the proxy does not run")
        await self._ledger.set_routes(routes)
        await self._routing.in_force(await self._server.refresh())

    async def set_endpoints(self, service: ServiceKey, endpoints: tuple[Endpoint, ...], fence: int) -> None:
        """As promised; for a service without a route they are kept until it has one."""
        documents.assignment(service, endpoints)
        await self.open()
        revision = await self._ledger.set_endpoints(service, endpoints, fence)
        state = await self._server.refresh()
        name = encode(service)
        if service not in {route.service for route in state.routes}:
            return

        def acknowledged(here: Connected) -> bool:
            refused = here.session.refused_endpoints(name)
            if refused is not None and revision_of(refused.version) >= revision:
                proxy = self._statuses[here.node].name
                raise DriverError(f"{proxy} refused the endpoints of {service}: {refused.words}")
            now = self._server.wanted(here.node)
            if now is None or now.revision < revision:
                return False
            return here.session.endpoints_version(name) == now.endpoints[name].version

        async def told(_node: str, status: Status) -> bool:
            return await status.told(name) >= revision

        await self._fleet.accepted(acknowledged, told, f"the endpoints of {service}")

    async def endpoints(self, service: ServiceKey) -> tuple[EndpointStatus, ...]:
        name = encode(service)
        answers = await self._fleet.ask(lambda status: status.json("/clusters", format="json", filter=f"^{name}$"))
        return sum_endpoints([read_endpoints(answer, name) for answer in answers])

    async def traffic(self) -> Mapping[ServiceKey, Traffic]:
        """As promised. The latencies lag behind the counts by a quarter of a second at most."""
        answers = await self._fleet.ask(
            lambda status: status.json("/stats", format="json", histogram_buckets="cumulative", filter=TRAFFIC_FILTER)
        )
        routed = {route.service for route in (await self._server.refresh()).routes}
        counted = sum_traffic([read_traffic(answer) for answer in answers])
        return {service: numbers for service, numbers in counted.items() if service in routed}

    def can_listen(self, address: str, port: int) -> bool:
        return not self._options.embedded or is_free(address, port)

    async def stop(self) -> None:
        """As promised; proxies elsewhere run on, and stop to listen."""
        await self._ledger.set_stopped(True)
        if self._options.proxies:
            await self.open()
            state = await self._server.refresh()
            with suppress(DriverError):
                await self._routing.in_force(state)
        if self._options.embedded:
            async with self._directory.locked("proxy"):
                await self._proxy.stop()

    def _signer(self) -> Authority:
        if self._authority is None:
            self._authority = Authority.found(self._options.authority, self._directory.root, self._clock)
        return self._authority

    def _make_statuses(self) -> dict[str, Status]:
        places: dict[str, Place] = {}
        if self._options.embedded:
            places[EMBEDDED] = Beside(self._directory.admin)
        if self._options.proxies:
            identity = self._signer().for_controller()
            places |= {proxy.node: Elsewhere(proxy, identity) for proxy in self._options.proxies}
        workers = {proxy.node: proxy.workers for proxy in self._options.proxies}
        names = {node: "the proxy" if node == EMBEDDED else f"proxy {node}" for node in places}
        return {node: Status(names[node], place, self._clock, workers.get(node)) for node, place in places.items()}

    def _view(self, state: EdgeState, node: str) -> Wanted:
        remote = self._options.remote(node)
        return wanted(state, remote.listen_address if remote else None, self._certificates)

    async def _trouble(self, node: str) -> str:
        return await self._statuses[node].trouble()

    def _known(self, node: str) -> bool:
        return node in self._statuses
