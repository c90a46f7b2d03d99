"""What happens to requests when instances or clients misbehave, and how it is counted."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, suppress
from io import BytesIO
from itertools import count
from pathlib import Path

import aiohttp
import pytest
from envoy_world import World

from dcp.drivers.balancers.envoy import EnvoyBalancer
from dcp.orchestration.capacity.model import LATENCY_BOUNDS_MS
from dcp.orchestration.services.model import ServiceKey
from dcp.orchestration.traffic.model import Endpoint, Route, Traffic

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("envoy")]

LOOPBACK = "127.0.0.1"
MERGED_S = 0.6
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
NUMBERS = count()


class Service:
    """One route with its instances and a client."""

    def __init__(self, balancer: EnvoyBalancer) -> None:
        self.balancer = balancer
        self.key = ServiceKey("requests", f"service-{next(NUMBERS)}")
        self.client = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        self.seen: list[bytes] = []
        self._servers: list[asyncio.Server] = []
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._port = 0

    async def open(self) -> None:
        server = await asyncio.start_server(lambda _, writer: writer.close(), LOOPBACK, 0)
        self._port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        await self.balancer.set_routes((Route(self.key, self._port),))

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
        return Endpoint("instance", LOOPBACK, server.sockets[0].getsockname()[1])

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
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        url = f"http://{LOOPBACK}:{self._port}/{path}"
        body = BytesIO(b"x" * size) if size else None
        async with self.client.request(method, url, timeout=timeout, headers=named, data=body) as response:
            await response.read()
            return response.status

    async def counted(self) -> Traffic:
        await asyncio.sleep(MERGED_S)
        return (await self.balancer.traffic())[self.key]

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
def envoy_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("balancer")
    yield directory
    asyncio.run(_stop(directory))


@pytest.fixture
async def service(envoy_directory: Path) -> AsyncIterator[Service]:
    world = World(envoy_directory)
    balancer = world.controller()
    await balancer.ensure_running()
    made = Service(balancer)
    await made.open()
    yield made
    await made.close()
    await world.close()


async def _stop(directory: Path) -> None:
    world = World(directory)
    await world.controller().stop()
    await world.close()


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_endpoint_that_refuses_is_passed_over(service: Service, method: str) -> None:
    await service.set(await service.dead(), await service.instance(), await service.dead())
    statuses = [await service.ask("fine", method) for _ in range(20)]
    assert set(statuses) == {200}
    assert (await service.counted()).failed == 0


async def test_the_only_endpoint_is_asked_again_at_once_after_it_refused(service: Service) -> None:
    endpoint = await service.dead()
    await service.set(endpoint)
    assert await service.ask("fine") == 503
    await service.instance(endpoint.port)
    assert await service.ask("fine") == 200


async def test_an_idle_connection_closed_by_the_instance_costs_no_request(service: Service) -> None:
    await service.set(await service.instance(), await service.instance())

    async def client() -> list[int]:
        return [await service.ask("leave") for _ in range(100)]

    statuses = await asyncio.gather(*(client() for _ in range(4)))
    assert {status for client_statuses in statuses for status in client_statuses} == {200}


async def test_a_request_that_ended_its_instance_is_repeated_only_if_that_is_safe(service: Service) -> None:
    await service.set(await service.instance())
    assert await service.ask("cut-before", "POST", size=1) == 503
    assert len(service.seen) == 1
    service.seen.clear()
    assert await service.ask("cut-before", "GET") == 503
    assert 2 <= len(service.seen) <= 6


async def test_a_response_that_was_cut_off_is_a_failure(service: Service) -> None:
    await service.set(await service.instance())
    with pytest.raises(aiohttp.ClientPayloadError):
        await service.ask("cut-within")
    counted = await service.counted()
    assert (counted.arrived, counted.answered, counted.failed, counted.waiting) == (1, 0, 1, 0)


async def test_a_client_that_goes_away_is_not_our_failure(service: Service) -> None:
    await service.set(await service.instance())
    with pytest.raises(TimeoutError):
        await service.ask("slow", within_s=0.1)
    assert await service.ask("slow") == 200
    counted = await service.counted()
    assert (counted.arrived, counted.answered, counted.failed, counted.waiting) == (2, 1, 0, 0)
    assert counted.by_latency[-1] == 1


async def test_an_answer_before_the_request_was_read_is_no_failure(service: Service) -> None:
    await service.set(await service.instance())
    with suppress(aiohttp.ClientOSError):
        assert await service.ask("too-large", "POST", size=5_000_000) == 413
    counted = await service.counted()
    assert (counted.arrived, counted.failed) == (1, 0)


async def test_a_client_cannot_set_time_outs(service: Service) -> None:
    await service.set(await service.instance())
    assert await service.ask("slow", x_envoy_upstream_rq_timeout_ms="10", x_envoy_expected_rq_timeout_ms="10") == 200
    assert b"x-envoy-upstream" not in service.seen[0].lower()
    assert b"x-envoy-expected" not in service.seen[0].lower()


async def test_a_host_that_does_not_answer_costs_one_request_a_second(service: Service) -> None:
    with ExitStack() as kept:
        silent = kept.enter_context(socket.create_server((LOOPBACK, 0), backlog=0))
        for _ in range(3):  # until its queue is full, so that it answers no further connection
            waiting = kept.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(silent.getsockname())
        await service.set(Endpoint("silent", *silent.getsockname()), await service.instance())
        started = asyncio.get_running_loop().time()
        assert {await service.ask("fine") for _ in range(20)} == {200}
        assert asyncio.get_running_loop().time() - started > 0.9, "it was asked"
        assert (await service.counted()).by_latency[LATENCY_BOUNDS_MS.index(750)] >= 18
