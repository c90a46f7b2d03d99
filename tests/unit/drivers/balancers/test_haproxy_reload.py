"""Routes change by a reload: no connection is refused or cut, and what is told meanwhile and counted stays right."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from conformance.haproxy_program import require_haproxy
from dcp.drivers.balancers.haproxy import HAProxyBalancer
from dcp.drivers.balancers.haproxy.answers import Workers
from dcp.drivers.balancers.haproxy.runtime_api import RuntimeApi
from dcp.kernel.clock import SystemClock
from dcp.kernel.errors import Unavailable
from dcp.orchestration.services.model import ServiceKey
from dcp.orchestration.traffic.model import Endpoint, Route

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("haproxy")]

LOOPBACK = "127.0.0.1"
FEED, OTHER = ServiceKey("shop", "feed"), ServiceKey("shop", "other")


class Instance:
    """Answers every request with its name, after as long as the path says; counts connections and requests."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.requests = 0
        self.heads: list[bytes] = []
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def __aenter__(self) -> Endpoint:
        self._server = await asyncio.start_server(self._serve, LOOPBACK, 0)
        return Endpoint(self.name, LOOPBACK, self._server.sockets[0].getsockname()[1])

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._connections.values():
            writer.close()
        await asyncio.gather(*self._connections)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        this = asyncio.current_task()
        assert this is not None
        self._connections[this] = writer
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.requests += 1
                self.heads.append(head)
                await asyncio.sleep(int(head.split()[1].strip(b"/") or 0) / 1000)
                writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: {len(self.name)}\r\n\r\n{self.name}".encode())
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        del self._connections[this]


