"""Requests through the balancer while its endpoints change all the time, beside the same load without a change.

Run `python bench/balancer.py`; it prints one JSON object and takes about 20 s: Envoy, then HAProxy if it is installed.
Clients (in a process of their own) and instances are plain asyncio, so the rates say nothing about a proxy's limits;
they compare the runs. In the changing run the oldest instance drains, ends with all its connections and is replaced,
without a pause. `lost` counts requests that were not answered with 200 and must be 0. `change_ms` is how long one
acknowledged `set_endpoints` takes.
"""

import asyncio
import json
import socket
import sys
import time
from collections.abc import AsyncIterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dcp.drivers.balancers.envoy import EnvoyBalancer
from dcp.drivers.balancers.haproxy import HAProxyBalancer
from dcp.kernel.clock import SystemClock
from dcp.kernel.errors import Unavailable
from dcp.orchestration.services.model import ServiceKey
from dcp.orchestration.traffic.model import Endpoint, Route
from dcp.orchestration.traffic.ports import Balancer
from dcp.store.database import open_database
from dcp.store.edge import StoredEdge

RUN_S = 4.0
CONNECTIONS = 32
INSTANCES = 4
WORK_S = 0.002
PAUSE_S = 0.01
LOOPBACK = "127.0.0.1"
SERVICE = ServiceKey("bench", "service")
REQUEST = b"GET / HTTP/1.1\r\nhost: bench\r\n\r\n"
RESPONSE = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Instance:
    """A small HTTP server that ends as a process does: with all its connections."""

    def __init__(self) -> None:
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> Endpoint:
        self._server = await asyncio.start_server(self._serve, LOOPBACK, 0)
        port = self._server.sockets[0].getsockname()[1]
        return Endpoint(f"service-{port}", LOOPBACK, port)

    def end(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                await asyncio.sleep(WORK_S)
                writer.write(RESPONSE)
        self._writers.remove(writer)


def send_all(port: int) -> tuple[int, int]:
    """Send from every connection for RUN_S seconds; return how many requests were answered and lost."""

    async def run() -> tuple[int, int]:
        until = time.perf_counter() + RUN_S
        counts = await asyncio.gather(*(send(port, until) for _ in range(CONNECTIONS)))
        return sum(answered for answered, _ in counts), sum(lost for _, lost in counts)

    return asyncio.run(run())


async def send(port: int, until: float) -> tuple[int, int]:
    """Send one request after the other on a connection that is kept."""
    answered = lost = 0
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    while time.perf_counter() < until:
        try:
            writer.write(REQUEST)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split()[0])
            await reader.readexactly(length)
            good = head.startswith(b"HTTP/1.1 200")
        except (asyncio.IncompleteReadError, ConnectionError):
            good = False
            writer.close()
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
        answered += good
        lost += not good
        await asyncio.sleep(PAUSE_S)
    writer.close()
    return answered, lost


async def change(balancer: Balancer, running: dict[Endpoint, Instance], until: float) -> list[float]:
    """Replace the oldest instance again and again; return how long each acknowledged change took, in ms."""
    took_ms: list[float] = []

    async def tell(*endpoints: Endpoint) -> None:
        started = time.perf_counter()
        await balancer.set_endpoints(SERVICE, endpoints, fence=1)
        took_ms.append((time.perf_counter() - started) * 1000)

    while time.perf_counter() < until:
        oldest, *others = running
        fresh = Instance()
        joining = await fresh.start()
        running[joining] = fresh
        await tell(replace(oldest, draining=True), *others, joining)
        while any(one.port == oldest.port and one.active_requests for one in await balancer.endpoints(SERVICE)):
            pass
        await tell(*others, joining)
        running.pop(oldest).end()
    return took_ms


async def measure(balancer: Balancer, port: int, clients: Executor, *, changing: bool) -> dict[str, Any]:
    """Return what one run of RUN_S seconds counted."""
    made = [Instance() for _ in range(INSTANCES)]
    running = {await instance.start(): instance for instance in made}
    await balancer.set_endpoints(SERVICE, tuple(running), fence=1)
    started = time.perf_counter()
    load = asyncio.get_running_loop().run_in_executor(clients, send_all, port)
    took_ms = sorted(await change(balancer, running, started + RUN_S)) if changing else []
    answered, lost = await load
    seconds = time.perf_counter() - started
    for instance in running.values():
        instance.end()
    result: dict[str, Any] = {"answered": answered, "lost": lost, "seconds": round(seconds, 2), "changes": len(took_ms)}
    if took_ms:
        result["change_ms"] = {"median": round(took_ms[len(took_ms) // 2], 1), "highest": round(took_ms[-1], 1)}
    return result


@asynccontextmanager
async def envoy(directory: Path) -> AsyncIterator[Balancer]:
    clock = SystemClock()
    database = open_database(f"sqlite:///{directory}/dcp.sqlite")
    balancer = EnvoyBalancer(directory, clock, StoredEdge(database, clock))
    try:
        yield balancer
    finally:
        await balancer.stop()
        await balancer.aclose()
        database.close()


@asynccontextmanager
async def haproxy(directory: Path) -> AsyncIterator[Balancer]:
    balancer = HAProxyBalancer(directory, SystemClock())
    try:
        yield balancer
    finally:
        await balancer.stop()


async def compare(balancer: Balancer) -> dict[str, Any]:
    """Return what a run with changes and one without counted."""
    with socket.socket() as found:
        found.bind((LOOPBACK, 0))
        port = found.getsockname()[1]
    await balancer.ensure_running()
    await balancer.set_routes((Route(SERVICE, port),))
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as clients:
        quiet = await measure(balancer, port, clients, changing=False)
        changing = await measure(balancer, port, clients, changing=True)
    return {"changing": changing, "peer_without_changes": quiet}


async def main() -> int:
    result: dict[str, Any] = {"connections": CONNECTIONS}
    lost = 0
    for name, make in (("envoy", envoy), ("haproxy", haproxy)):
        with TemporaryDirectory(prefix="dcp-bench-") as directory:
            async with make(Path(directory)) as balancer:
                try:
                    result[name] = await compare(balancer)
                except Unavailable as error:
                    result[name] = str(error)
                    continue
        lost += sum(run["lost"] for run in result[name].values())
    print(json.dumps(result, indent=2))
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
