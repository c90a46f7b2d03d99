"""Two controllers, each a process, fill the same hosts at once: none is over-committed, and nothing placed twice."""

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from dcp.hosts.model import Host, HostType, Resources, SourceKind
from dcp.hosts.states import HostState
from dcp.orchestration.scaling.model import ScalingState
from dcp.orchestration.services.model import ApplicationSpec, ServiceKey, ServiceSpec
from dcp.simulation.invariants import USED_BY_HOST
from dcp.store import applications, events, hosts, instances, plans
from dcp.store.database import ThreadedDatabase, open_database

PROGRAM = Path(__file__).with_name("placing_program.py")
HOSTS, ROOM = 12, 30
APPLICATIONS, WANTED = 6, 70
"""Together a sixth more than there is room for."""
NAMES = {"one": ("shop-0", "shop-2", "shop-4"), "two": ("shop-1", "shop-3", "shop-5")}
LIMIT_S = 60.0


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/dcp.db"
    url: str = request.getfixturevalue("postgresql_url")
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[ThreadedDatabase]:
    opened = open_database(database_url)
    yield opened
    opened.close()


def fill(connection: Connection) -> None:
    """Hosts that are ready, and applications whose targets are known."""
    kind = HostType("slice", Resources(100 * ROOM, 64 << 30))
    ready = HostState.READY
    ids = (f"rack-{number}" for number in range(HOSTS))
    hosts.add(connection, [Host(i, "private", SourceKind.PRIVATE, kind, ready, requested_at=1.0) for i in ids])
    for number in range(APPLICATIONS):
        feed = ServiceSpec("feed", ("run",), Resources(100, 1 << 20), replicas=WANTED)
        applications.put(connection, ApplicationSpec(f"shop-{number}", (feed,)), None, 1.0)
        key = ServiceKey(f"shop-{number}", "feed")
        applications.add_service(connection, key, 18000 + number, ScalingState(WANTED))


def overcommitted(connection: Connection) -> list[str]:
    rows = connection.execute(text(USED_BY_HOST)).all()
    return [host_id for host_id, cpu_millis, _ in rows if cpu_millis > 100 * ROOM]


async def overcommitted_until(database: ThreadedDatabase, done: asyncio.Future[object]) -> list[str]:
    """Look again and again; return what was found first."""
    async with asyncio.timeout(LIMIT_S):
        while not done.done():
            if found := await database.read(overcommitted):
                return found
            await asyncio.sleep(0.01)
    return await database.read(overcommitted)


async def expect_each_placed_once(database: ThreadedDatabase) -> None:
    """All room is used, no application has too many, and each instance has one event and stands in one plan."""
    live = await database.read(instances.live)
    assert Counter(one.host_id for one in live) == {f"rack-{number}": ROOM for number in range(HOSTS)}
    assert max(Counter(one.application for one in live).values()) <= WANTED
    logged = await database.read(lambda c: events.newest(c, 10_000))
    placed = Counter(found.event.subject for found in logged if found.event.reason == "placed")
    assert placed == {one.subject: 1 for one in live}
    listed = [await database.read(lambda c, plan=plan: plans.find(c, plan)) for plan in {one.plan_id for one in live}]
    assert Counter(p.instance.id for plan in listed if plan for p in plan.instances) == {one.id: 1 for one in live}


@asynccontextmanager
async def controller(url: str, name: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that is ready to begin; killed at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        PROGRAM,
        url,
        name,
        *NAMES[name],
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=os.environ,
    )
    try:
        assert await line_of(process) == "ready\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def line_of(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(LIMIT_S):
        return (await process.stdout.readline()).decode()


def begin(*processes: asyncio.subprocess.Process) -> None:
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"go\n")


async def test_a_lost_race_never_overcommits(database: ThreadedDatabase, database_url: str) -> None:
    await database.write(fill)
    async with controller(database_url, "one") as one, controller(database_url, "two") as two:
        begin(one, two)
        ended = asyncio.gather(one.wait(), two.wait())
        assert await overcommitted_until(database, ended) == []
        assert await ended == [0, 0]
        again = [json.loads(await line_of(process))["again"] for process in (one, two)]
    await expect_each_placed_once(database)
    assert sum(again) > 0, "they met"


async def test_a_killed_controller_leaves_what_the_next_one_completes(
    database: ThreadedDatabase, database_url: str
) -> None:
    await database.write(fill)
    async with controller(database_url, "one") as one, controller(database_url, "two") as next_two:
        async with controller(database_url, "two") as two:
            begin(one, two)
            while not any(i.application in NAMES["two"] for i in await database.read(instances.live)):
                await asyncio.sleep(0.005)
        begin(next_two)
        ended = asyncio.gather(one.wait(), next_two.wait())
        assert await overcommitted_until(database, ended) == []
        assert await ended == [0, 0]
    await expect_each_placed_once(database)
