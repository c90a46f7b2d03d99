"""Containers started per second: through dcp, by its runtime alone, and by what people use instead.

Run `python bench/start.py` as root; it makes a lab of 4 hosts with a Docker Engine each, prints one JSON object a line,
and removes the lab. Every row starts the same container (busybox, the host's network, bounds on processor and memory,
no capabilities) on the same engines in the same run; each is removed again before the next row. A rate counts from the
first request until the engines say that all of them run.

`dcp` is the whole way: a specification is applied, planned, placed, started, checked and put into a (fake) balancer.
`overhead` of a row is what its wall time has over the engine's own: the sum of all calls' durations at the concurrency
that was allowed; `bare` is the two calls that no start can do without, at the same concurrency, by a plain client. Its
`overhead` is what the last calls of a row cost, when fewer than allowed are left; the others have that in theirs too.
"""

import argparse
import asyncio
import json
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from dcp.drivers.balancers.fake import FakeBalancer
from dcp.drivers.clouds.engines import EngineHost, EnginesSource
from dcp.drivers.runtimes.docker import DockerRuntimes, engine_probe
from dcp.drivers.runtimes.docker.runtime import DockerRuntime
from dcp.engine import commands
from dcp.engine.context import Context
from dcp.engine.controller import Controller
from dcp.engine.settings import EngineSettings
from dcp.hosts.model import HostType, Resources, SourceKind
from dcp.kernel.clock import SystemClock
from dcp.kernel.errors import DriverError, Unavailable
from dcp.lab.lab import Lab
from dcp.lab.programs import require
from dcp.lab.spec import LabSpec
from dcp.lab.topology import LabHost
from dcp.orchestration.services.model import ApplicationSpec, ServiceKey, ServiceSpec, StartOrder
from dcp.orchestration.services.ports import HostEngine
from dcp.orchestration.services.states import InstanceState
from dcp.settings.model import RuntimeSettings
from dcp.store import applications, instances
from dcp.store.database import open_database

IMAGE = "lab/busybox:latest"
COMMAND = ("sleep", "1000")
SIZE = Resources(cpu_millis=100, memory_bytes=64 << 20)
AT_ONCE = 8
LIMIT_S = 180.0
FLAGS = ("--network", "host", "--cap-drop", "ALL")


