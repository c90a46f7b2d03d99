"""Runs one seed of a scenario of growth: the production engine over the scenario's clouds, on a virtual clock."""

import asyncio
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import TypeVar

from sqlalchemy import Connection

from dcp.drivers.balancers.fake import FakeBalancer
from dcp.drivers.clouds.private import PrivateHosts, PrivatePool
from dcp.drivers.runtimes.fake import Behaviour, FakeRuntime
from dcp.engine import commands
from dcp.engine.context import Context
from dcp.engine.controller import Controller
from dcp.engine.settings import EngineSettings
from dcp.hosts.model import Host, HostType, Resources, SourceKind
from dcp.hosts.states import HostState
from dcp.kernel.clock import LoopClock
from dcp.orchestration.services.model import ApplicationSpec, HealthCheck, ServiceKey, ServiceSpec
from dcp.orchestration.services.ports import OneRuntime
from dcp.simulation.fleet.bound import bound_s
from dcp.simulation.fleet.cloud import ScenarioCloud
from dcp.simulation.fleet.scenario import FleetScenario
from dcp.simulation.virtual_time import run_virtual
from dcp.store import hosts
from dcp.store.database import InlineDatabase

T = TypeVar("T")
SHAPE = Resources(cpu_millis=4000, memory_bytes=8 << 30)
SERVICE = "web"
GIVE_UP_S = 3600.0
LOOK_S = 0.5
OVER_COMMITTED = (
    "SELECT host_id, count(*) FROM instances WHERE ended_at IS NULL AND host_id != '' GROUP BY host_id"
    " HAVING count(*) > 1"
)


@dataclass(frozen=True, slots=True)
class FleetResult:
    """What one seed gave. Seconds count from the moment the nodes were wanted; `violation` is empty if all held."""

    seed: int
    serving_s: float
    """Until all served; infinite: never."""
    bound_s: float
    """What the best asker would have taken, see `bound`."""
    own_share_s: float
    asked: int
    """Hosts that the clouds were asked for."""
    created: int
    spares: int
    """Machines made beyond those that carry an instance in the end."""
    given_back: int
    """Of them, those back at their cloud when the run ended."""
    spares_usd: float
    """What they cost until then."""
    refused_calls: int
    throttled_calls: int
    writes: int
    cpu_s: float
    """Processor time of the controller and its store, of the fakes, and of the checks."""
    over_time: tuple[tuple[float, tuple[tuple[str, int], ...]], ...]
    """Hosts by state, and instances that serve, now and then."""
    violation: str = ""


def simulate_fleet(scenario: FleetScenario, seed: int) -> FleetResult:
    """Run the scenario once."""
    return run_virtual(_Run(scenario, seed).play())


@dataclass(slots=True)
class CountedDatabase:
    """The store; counts writes and looks now and then whether a host is given to two instances."""

    inner: InlineDatabase = field(default_factory=InlineDatabase)
    writes: int = 0
    violation: str = ""

    async def read(self, work: Callable[[Connection], T]) -> T:
        return await self.inner.read(work)

    async def write(self, work: Callable[[Connection], T]) -> T:
        self.writes += 1
        return await self.inner.write(work)

    def close(self) -> None:
        self.inner.close()

    async def check(self) -> None:
        """Note the first host that has more than it holds."""
        found = await self.inner.read(lambda connection: connection.exec_driver_sql(OVER_COMMITTED).first())
        if found is not None and not self.violation:
            self.violation = f"host {found[0]} has {found[1]} instances and room for one"


