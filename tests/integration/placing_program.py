"""A controller of `test_placing_at_once` as a process: places its applications until nothing is left to do.

Arguments: the database's URL, the controller's name, its applications. It says `ready`, waits for a line, and says at
the end how much was decided again because somebody else was first.
"""

import asyncio
import json
import logging
import sys

import structlog

from dcp.drivers.balancers.fake import FakeBalancer
from dcp.drivers.runtimes.fake import FakeRuntime
from dcp.engine.application import load
from dcp.engine.context import Context
from dcp.engine.placing import write_plan
from dcp.engine.settings import EngineSettings
from dcp.kernel.clock import SystemClock
from dcp.kernel.errors import Stale
from dcp.orchestration.scaling.decide import decide_application
from dcp.orchestration.services.ports import OneRuntime
from dcp.store import leases
from dcp.store.database import open_database

AT_ONCE = 10
LIMIT_S = 60.0


async def place_all(context: Context, name: str) -> int:
    """Plan one application until its plan changes nothing; return how often something was decided again."""
    subject, now = f"application/{name}", context.clock.now()
    lease = await context.database.write(lambda c: leases.acquire(c, subject, context.controller_id, now, LIMIT_S))
    assert lease is not None
    again = 0
    while True:
        loaded = await load(context, name)
        assert loaded is not None
        plan = decide_application(loaded.snapshot)
        if not plan.changes_anything:
            return again
        try:
            again += (await write_plan(context, lease, plan, loaded.snapshot, loaded.rows)).left_out
        except Stale:
            again += 1


async def main(url: str, controller: str, names: list[str]) -> None:
    clock, database = SystemClock(), open_database(url)
    context = Context(
        controller_id=controller,
        clock=clock,
        database=database,
        runtimes=OneRuntime(FakeRuntime(clock)),
        balancer=FakeBalancer(clock),
        sources=(),
        settings=EngineSettings(placements_at_once=AT_ONCE),
    )
    print("ready", flush=True)
    sys.stdin.readline()
    async with asyncio.timeout(LIMIT_S):
        again = await asyncio.gather(*(place_all(context, name) for name in names))
    database.close()
    print(json.dumps({"again": sum(again)}))


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
