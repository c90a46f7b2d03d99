"""HAProxy as processes: started once, found again, never mistaken for another, ended only on request."""

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

from conformance.haproxy_program import require_haproxy
from dcp.drivers.balancers.haproxy import HAProxyBalancer
from dcp.drivers.runtimes.process.processes import find_owned, read_stat
from dcp.kernel.clock import SystemClock
from dcp.kernel.errors import Unavailable
from dcp.orchestration.services.model import ServiceKey
from dcp.orchestration.traffic.model import Endpoint, Route

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("haproxy")]

FEED = ServiceKey("shop", "feed")
LOOPBACK = "127.0.0.1"

CONTROLLER = """
import asyncio, sys
from pathlib import Path
from dcp.drivers.balancers.haproxy import HAProxyBalancer
from dcp.kernel.clock import SystemClock

async def main():
    await HAProxyBalancer(Path(sys.argv[1]), SystemClock()).ensure_running()
    print("running", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.fixture
async def directory(tmp_path: Path) -> AsyncIterator[Path]:
    """A folder too deep for the path of a unix socket."""
    require_haproxy()
    deep = tmp_path / ("deep" * 20) / ("deeper" * 10)
    controller(deep)
    yield deep
    await controller(deep).stop()
    assert processes(deep) == ()


def controller(directory: Path, workers: int = 1) -> HAProxyBalancer:
    return HAProxyBalancer(directory, SystemClock(), workers=workers)


def processes(directory: Path) -> tuple[int, ...]:
    """Return the processes of this directory that run: the master and its worker."""
    found = [read_stat(pid) for pid in find_owned((directory / "owner").read_text())]
    return tuple(stat.pid for stat in found if stat is not None and not stat.ended)


def recorded(directory: Path) -> int:
    return int((directory / "proxy").read_text().split()[0])


async def gone(directory: Path, pid: int) -> None:
    """Return once a killed process has really ended; a signal is only delivered some time after it was sent."""
    async with asyncio.timeout(10):
        while pid in processes(directory):
            await asyncio.sleep(0.01)


def free_port() -> int:
    with socket.create_server((LOOPBACK, 0)) as found:
        port: int = found.getsockname()[1]
        return port


async def test_controllers_that_start_at_once_start_one_proxy(directory: Path) -> None:
    await asyncio.gather(*(controller(directory).ensure_running() for _ in range(5)))
    assert len(processes(directory)) == 2
    assert recorded(directory) in processes(directory)


async def test_it_outlives_a_killed_controller_and_its_group(directory: Path) -> None:
    command = (sys.executable, "-c", CONTROLLER, str(directory))
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"running\n"
    os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
    before = processes(directory)
    await controller(directory).ensure_running()
    assert processes(directory) == before


async def test_one_that_was_never_recorded_is_found(directory: Path) -> None:
    await controller(directory).ensure_running()
    before, master = processes(directory), recorded(directory)
    (directory / "proxy").unlink()
    await controller(directory).ensure_running()
    assert (processes(directory), recorded(directory)) == (before, master)


async def test_a_pid_that_belongs_to_somebody_else_is_left_alone(directory: Path) -> None:
    stranger = await asyncio.create_subprocess_exec("sleep", "60")
    record = f"{stranger.pid} 1 {Path('/proc/sys/kernel/random/boot_id').read_text().strip()}\n"
    (directory / "proxy").write_text(record)
    await controller(directory).stop()
    (directory / "proxy").write_text(record)
    await controller(directory).ensure_running()
    assert recorded(directory) != stranger.pid
    assert stranger.returncode is None
    stranger.kill()
    assert await stranger.wait() == -signal.SIGKILL


async def test_a_killed_master_takes_its_worker_along_and_both_come_back(directory: Path) -> None:
    balancer = controller(directory)
    await balancer.ensure_running()
    route = Route(FEED, free_port())
    await balancer.set_routes((route,))
    before = processes(directory)
    master = recorded(directory)
    os.kill(master, signal.SIGKILL)
    await gone(directory, master)
    await controller(directory).ensure_running()
    assert len(processes(directory)) == 2
    assert not set(before) & set(processes(directory))
    _, writer = await asyncio.open_connection(LOOPBACK, route.listen_port)
    writer.close()
    await writer.wait_closed()


async def test_a_route_whose_port_was_taken_at_the_start_comes_back(directory: Path) -> None:
    balancer = controller(directory)
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


async def test_nobody_else_may_use_its_sockets(directory: Path) -> None:
    await controller(directory).ensure_running()
    assert directory.stat().st_mode & 0o077 == 0
    for name in ("master.sock", "runtime.sock"):
        assert (directory / name).stat().st_mode & 0o777 == 0o600


async def test_all_of_several_workers_follow(directory: Path) -> None:
    balancer = controller(directory, workers=3)
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
