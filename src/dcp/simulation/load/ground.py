"""What a simulated run stands on: the production controller over fake drivers, with a site's hosts and times."""

import asyncio
import random
from dataclasses import dataclass

from dcp.drivers.balancers.fake import FakeBalancer
from dcp.drivers.clouds.fake import FakeCloud
from dcp.drivers.clouds.fake_limits import CloudLimits
from dcp.drivers.clouds.private import PrivateHosts, PrivatePool
from dcp.drivers.runtimes.fake import Behaviour, FakeRuntime
from dcp.engine import commands
from dcp.engine.context import Context
from dcp.engine.controller import Controller
from dcp.engine.settings import EngineSettings
from dcp.hosts.model import HostType
from dcp.kernel.clock import LoopClock
from dcp.orchestration.services.model import ApplicationSpec, ServiceKey
from dcp.orchestration.services.ports import OneRuntime
from dcp.simulation.load.model import Site
from dcp.store.database import InlineDatabase

WARM_UP_LIMIT_S = 120.0
LOOK_S = 0.5


@dataclass(slots=True)
class Ground:
    """One application under a controller; to be made and used on a virtual loop."""

    spec: ApplicationSpec
    clock: LoopClock
    runtime: FakeRuntime
    balancer: FakeBalancer
    cloud: FakeCloud
    context: Context
    controller: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Apply the application and start the controller; return when it serves. Raises RuntimeError."""
        await commands.apply(self.context, self.spec)
        self.controller = asyncio.create_task(Controller(self.context).run())
        wanted = {service.name: service.replicas for service in self.spec.services}
        limit = self.clock.now() + WARM_UP_LIMIT_S
        while self.serving() != wanted:
            if self.clock.now() > limit:
                raise RuntimeError(f"only {self.serving()} serve after {WARM_UP_LIMIT_S:.0f} s")
            await self.clock.sleep(LOOK_S)

    async def end(self) -> None:
        """End the controller."""
        if self.controller is not None:
            self.controller.cancel()
            await asyncio.gather(self.controller, return_exceptions=True)
        self.context.database.close()

    def check(self) -> None:
        """Raise RuntimeError if the controller met a fault of its own."""
        if self.context.unexpected:
            raise RuntimeError(f"fault in the controller: {self.context.unexpected[-1]!r}")

    def serving(self) -> dict[str, int]:
        """Return how many instances of each service take requests."""
        running = self.runtime.running()
        return {
            service.name: sum(
                1
                for endpoint in self.balancer.current(ServiceKey(self.spec.name, service.name))
                if not endpoint.draining and endpoint.instance_id in running
            )
            for service in self.spec.services
        }


def make_ground(spec: ApplicationSpec, site: Site, settings: EngineSettings, seed: int) -> Ground:
    """Return a ground on which nothing runs yet."""
    clock = LoopClock()
    runtime = FakeRuntime(
        clock,
        rng=random.Random(f"{seed}/starts"),
        default=Behaviour(healthy_after_s=site.start_s, stop_s=0.5),
    )
    balancer = FakeBalancer(clock)
    middle_s, spread = sum(site.boot_s) / 2, (site.boot_s[1] - site.boot_s[0]) / sum(site.boot_s)
    cloud = FakeCloud(
        "cloud",
        clock,
        types=[HostType("c1", site.shape, price_usd_per_hour=site.cloud_usd_per_hour, boot_s=middle_s)],
        limits=CloudLimits(boot_spread=spread),
        rng=random.Random(f"{seed}/boots"),
    )
    private = PrivatePool("private", None, [PrivateHosts(HostType("own", site.shape), site.private_hosts)])
    context = Context(
        controller_id="controller",
        clock=clock,
        database=InlineDatabase(),
        runtimes=OneRuntime(runtime),
        balancer=balancer,
        sources=(private, cloud),
        settings=settings,
    )
    return Ground(spec, clock, runtime, balancer, cloud, context)
