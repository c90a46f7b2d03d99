"""Clients at full speed on kept connections while 200 instances join and leave: no request fails.

Everything is real: the proxy, the instances (a process each, that ends with all its connections once it has drained),
and the clients (`wrk`, which uses every connection all the time). Once more with routes that come and go meanwhile.
"""

import asyncio
import os
import re
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from conformance.envoy_fleet import Remotes, fleet_options
from conformance.haproxy_program import require_haproxy
from dcp.drivers.balancers.envoy import EnvoyBalancer
from dcp.drivers.balancers.haproxy import HAProxyBalancer
from dcp.kernel.clock import SystemClock
from dcp.orchestration.services.model import ServiceKey
from dcp.orchestration.traffic.model import Endpoint, Route
from dcp.orchestration.traffic.ports import Balancer
from dcp.store.database import open_database
from dcp.store.edge import StoredEdge

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("full-speed")]

LOOPBACK = "127.0.0.1"
INSTANCES = 200
AT_ONCE = 6
CONNECTIONS = 32
WITHIN_S = 120.0
FEED = ServiceKey("shop", "feed")
STARTER = Path(__file__).with_name("small_instances.py")


class Fleet:
    """Instances that run, the oldest first, each a process of its own."""

    def __init__(self, starter: asyncio.subprocess.Process) -> None:
        self._starter = starter
        self.running: dict[Endpoint, int] = {}
        self.started = 0

    async def start(self) -> Endpoint:
        assert self._starter.stdin is not None
        assert self._starter.stdout is not None
        self._starter.stdin.write(b"\n")
        pid, port = (await self._starter.stdout.readline()).split()
        self.started += 1
        endpoint = Endpoint(f"feed-{self.started}", LOOPBACK, int(port))
        self.running[endpoint] = int(pid)
        return endpoint

    def end(self, endpoint: Endpoint) -> None:
        """End the instance at once, with all connections it has."""
        os.kill(self.running.pop(endpoint), signal.SIGTERM)


@dataclass(frozen=True)
class Edge:
    """A balancer and where clients reach it."""

    balancer: Balancer
    address: str = LOOPBACK


@pytest.fixture(params=["envoy", "envoys-elsewhere", "haproxy"])
async def edge(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Edge]:
    if request.param == "haproxy":
        require_haproxy()
        made = HAProxyBalancer(tmp_path, SystemClock())
        await made.ensure_running()
        yield Edge(made)
        await made.stop()
        return
    async with envoys(tmp_path, remotes=2 if request.param == "envoys-elsewhere" else 0) as found:
        yield found


@asynccontextmanager
async def envoys(directory: Path, *, remotes: int) -> AsyncIterator[Edge]:
    """One Envoy beside the controller and so many elsewhere, of which clients use the last."""
    options = fleet_options(embedded=True, remotes=remotes)
    elsewhere = Remotes(directory, options)
    clock, database = SystemClock(), open_database(f"sqlite:///{directory}/store.sqlite")
    ledger = StoredEdge(database, clock)
    made = EnvoyBalancer(directory, clock, ledger, options)
    try:
        await elsewhere.start_all()
        await made.ensure_running()
        await elsewhere.until(ledger)
        yield Edge(made, options.proxies[-1].listen_address if remotes else LOOPBACK)
    finally:
        await made.stop()
        await made.aclose()
        await elsewhere.close()
        database.close()


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    starter = await asyncio.create_subprocess_exec(
        sys.executable, str(STARTER), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert starter.stdin is not None
    yield Fleet(starter)
    starter.stdin.close()
    assert await starter.wait() == 0


@dataclass(frozen=True)
class Clients:
    """What `wrk` said at its end."""

    requests: int
    complaints: tuple[str, ...]


@asynccontextmanager
async def full_speed(route: Route, address: str) -> AsyncIterator[list[Clients]]:
    """Run `wrk` until the block ends; what it said is in the list then."""
    said: list[Clients] = []
    words = ["wrk", "-t", "1", "-c", str(CONNECTIONS), "-d", f"{WITHIN_S:g}", "--timeout", "10s"]
    process = await asyncio.create_subprocess_exec(
        *words, f"http://{address}:{route.listen_port}/", stdout=asyncio.subprocess.PIPE
    )
    try:
        yield said
    finally:
        process.send_signal(signal.SIGINT)  # it sums up then
        text = (await process.communicate())[0].decode()
    found = re.search(r"(\d+) requests in", text)
    assert found, text
    complaints = tuple(line.strip() for line in text.splitlines() if "Socket errors" in line or "Non-2xx" in line)
    said.append(Clients(int(found[1]), complaints))


def a_route(service: ServiceKey) -> Route:
    with socket.create_server((LOOPBACK, 0)) as found:
        return Route(service, found.getsockname()[1])


async def replace_oldest(balancer: Balancer, fleet: Fleet) -> None:
    """Let one instance join, then the oldest drain, leave the balancer and end."""
    leaving = next(iter(fleet.running))
    await fleet.start()
    others = tuple(endpoint for endpoint in fleet.running if endpoint != leaving)
    await balancer.set_endpoints(FEED, (leaving, *others), fence=1)
    await balancer.set_endpoints(FEED, (replace(leaving, draining=True), *others), fence=1)
    while any(one.port == leaving.port and one.active_requests for one in await balancer.endpoints(FEED)):
        await asyncio.sleep(0.001)
    await balancer.set_endpoints(FEED, others, fence=1)
    fleet.end(leaving)


@pytest.mark.parametrize("routes_change_every", [None, 20], ids=["", "while-routes-change"])
async def test_no_request_fails(edge: Edge, fleet: Fleet, routes_change_every: int | None) -> None:
    if shutil.which("wrk") is None:
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail("wrk is not installed")
        pytest.skip("needs Debian's package wrk")
    balancer, feed = edge.balancer, a_route(FEED)
    await balancer.set_routes((feed,))
    for _ in range(AT_ONCE):
        await fleet.start()
    await balancer.set_endpoints(FEED, tuple(fleet.running), fence=1)
    async with asyncio.timeout(WITHIN_S), full_speed(feed, edge.address) as said:
        for turn in range(INSTANCES):
            if routes_change_every and turn % routes_change_every == 0:
                await balancer.set_routes((feed, a_route(ServiceKey("shop", f"passing-{turn}"))))
            await replace_oldest(balancer, fleet)
    (clients,) = said
    assert clients.complaints == ()
    assert clients.requests > 10 * INSTANCES
    counted = (await balancer.traffic())[FEED]
    assert counted.failed == 0
    assert clients.requests <= counted.arrived <= clients.requests + CONNECTIONS
    print(f"{clients.requests} requests, {fleet.started} instances")
