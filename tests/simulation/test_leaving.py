"""A host that has to be empty: what runs there is replaced first, then it is given back, and nothing stops serving."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace

from dcp.drivers.balancers.fake import FakeBalancer
from dcp.drivers.clouds.fake import FakeCloud
from dcp.drivers.clouds.private import PrivateHosts, PrivatePool
from dcp.drivers.runtimes.fake import Behaviour, FakeRuntime
from dcp.engine import commands, host_verbs
from dcp.engine.context import Context
from dcp.engine.controller import Controller
from dcp.hosts.clusters import Cluster
from dcp.hosts.model import Host, HostType, Resources
from dcp.hosts.states import HostState
from dcp.kernel.clock import LoopClock
from dcp.orchestration.services.model import ApplicationSpec, Elastic, ServiceKey, ServiceSpec
from dcp.orchestration.services.ports import OneRuntime
from dcp.simulation.crash import end_all
from dcp.simulation.leaks import settings
from dcp.simulation.virtual_time import run_virtual
from dcp.store import events, hosts
from dcp.store.database import InlineDatabase

SHAPE = Resources(1000, 1 << 30)
HALF = Resources(500, 512 << 20)
WEB = ServiceKey("shop", "web")
INSTANCES = 4


class World:
    """Two private hosts of which one is free, a cloud, and one service on two hosts."""

    def __init__(self, private: int) -> None:
        self.clock = LoopClock()
        self.balancer = FakeBalancer(self.clock)
        self.database = InlineDatabase()
        cloud_type = HostType("small", SHAPE, price_usd_per_hour=0.1, boot_s=3.0)
        self.cloud = FakeCloud("cloud", self.clock, types=(cloud_type,))
        runtime = FakeRuntime(self.clock, rng=random.Random(1), default=Behaviour(healthy_after_s=(0.5, 1.0)))
        self.context = Context(
            controller_id="one",
            clock=self.clock,
            database=self.database,
            runtimes=OneRuntime(runtime),
            balancer=self.balancer,
            sources=(PrivatePool("private", None, [PrivateHosts(HostType("slice", SHAPE), private)]), self.cloud),
            settings=settings(),
        )
        self.fewest = INSTANCES

    def serving(self) -> int:
        return sum(1 for one in self.balancer.current(WEB) if not one.draining)

    async def ledger(self) -> dict[str, Host]:
        return {host.id: host for host in await self.database.read(hosts.every)}

    async def until(self, condition: Callable[[], Awaitable[bool]], within_s: float = 120.0) -> None:
        """Watch every tenth of a second how many instances take traffic."""
        give_up_at = self.clock.now() + within_s
        while not await condition():
            assert self.clock.now() < give_up_at, "it never comes to that"
            await self.clock.sleep(0.1)
            self.fewest = min(self.fewest, self.serving())

    async def until_all_serve(self) -> None:
        async def all_serve() -> bool:
            return self.serving() == INSTANCES

        await self.until(all_serve)
        self.fewest = INSTANCES

    async def until_state(self, host_id: str, state: HostState) -> None:
        async def is_so() -> bool:
            return (await self.ledger())[host_id].state == state

        await self.until(is_so)


def play(scenario: Callable[[World], Awaitable[None]], private: int, *clusters: Cluster) -> None:
    async def work() -> None:
        world = World(private)
        world.context.settings = replace(world.context.settings, clusters=clusters)
        elastic = Elastic(min_instances=INSTANCES, max_instances=INSTANCES)
        web = ServiceSpec("web", ("web",), HALF, replicas=INSTANCES, elastic=elastic, stop_grace_s=1.0)
        await commands.apply(world.context, ApplicationSpec("shop", (web,)))
        before = asyncio.all_tasks()
        controller = asyncio.create_task(Controller(world.context).run(), name="controller")
        try:
            await world.until_all_serve()
            await scenario(world)
            assert not controller.done()
            assert list(world.context.unexpected) == []
        finally:
            await end_all({controller} | (asyncio.all_tasks() - before - {asyncio.current_task()}))
            world.database.close()

    run_virtual(work())


def test_a_drained_host_is_emptied_without_a_gap_and_given_back() -> None:
    async def scenario(world: World) -> None:
        await host_verbs.drain(world.context, "private-1", 60.0)
        await world.until_state("private-1", HostState.RELEASED)
        assert world.fewest == INSTANCES
        ledger = await world.ledger()
        assert {host.kind for host in ledger.values()} == {"private"}, "the free private host took it"

    play(scenario, private=3)


def test_a_spot_notice_starts_the_replacement_before_the_machine_is_taken() -> None:
    async def scenario(world: World) -> None:
        (doomed,) = [host for host in (await world.ledger()).values() if host.source == "cloud"]
        await world.cloud.give_notice(doomed.id, 60.0)
        await world.until_state(doomed.id, HostState.RELEASED)
        assert world.fewest == INSTANCES
        assert (await world.ledger())[doomed.id].reason == "notice"
        assert doomed.id not in await world.cloud.really_there()

    play(scenario, private=1)


def test_a_host_stays_until_there_is_room_elsewhere() -> None:
    async def scenario(world: World) -> None:
        world.cloud.faults.sold_out.add("small")
        await host_verbs.drain(world.context, "private-1", 5.0)
        await world.clock.sleep(40.0)
        assert (await world.ledger())["private-1"].state == HostState.CORDONED
        assert world.serving() == INSTANCES
        world.cloud.faults.sold_out.clear()
        await world.until_state("private-1", HostState.RELEASED)
        assert world.fewest == INSTANCES

    play(scenario, private=2)


def test_headroom_comes_stays_and_is_not_asked_for_again() -> None:
    async def scenario(world: World) -> None:
        async def one_is_empty() -> bool:
            ledger = await world.ledger()
            return "private-3" in ledger and ledger["private-3"].state == HostState.READY

        await world.until(one_is_empty)
        before = await world.ledger()
        await world.clock.sleep(300.0)
        after = await world.ledger()
        assert {host.id: host.state for host in after.values()} == {host.id: host.state for host in before.values()}
        assert len(after) == 3

    play(scenario, 4, Cluster("", headroom_hosts=1))


def test_no_more_is_bought_than_the_quota_and_what_waits_is_explained() -> None:
    async def work() -> None:
        world = World(1)
        world.context.settings = replace(world.context.settings, clusters=(Cluster("", max_cloud_hosts=0),))
        await commands.apply(world.context, ApplicationSpec("shop", (ServiceSpec("web", ("web",), HALF, replicas=4),)))
        before = asyncio.all_tasks()
        controller = asyncio.create_task(Controller(world.context).run(), name="controller")
        try:
            await world.clock.sleep(60.0)
            assert {host.kind for host in (await world.ledger()).values()} == {"private"}
            assert world.serving() == 2
            said = await world.database.read(lambda connection: events.newest(connection, 100))
            assert any("the quota of cloud hosts" in one.event.words for one in said)
        finally:
            await end_all({controller} | (asyncio.all_tasks() - before - {asyncio.current_task()}))
            world.database.close()

    run_virtual(work())
