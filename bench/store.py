"""Guarded step writes per second: as the engine makes them, with group commit and with one transaction each.

A step is what a worker writes when an instance moves on: check the lease, change the row from the version that was
read, append the event. Prints JSON. PostgreSQL is measured where its binaries are installed; both databases wait for
the disk at every commit. About 15 seconds.
"""

import asyncio
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from sqlalchemy import Connection

from dcp.hosts.model import Resources
from dcp.kernel.events import Event
from dcp.orchestration.services.model import GateCondition, Instance
from dcp.orchestration.services.states import InstanceState
from dcp.store import events, instances, leases
from dcp.store.database import ThreadedDatabase, open_database

sys.path.append(str(Path(__file__).parent.parent / "tests"))
from conformance.postgresql import Server, find_binaries

SIZES = (100, 1_000, 10_000)
"""Instances in the ledger."""
AT_ONCE = 256
"""Steps under way at a time in the grouped runs: workers of many services."""
RUN_S = 0.8
NOW = 1_000.0
STEPS = (InstanceState.STARTING, InstanceState.HELD, InstanceState.SERVING, InstanceState.DRAINING)


def make_instance(number: int) -> Instance:
    return Instance(
        id=f"feed-{number}",
        application="shop",
        service="feed",
        host_id=f"rack-{number % 50}",
        spec_revision=1,
        state=InstanceState.PLACED,
        plan_id="plan-1",
        created_at=NOW,
        resources=Resources(250, 64 << 20),
        gate=(GateCondition("user", 4), GateCondition("card", 3)),
    )


def step(lease: leases.Lease, before: Instance) -> Callable[[Connection], Instance]:
    """Return the write that moves `before` on by one state, or leaves it at its last."""
    position = STEPS.index(before.state) + 1 if before.state in STEPS else 0
    state = STEPS[min(position, len(STEPS) - 1)]
    after = replace(before, state=state, changed_at=NOW, reason="bench")
    event = Event(before.subject, "bench", "one step on", str(before.state), str(state), {"version": before.version})

    def work(connection: Connection) -> Instance:
        leases.check(connection, lease, NOW)
        stored = instances.change(connection, before, after)
        events.append(connection, NOW, [event])
        return stored

    return work


async def run_steps(database: ThreadedDatabase, lease: leases.Lease, at_once: int) -> dict[str, float]:
    """Keep `at_once` steps under way for RUN_S seconds."""
    rows: list[Instance] = list(await database.read(instances.live))
    waits: list[float] = []
    stop_at = time.perf_counter() + RUN_S

    async def worker(mine: Iterator[int]) -> None:
        for index in mine:
            begun = time.perf_counter()
            if begun > stop_at:
                return
            rows[index] = await database.write(step(lease, rows[index]))
            waits.append(time.perf_counter() - begun)

    workers = min(at_once, len(rows))
    begun = time.perf_counter()
    await asyncio.gather(*(worker(_cycle(range(first, len(rows), workers))) for first in range(workers)))
    took_s = time.perf_counter() - begun
    return {
        "steps_per_s": round(len(waits) / took_s),
        "wait_median_ms": round(1000 * statistics.median(waits), 2),
        "wait_p99_ms": round(1000 * statistics.quantiles(waits, n=100)[98], 2),
    }


def _cycle(numbers: range) -> Iterator[int]:
    while True:
        yield from numbers


async def measure(url: str) -> list[dict[str, object]]:
    """Fill one database further from size to size and measure at each."""
    database = open_database(url)
    lease = await database.write(lambda connection: leases.acquire(connection, "service/shop/feed", "bench", NOW, 60.0))
    assert lease is not None
    found: list[dict[str, object]] = []
    filled = 0
    for size in SIZES:
        new = [make_instance(number) for number in range(filled, size)]
        await database.write(lambda connection, new=new: instances.add(connection, new))
        filled = size
        begun = time.perf_counter()
        assert len(await database.read(instances.live)) == size
        load_ms = 1000 * (time.perf_counter() - begun)
        found.append(
            {
                "instances": size,
                "grouped": await run_steps(database, lease, AT_ONCE),
                "one_by_one": await run_steps(database, lease, 1),
                "load_all_ms": round(load_ms, 1),
                "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            }
        )
    database.close()
    return found


def main() -> None:
    """Measure what is there and print it."""
    results: dict[str, object] = {"step": "lease check + guarded change + event", "at_once": AT_ONCE}
    with tempfile.TemporaryDirectory() as directory:
        results["sqlite"] = asyncio.run(measure(f"sqlite:///{directory}/dcp.db"))
    binaries = find_binaries()
    if binaries is None:
        results["postgresql"] = "no server on this machine"
    else:
        server = Server(binaries, durable=True)
        try:
            server.start()
            results["postgresql"] = asyncio.run(measure(server.emptied()))
        finally:
            server.stop()
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
