"""Every balancer driver keeps every promise of `balancers`."""

import asyncio
import os
import signal
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from itertools import count
from pathlib import Path

import aiohttp
import pytest
from balancers import CASES, Answer, Case
from envoy_fleet import Remotes, fleet_options
from haproxy_program import require_haproxy

from dcp.drivers.balancers.envoy import EnvoyBalancer, EnvoyOptions
from dcp.drivers.balancers.fake import FakeBalancer
from dcp.drivers.balancers.haproxy import HAProxyBalancer
from dcp.drivers.runtimes.process.processes import find_owned
from dcp.kernel.clock import LoopClock, SystemClock
from dcp.kernel.errors import DriverError
from dcp.orchestration.traffic.model import Endpoint, Route
from dcp.orchestration.traffic.ports import Balancer
from dcp.simulation.virtual_time import run_virtual
from dcp.store.database import InlineDatabase, open_database
from dcp.store.edge import StoredEdge

pytestmark = pytest.mark.xdist_group("envoy")

LOOPBACK = "127.0.0.1"


class FakeRig:
    """The fake is its own proxy, so that a restarted controller uses the same object."""

    def __init__(self) -> None:
        self.clock = LoopClock()
        self.balancer = FakeBalancer(self.clock)
        self._ports = count(10_000)
        self._received: Counter[str] = Counter()

    def again(self) -> FakeBalancer:
        return self.balancer

    def free_port(self) -> int:
        return next(self._ports)

    @contextmanager
    def occupied(self, port: int) -> Iterator[None]:
        self.balancer.taken_ports.add(port)
        yield
        self.balancer.taken_ports.remove(port)

    async def start(self, instance_id: str) -> Endpoint:
        return Endpoint(instance_id, LOOPBACK, next(self._ports))

    def received(self, instance_id: str) -> int:
        return self._received[instance_id]

    async def ask(self, route: Route, *, work_ms: int = 0, status: int = 200) -> Answer:
        if route not in self.balancer.routes or not self.balancer.running:
            return Answer(0)
        endpoint = self.balancer.begin(route.service)
        if endpoint is None:
            return Answer(503)
        self._received[endpoint.instance_id] += 1
        await self.clock.sleep(work_ms / 1000)
        self.balancer.end(route.service, endpoint, work_ms, failed=status >= 500)
        return Answer(status, endpoint.instance_id)

    async def kill(self) -> None:
        self.balancer.kill()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_fake(case: Case) -> None:
    async def run() -> None:
        rig = FakeRig()
        await rig.balancer.ensure_running()
        await case(rig)

    run_virtual(run())


class EnvoyRig:
    """Real instances and a real client around one Envoy, which all cases share as controllers would."""

    def __init__(self, directory: Path) -> None:
        self.clock = SystemClock()
        self._directory = directory
        self._database = open_database(f"sqlite:///{directory}/edge.sqlite")
        self._made: list[EnvoyBalancer] = []
        self.balancer: Balancer = self.again()
        self._received: Counter[str] = Counter()
        self._servers: list[asyncio.Server] = []
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._client = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))

    async def close(self) -> None:
        await self._client.close()
        await self.balancer.set_routes(())
        for server in self._servers:
            server.close()
        for writer in self._connections.values():
            writer.close()
        await asyncio.gather(*self._connections)
        await self.let_go()

    async def let_go(self) -> None:
        await self._client.close()
        for balancer in self._made:
            await balancer.aclose()
        self._database.close()

    def again(self) -> Balancer:
        made = EnvoyBalancer(self._directory, self.clock, StoredEdge(self._database, self.clock))
        self._made.append(made)
        return made

    def free_port(self) -> int:
        with socket.socket() as found:
            found.bind((LOOPBACK, 0))
            port: int = found.getsockname()[1]
            return port

    @contextmanager
    def occupied(self, port: int) -> Iterator[None]:
        with socket.create_server((LOOPBACK, port)):
            yield

    async def start(self, instance_id: str) -> Endpoint:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            this = asyncio.current_task()
            assert this is not None
            self._connections[this] = writer
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    head = (await reader.readuntil(b"\r\n\r\n")).decode()
                    self._received[instance_id] += 1
                    work_ms, status = head.split()[1].strip("/").split("/")
                    await asyncio.sleep(int(work_ms) / 1000)
                    body = f"content-length: {len(instance_id)}\r\n\r\n{instance_id}"
                    writer.write(f"HTTP/1.1 {status} Because\r\n{body}".encode())
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            del self._connections[this]

        server = await asyncio.start_server(serve, LOOPBACK, 0)
        self._servers.append(server)
        return Endpoint(instance_id, LOOPBACK, server.sockets[0].getsockname()[1])

    def received(self, instance_id: str) -> int:
        return self._received[instance_id]

    async def ask(self, route: Route, *, work_ms: int = 0, status: int = 200) -> Answer:
        url = f"http://{route.listen_address}:{route.listen_port}/{work_ms}/{status}"
        try:
            async with self._client.get(url) as response:
                text = await response.text()
        except aiohttp.ClientError:
            return Answer(0)
        return Answer(response.status, text if text in self._received else "")

    async def kill(self) -> None:
        pid = int((self._directory / "proxy").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)
        while await self.balancer_answers():
            await asyncio.sleep(0.01)

    async def balancer_answers(self) -> bool:
        try:
            await self.balancer.traffic()
        except DriverError:
            return False
        return True


