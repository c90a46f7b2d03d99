"""The proxy as a process: started once, found again, never mistaken for another, ended only on request."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from envoy_world import World

from dcp.drivers.balancers.envoy import EnvoyOptions
from dcp.drivers.runtimes.process.processes import find_owned, read_stat
from dcp.kernel.errors import Unavailable
from dcp.orchestration.services.model import ServiceKey
from dcp.orchestration.traffic.model import Endpoint, Route

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("envoy")]

FEED = ServiceKey("shop", "feed")
LOOPBACK = "127.0.0.1"

CONTROLLER = """
import asyncio, sys
from pathlib import Path
from dcp.drivers.balancers.envoy import EnvoyBalancer
from dcp.kernel.clock import SystemClock
from dcp.store.database import open_database
from dcp.store.edge import StoredEdge

async def main():
    clock = SystemClock()
    ledger = StoredEdge(open_database(f"sqlite:///{sys.argv[1]}/store.sqlite"), clock)
    await EnvoyBalancer(Path(sys.argv[1]), clock, ledger).ensure_running()
    print("running", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    yield made
    await made.controller().stop()
    await made.close()
    assert proxies(tmp_path) == ()


@pytest.fixture
def directory(world: World) -> Path:
    return world.directory


def proxies(directory: Path) -> tuple[int, ...]:
    """Return the proxies of this directory that run."""
    found = [read_stat(pid) for pid in find_owned((directory / "owner").read_text())]
    return tuple(stat.pid for stat in found if stat is not None and not stat.ended)


def recorded(directory: Path) -> int:
    return int((directory / "proxy").read_text().split()[0])


def free_port() -> int:
    with socket.socket() as found:
        found.bind((LOOPBACK, 0))
        port: int = found.getsockname()[1]
        return port


async def test_controllers_that_start_at_once_start_one_proxy(world: World, directory: Path) -> None:
    await asyncio.gather(*(world.controller().ensure_running() for _ in range(5)))
    assert proxies(directory) == (recorded(directory),)


async def test_it_outlives_a_killed_controller_and_its_group(world: World, directory: Path) -> None:
    command = (sys.executable, "-c", CONTROLLER, str(directory))
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"running\n"
    os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
    before = proxies(directory)
    await world.controller().ensure_running()
    assert proxies(directory) == before == (recorded(directory),)


async def test_one_that_was_never_recorded_is_found(world: World, directory: Path) -> None:
    await world.controller().ensure_running()
    before = recorded(directory)
    (directory / "proxy").unlink()
    await world.controller().ensure_running()
    assert proxies(directory) == (before,) == (recorded(directory),)


async def test_a_pid_that_belongs_to_somebody_else_is_left_alone(world: World, directory: Path) -> None:
    stranger = await asyncio.create_subprocess_exec("sleep", "60")
    record = f"{stranger.pid} 1 {Path('/proc/sys/kernel/random/boot_id').read_text().strip()}\n"
    world.controller()
    (directory / "proxy").write_text(record)
    await world.controller().stop()
    (directory / "proxy").write_text(record)
    await world.controller().ensure_running()
    assert recorded(directory) != stranger.pid
    assert stranger.returncode is None
    stranger.kill()
    assert await stranger.wait() == -signal.SIGKILL


async def test_a_given_admin_port_is_used_and_said_when_it_is_taken(world: World, directory: Path) -> None:
    port = free_port()
    with socket.create_server((LOOPBACK, port)):
        with pytest.raises(Unavailable, match=f"admin port {port}.*admin_port"):
            await world.controller(EnvoyOptions(admin_port=port)).ensure_running()
        assert proxies(directory) == ()
    await world.controller(EnvoyOptions(admin_port=port)).ensure_running()
    assert (directory / "admin").read_text() == f"{LOOPBACK}:{port}"


async def test_the_admin_interface_changes_nothing(world: World, directory: Path) -> None:
    await world.controller().ensure_running()
    address = (directory / "admin").read_text()
    async with aiohttp.ClientSession() as client:
        for path in (
            "quitquitquit",
            "healthcheck/fail",
            "drain_listeners",
            "logging?level=trace",
            "runtime_modify?a=b",
        ):
            async with client.post(f"http://{address}/{path}") as response:
                assert response.status == 403, path
        async with client.post(f"http://{address}/reset_counters") as response:
            assert response.status == 403
    assert await world.controller().traffic() == {}


async def test_a_route_whose_port_was_taken_at_the_start_comes_back(world: World, directory: Path) -> None:
    balancer = world.controller()
    await balancer.ensure_running()
    route = Route(FEED, free_port())
    await balancer.set_routes((route,))
    await balancer.stop()
    with socket.create_server((LOOPBACK, route.listen_port)):
        await balancer.ensure_running()
        await balancer.ensure_running()
        with pytest.raises(Unavailable, match=str(route.listen_port)):
            await balancer.set_routes((route,))
    await balancer.ensure_running()
    _, writer = await asyncio.open_connection(LOOPBACK, route.listen_port)
    writer.close()
    await writer.wait_closed()


async def test_all_of_several_workers_follow(world: World, directory: Path) -> None:
    balancer = world.controller(EnvoyOptions(workers=3))
    await balancer.ensure_running()
    route = Route(FEED, free_port())
    await balancer.set_routes((route,))
    reached: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline() not in (b"\r\n", b""):
            pass
        reached.append(writer.get_extra_info("sockname")[1])
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        writer.close()

    servers = [await asyncio.start_server(serve, LOOPBACK, 0) for _ in range(2)]
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as client:
        for turn in range(30):
            port = ports[turn % 2]
            await balancer.set_endpoints(FEED, (Endpoint("feed", LOOPBACK, port),), fence=1)
            reached.clear()
            for _ in range(6):
                async with client.get(f"http://{LOOPBACK}:{route.listen_port}/") as response:
                    assert response.status == 200
            assert reached == [port] * 6
    for server in servers:
        server.close()
