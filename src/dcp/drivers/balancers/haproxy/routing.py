"""How the routes change: the files first, then a reload in which no listening socket closes.

HAProxy cannot open a port without a reload. The new process gets the sockets of the old one, so that no connection is
refused; the old one finishes what it has, answers each kept connection once more, with the word to close, and hands
that request to whoever listens on the port now: endpoints need to be told to the serving process only.

One port that cannot be had would fail the whole reload and stop listening for two seconds, so such a route is left out
before.
"""

from collections.abc import Sequence

from dcp.drivers.balancers.haproxy.answers import SOCKETS, is_stopping, read_sockets
from dcp.drivers.balancers.haproxy.configuration import socket_name
from dcp.drivers.balancers.haproxy.directory import BalancerDirectory
from dcp.drivers.balancers.haproxy.names import check_address, proxy_name
from dcp.drivers.balancers.haproxy.proxy import Proxy
from dcp.drivers.balancers.haproxy.runtime_api import RuntimeApi
from dcp.drivers.balancers.listening import check_distinct, is_free, taken
from dcp.drivers.balancers.waiting import wait_until
from dcp.kernel.clock import Clock
from dcp.kernel.errors import DriverError, Unavailable
from dcp.orchestration.traffic.model import Route

RELOAD_BOUND_S = 10.0


class Routing:
    """Applies routes. The caller has the directory's lock."""

    def __init__(self, directory: BalancerDirectory, proxy: Proxy, api: RuntimeApi, clock: Clock, common: str) -> None:
        self._directory = directory
        self._proxy = proxy
        self._api = api
        self._clock = clock
        self._common = common

    async def apply(self, routes: Sequence[Route]) -> None:
        """Make the routes exactly these; raises what `Balancer.set_routes` does."""
        check_distinct(routes)
        for route in routes:
            proxy_name(route.service)
            check_address(route.listen_address, f"route of {route.service}")
        sockets = await self._sockets()
        self._directory.write_routes(routes)
        blocked = await self._settle(routes, sockets)
        if blocked:
            raise taken(blocked)

    async def settle(self) -> None:
        """Make the proxy listen on every route that was set last and whose port can be had."""
        await self._settle(self._directory.routes(), await self._sockets())

    async def in_force(self) -> bool:
        """Return whether the proxy listens on exactly the routes that were set last."""
        return await self._sockets() == _sockets(self._directory.routes())

    def prepare(self) -> None:
        """Write what the proxy is started with: no process of ours listens anywhere now."""
        self._directory.write_common(self._common)
        routes = self._directory.routes()
        self._directory.write_sections([r for r in routes if is_free(r.listen_address, r.listen_port)])

    async def _settle(self, routes: Sequence[Route], sockets: frozenset[tuple[str, str]]) -> list[Route]:
        """Return the routes whose port somebody else has, after all others are served."""
        ours = {name for _, name in sockets}
        blocked = [r for r in routes if socket_name(r) not in ours and not is_free(r.listen_address, r.listen_port)]
        served = [route for route in routes if route not in blocked]
        self._directory.write_common(self._common)
        self._directory.write_sections(served)
        if sockets != _sockets(served):
            await self._reload()
            if await self._sockets() != _sockets(served):
                raise Unavailable(
                    f"the proxy could not take over its routes: {self._proxy.last_trouble()}",
                    hint=f"see {self._directory.log}; the routes before are served on",
                )
        return blocked

    async def _reload(self) -> None:
        """Reload and return once the new process serves and the old ones take nothing new."""
        before = await self._api.workers()
        self._directory.trim_log()
        await self._api.reload()

        async def decided() -> bool:
            return not self._proxy.running() or (await self._api.workers()).reloads > before.reloads

        if not await wait_until(self._clock, decided, RELOAD_BOUND_S):
            raise DriverError(f"the proxy has not reloaded in {RELOAD_BOUND_S:g} s", hint=f"see {self._directory.log}")
        if not await self._proxy.serves(self._api):
            raise DriverError(f"the proxy ended while it reloaded: {self._proxy.last_trouble()}")
        if not await wait_until(self._clock, self._others_finish, RELOAD_BOUND_S):
            raise DriverError(f"a replaced process of the proxy takes requests after {RELOAD_BOUND_S:g} s")

    async def _others_finish(self) -> bool:
        for pid in (await self._api.workers()).leaving:
            try:
                if not is_stopping(await self._api.info(pid)):
                    # It may have ended at this moment.
                    return pid not in (await self._api.workers()).leaving
            except DriverError:
                return False
        return True

    async def _sockets(self) -> frozenset[tuple[str, str]]:
        return read_sockets(await self._api.stat(SOCKETS))


def _sockets(routes: Sequence[Route]) -> frozenset[tuple[str, str]]:
    return frozenset((proxy_name(route.service), socket_name(route)) for route in routes)
