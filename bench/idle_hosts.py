"""What 1,000 hosts cost one controller that has nothing to do with them: memory, processor, time to connect.

Run `python bench/idle_hosts.py`; it prints one JSON object. The engines are fakes on unix sockets in a process of their
own, each with 10 containers of ours; the driver keeps an event stream with each and asks now and then whether it is
there. What TLS or SSH add is not in these figures.
"""

import argparse
import asyncio
import json
import multiprocessing
import multiprocessing.synchronize
import os
import resource
import tempfile
import time
from pathlib import Path

import psutil

from dcp.drivers.runtimes.docker import DockerRuntimes
from dcp.kernel.clock import SystemClock
from dcp.orchestration.services.ports import HostEngine
from dcp.settings.model import RuntimeSettings

CONTAINERS = 10
LOOK_S = 20.0
INFO = json.dumps({"SystemTime": "2026-01-01T00:00:00.000000000Z", "NCPU": 4, "MemoryLimit": True})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", type=int, default=1000)
    hosts = parser.parse_args().hosts
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory() as folder:
        ready = multiprocessing.Event()
        engines = multiprocessing.Process(target=serve, args=(folder, hosts, ready), daemon=True)
        engines.start()
        ready.wait(60)
        try:
            print(json.dumps(asyncio.run(measure(Path(folder), hosts))))
        finally:
            engines.kill()
            engines.join()


async def measure(folder: Path, hosts: int) -> dict[str, float | int]:
    me = psutil.Process()
    runtimes = DockerRuntimes(RuntimeSettings(kind="docker", owner="bench"), folder / "state", SystemClock())
    before_bytes = me.memory_info().rss
    began = time.perf_counter()
    await runtimes.attach(tuple(HostEngine(f"h{n}", f"unix://{folder}/{n}.sock", "10.0.0.1") for n in range(hosts)))
    listed = await asyncio.gather(*(runtime.list_all() for _, runtime in runtimes.each()))
    connect_s = time.perf_counter() - began
    assert sum(map(len, listed)) == hosts * CONTAINERS
    used_bytes = me.memory_info().rss - before_bytes
    began_cpu_s = sum(me.cpu_times()[:2])
    await asyncio.sleep(LOOK_S)
    cpu_s = sum(me.cpu_times()[:2]) - began_cpu_s
    began = time.perf_counter()
    for _, runtime in runtimes.each():
        for number in range(CONTAINERS):
            assert await runtime.observe(f"i-{number}") is not None
    look_s = time.perf_counter() - began
    connections = len(me.net_connections("unix"))
    answering = sum(state.answers for state in runtimes.engines().values())
    await runtimes.aclose()
    return {
        "hosts": hosts,
        "answering": answering,
        "containers": hosts * CONTAINERS,
        "connect_s": round(connect_s, 2),
        "memory_kib_per_host": round(used_bytes / hosts / 1024, 1),
        "idle_processor_share": round(cpu_s / LOOK_S, 3),
        "connections": connections,
        "looks_per_s": round(hosts * CONTAINERS / look_s),
    }


def serve(folder: str, hosts: int, ready: "multiprocessing.synchronize.Event") -> None:
    """Be so many engines."""

    async def work() -> None:
        servers = [await asyncio.start_unix_server(answer, f"{folder}/{n}.sock") for n in range(hosts)]
        ready.set()
        await asyncio.gather(*(server.serve_forever() for server in servers))

    os.setpgrp()
    asyncio.run(work())


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Speak as much HTTP as the driver needs."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ", 2)[1].decode()
            if "/events" in path and "until" not in path:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
                await reader.read()
                return
            body = ""
            if "/info" in path:
                body = INFO
            elif "/containers/json" in path:
                body = json.dumps([container(number) for number in range(CONTAINERS)])
            kind = "text/plain" if "/_ping" in path else "application/json"
            writer.write(
                f"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Type: {kind}\r\n"
                f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
            )
    except (asyncio.IncompleteReadError, ConnectionError):
        return
    finally:
        writer.close()


def container(number: int) -> dict[str, object]:
    labels = {
        "dcp.owner": "bench",
        "dcp.instance": f"i-{number}",
        "dcp.host": "h",
        "dcp.application": "shop",
        "dcp.service": "cart",
        "dcp.order": "0123456789abcdef",
        "dcp.port": str(20000 + number),
        "dcp.host-port": str(20000 + number),
    }
    return {"Id": f"{number:064x}", "Labels": labels, "State": "running", "Status": "Up 1 second"}


if __name__ == "__main__":
    main()
