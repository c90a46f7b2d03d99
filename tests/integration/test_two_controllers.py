"""Two controllers over one database share the work and never act twice; when one dies, the other takes over."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace

import pytest

from dcp.drivers.balancers.fake import FakeBalancer
from dcp.drivers.clouds.private import PrivateHosts, PrivatePool
from dcp.drivers.runtimes.fake import Behaviour, FakeRuntime
from dcp.engine import commands
from dcp.engine.context import Context
from dcp.engine.controller import Controller
from dcp.engine.settings import EngineSettings
from dcp.hosts.model import HostType, Resources
from dcp.kernel.clock import SystemClock
from dcp.orchestration.services.model import ApplicationSpec, Dependency, ServiceKey, ServiceSpec
from dcp.orchestration.services.ports import OneRuntime
from dcp.store import instances, leases
from dcp.store.database import ThreadedDatabase, open_database

SETTINGS = EngineSettings(lease_ttl_s=2.0, poll_s=0.3, busy_poll_s=0.05)
SHAPE = Resources(250, 64 << 20)
FEED = ServiceSpec("feed", ("serve",), SHAPE, replicas=4, depends_on=(Dependency("user"),), stop_grace_s=1.0)
USER = ServiceSpec("user", ("serve",), SHAPE, replicas=3, stop_grace_s=1.0)
SPEC = ApplicationSpec("shop", (FEED, USER))
WITHIN_S = 30.0


@dataclass(slots=True)
class Outside:
    """What both controllers act on."""

    runtime: FakeRuntime
    balancer: FakeBalancer
    pool: PrivatePool


@dataclass(slots=True)
class Running:
    """One controller and its task."""

    context: Context
    task: asyncio.Task[None]

    async def kill(self) -> None:
        """End it without giving any lease back."""
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task
        self.context.database.close()


Start = Callable[[str], Running]


@pytest.fixture
def outside() -> Outside:
    clock = SystemClock()
    runtime = FakeRuntime(clock, default=Behaviour(healthy_after_s=(0.0, 0.2)), latency_s=(0.0, 0.02))
    pool = PrivatePool("private", None, [PrivateHosts(HostType("slice", Resources(1000, 1 << 30)), 8)])
    return Outside(runtime, FakeBalancer(clock), pool)


@pytest.fixture
async def start(postgresql_url: str, outside: Outside) -> AsyncIterator[Start]:
    started: list[Running] = []

    def make(name: str) -> Running:
        context = Context(
            controller_id=name,
            clock=SystemClock(),
            database=open_database(postgresql_url),
            runtimes=OneRuntime(outside.runtime),
            balancer=outside.balancer,
            sources=(outside.pool,),
            settings=SETTINGS,
        )
        running = Running(context, asyncio.create_task(Controller(context).run(), name=name))
        started.append(running)
        return running

    yield make
    for running in started:
        await running.kill()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not await condition():
            await asyncio.sleep(0.05)


def serving(outside: Outside, wanted: dict[str, int]) -> Callable[[], Awaitable[bool]]:
    async def looks() -> bool:
        running = outside.runtime.running()
        found = {
            name: sum(
                1
                for endpoint in outside.balancer.current(ServiceKey("shop", name))
                if not endpoint.draining and endpoint.instance_id in running
            )
            for name in wanted
        }
        return found == wanted and len(running) == sum(wanted.values())

    return looks


async def owners(database: ThreadedDatabase) -> Counter[str]:
    held = await database.read(lambda connection: leases.held(connection, SystemClock().now()))
    return Counter(owner for owner, _token in held.values())


async def test_both_hold_their_share(start: Start, outside: Outside) -> None:
    first, second = start("one"), start("two")
    await commands.apply(first.context, SPEC)
    await until(serving(outside, {"feed": 4, "user": 3}))

    async def even() -> bool:
        found = await owners(second.context.database)  # type: ignore[arg-type]
        return sorted(found.values()) == [3, 4]

    await until(even)
    assert max(outside.runtime.starts.values()) == 1


async def test_nothing_is_done_twice_while_the_file_changes(start: Start, outside: Outside) -> None:
    first, _second = start("one"), start("two")
    await commands.apply(first.context, SPEC)
    await until(serving(outside, {"feed": 4, "user": 3}))
    for replicas in (7, 2, 6):
        await commands.apply(first.context, ApplicationSpec("shop", (replace(FEED, replicas=replicas), USER)))
        await until(serving(outside, {"feed": replicas, "user": 3}))
    assert max(outside.runtime.starts.values()) == 1
    assert len(outside.runtime.starts) == 4 + 3 + 3 + 4


async def test_the_other_takes_over_and_starts_nothing_again(start: Start, outside: Outside) -> None:
    first = start("one")
    await commands.apply(first.context, SPEC)
    await until(serving(outside, {"feed": 4, "user": 3}))
    second = start("two")
    await first.kill()
    started = dict(outside.runtime.starts)
    await commands.apply(second.context, ApplicationSpec("shop", (replace(FEED, replicas=5), USER)))
    await until(serving(outside, {"feed": 5, "user": 3}))
    assert outside.runtime.starts.total() == sum(started.values()) + 1
    live = await second.context.database.read(instances.live)
    assert {one.id for one in live} == set(outside.runtime.running())


async def test_a_crash_loop_leaves_the_other_service_alone(start: Start, outside: Outside) -> None:
    outside.runtime.script("user", Behaviour(crash_after_s=0.1))
    only = start("one")
    independent = replace(FEED, depends_on=())
    await commands.apply(only.context, ApplicationSpec("shop", (independent, USER)))

    async def settled() -> bool:
        running = outside.runtime.running()
        feeds = outside.balancer.current(ServiceKey("shop", "feed"))
        return len(feeds) == 4 and all(endpoint.instance_id in running for endpoint in feeds)

    await until(settled)
    feeds = outside.balancer.current(ServiceKey("shop", "feed"))

    def crashed() -> int:
        return sum(1 for one in outside.runtime.starts if one.startswith("user"))

    async def replaced_once() -> bool:
        return crashed() > 3

    await until(replaced_once)
    assert outside.balancer.current(ServiceKey("shop", "feed")) == feeds
    assert crashed() <= 9, "back-off does not run hot"
