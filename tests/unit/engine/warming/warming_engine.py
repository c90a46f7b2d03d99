"""A controller with engines that have images, mirrors that answer as told, and one application that needs an image."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from dcp.drivers.balancers.fake import FakeBalancer
from dcp.drivers.clouds.engines import EngineHost, EnginesSource
from dcp.drivers.mirrors.fake import FakeMirrors
from dcp.drivers.registries.fake import FakeRegistry
from dcp.drivers.runtimes.fake import Behaviour, FakeRuntime
from dcp.drivers.runtimes.fake_images import FakeImageEngines
from dcp.engine import commands
from dcp.engine.context import Context
from dcp.engine.controller import Controller
from dcp.engine.images.sites import ImageSites
from dcp.engine.settings import EngineSettings
from dcp.engine.warming.parts import WarmingParts
from dcp.hosts.model import HostType, Resources, SourceKind
from dcp.images.model import Site, SiteRole
from dcp.images.warming.model import HostImage, Mirror, WarmingSettings
from dcp.kernel.clock import LoopClock
from dcp.kernel.events import Event
from dcp.orchestration.services.model import ApplicationSpec, Instance, ServiceSpec
from dcp.simulation.virtual_time import run_virtual
from dcp.store import events, instances, warming
from dcp.store import hosts as ledger
from dcp.store.database import InlineDatabase

NAME = "registry.example"
IMAGE = f"{NAME}/shop/web@sha256:" + "a" * 64
SHAPE = Resources(500, 64 << 20)


@dataclass
class Place:
    """Everything outside of the controller, and questions to its ledger."""

    context: Context
    engines: FakeImageEngines
    mirrors: FakeMirrors
    runtime: FakeRuntime
    down: set[str]
    """Hosts whose mirrors do not answer."""
    address_of: dict[str, str] = field(default_factory=dict)

    async def learn_addresses(self) -> None:
        known = await self.context.database.read(ledger.current)
        self.address_of.update({host.id: host.address for host in known})

    async def apply(self, replicas: int, image: str = IMAGE) -> None:
        web = ServiceSpec("web", ("serve",), SHAPE, replicas=replicas, image=image, max_per_host=1)
        await commands.apply(self.context, ApplicationSpec("shop", (web,)))

    async def rows(self) -> tuple[HostImage, ...]:
        return await self.context.database.read(warming.all_rows)

    async def standing(self) -> tuple[Mirror, ...]:
        return await self.context.database.read(warming.mirrors_of)

    async def instances(self) -> tuple[Instance, ...]:
        return await self.context.database.read(instances.live)

    async def events(self, reason: str) -> list[Event]:
        logged = await self.context.database.read(lambda connection: events.newest(connection, 1000))
        return [one.event for one in logged if one.event.reason == reason]

    async def until(self, holds: Callable[[], Awaitable[bool]], limit_s: float = 120.0) -> None:
        end = asyncio.get_running_loop().time() + limit_s
        await self.learn_addresses()
        while not await holds():
            await self.learn_addresses()
            assert asyncio.get_running_loop().time() < end, "it did not come to pass"
            await asyncio.sleep(0.3)

    async def serving(self) -> int:
        return sum(1 for one in await self.instances() if one.state == "serving")


@asynccontextmanager
async def place(hosts: int, settings: WarmingSettings, *, pull_s: float = 1.0) -> AsyncIterator[Place]:
    clock = LoopClock()
    runtime = FakeRuntime(clock, default=Behaviour(healthy_after_s=(0.1, 0.1)))
    engines = FakeImageEngines(runtime, clock, pull_s=pull_s)
    down: set[str] = set()
    addresses = {f"h{number}": f"10.0.0.{number}" for number in range(1, hosts + 1)}

    async def probe(_engine: str) -> bool:
        return True

    def who(url: str) -> str:
        """The mirror whose container runs where the URL points."""
        for instance_id in runtime.running():
            order = runtime.order_of(instance_id)
            environment = dict(order.environment)
            if order.host_id in down or "DCP_MIRROR_NAME" not in environment:
                continue
            port = environment["DCP_MIRROR_LISTEN"].rpartition(":")[2]
            if url == f"http://{made.address_of.get(order.host_id, '')}:{port}":
                return instance_id
        return ""

    mirrors = FakeMirrors(who)
    host_type = HostType("slice", Resources(1000, 1 << 30), labels=(("site", "dc1"),))
    engine_hosts = [EngineHost(name, f"fake://{name}", address, host_type) for name, address in addresses.items()]
    pool = EnginesSource("private", SourceKind.PRIVATE, None, engine_hosts, probe=probe, clock=clock)
    site = Site("dc1", SiteRole.MASTER, "http://registry.dc1:5000")
    database = InlineDatabase()
    context = Context(
        controller_id="one",
        clock=clock,
        database=database,
        runtimes=engines,
        balancer=FakeBalancer(clock),
        sources=(pool,),
        settings=EngineSettings(listen_ports=(18000, 18099), poll_s=2.0, busy_poll_s=0.5),
        images=ImageSites(NAME, (site,), {"dc1": FakeRegistry(clock)}),
        warming=WarmingParts(settings, mirrors, "control", mirror_command=("dcp", "mirror")),
    )
    made = Place(context, engines, mirrors, runtime, down)
    try:
        yield made
    finally:
        database.close()


@asynccontextmanager
async def controlled(made: Place) -> AsyncIterator[None]:
    """Run a controller meanwhile; faults in our code come out."""
    task = asyncio.create_task(Controller(made.context).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await made.context.database.write(lambda connection: None)
    assert list(made.context.unexpected) == []


__all__ = ["IMAGE", "NAME", "Place", "controlled", "place", "replace", "run_virtual"]