class Kept:
    """One connection that is kept."""

    def __init__(self, route: Route) -> None:
        self._route = route

    async def __aenter__(self) -> "Kept":
        self._reader, self._writer = await asyncio.open_connection(LOOPBACK, self._route.listen_port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def ask(self, work_ms: int = 0) -> tuple[bytes, bytes]:
        """Return head and body of the answer."""
        self._writer.write(f"GET /{work_ms} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        return head.lower(), await self._reader.readexactly(length)

    async def ended(self) -> bool:
        return await self._reader.read(1) == b""


@pytest.fixture
async def balancer(tmp_path: Path) -> AsyncIterator[HAProxyBalancer]:
    require_haproxy()
    made = HAProxyBalancer(tmp_path, SystemClock(), hard_stop_after_s=2)
    await made.ensure_running()
    yield made
    await made.stop()


def route(service: ServiceKey) -> Route:
    with socket.create_server((LOOPBACK, 0)) as found:
        return Route(service, found.getsockname()[1])


async def workers(directory: Path) -> Workers:
    return await RuntimeApi(directory, SystemClock()).workers()


async def test_a_kept_connection_is_answered_once_more_by_who_serves_now(balancer: HAProxyBalancer) -> None:
    feed = route(FEED)
    await balancer.set_routes((feed,))
    old, new = Instance("feed-old"), Instance("feed-new")
    async with old as old_endpoint, new as new_endpoint:
        await balancer.set_endpoints(FEED, (old_endpoint,), fence=1)
        async with Kept(feed) as kept:
            assert (await kept.ask())[1] == b"feed-old"
            await balancer.set_routes((feed, route(OTHER)))
            await balancer.set_endpoints(FEED, (replace(old_endpoint, draining=True), new_endpoint), fence=1)
            head, body = await kept.ask()
            assert body == b"feed-new", "the replaced process does not know this endpoint"
            assert new.heads[0].lower().count(b"x-forwarded-for: 127.0.0.1\r\n") == 1
            assert b"x-dcp-handed" not in new.heads[0].lower() + old.heads[0].lower()
            assert b"connection: close" in head
            assert await kept.ended()
        assert old.requests == 1
        counted = (await balancer.traffic())[FEED]
        assert (counted.arrived, counted.answered, counted.by_latency[-1]) == (2, 2, 2)


async def test_requests_in_a_replaced_process_are_under_way_and_counted(
    balancer: HAProxyBalancer, tmp_path: Path
) -> None:
    feed = route(FEED)
    await balancer.set_routes((feed,))
    async with Instance("feed-1") as endpoint:
        await balancer.set_endpoints(FEED, (endpoint,), fence=1)
        async with Kept(feed) as kept, asyncio.TaskGroup() as group:
            asked = group.create_task(kept.ask(work_ms=600))
            while (await balancer.traffic())[FEED].waiting == 0:
                await asyncio.sleep(0.01)
            await balancer.set_routes((feed, route(OTHER)))
            await balancer.set_endpoints(FEED, (replace(endpoint, draining=True),), fence=1)
            assert len((await workers(tmp_path)).leaving) == 1
            (status,) = await balancer.endpoints(FEED)
            assert (status.draining, status.active_requests) == (True, 1)
            counted = (await balancer.traffic())[FEED]
            assert (counted.arrived, counted.answered, counted.waiting) == (1, 0, 1)
        assert asked.result()[1] == b"feed-1"
        while (await workers(tmp_path)).leaving:
            await asyncio.sleep(0.01)
        (status,) = await balancer.endpoints(FEED)
        assert status.active_requests == 0
        counted = (await balancer.traffic())[FEED]
        assert (counted.arrived, counted.answered, counted.waiting) == (1, 1, 0)


async def test_weights_share_requests_under_way_and_change_without_a_reload(
    balancer: HAProxyBalancer, tmp_path: Path
) -> None:
    feed = route(FEED)
    await balancer.set_routes((feed,))
    light, heavy = Instance("light"), Instance("heavy")

    async def client(asked: int) -> None:
        async with Kept(feed) as kept:
            for _ in range(asked):
                await kept.ask(work_ms=5)

    async with light as light_endpoint, heavy as heavy_endpoint:
        for first, second in ((8, 24), (24, 8)):
            weighted = (replace(light_endpoint, weight=first), replace(heavy_endpoint, weight=second))
            await balancer.set_endpoints(FEED, weighted, fence=1)
            light.requests = heavy.requests = 0
            await asyncio.gather(*(client(25) for _ in range(16)))
            more, less = sorted((light.requests, heavy.requests), reverse=True)
            assert (light.requests < heavy.requests) == (first < second)
            assert 2 < more / less < 4.5
        assert (await workers(tmp_path)).reloads == 1


async def test_a_replaced_process_is_ended_after_its_time(balancer: HAProxyBalancer, tmp_path: Path) -> None:
    feed = route(FEED)
    await balancer.set_routes((feed,))
    async with Instance("feed-1") as endpoint:
        await balancer.set_endpoints(FEED, (endpoint,), fence=1)
        async with Kept(feed) as kept:
            assert (await kept.ask())[1] == b"feed-1"
            await balancer.set_routes((feed, route(OTHER)))
            assert len((await workers(tmp_path)).leaving) == 1
            async with asyncio.timeout(6):
                assert await kept.ended()
                while (await workers(tmp_path)).leaving:
                    await asyncio.sleep(0.05)


async def test_no_request_is_lost_while_routes_change(balancer: HAProxyBalancer) -> None:
    feed = route(FEED)
    await balancer.set_routes((feed,))
    answered = 0
    over = asyncio.Event()

    async def client() -> None:
        nonlocal answered
        while not over.is_set():
            async with Kept(feed) as kept:
                head = b""
                while b"connection: close" not in head and not over.is_set():
                    head, body = await kept.ask(work_ms=1)
                    assert (head.split()[1], body) == (b"200", b"feed-1")
                    answered += 1

    async with Instance("feed-1") as endpoint:
        await balancer.set_endpoints(FEED, (endpoint,), fence=1)
        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(client())
            for turn in range(10):
                await balancer.set_routes((feed, route(ServiceKey("shop", f"passing-{turn}"))))
                await asyncio.sleep(0.03)
            over.set()
        counted = (await balancer.traffic())[FEED]
    assert answered > 100
    assert (counted.arrived, counted.answered, counted.failed) == (answered, answered, 0)


async def test_a_port_taken_at_the_last_moment_leaves_the_routes_before(
    balancer: HAProxyBalancer, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed, late = route(FEED), route(OTHER)
    await balancer.set_routes((feed,))
    async with Instance("feed-1") as endpoint:
        await balancer.set_endpoints(FEED, (endpoint,), fence=1)
        with socket.create_server((LOOPBACK, late.listen_port)):
            with monkeypatch.context() as patched:
                # As if it had been free when the driver looked.
                patched.setattr("dcp.drivers.balancers.haproxy.routing.is_free", lambda address, port: True)
                with pytest.raises(Unavailable, match=f"cannot bind.*{late.listen_port}"):
                    await balancer.set_routes((feed, late))
            async with Kept(feed) as kept:
                assert (await kept.ask())[1] == b"feed-1"
        await balancer.ensure_running()
        await balancer.set_endpoints(OTHER, (endpoint,), fence=1)
        async with Kept(late) as kept:
            assert (await kept.ask())[1] == b"feed-1", "it was had as soon as it was free"


async def test_endpoints_told_before_the_proxy_was_killed_are_there_after_it(
    balancer: HAProxyBalancer, tmp_path: Path
) -> None:
    feed = route(FEED)
    await balancer.set_routes((feed,))
    async with Instance("feed-1") as first, Instance("feed-2") as second:
        await balancer.set_endpoints(FEED, (first,), fence=1)
        await balancer.set_endpoints(FEED, (second,), fence=1)
        worker = (await workers(tmp_path)).current
        assert worker is not None
        os.kill(worker, signal.SIGKILL)
        other = HAProxyBalancer(tmp_path, SystemClock())
        async with asyncio.timeout(5):
            while True:
                await other.ensure_running()
                if (await workers(tmp_path)).current not in (worker, None):
                    break
        async with Kept(feed) as kept:
            assert (await kept.ask())[1] == b"feed-2"
