"""The verbs of the balancer `haproxy`: write the files, tell the serving process, look that it has done it, return."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from dcp.drivers.balancers.haproxy import counters
from dcp.drivers.balancers.haproxy.answers import (
    BACKENDS,
    SERVERS,
    Server,
    Workers,
    endpoint_status,
    read_servers,
    read_traffic,
)
from dcp.drivers.balancers.haproxy.configuration import common
from dcp.drivers.balancers.haproxy.directory import BalancerDirectory, Told
from dcp.drivers.balancers.haproxy.names import proxy_name, server_name
from dcp.drivers.balancers.haproxy.proxy import Proxy
from dcp.drivers.balancers.haproxy.routing import Routing
from dcp.drivers.balancers.haproxy.runtime_api import RuntimeApi
from dcp.drivers.balancers.haproxy.servers import decide_changes, decide_deletions, differences
from dcp.drivers.balancers.listening import is_free
from dcp.kernel.clock import Clock
from dcp.kernel.errors import DriverError, Unavailable
from dcp.orchestration.services.model import ServiceKey
from dcp.orchestration.traffic.model import Endpoint, EndpointStatus, Route, Traffic

HARD_STOP_AFTER_S = 300.0


class HAProxyBalancer:
    """One HAProxy with its files in `directory`; any number of these objects may share it, in several processes.

    `workers` are its threads. `hard_stop_after_s`: a process that was replaced when routes changed is ended after this
    time, whatever it still has. `binary` None: the installed one. All count from the next start or reload.
    """

    def __init__(
        self,
        directory: Path,
        clock: Clock,
        *,
        workers: int = 1,
        hard_stop_after_s: float = HARD_STOP_AFTER_S,
        binary: str | None = None,
    ) -> None:
        self._directory = BalancerDirectory(directory, clock)
        self._api = RuntimeApi(self._directory.root, clock)
        self._proxy = Proxy(self._directory, clock, binary)
        text = common(workers, hard_stop_after_s)
        self._said: dict[int, counters.Counted] = {}
        self._routing = Routing(self._directory, self._proxy, self._api, clock, text)

    async def ensure_running(self) -> None:
        self._directory.trim_log()
        if not (self._proxy.running() and await self._api.ready()):
            async with self._directory.locked():
                if not (self._proxy.found() and await self._proxy.serves(self._api)):
                    self._routing.prepare()
                    await self._proxy.start(self._api)
        if not await self._routing.in_force():
            # The proxy runs, so this is no failure; whoever sets the routes is told.
            with suppress(Unavailable):
                async with self._directory.locked(), self._counting_on():
                    await self._routing.settle()

    async def set_routes(self, routes: tuple[Route, ...]) -> None:
        async with self._directory.locked(), self._counting_on():
            await self._routing.apply(routes)

    async def set_endpoints(self, service: ServiceKey, endpoints: tuple[Endpoint, ...], fence: int) -> None:
        """As promised; for a service without a route they are kept until it has one."""
        for endpoint in endpoints:
            server_name(endpoint)
        async with self._directory.locked():
            self._directory.tell(service, Told(fence, endpoints))
            if not self._directory.is_served(service):
                return
            for route in self._directory.routes():
                if route.service == service:
                    self._directory.write_section(route)
            await self._push(service, endpoints)

    async def endpoints(self, service: ServiceKey) -> tuple[EndpointStatus, ...]:
        """As promised; requests that replaced processes still have there are among those under way."""
        name = proxy_name(service)
        if not self._directory.is_served(service):
            if not await self._api.ready():
                raise DriverError("the proxy does not run")
            return ()
        leaving: dict[str, int] = {}
        for pid in (await self._api.workers()).leaving:
            for server in await self._servers(name, pid):
                leaving[server.name] = leaving.get(server.name, 0) + server.active_requests
        present = [server for server in await self._servers(name) if not server.disabled]
        return tuple(endpoint_status(server, leaving.get(server.name, 0)) for server in present)

    async def traffic(self) -> Mapping[ServiceKey, Traffic]:
        """As promised. Latency is the time to the answer's headers; see `counters` for what a reload does."""
        total = await self._remember()
        return {route.service: total[route.service] for route in self._directory.routes() if route.service in total}

    def can_listen(self, address: str, port: int) -> bool:
        return is_free(address, port)

    async def stop(self) -> None:
        async with self._directory.locked():
            await self._proxy.stop()

    async def _push(self, service: ServiceKey, endpoints: tuple[Endpoint, ...]) -> None:
        name = proxy_name(service)
        present = await self._servers(name)
        changes = decide_changes(name, present, endpoints)
        if changes:
            said = await self._api.command(changes)
            present = await self._servers(name)
            left = differences(present, endpoints)
            if left:
                raise DriverError(f"the proxy did not take over the endpoints of {service}: {left[0]}: {said.strip()}")
        deletions = decide_deletions(name, present, endpoints)
        if deletions:
            await self._api.command(deletions)

    async def _servers(self, name: str, pid: int | None = None) -> tuple[Server, ...]:
        try:
            return read_servers(await self._api.stat(SERVERS, name, pid))
        except DriverError:
            if pid is None or pid in (await self._api.workers()).leaving:
                raise
            return ()

    @asynccontextmanager
    async def _counting_on(self) -> AsyncIterator[None]:
        """Write down what the serving process has counted by the time that it takes nothing new any more."""
        async with self._api.held():
            await self._remember(with_current=True)
            try:
                yield
            finally:
                # Whoever reads the counters next writes down those of processes that still run by then.
                with suppress(DriverError):
                    await self._remember()

    async def _remember(self, *, with_current: bool = False) -> dict[ServiceKey, Traffic]:
        """Return the sums of all processes, and write down what those that leave (or may leave now) have counted."""
        workers = await self._api.workers()
        master = self._master()
        live = await self._live(workers)
        kept = counters.from_document(master, self._directory.counted())
        # With several threads numbers of one answer can be of different moments, and one too high for once.
        live = counters.not_less(live, {**self._said, **kept})
        self._said = dict(live)
        total = counters.add_up(live, kept)
        remembered = counters.to_keep(live, kept, None if with_current else workers.current)
        if remembered:
            self._directory.write_counted(counters.to_document(master, remembered))
        return total

    async def _live(self, workers: Workers) -> dict[int, counters.Counted]:
        pids = (*workers.leaving, *(() if workers.current is None else (workers.current,)))
        read = await asyncio.gather(*(self._read(pid) for pid in pids))
        return {pid: counted for pid, counted in zip(pids, read, strict=True) if counted is not None}

    async def _read(self, pid: int) -> dict[ServiceKey, Traffic] | None:
        """Return what one process has counted; None if it has just ended."""
        try:
            return read_traffic(await self._api.stat(BACKENDS, pid=pid), await self._api.latencies(pid))
        except DriverError:
            workers = await self._api.workers()
            if pid == workers.current or pid in workers.leaving:
                raise
            return None

    def _master(self) -> str:
        leader = self._directory.leader()
        return f"{leader.pid} {leader.start_ticks} {leader.boot_id}" if leader is not None else ""
