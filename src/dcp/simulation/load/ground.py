"""What a simulated run stands on: the production controller over fake drivers, with a site's hosts and times."""

import asyncio
import random
from dataclasses import dataclass, replace

from dcp.drivers.balancers.fake import FakeBalancer
from dcp.drivers.clouds.fake import FakeCloud
from dcp.drivers.clouds.fake_limits import CloudLimits
from dcp.drivers.clouds.private import PrivateHosts, PrivatePool
from dcp.drivers.runtimes.fake import Behaviour, FakeRuntime
from dcp.engine import commands
from dcp.engine.context import Context
from dcp.engine.controller import Controller
from dcp.engine.settings import EngineSettings
from dcp.engine.sources.fleet import Fleets
from dcp.engine.wakes import Wakes
from dcp.hosts.model import HostType
from dcp.kernel.clock import LoopClock
from dcp.orchestration.services.model import ApplicationSpec, ServiceKey
from dcp.orchestration.services.ports import OneRuntime
from dcp.simulation.load.model import Site
from dcp.store.database import InlineDatabase

WARM_UP_LIMIT_S = 120.0
CLOUD_TYPE = "c1"
LOOK_S = 0.5


@dataclass(slots=True)
class Ground:
    """One application under a controller; to be made and used on a virtual loop."""

    spec: ApplicationSpec
    clock: LoopClock
    runtime: FakeRuntime
    behaviour: Behaviour
    """What instances do if nothing else is said."""
    balancer: FakeBalancer
    private: PrivatePool
    cloud: FakeCloud
    context: Context
    _controller: asyncio.Task[None] | None = None
    _controllers: int = 0

    async def begin(self) -> None:
        """Apply the application and start the controller; return when it serves. Raises RuntimeError."""
        await commands.apply(self.context, self.spec)
        self.start_controller()
        wanted = {service.name: service.replicas for service in self.spec.services}
        limit = self.clock.now() + WARM_UP_LIMIT_S
        while self.serving() != wanted:
            if self.clock.now() > limit:
                raise RuntimeError(f"only {self.serving()} serve after {WARM_UP_LIMIT_S:.0f} s")
            await self.clock.sleep(LOOK_S)

    def start_controller(self) -> None:
        """Start a controller that knows nothing but the store."""
        self._controllers += 1
        name = f"controller-{self._controllers}"
        self.context = replace(self.context, controller_id=name, wakes=Wakes(), fleets=Fleets())
        self._controller = asyncio.create_task(Controller(self.context).run())

    async def stop_controller(self) -> None:
        """Stop the controller where it is."""
        if self._controller is not None:
            self._controller.cancel()
            await asyncio.gather(self._controller, return_exceptions=True)

    async def end(self) -> None:
        """End the controller and close the store."""
        await self.stop_controller()
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
    behaviour = Behaviour(healthy_after_s=site.start_s, stop_s=0.5)
    runtime = FakeRuntime(clock, rng=random.Random(f"{seed}/starts"), default=behaviour)
    balancer = FakeBalancer(clock)
    middle_s, spread = sum(site.boot_s) / 2, (site.boot_s[1] - site.boot_s[0]) / sum(site.boot_s)
    cloud = FakeCloud(
        "cloud",
        clock,
        types=[HostType(CLOUD_TYPE, site.shape, price_usd_per_hour=site.cloud_usd_per_hour, boot_s=middle_s)],
        limits=CloudLimits(boot_spread=spread, max_hosts=site.cloud_hosts),
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
    return Ground(spec, clock, runtime, behaviour, balancer, private, cloud, context)
