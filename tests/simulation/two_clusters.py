"""Two clusters, a pool of private hosts that one of them owns, a cloud; on a virtual clock, with the real engine."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import NoReturn

from dcp.drivers.balancers.fake import FakeBalancer
from dcp.drivers.clouds.fake import FakeCloud
from dcp.drivers.clouds.lent import LentSource
from dcp.drivers.clouds.private import PrivateHosts, PrivatePool
from dcp.drivers.runtimes.fake import Behaviour, FakeRuntime
from dcp.engine import commands
from dcp.engine.context import Context
from dcp.engine.controller import Controller
from dcp.hosts.clusters import Cluster, SourceAccess
from dcp.hosts.loans import Loan
from dcp.hosts.model import Host, HostType, Resources
from dcp.kernel.clock import LoopClock
from dcp.orchestration.services.model import ApplicationSpec, Capacity, Elastic, ServiceKey, ServiceSpec
from dcp.orchestration.services.ports import OneRuntime
from dcp.simulation.crash import CrashingDatabase, CrashingDriver, Fuse, end_all
from dcp.simulation.leaks import LOOKING, settings
from dcp.simulation.traffic import Fluid
from dcp.simulation.virtual_time import run_virtual
from dcp.store import events, hosts, instances, leases, plans
from dcp.store.database import InlineDatabase

SHAPE = Resources(1000, 1 << 30)
NEWS = Cluster("news", lends=True, claim_notice_s=20.0)


class TwoClusters:
    """`news` owns the private hosts and lends them; `shop` has none. Every instance fills a host.

    With `hours` the private hosts are everybody's, at these hours only: at the others somebody else computes there.
    """

    def __init__(self, private: int, clusters: tuple[Cluster, ...] = (NEWS,), hours: Loan | None = None) -> None:
        self.clock = LoopClock()
        self.database = InlineDatabase()
        self.balancer = FakeBalancer(self.clock)
        self.private = PrivatePool("racks", None, [PrivateHosts(HostType("slice", SHAPE), private)])
        small = HostType("small", SHAPE, price_usd_per_hour=0.1, boot_s=3.0)
        self.cloud = FakeCloud("cloud", self.clock, types=(small,))
        self.runtime = FakeRuntime(self.clock, rng=random.Random(1), default=Behaviour(healthy_after_s=(0.5, 1.0)))
        self.racks = self.private if hours is None else LentSource(self.private, hours, self.clock)
        self.settings = replace(
            settings(),
            clusters=clusters,
            access=(SourceAccess("racks", ("news",)),) if hours is None else (),
            loans=() if hours is None else (("racks", hours),),
            moves_at_once=3,
        )
        self.unexpected: list[Exception] = []
        self.fewest: dict[str, int] = {}

    def context(self, fuse: Fuse | None = None) -> Context:
        fuse = fuse or Fuse(None)
        return Context(
            controller_id="controller",
            clock=self.clock,
            database=CrashingDatabase(self.database, fuse, effects_only=True),
            runtimes=OneRuntime(CrashingDriver(self.runtime, fuse, LOOKING)),
            balancer=CrashingDriver(self.balancer, fuse, LOOKING),
            sources=tuple(CrashingDriver(one, fuse, LOOKING) for one in (self.racks, self.cloud)),
            settings=self.settings,
        )

    async def want(self, cluster: str, count: int) -> None:
        """Have `count` instances of the one service of the cluster."""
        web = ServiceSpec("web", ("web",), SHAPE, replicas=count, stop_grace_s=1.0)
        await commands.apply(self.context(), ApplicationSpec(cluster, (web,), cluster=cluster))

    async def want_by_load(self, cluster: str) -> Fluid:
        """Have the one service of the cluster scaled by its load; return its load; see `feed`."""
        web = ServiceSpec(
            "web",
            ("web",),
            SHAPE,
            elastic=Elastic(1, 10),
            capacity=Capacity(units_per_s=80.0, requests_per_s=40.0),
            stop_grace_s=1.0,
        )
        spec = ApplicationSpec(cluster, (web,), cluster=cluster)
        await commands.apply(self.context(), spec)
        return Fluid(spec, {"web": 40.0})

    async def feed(self, cluster: str, fluid: Fluid, rate: float) -> NoReturn:
        """Send so many requests a second for ever."""
        while True:
            await self.clock.sleep(0.5)
            fluid.advance({"web": rate}, {"web": self.serving(cluster)}, 0.5)
            self.balancer.set_traffic(ServiceKey(cluster, "web"), fluid.queues["web"].counted())

    def serving(self, cluster: str) -> int:
        return sum(1 for one in self.balancer.current(ServiceKey(cluster, "web")) if not one.draining)

    async def ledger(self) -> tuple[Host, ...]:
        return await self.database.read(hosts.every)

    async def held(self, cluster: str) -> dict[str, str]:
        """Return the source of every host that carries an instance of the cluster."""
        live = await self.database.read(instances.live)
        sources = {host.id: host.source for host in await self.ledger()}
        return {one.host_id: sources[one.host_id] for one in live if one.application == cluster}

    async def reasons(self, subject: str) -> list[str]:
        logged = await self.database.read(lambda c: events.of_subject(c, subject, 100))
        return [one.event.reason for one in logged]

    async def said(self, reason: str) -> list[str]:
        logged = await self.database.read(lambda c: events.newest(c, 10_000))
        return [one.event.words for one in logged if one.event.reason == reason]

    async def over_committed(self) -> list[str]:
        """Return the hosts on which instances that are live need more than there is."""
        sizes = {host.id: host.host_type.resources for host in await self.ledger()}
        used: dict[str, Resources] = {}
        for one in await self.database.read(instances.live):
            used[one.host_id] = used.get(one.host_id, Resources(0, 0)).plus(one.resources)
        return [host_id for host_id, load in used.items() if not load.fits_in(sizes[host_id])]

    async def plans_that_move(self, application: str) -> list[int]:
        """Return how many instances each plan brought home."""
        found = await self.database.read(lambda c: plans.newest(c, application, 100))
        moved = [sum(bool(one.instance.replaces) for one in plan.instances) for plan in found]
        return [count for count in moved if count]

    async def until(self, condition: Callable[[], Awaitable[bool]], within_s: float = 120.0) -> None:
        """Watch every tenth of a second how many instances of each cluster take traffic."""
        give_up_at = self.clock.now() + within_s
        self.fewest = {name: self.serving(name) for name in ("news", "shop")}
        while not await condition():
            assert self.clock.now() < give_up_at, "it never comes to that"
            await self.clock.sleep(0.1)
            self.fewest = {name: min(least, self.serving(name)) for name, least in self.fewest.items()}

    async def until_serving(self, cluster: str, count: int, within_s: float = 120.0) -> None:
        async def so_many() -> bool:
            return self.serving(cluster) == count

        await self.until(so_many, within_s)

    async def until_on_hosts(self, cluster: str, count: int) -> None:
        async def so_many() -> bool:
            return len(await self.held(cluster)) == count

        await self.until(so_many)

    async def until_settled(self, within_s: float = 300.0) -> None:
        """Wait until the ledger has not changed for a while."""
        before, since = None, self.clock.now()

        async def is_still() -> bool:
            nonlocal before, since
            now = await self.ledger(), await self.database.read(instances.live)
            if now != before:
                before, since = now, self.clock.now()
            return self.clock.now() - since >= 15.0

        await self.until(is_still, within_s)


def play(world_of: Callable[[], TwoClusters], scenario: Callable[[TwoClusters], Awaitable[None]]) -> None:
    """Run one controller through the scenario; it must neither end nor meet an error."""

    async def work() -> None:
        world = world_of()
        before = asyncio.all_tasks()
        context = world.context()
        controller = asyncio.create_task(Controller(context).run(), name="controller")
        try:
            await scenario(world)
            assert not controller.done()
            assert list(context.unexpected) == []
        finally:
            await end_all({controller} | (asyncio.all_tasks() - before - {asyncio.current_task()}))
            world.database.close()

    run_virtual(work())


def play_with_a_death(
    world_of: Callable[[], TwoClusters],
    prepare: Callable[[TwoClusters], Awaitable[None]],
    scenario: Callable[[TwoClusters], Awaitable[None]],
    dies_at: int | None,
) -> int:
    """Prepare with one controller; a second one dies at its boundary `dies_at`; a third one plays to the end.

    Return the boundaries that the second one passed.
    """

    async def work() -> int:
        world = world_of()
        before = asyncio.all_tasks()
        doomed = Fuse(dies_at)

        async def one_after_the_other() -> None:
            for fuse in (doomed, Fuse(None)):
                there = asyncio.all_tasks()
                context = world.context(fuse)
                controller = asyncio.create_task(Controller(context).run(), name="controller")
                try:
                    await fuse.burnt.wait()
                finally:
                    assert fuse.burnt.is_set() or not controller.done(), "it ended by itself"
                    world.unexpected += context.unexpected
                    await end_all(asyncio.all_tasks() - there - {asyncio.current_task()})
                await world.clock.sleep(2.0)
                await world.database.write(leases.break_all)

        first = asyncio.create_task(Controller(world.context()).run(), name="controller")
        try:
            await prepare(world)
            await end_all({first} | (asyncio.all_tasks() - before - {asyncio.current_task()}))
            await world.database.write(leases.break_all)
            running = asyncio.create_task(one_after_the_other(), name="controllers")
            await scenario(world)
            assert not running.done()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            assert world.unexpected == []
            assert doomed.burnt.is_set() == (dies_at is not None)
        finally:
            await end_all(asyncio.all_tasks() - before - {asyncio.current_task()})
            world.database.close()
        return doomed.passed

    return run_virtual(work())
