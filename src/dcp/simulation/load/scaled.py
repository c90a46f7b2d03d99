"""An application under dcp: the production engine, planner and store, on a virtual clock, over fake drivers."""

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
from dcp.engine.surges import Asked, SurgeAsked, plan_surge
from dcp.hosts.model import HostType
from dcp.kernel.clock import LoopClock
from dcp.orchestration.scaling.model import Policy, Timing
from dcp.orchestration.services.model import ServiceKey
from dcp.orchestration.services.ports import OneRuntime
from dcp.simulation.load.meter import TICK_S, Meter
from dcp.simulation.load.model import LoadResult, LoadScenario
from dcp.simulation.virtual_time import run_virtual
from dcp.store.database import InlineDatabase

WARM_UP_LIMIT_S = 120.0
TOLD_S = 600.0


@dataclass(frozen=True, slots=True)
class Scaling:
    """How dcp scales in a run."""

    policy: Policy = Policy.GATED
    timing: Timing = Timing()
    name: str = "gated"
    told: bool = False
    """A person planned the surge of the scenario, `TOLD_S` before it begins at the latest."""


def simulate_scaled(scenario: LoadScenario, seed: int, scaling: Scaling) -> LoadResult:
    """Run a scenario once. Raises RuntimeError if the controller met a fault of its own."""
    return run_virtual(_Run(scenario, seed, scaling).play())


class _Run:
    def __init__(self, scenario: LoadScenario, seed: int, scaling: Scaling) -> None:
        self._scenario = scenario
        self._seed = seed
        self._scaling = scaling

    async def play(self) -> LoadResult:
        scenario, site = self._scenario, self._scenario.site
        clock, meter = LoopClock(), Meter(scenario)
        self._runtime = FakeRuntime(
            clock,
            rng=random.Random(f"{self._seed}/starts"),
            default=Behaviour(healthy_after_s=site.start_s, stop_s=0.5),
        )
        self._balancer = FakeBalancer(clock)
        middle_s, spread = sum(site.boot_s) / 2, (site.boot_s[1] - site.boot_s[0]) / sum(site.boot_s)
        cloud_type = HostType("c1", site.shape, price_usd_per_hour=site.cloud_usd_per_hour, boot_s=middle_s)
        cloud = FakeCloud(
            "cloud",
            clock,
            types=[cloud_type],
            limits=CloudLimits(boot_spread=spread),
            rng=random.Random(f"{self._seed}/boots"),
        )
        private = PrivatePool("private", None, [PrivateHosts(HostType("own", site.shape), site.private_hosts)])
        context = Context(
            controller_id="controller",
            clock=clock,
            database=InlineDatabase(),
            runtimes=OneRuntime(self._runtime),
            balancer=self._balancer,
            sources=(private, cloud),
            settings=EngineSettings(policy=self._scaling.policy, timing=self._scaling.timing, seed=self._seed),
        )
        await commands.apply(context, scenario.spec)
        controller = asyncio.create_task(Controller(context).run())
        await self._until_all_serve(clock)
        if self._scaling.told and scenario.surge_at_s is not None:
            await self._tell(context, clock.now() + scenario.surge_at_s)
        while not meter.over:
            meter.tick(self._serving(), len(self._runtime.running()), len(await cloud.list_all()))
            for name, queue in meter.fluid.queues.items():
                self._balancer.set_traffic(ServiceKey(scenario.spec.name, name), queue.counted())
            await clock.sleep(TICK_S)
            if context.unexpected:
                raise RuntimeError(f"fault in the controller: {context.unexpected[-1]!r}")
        controller.cancel()
        await asyncio.gather(controller, return_exceptions=True)
        context.database.close()
        return meter.result(self._scaling.name, self._seed)

    async def _tell(self, context: Context, begins_at: float) -> None:
        """Plan the step as somebody would who knows its height: `TOLD_S` before, until the end."""
        scenario = self._scenario
        highest = max(scenario.curve(second) for second in range(int(scenario.lasts_s)))
        asked = SurgeAsked(
            application=scenario.spec.name,
            services=(Asked(scenario.entry, requests_per_s=highest),),
            lasts_s=scenario.lasts_s,
            begins_at=begins_at,
            lead_s=TOLD_S,
        )
        await plan_surge(context, asked)

    async def _until_all_serve(self, clock: LoopClock) -> None:
        wanted = {service.name: service.replicas for service in self._scenario.spec.services}
        limit = clock.now() + WARM_UP_LIMIT_S
        while self._serving() != wanted:
            if clock.now() > limit:
                raise RuntimeError(f"only {self._serving()} serve after {WARM_UP_LIMIT_S:.0f} s")
            await clock.sleep(TICK_S)

    def _serving(self) -> dict[str, int]:
        running, application = self._runtime.running(), self._scenario.spec.name
        return {
            service.name: sum(
                1
                for endpoint in self._balancer.current(ServiceKey(application, service.name))
                if not endpoint.draining and endpoint.instance_id in running
            )
            for service in self._scenario.spec.services
        }


def quicker(factor: float) -> Timing:
    """Return dcp's windows with samples that are `factor` times shorter; what is slow on purpose stays as slow."""
    timing = Timing()
    return replace(timing, sample_s=timing.sample_s / factor)
