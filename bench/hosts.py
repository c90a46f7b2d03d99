"""What a fleet costs the controller alone: processor, memory and writes while hosts come, stay and vanish.

Run `python bench/hosts.py`; it prints one JSON object a line. The production controller runs in real time over SQLite
in a file; clouds, engines and proxy are fakes in the same process, so their small share is in the figures. Every size
runs in a process of its own. Three phases: `come` (all hosts asked for, ready, each with an instance that serves),
`stay` (nothing happens), `vanish` (one host in a thousand is gone at its cloud every second, found and replaced).
"""

import argparse
import asyncio
import json
import logging
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil
import structlog
from sqlalchemy import Connection

from dcp.drivers.balancers.fake import FakeBalancer
from dcp.drivers.runtimes.fake import Behaviour, FakeRuntime
from dcp.engine import commands
from dcp.engine.context import Context
from dcp.engine.controller import Controller
from dcp.engine.settings import EngineSettings
from dcp.hosts.model import HostType, Resources
from dcp.kernel.clock import SystemClock
from dcp.orchestration.services.model import ApplicationSpec, HealthCheck, ServiceKey, ServiceSpec
from dcp.orchestration.services.ports import OneRuntime
from dcp.simulation.fleet.cloud import ScenarioCloud
from dcp.simulation.fleet.scenario import CloudScenario, CloudType, Quantiles
from dcp.store.database import Database, open_database

T = TypeVar("T")
SIZES = (1_000, 3_000, 10_000)
ACCOUNTS = 10
SHAPE = Resources(cpu_millis=4000, memory_bytes=8 << 30)
SERVICE = ServiceKey("fleet", "web")
PHASE_S = 30.0
COME_LIMIT_S = 600.0
CLOUD = CloudScenario(
    accounts=ACCOUNTS,
    hosts_per_account=100_000,
    types=(CloudType("c1", 0.1),),
    zones=("a", "b"),
    boot=Quantiles(((0.0, 2.0), (1.0, 6.0))),
    failed_initialisations=0.0,
    out_of_stock=0.0,
    out_of_stock_s=300.0,
    in_flight=200,
    batch=100,
    call_s=(0.2, 0.4),
    creations_per_min=60_000.0,
    burst=1_000,
)


class CountedDatabase:
    """The store; counts transactions that write."""

    def __init__(self, inner: Database) -> None:
        self._inner = inner
        self.writes = 0

    async def read(self, work: Callable[[Connection], T]) -> T:
        return await self._inner.read(work)

    async def write(self, work: Callable[[Connection], T]) -> T:
        self.writes += 1
        return await self._inner.write(work)

    def close(self) -> None:
        self._inner.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", type=int, help="one size, in this process")
    hosts = parser.parse_args().hosts
    if hosts is None:
        for size in SIZES:
            subprocess.run([sys.executable, __file__, "--hosts", str(size)], check=True)
        return
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with tempfile.TemporaryDirectory() as folder:
        for line in asyncio.run(measure(Path(folder), hosts)):
            print(json.dumps(line), flush=True)


async def measure(folder: Path, hosts: int) -> list[dict[str, object]]:
    clock = SystemClock()
    database = CountedDatabase(open_database(f"sqlite:///{folder / 'dcp.sqlite3'}"))
    balancer = FakeBalancer(clock)
    types = (HostType("c1", SHAPE, 0.1, boot_s=4.0),)
    clouds = tuple(ScenarioCloud(f"cloud-{number}", CLOUD, types, clock, "1") for number in range(ACCOUNTS))
    runtime = FakeRuntime(clock, rng=random.Random(1), default=Behaviour(healthy_after_s=(0.5, 1.0)))
    context = Context(
        controller_id="controller",
        clock=clock,
        database=database,
        runtimes=OneRuntime(runtime),
        balancer=balancer,
        sources=clouds,
        settings=EngineSettings(),
    )
    await commands.apply(context, application(hosts))
    controller = asyncio.create_task(Controller(context).run())
    lines = []
    try:
        phase = Phase("come", hosts, database)
        async with asyncio.timeout(COME_LIMIT_S):
            await until_all_serve(balancer, hosts)
        lines.append(phase.line(serving(balancer)))
        phase = Phase("stay", hosts, database)
        await asyncio.sleep(PHASE_S)
        lines.append(phase.line(serving(balancer)))
        phase = Phase("vanish", hosts, database)
        for _ in range(int(PHASE_S)):
            await take_away(clouds, max(1, hosts // 1000))
            await asyncio.sleep(1.0)
        lines.append(phase.line(serving(balancer)))
    finally:
        controller.cancel()
        await asyncio.gather(controller, return_exceptions=True)
        database.close()
    if context.unexpected:
        raise SystemExit(f"fault in the controller: {context.unexpected[-1]!r}")
    return lines


class Phase:
    """Figures since its beginning."""

    def __init__(self, name: str, hosts: int, database: CountedDatabase) -> None:
        self._name, self._hosts, self._database = name, hosts, database
        self._writes = database.writes
        self._began, self._began_cpu_s = time.perf_counter(), cpu_s()

    def line(self, serving: int) -> dict[str, object]:
        """Return the figures; `writes_per_s` counts transactions, each of which may change many rows."""
        seconds = time.perf_counter() - self._began
        return {
            "phase": self._name,
            "hosts": self._hosts,
            "serving": serving,
            "seconds": round(seconds, 1),
            "processors": round((cpu_s() - self._began_cpu_s) / seconds, 3),
            "writes_per_s": round((self._database.writes - self._writes) / seconds, 1),
            "memory_mib": round(psutil.Process().memory_info().rss / 2**20),
            "peak_memory_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        }


def cpu_s() -> float:
    user, system, *_ = psutil.Process().cpu_times()
    return float(user + system)


def application(replicas: int) -> ApplicationSpec:
    health = HealthCheck(http_path="/healthz", interval_s=10.0, start_period_s=60.0)
    service = ServiceSpec(name=SERVICE.name, command=("service",), resources=SHAPE, replicas=replicas, health=health)
    return ApplicationSpec(SERVICE.application, (service,))


def serving(balancer: FakeBalancer) -> int:
    return sum(1 for one in balancer.current(SERVICE) if not one.draining)


async def until_all_serve(balancer: FakeBalancer, hosts: int) -> None:
    while serving(balancer) < hosts:  # noqa: ASYNC110 - the fake has no event for it
        await asyncio.sleep(0.5)


async def take_away(clouds: tuple[ScenarioCloud, ...], count: int) -> None:
    """Let the oldest machines of the fullest accounts vanish, as a cloud that takes spot hosts back without a word."""
    for _ in range(count):
        cloud = max(clouds, key=lambda one: len(one.machines()))
        await cloud.delete((min(cloud.machines()),))


if __name__ == "__main__":
    main()