@dataclass(frozen=True, slots=True)
class Run:
    """What every row works on: `count` containers in all on these hosts."""

    hosts: tuple[LabHost, ...]
    count: int
    folder: Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--per-engine", type=int, default=100, metavar="N", help="containers on each engine")
    parser.add_argument("--engines", type=int, nargs="+", default=[1, 4], metavar="N")
    parser.add_argument("--only", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--octet", type=int, default=117, help="the lab's network is 10.OCTET.0.0/16")
    chosen = parser.parse_args()
    try:
        require(registries=False)
    except Unavailable as why:
        print(json.dumps({"figure": "starts_per_s", "missing": str(why)}))
        return
    # Swarm refuses engines that keep containers over their restart.
    spec = LabSpec(name="b-start", hosts=max(chosen.engines), octet=chosen.octet, live_restore=False)
    with tempfile.TemporaryDirectory(prefix="dcp-bench-") as folder:
        asyncio.run(measure_all(Lab(spec, Path(folder) / "lab"), chosen))


async def measure_all(lab: Lab, chosen: argparse.Namespace) -> None:
    try:
        await lab.up()
        await lab.make_images()
        for engines in chosen.engines:
            for name in chosen.only:
                with tempfile.TemporaryDirectory() as folder:
                    run = Run(lab.hosts[:engines], chosen.per_engine * engines, Path(folder))
                    await measure(name, run)
    finally:
        await lab.down()


async def measure(name: str, run: Run) -> None:
    row: dict[str, Any] = {"figure": "starts_per_s", "what": name, "engines": len(run.hosts), "size": run.count}
    why = missing(name)
    if why:
        print(json.dumps({**row, "missing": why}), flush=True)
        return
    try:
        async with asyncio.timeout(LIMIT_S):
            took_s, more = await ROWS[name](run)
    except (RuntimeError, TimeoutError) as error:
        print(json.dumps({**row, "missing": str(error) or f"not done within {LIMIT_S:g} s"}), flush=True)
        return
    finally:
        await asyncio.gather(*(remove_containers(host) for host in run.hosts))
    print(json.dumps({**row, "rate": round(run.count / took_s, 2), "seconds": round(took_s, 3), **more}), flush=True)


def missing(name: str) -> str:
    program = {"docker-run": "docker", "compose": "docker-compose", "swarm": "docker"}.get(name)
    return f"{program} is not installed" if program and shutil.which(program) is None else ""


async def through_dcp(run: Run) -> tuple[float, dict[str, Any]]:
    """Apply an application of `count` instances to a controller whose hosts are ready."""
    async with controller(run) as (context, runtimes):
        await applied(context, "warm", len(run.hosts), 1)
        spent = [runtime.session.spent for _, runtime in runtimes.each() if isinstance(runtime, DockerRuntime)]
        before = sum(one.seconds for one in spent)
        began = time.perf_counter()
        await applied(context, "bench", run.count, -(-run.count // len(run.hosts)))
        took_s = time.perf_counter() - began
        return took_s, overhead(took_s, sum(one.seconds for one in spent) - before, len(run.hosts))


async def applied(context: Context, name: str, replicas: int, most: int) -> None:
    """Return once so many instances serve."""
    service = ServiceSpec("s", COMMAND, SIZE, replicas, image=IMAGE, max_per_host=most)
    await commands.apply(context, ApplicationSpec(name, (service,)))
    while True:
        live = await context.database.read(lambda connection: instances.live(connection, name))
        if sum(one.state == InstanceState.SERVING for one in live) == replicas:
            return
        await asyncio.sleep(0.02)


@asynccontextmanager
async def controller(run: Run) -> AsyncIterator[tuple[Context, DockerRuntimes]]:
    clock = SystemClock()
    settings = RuntimeSettings(kind="docker", owner="bench", calls_per_host=AT_ONCE)
    runtimes = DockerRuntimes(settings, run.folder / "runtime", clock)
    kind = HostType("bench", Resources(cpu_millis=1_000_000, memory_bytes=1 << 40))
    hosts = [EngineHost(host.name, host.engine_unix, host.address, kind) for host in run.hosts]
    probe = engine_probe(settings)
    source = EnginesSource("lab", SourceKind.PRIVATE, run.folder / "source.json", hosts, probe=probe, clock=clock)
    database = await asyncio.to_thread(open_database, f"sqlite:///{run.folder / 'dcp.db'}")
    context = Context("bench", clock, database, runtimes, FakeBalancer(clock), (source,), EngineSettings())
    task = asyncio.create_task(Controller(context).run())
    try:
        yield context, runtimes
        for name in await database.read(applications.names):
            await commands.remove(context, name)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await runtimes.aclose()
        database.close()


async def runtime_alone(run: Run) -> tuple[float, dict[str, Any]]:
    """Start `count` orders through the driver, as many at once as the engines are given calls."""
    settings = RuntimeSettings(kind="docker", owner="bench", calls_per_host=AT_ONCE)
    runtimes = DockerRuntimes(settings, run.folder / "runtime", SystemClock())
    runtimes.keep(tuple(HostEngine(host.name, host.engine_unix, host.address) for host in run.hosts))
    try:
        each = [runtime for _, runtime in runtimes.each() if isinstance(runtime, DockerRuntime)]
        for runtime in each:
            await runtime.list_all()
            runtime.session.spent.seconds = 0.0
        began = time.perf_counter()
        await per_host(run, lambda host, n: insist(each[run.hosts.index(host)], order(f"i-{host.name}-{n}", host.name)))
        took_s = time.perf_counter() - began
        return took_s, overhead(took_s, sum(runtime.session.spent.seconds for runtime in each), len(each))
    finally:
        await runtimes.aclose()


async def insist(runtime: DockerRuntime, wanted: StartOrder) -> None:
    """Ask again while a busy engine is not done: the same start goes on."""
    while True:
        try:
            await runtime.start(wanted)
        except DriverError:
            continue
        return


def overhead(took_s: float, engine_s: float, engines: int) -> dict[str, Any]:
    """The engines' own time is what their calls took, so many at once on each."""
    own_s = engine_s / (AT_ONCE * engines)
    return {"engine_s": round(own_s, 3), "overhead": round(took_s / own_s - 1, 3)}


def order(instance_id: str, host_id: str) -> StartOrder:
    return StartOrder(instance_id, host_id, ServiceKey("bench", "s"), COMMAND, SIZE, IMAGE)


async def bare(run: Run) -> tuple[float, dict[str, Any]]:
    """Create and start by a plain client."""
    body = {
        "Image": IMAGE,
        "Cmd": list(COMMAND),
        "HostConfig": {
            "NetworkMode": "host",
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "CpuPeriod": 100_000,
            "CpuQuota": 10_000,
            "Memory": SIZE.memory_bytes,
            "MemorySwap": SIZE.memory_bytes,
        },
    }
    sessions = {host: aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(host.socket))) for host in run.hosts}

    engine_s: list[float] = []

    async def start(host: LabHost, _: int) -> None:
        began = time.perf_counter()
        async with sessions[host].post("http://engine/containers/create", json=body) as made:
            container = (await made.json())["Id"]
        async with sessions[host].post(f"http://engine/containers/{container}/start") as started:
            assert started.status == 204, await started.text()
        engine_s.append(time.perf_counter() - began)

    try:
        began = time.perf_counter()
        await per_host(run, start)
        took_s = time.perf_counter() - began
        return took_s, overhead(took_s, sum(engine_s), len(run.hosts))
    finally:
        for session in sessions.values():
            await session.close()


async def per_host(run: Run, start: Callable[[LabHost, int], Awaitable[Any]]) -> None:
    """Run every start, AT_ONCE on each host at a time."""

    async def on(host: LabHost) -> None:
        room = asyncio.Semaphore(AT_ONCE)

        async def bounded(number: int) -> None:
            async with room:
                await start(host, number)

        await asyncio.gather(*(bounded(number) for number in range(run.count // len(run.hosts))))

    await asyncio.gather(*(on(host) for host in run.hosts))


async def docker_run(run: Run) -> tuple[float, dict[str, Any]]:
    """One `docker run -d` after the other, a loop for each engine."""
    bounds = ("--cpus", "0.1", "--memory", "64m", "--memory-swap", "64m", "--security-opt", "no-new-privileges")

    async def loop(host: LabHost) -> None:
        for _ in range(run.count // len(run.hosts)):
            await program(host, "docker", "run", "-d", *FLAGS, *bounds, IMAGE, *COMMAND)

    began = time.perf_counter()
    await asyncio.gather(*(loop(host) for host in run.hosts))
    return time.perf_counter() - began, {}


async def compose(run: Run) -> tuple[float, dict[str, Any]]:
    """`docker-compose up --scale`, one for each engine."""
    service = {
        "image": IMAGE,
        "command": list(COMMAND),
        "network_mode": "host",
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "cpus": 0.1,
        "mem_limit": "64m",
        "memswap_limit": "64m",
    }
    file = run.folder / "docker-compose.yml"
    file.write_text(json.dumps({"version": "2.4", "services": {"s": service}}))
    count = run.count // len(run.hosts)
    up = ("docker-compose", "-p", "bench", "-f", str(file), "up", "-d", "--scale", f"s={count}")
    began = time.perf_counter()
    await asyncio.gather(*(program(host, *up) for host in run.hosts))
    took_s = time.perf_counter() - began
    version = await program(run.hosts[0], "docker-compose", "version", "--short")
    return took_s, {"version": version.strip()}


async def swarm(run: Run) -> tuple[float, dict[str, Any]]:
    """`docker service create` on a swarm of these engines."""
    first = run.hosts[0]
    await program(first, "docker", "swarm", "init", "--advertise-addr", first.address)
    joined = [first]
    try:
        token = (await program(first, "docker", "swarm", "join-token", "-q", "worker")).strip()
        for host in run.hosts[1:]:
            where = ("--advertise-addr", host.address, f"{first.address}:2377")
            await program(host, "docker", "swarm", "join", "--token", token, *where)
            joined.append(host)
        bounds = ("--limit-cpu", "0.1", "--limit-memory", "64m", "--replicas", str(run.count))
        began = time.perf_counter()
        created = ("docker", "service", "create", "-d", "--name", "s", "--no-resolve-image", *bounds, *FLAGS)
        await program(first, *created, IMAGE, *COMMAND)
        await until_all_run(first, run.count)
        took_s = time.perf_counter() - began
        await program(first, "docker", "service", "rm", "s")
        return took_s, {}
    finally:
        for host in reversed(joined):
            # What a busy engine does not manage within its own time is gone with the lab.
            with suppress(RuntimeError):
                await program(host, "docker", "swarm", "leave", "--force")


async def until_all_run(host: LabHost, count: int) -> None:
    while True:
        said = await program(host, "docker", "service", "ls", "--format", "{{.Replicas}}")
        if said.startswith(f"{count}/"):
            return
        await asyncio.sleep(0.05)


async def program(host: LabHost, *argv: str) -> str:
    environment = {"PATH": os.environ["PATH"], "HOME": "/root", "DOCKER_HOST": host.engine_unix}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*argv, env=environment, stdout=pipe, stderr=pipe)
    try:
        async with asyncio.timeout(LIMIT_S):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise RuntimeError(f"{' '.join(argv[:3])}: {errors.decode().strip()[-400:]}")
    return output.decode()


async def remove_containers(host: LabHost) -> None:
    # Few at a time: Docker 20.10 misses ends when very many come at once, and then waits for them for a while.
    async with asyncio.timeout(LIMIT_S):
        while ids := (await program(host, "docker", "ps", "-aq")).split():
            for chunk in chunks(ids, 4):
                with suppress(RuntimeError):
                    await program(host, "docker", "rm", "-f", *chunk)


def chunks(found: Sequence[str], size: int) -> list[Sequence[str]]:
    return [found[at : at + size] for at in range(0, len(found), size)]


ROWS: dict[str, Callable[[Run], Awaitable[tuple[float, dict[str, Any]]]]] = {
    "dcp": through_dcp,
    "dcp-runtime": runtime_alone,
    "bare": bare,
    "docker-run": docker_run,
    "compose": compose,
    "swarm": swarm,
}

if __name__ == "__main__":
    main()
