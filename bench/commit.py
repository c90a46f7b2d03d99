"""How many placements a second reach the store for good, through the engine's own code, on both databases.

Two kinds of lines, in one JSON object:

- `committed`: plans that are decided already are written: lease checked, hosts claimed by version, rows and events of
  all instances, counters, the plan itself; every transaction waits for the disk.
- `decided and committed`: the application's worker looks once: loads hosts and instances, decides targets, places,
  gates, and writes as above.

Neither includes an API round trip or anything that runs. Every instance of a run is counted in the ledger afterwards.
PostgreSQL is measured where its binaries are installed. About 40 seconds; `--million` adds a million containers on
10,000 hosts.
"""

import asyncio
import itertools
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from sqlalchemy import Connection, text

from dcp.drivers.balancers.fake import FakeBalancer
from dcp.drivers.clouds.private import PrivateHosts, PrivatePool
from dcp.drivers.runtimes.fake import FakeRuntime
from dcp.engine import commands
from dcp.engine.application import ApplicationWorker, load
from dcp.engine.context import Context
from dcp.engine.placing import write_plan
from dcp.engine.settings import EngineSettings
from dcp.hosts.model import Host, HostType, Resources, SourceKind
from dcp.hosts.states import HostState
from dcp.kernel.clock import SystemClock
from dcp.orchestration.scaling.plan import ApplicationPlan, PlannedInstance
from dcp.orchestration.services.model import (
    ApplicationSpec,
    Dependency,
    GateCondition,
    Instance,
    ServiceSpec,
)
from dcp.orchestration.services.ports import OneRuntime
from dcp.orchestration.services.states import InstanceState
from dcp.store import hosts, leases
from dcp.store.database import ThreadedDatabase, open_database
from dcp.store.leases import Lease

sys.path.append(str(Path(__file__).parent.parent / "tests"))
from conformance.postgresql import Server, find_binaries

SIZES = ((1_000, 10_000), (5_000, 100_000), (10_000, 100_000))
MILLION = (10_000, 1_000_000)
"""Hosts and instances."""
DECIDED = ((1_000, 10_000),)
"""The same for looks of the worker."""
PLAN = 10_000
"""Instances of one plan."""
HOST = Resources(64_000, 256 << 30)
KIND = HostType("large", HOST, labels=(("zone", "a"), ("rack", "r1")))
SHAPE = Resources(100, 64 << 20)
GATE = (GateCondition("user", 400), GateCondition("card", 300))
LEASE_S = 3600.0


def make_context(database: ThreadedDatabase) -> Context:
    clock = SystemClock()
    return Context(
        controller_id="bench",
        clock=clock,
        database=database,
        runtimes=OneRuntime(FakeRuntime(clock)),
        balancer=FakeBalancer(clock),
        sources=(PrivatePool("private", None, [PrivateHosts(KIND, 0)]),),
        settings=EngineSettings(),
    )


def make_hosts(count: int, now: float) -> list[Host]:
    ready = HostState.READY
    return [
        Host(f"private-{number}", "private", SourceKind.PRIVATE, KIND, ready, requested_at=now, changed_at=now)
        for number in range(1, count + 1)
    ]


def make_plan(number: int, host_ids: Sequence[str], context: Context, count: int) -> ApplicationPlan:
    """Return a plan of alike instances, one after the other on the next host, with the words that a placement has."""
    now = context.clock.now()
    first = Instance(
        id="",
        application="shop",
        service="feed",
        host_id="",
        spec_revision=1,
        state=InstanceState.PLACED,
        plan_id="",
        created_at=now,
        resources=SHAPE,
        gate=GATE,
        changed_at=now,
        reason="planned",
    )
    planned = []
    for position in range(number * count, (number + 1) * count):
        host_id = host_ids[position % len(host_ids)]
        why = (
            f"host {host_id}, score {position % 97 / 97:.2f} (private 1.00, ready 1.00, spread {position % 7 / 7:.2f})"
        )
        planned.append(PlannedInstance(replace(first, id=f"feed-{position + 1}", host_id=host_id), why))
    return ApplicationPlan("plan-0", "shop", now, context.settings.policy, (), instances=tuple(planned))