class _Run:
    """One seed. `play` gives the result."""

    def __init__(self, scenario: FleetScenario, seed: int) -> None:
        self._scenario = scenario
        self._seed = seed
        self._over_time: list[tuple[float, tuple[tuple[str, int], ...]]] = []

    async def play(self) -> FleetResult:
        self._make_world()
        began_cpu_s = time.process_time()
        await commands.apply(self._context, self._application(self._scenario.before))
        controller = asyncio.create_task(Controller(self._context).run())
        await self._until_serving(self._scenario.before, GIVE_UP_S)
        before = {name for cloud in self._clouds for name in cloud.counted.boots_s}
        wanted = self._scenario.before + self._scenario.nodes
        await commands.apply(self._context, self._application(wanted))
        serving_s = await self._until_serving(wanted, GIVE_UP_S)
        cpu_s = time.process_time() - began_cpu_s
        await self._until_given_back(wanted)
        controller.cancel()
        await asyncio.gather(controller, return_exceptions=True)
        return await self._result(before, serving_s, cpu_s)

    def _make_world(self) -> None:
        scenario, cloud = self._scenario, self._scenario.cloud
        self._clock = LoopClock()
        self._database = CountedDatabase()
        rng = random.Random(f"{self._seed}/starts")
        self._runtime = FakeRuntime(self._clock, rng=rng, default=Behaviour(healthy_after_s=scenario.start_s))
        self._balancer = FakeBalancer(self._clock)
        median_s = cloud.boot.at(0.5)
        types = tuple(HostType(one.name, SHAPE, one.price_usd_per_hour, boot_s=median_s) for one in cloud.types)
        self._clouds = tuple(
            ScenarioCloud(f"cloud-{number}", cloud, types, self._clock, str(self._seed))
            for number in range(1, cloud.accounts + 1)
        )
        private = PrivatePool("private", None, [PrivateHosts(HostType("own", SHAPE), scenario.private_hosts)])
        self._context = Context(
            controller_id="controller",
            clock=self._clock,
            database=self._database,
            runtimes=OneRuntime(self._runtime),
            balancer=self._balancer,
            sources=(private, *self._clouds),
            settings=EngineSettings(seed=self._seed),
            spares=scenario.spares,
        )

    def _application(self, replicas: int) -> ApplicationSpec:
        health = HealthCheck(http_path="/healthz", interval_s=10.0, start_period_s=60.0)
        service = ServiceSpec(
            name=SERVICE, command=("service",), resources=SHAPE, replicas=replicas, health=health, stop_grace_s=2.0
        )
        return ApplicationSpec("fleet", (service,))

    async def _until_serving(self, count: int, limit_s: float) -> float:
        began = self._clock.now()
        looks = 0
        while (elapsed_s := self._clock.now() - began) <= limit_s:
            serving = sum(1 for one in self._balancer.current(ServiceKey("fleet", SERVICE)) if not one.draining)
            if looks % 20 == 0 or serving >= count:
                await self._note(elapsed_s, serving)
            if serving >= count:
                return elapsed_s
            if self._database.violation or self._context.unexpected:
                return math.inf
            looks += 1
            await self._clock.sleep(LOOK_S)
        return math.inf

    async def _note(self, elapsed_s: float, serving: int) -> None:
        await self._database.check()
        known = await self._database.read(hosts.current)
        states = Counter(str(host.state) for host in known)
        self._over_time.append((elapsed_s, (*sorted(states.items()), ("serving", serving))))

    async def _until_given_back(self, wanted: int) -> None:
        """Spares that are ready are kept for a while in case they are needed."""
        limit = self._clock.now() + 2 * self._context.settings.timing.host_linger_s + 120.0
        while self._clock.now() < limit:
            await self._clock.sleep(10.0)
            known = await self._database.read(hosts.current)
            if len(known) <= wanted and all(host.state is HostState.READY for host in known):
                return

    async def _result(self, before: Collection[str], serving_s: float, cpu_s: float) -> FleetResult:
        scenario = self._scenario
        every = [host for host in await self._database.read(hosts.every) if host.kind is SourceKind.CLOUD]
        now = self._clock.now()
        kept = [host for host in every if host.state is HostState.READY]
        back = [host for host in every if host.state is HostState.RELEASED and host.billed_from is not None]
        boots = [
            {name: boot_s for name, boot_s in cloud.counted.boots_s.items() if name not in before}
            for cloud in self._clouds
        ]
        free_private = max(0, scenario.private_hosts - scenario.before)
        starts_s = self._runtime.start_times_s()
        lost = {name: count for cloud in self._clouds for name, count in cloud.counted.lost.items()}
        least_s = bound_s(scenario, boots, lost, starts_s, scenario.nodes - free_private)
        created = sum(map(len, boots))
        return FleetResult(
            seed=self._seed,
            serving_s=serving_s,
            bound_s=least_s,
            own_share_s=serving_s - least_s,
            asked=len(every),
            created=created,
            spares=created - len(kept),
            given_back=len(back),
            spares_usd=sum(_cost_usd(host, now) for host in back),
            refused_calls=sum(cloud.counted.refused_calls for cloud in self._clouds),
            throttled_calls=sum(cloud.counted.throttled for cloud in self._clouds),
            writes=self._database.writes,
            cpu_s=cpu_s,
            over_time=tuple(self._over_time),
            violation=self._violation(serving_s, every),
        )

    def _violation(self, serving_s: float, every: list[Host]) -> str:
        if self._database.violation:
            return self._database.violation
        if self._context.unexpected:
            return repr(self._context.unexpected[-1])
        if not math.isfinite(serving_s):
            return f"not all served within {GIVE_UP_S:.0f} s"
        unfinished = [host for host in every if host.state not in (HostState.READY, HostState.RELEASED)]
        if unfinished:
            return (
                f"{len(unfinished)} hosts are neither used nor given back, {unfinished[0].id} is {unfinished[0].state}"
            )
        known = {host.id for host in every if host.state is HostState.READY}
        leaked = [name for cloud in self._clouds for name in cloud.machines() if name not in known]
        return f"{leaked[0]} is at its cloud and not in the ledger" if leaked else ""


def _cost_usd(host: Host, now: float) -> float:
    until = host.billed_until if host.billed_until is not None else now
    return host.host_type.price_usd_per_hour * (until - (host.billed_from or until)) / 3600
