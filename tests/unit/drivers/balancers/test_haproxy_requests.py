"""What happens to requests behind HAProxy when instances or clients misbehave, and how it is counted."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from io import BytesIO
from itertools import count
from pathlib import Path

import aiohttp
import pytest

from conformance.haproxy_program import require_haproxy
from dcp.drivers.balancers.haproxy import HAProxyBalancer
from dcp.kernel.clock import SystemClock
from dcp.orchestration.services.model import ServiceKey
from dcp.orchestration.traffic.model import Endpoint, Route, Traffic

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("haproxy")]

LOOPBACK = "127.0.0.1"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
NUMBERS = count()


class Service:
    """One route with its instances and a client."""

    def __init__(self, balancer: HAProxyBalancer) -> None:
        self.balancer = balancer
        self.key = ServiceKey("requests", f"service-{next(NUMBERS)}")
        self.client = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        self.seen: list[bytes] = []
        self._servers: list[asyncio.Server] = []
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._port = 0

    async def open(self) -> None:
        with socket.create_server((LOOPBACK, 0)) as found:
            self._port = found.getsockname()[1]
        await self.balancer.set_routes((self.route,))

    @property
    def route(self) -> Route:
        return Route(self.key, self._port)

    async def close(self) -> None:
        await self.client.close()
        for server in self._servers:
            server.close()
        for writer in self._connections.values():
            writer.close()
        await asyncio.gather(*self._connections)

    async def instance(self, port: int = 0) -> Endpoint:
        """Start an instance that does what the path says."""
        server = await asyncio.start_server(self._serve, LOOPBACK, port)
        self._servers.append(server)
        found = server.sockets[0].getsockname()[1]
        return Endpoint(f"instance-{found}", LOOPBACK, found)

    async def dead(self) -> Endpoint:
        """Return an endpoint that refuses connections."""
        endpoint = await self.instance()
        self._servers.pop().close()
        return endpoint

    async def set(self, *endpoints: Endpoint) -> None:
        await self.balancer.set_endpoints(self.key, endpoints, fence=1)

    async def ask(
        self, path: str, method: str = "GET", *, within_s: float = 10.0, size: int = 0, **headers: str
    ) -> int:
        timeout = aiohttp.ClientTimeout(total=within_s)
        body = BytesIO(b"x" * size) if size else None
        url = f"http://{LOOPBACK}:{self._port}/{path}"
        async with self.client.request(method, url, timeout=timeout, data=body, headers=headers) as response:
            await response.read()
            return response.status

    async def counted(self) -> Traffic:
        return (await self.balancer.traffic())[self.key]

    async def quiet(self) -> Traffic:
        """Return the counters once nothing is under way."""
        async with asyncio.timeout(5):
            while (counted := await self.counted()).waiting:
                await asyncio.sleep(0.01)
        return counted

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        this = asyncio.current_task()
        assert this is not None
        self._connections[this] = writer
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.seen.append(head)
                word = head.split()[1].decode().strip("/")
                if word == "slow":
                    await asyncio.sleep(0.3)
                elif word == "cut-before":
                    break
                elif word == "cut-within":
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nok")
                    await writer.drain()
                    await asyncio.sleep(0.05)
                    break
                elif word == "too-large":
                    writer.write(b"HTTP/1.1 413 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                    await writer.drain()
                    await asyncio.sleep(0.2)
                    break
                writer.write(OK)
                await writer.drain()
                if word == "leave":
                    break
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        del self._connections[this]


@pytest.fixture(scope="module")
def haproxy_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    require_haproxy()
    directory = tmp_path_factory.mktemp("haproxy")
    yield directory
    asyncio.run(HAProxyBalancer(directory, SystemClock()).stop())


@pytest.fixture
async def service(haproxy_directory: Path) -> AsyncIterator[Service]:
    balancer = HAProxyBalancer(haproxy_directory, SystemClock())
    await balancer.ensure_running()
    made = Service(balancer)
    await made.open()
    yield made
    await made.close()


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_endpoint_that_refuses_is_passed_over(service: Service, method: str) -> None:
    await service.set(await service.dead(), await service.instance(), await service.dead())
    statuses = [await service.ask("fine", method) for _ in range(20)]
    assert set(statuses) == {200}
    assert (await service.counted()).failed == 0


async def test_the_only_endpoint_is_asked_again_while_it_refuses(service: Service) -> None:
    endpoint = await service.dead()
    await service.set(endpoint)
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(service.ask("fine"))
        await asyncio.sleep(0.3)
        await service.instance(endpoint.port)
    assert asked.result() == 200


async def test_an_idle_connection_closed_by_the_instance_costs_no_request(service: Service) -> None:
    await service.set(await service.instance(), await service.instance())

    async def client() -> list[int]:
        return [await service.ask("leave") for _ in range(100)]

    statuses = await asyncio.gather(*(client() for _ in range(4)))
    assert {status for client_statuses in statuses for status in client_statuses} == {200}


async def test_a_request_that_ended_its_instance_is_repeated_only_if_that_is_safe(service: Service) -> None:
    await service.set(await service.instance())
    assert await service.ask("cut-before", "POST", size=1, connection="close") == 502
    assert len(service.seen) == 1
    service.seen.clear()
    assert await service.ask("cut-before", "GET", connection="close") == 502
    assert 2 <= len(service.seen) <= 6
    counted = await service.quiet()
    assert (counted.arrived, counted.answered, counted.failed, counted.by_latency[-1]) == (2, 0, 2, 2)


async def test_a_response_that_was_cut_off_is_a_failure(service: Service) -> None:
    await service.set(await service.instance())
    with pytest.raises(aiohttp.ClientPayloadError):
        await service.ask("cut-within")
    counted = await service.quiet()
    assert (counted.arrived, counted.answered, counted.failed) == (1, 0, 1)


async def test_a_client_that_goes_away_is_not_our_failure(service: Service) -> None:
    await service.set(await service.instance())
    with pytest.raises(TimeoutError):
        await service.ask("slow", within_s=0.1)
    assert await service.ask("slow") == 200
    counted = await service.quiet()
    assert (counted.arrived, counted.answered, counted.failed) == (2, 1, 0)
    assert counted.by_latency[-1] == 1


async def test_on_a_kept_connection_it_is_closed_without_a_word_and_counted_as_failed(service: Service) -> None:
    await service.set(await service.instance())
    assert await service.ask("fine", "POST") == 200
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await service.ask("cut-before", "POST", size=1)
    counted = await service.quiet()
    assert (counted.arrived, counted.answered, counted.failed) == (2, 1, 1)


async def test_an_answer_before_the_request_was_read_reaches_the_client(service: Service) -> None:
    await service.set(await service.instance())
    with suppress(aiohttp.ClientOSError):
        assert await service.ask("too-large", "POST", size=5_000_000) == 413
    assert (await service.quiet()).arrived == 1


async def test_instances_learn_who_asked(service: Service) -> None:
    await service.set(await service.instance())
    assert await service.ask("fine") == 200
    head = service.seen[0].lower()
    assert b"x-forwarded-for: 127.0.0.1\r\n" in head
    assert b"x-forwarded-proto: http\r\n" in head
    assert head.count(b"x-request-id: ") == 1
