"""The example's service: bounded, first come first served, never refusing, ending in good order."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from dcp.demo.load_client import ConnectionPool, Target

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "hot-event"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@asynccontextmanager
async def running(**settings: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    port = free_port()
    environment = os.environ | settings | {"PORT": str(port)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-S", "-E", "service.py", cwd=FOLDER, env=environment, stderr=asyncio.subprocess.PIPE
    )
    try:
        while (await ask(port, "/healthz"))[0] != 200:
            await asyncio.sleep(0.02)
        yield process, port
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def ask(port: int, path: str = "/", count: int = 1) -> list[int]:
    """Send `count` requests at once; return the statuses in the order of the answers (0: none)."""
    statuses: list[int] = []
    everything = asyncio.Event()

    def ended(status: int, how: str) -> None:
        statuses.append(status)
        if len(statuses) == count:
            everything.set()

    pool = ConnectionPool(Target.parse(f"http://127.0.0.1:{port}{path}"))
    for _ in range(count):
        pool.send(ended)
    await everything.wait()
    pool.close()
    await asyncio.sleep(0)
    return statuses


async def test_hundreds_of_queued_requests_are_all_answered() -> None:
    async with running(CONCURRENCY="20", SERVICE_MS="20") as (_, port):
        assert await ask(port, count=500) == [200] * 500


async def test_concurrency_is_bounded() -> None:
    async with running(CONCURRENCY="2", SERVICE_MS="50") as (_, port):
        began = time.monotonic()
        await ask(port, count=10)
        # Five rounds of 50 ms; more is a slow machine, less would be a third slot.
        assert time.monotonic() - began >= 0.25


async def test_health_does_not_queue() -> None:
    async with running(CONCURRENCY="1", SERVICE_MS="1500") as (_, port):
        slow = asyncio.create_task(ask(port, count=2))
        await asyncio.sleep(0.1)
        assert await ask(port, "/healthz") == [200]
        assert not slow.done()
        slow.cancel()
        await asyncio.gather(slow, return_exceptions=True)


async def test_calls_are_spread_evenly() -> None:
    asked = 0

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                asked += 1
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                if asked % 3 == 0:
                    break  # leaves a stale connection behind, without saying so
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    listener = await asyncio.start_server(count, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    async with running(SERVICE_MS="1", CALLS="user-data=0.4", DCP_URL_USER_DATA=url) as (_, port):
        for _ in range(20):
            assert await ask(port) == [200]
    listener.close()
    assert asked == 8


async def test_a_failed_dependency_is_a_bad_gateway() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    async with running(SERVICE_MS="1", CALLS="card=1", DCP_URL_CARD=url) as (_, port):
        assert await ask(port) == [502]


async def test_sigterm_finishes_what_is_under_way() -> None:
    async with running(CONCURRENCY="2", SERVICE_MS="200") as (process, port):
        under_way = asyncio.create_task(ask(port, count=6))
        await asyncio.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert await under_way == [200] * 6
        _, said = await process.communicate()
        assert process.returncode == 0
        assert said == b""
        assert await ask(port) == [0]


async def test_an_idle_service_ends_at_once() -> None:
    async with running() as (process, port):
        assert await ask(port) == [200]
        process.send_signal(signal.SIGTERM)
        _, said = await process.communicate()
        assert (process.returncode, said) == (0, b"")