async def prepared(url: str, host_count: int, feeds: int) -> tuple[Context, Lease]:
    """Fill a database with hosts that are ready and one application that was never planned."""
    context = make_context(open_database(url))
    now = context.clock.now()
    ready = make_hosts(host_count, now)
    await context.database.write(lambda connection: hosts.add(connection, ready))
    user = ServiceSpec("user", ("run",), SHAPE, replicas=1)
    feed = ServiceSpec("feed", ("run",), SHAPE, replicas=feeds, depends_on=(Dependency("user"),))
    await commands.apply(context, ApplicationSpec("shop", (feed, user)))
    lease = await context.database.write(
        lambda connection: leases.acquire(connection, "application/shop", "bench", now, LEASE_S)
    )
    assert lease is not None
    return context, lease


async def committed(url: str, host_count: int, count: int) -> dict[str, object]:
    """Write plans of PLAN instances until `count` are placed."""
    context, lease = await prepared(url, host_count, 1)
    loaded = await load(context, "shop")
    assert loaded is not None
    waits: list[float] = []
    processor_s = 0.0
    for number in range(count // PLAN):
        snapshot = replace(loaded.snapshot, hosts=await context.database.read(hosts.current))
        plan = make_plan(number, [host.id for host in snapshot.hosts], context, PLAN)
        begun, processor_begun = time.perf_counter(), time.process_time()
        written = await write_plan(context, lease, plan, snapshot, {})
        waits.append(time.perf_counter() - begun)
        processor_s += time.process_time() - processor_begun
        assert not written.left_out
    parts = -(-PLAN // context.settings.placements_at_once)
    return {
        "includes": "committed",
        "hosts": host_count,
        "instances": await count_of(context, count),
        "per_s": round(count / sum(waits)),
        "own_processor_us_each": round(1e6 * processor_s / count, 1),
        "transaction_median_ms": round(1000 * statistics.median(waits) / parts, 1),
        "transaction_slowest_ms": round(1000 * max(waits) / parts, 1),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


async def decided(url: str, host_count: int, count: int) -> dict[str, object]:
    """Let the application's worker look once."""
    context, lease = await prepared(url, host_count, count - 1)
    worker = ApplicationWorker(context, "shop")
    begun = time.perf_counter()
    await worker.step(lease)
    took_s = time.perf_counter() - begun
    return {
        "includes": "decided and committed",
        "hosts": host_count,
        "instances": await count_of(context, count),
        "per_s": round(count / took_s),
    }


async def count_of(context: Context, wanted: int) -> int:
    """Return how many instances are in the ledger, each with its event and within its host; close the database."""

    def work(connection: Connection) -> tuple[int, int, int]:
        rows = connection.execute(text("SELECT count(*) FROM instances")).scalar_one()
        told = connection.execute(text("SELECT count(*) FROM events WHERE reason = 'placed'")).scalar_one()
        most = connection.execute(
            text("SELECT max(used) FROM (SELECT sum(cpu_millis) AS used FROM instances GROUP BY host_id) AS hosts")
        ).scalar_one()
        return rows, told, most

    rows, told, most = await context.database.read(work)
    context.database.close()
    assert rows == told == wanted
    assert most <= HOST.cpu_millis
    return rows


def measure(fresh: Callable[[], str], sizes: Sequence[tuple[int, int]]) -> list[dict[str, object]]:
    """Measure every line, each in a database of its own."""
    return [
        *(asyncio.run(committed(fresh(), *size)) for size in sizes),
        *(asyncio.run(decided(fresh(), *size)) for size in DECIDED),
    ]


def main() -> None:
    """Measure what is there and print it."""
    sizes = (*SIZES, MILLION) if "--million" in sys.argv[1:] else SIZES
    results: dict[str, object] = {"plan": PLAN, "at_once": EngineSettings().placements_at_once}
    with tempfile.TemporaryDirectory() as directory:
        numbers = itertools.count()
        results["sqlite"] = measure(lambda: f"sqlite:///{directory}/{next(numbers)}.db", sizes)
    binaries = find_binaries()
    if binaries is None:
        results["postgresql"] = "no server on this machine"
    else:
        server = Server(binaries, durable=True)
        try:
            server.start()
            results["postgresql"] = measure(server.emptied, sizes)
        finally:
            server.stop()
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