@pytest.fixture(scope="module")
def envoy_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("balancer")
    yield directory
    clock = SystemClock()
    asyncio.run(EnvoyBalancer(directory, clock, StoredEdge(InlineDatabase(), clock)).stop())


@pytest.fixture
async def envoy_rig(envoy_directory: Path) -> AsyncIterator[EnvoyRig]:
    rig = EnvoyRig(envoy_directory)
    await rig.balancer.ensure_running()
    yield rig
    await rig.close()


@pytest.mark.slow
@pytest.mark.xdist_group("envoy")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_envoy(case: Case, envoy_rig: EnvoyRig) -> None:
    async with asyncio.timeout(30):
        await case(envoy_rig)


class EnvoyFleetRig(EnvoyRig):
    """Three Envoys: one beside the controller and two elsewhere, over mutual TLS. Clients use the last one."""

    def __init__(self, directory: Path, options: EnvoyOptions, remotes: Remotes) -> None:
        self._options = options
        self._remotes = remotes
        super().__init__(directory)

    def again(self) -> Balancer:
        ledger = StoredEdge(self._database, self.clock)
        made = EnvoyBalancer(self._directory, self.clock, ledger, self._options)
        self._made.append(made)
        return made

    async def ask(self, route: Route, *, work_ms: int = 0, status: int = 200) -> Answer:
        elsewhere = replace(route, listen_address=self._options.proxies[-1].listen_address)
        return await super().ask(elsewhere, work_ms=work_ms, status=status)

    async def counted(self) -> None:
        """Return once all proxies are counted on."""
        await self._remotes.until(StoredEdge(self._database, self.clock))

    async def kill(self) -> None:
        """End all three; the two elsewhere are started again, as service managers do, and find the controller."""
        for proxy in self._options.proxies:
            await self._remotes.kill(proxy.node)
        await super().kill()
        await self._remotes.start_all()
        routes = (await StoredEdge(self._database, self.clock).load()).routes
        for proxy in self._options.proxies:
            for route in routes:
                await _listens(proxy.listen_address, route.listen_port)

    @contextmanager
    def occupied(self, port: int) -> Iterator[None]:
        with ExitStack() as stack:
            for address in (LOOPBACK, *(proxy.listen_address for proxy in self._options.proxies)):
                stack.enter_context(socket.create_server((address, port)))
            yield


async def _listens(address: str, port: int) -> None:
    async with asyncio.timeout(15):
        while True:
            try:
                _, writer = await asyncio.open_connection(address, port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            return


@pytest.fixture(scope="module")
def fleet_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, EnvoyOptions]]:
    directory = tmp_path_factory.mktemp("fleet")
    options = fleet_options(embedded=True, remotes=2)
    yield directory, options
    clock = SystemClock()
    asyncio.run(EnvoyBalancer(directory, clock, StoredEdge(InlineDatabase(), clock)).stop())


@pytest.fixture
async def fleet_rig(fleet_place: tuple[Path, EnvoyOptions]) -> AsyncIterator[EnvoyFleetRig]:
    directory, options = fleet_place
    remotes = Remotes(directory, options)
    rig = EnvoyFleetRig(directory, options, remotes)
    await remotes.start_all()
    try:
        await rig.balancer.ensure_running()
        await rig.counted()
        yield rig
        await rig.close()
    finally:
        await rig.let_go()
        await remotes.close()


@pytest.mark.slow
@pytest.mark.xdist_group("envoy")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_envoy_fleet(case: Case, fleet_rig: EnvoyFleetRig) -> None:
    async with asyncio.timeout(30):
        await case(fleet_rig)


class HAProxyRig(EnvoyRig):
    """The same instances and client around one HAProxy."""

    def again(self) -> Balancer:
        return HAProxyBalancer(self._directory, self.clock)

    async def kill(self) -> None:
        for pid in find_owned((self._directory / "owner").read_text()):
            os.kill(pid, signal.SIGKILL)
        while await self.balancer_answers():
            await asyncio.sleep(0.01)


@pytest.fixture(scope="module")
def haproxy_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    require_haproxy()
    directory = tmp_path_factory.mktemp("haproxy")
    yield directory
    asyncio.run(HAProxyBalancer(directory, SystemClock()).stop())


@pytest.fixture
async def haproxy_rig(haproxy_directory: Path) -> AsyncIterator[HAProxyRig]:
    rig = HAProxyRig(haproxy_directory)
    await rig.balancer.ensure_running()
    yield rig
    await rig.close()


@pytest.mark.slow
@pytest.mark.xdist_group("haproxy")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_haproxy(case: Case, haproxy_rig: HAProxyRig) -> None:
    async with asyncio.timeout(30):
        await case(haproxy_rig)
