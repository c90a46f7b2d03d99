"""The first scenario: a 6x surge; a host is lost, another cut off, metrics vanish, and the controller crashes.

Everything that can differ between runs is drawn from the seed: when the host is lost and which, at which boundaries the
controller dies, when metrics are missing. The same seed gives the same event log.
"""

import asyncio
import random
from collections.abc import Coroutine
from dataclasses import dataclass, replace

from dcp.engine import commands
from dcp.engine.context import Context
from dcp.engine.controller import Controller
from dcp.engine.settings import EngineSettings
from dcp.hosts.model import Resources
from dcp.hosts.states import HostState
from dcp.kernel.clock import LoopClock
from dcp.kernel.errors import DriverError
from dcp.orchestration.scaling.model import Policy, Timing
from dcp.orchestration.services.model import (
    ApplicationSpec,
    Call,
    Capacity,
    Dependency,
    Elastic,
    HealthCheck,
    ServiceSpec,
)
from dcp.simulation.bill import Shown, fault_of_bill
from dcp.simulation.crash import CrashingDatabase, CrashingDriver, CrashingRuntimes, Fuse, end_all
from dcp.simulation.virtual_time import run_virtual
from dcp.simulation.world import WithEngines, World, make_world
from dcp.store import applications, events, hosts, instances, leases

BASE_REQUESTS_PER_S = 30.0
SURGE_FACTOR = 6.0
SURGE_AT_S, SURGE_S = 15.0, 25.0
LAST_FAULT_S = SURGE_AT_S + SURGE_S
CONVERGE_LIMIT_S = 300.0
"""Virtual seconds after the last fault within which everything must be as before the surge."""
GRACE_S = 2.0
"""What was seen just before an engine fell silent may be written this much later."""
PARTS = (2000, 2)
"""Every other seed writes its plans in parts, so that the controller may die between two of them."""
SERVICE_MS = {"feed": 80.0, "user": 40.0, "card": 40.0}


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong in one run. Times are virtual seconds; boundaries are counted in one life of the controller."""

    crash_boundaries: tuple[int, ...]
    downtime_s: float
    lose_host_at_s: float
    metrics_missing_from_s: float
    metrics_missing_for_s: float
    cut_off_at_s: float
    cut_off_for_s: float
    """The engine of a host does not answer; what runs there serves on."""

    @classmethod
    def draw(cls, rng: random.Random) -> "Faults":
        """Return the faults of one seed."""
        return cls(
            crash_boundaries=tuple(rng.randrange(1, 1500) for _ in range(rng.randrange(1, 4))),
            downtime_s=rng.uniform(0.1, 4.0),
            lose_host_at_s=rng.uniform(2.0, LAST_FAULT_S),
            metrics_missing_from_s=rng.uniform(2.0, LAST_FAULT_S - 8.0),
            metrics_missing_for_s=rng.uniform(0.0, 8.0),
            cut_off_at_s=rng.uniform(2.0, LAST_FAULT_S - 20.0),
            cut_off_for_s=rng.uniform(0.0, 20.0),
        )


@dataclass(frozen=True, slots=True)
class SurgeResult:
    """What one seed gave. `violation` is empty if every property held."""

    seed: int
    log_hash: str
    events: int
    crashes: int
    lost_host: str
    cut_off_host: str
    checks: int
    peak_instances: int
    peak_cloud_hosts: int
    converged_s: float | None
    """Virtual seconds from the last fault until all was as before; None if never."""
    violation: str


def simulate_surge(seed: int) -> SurgeResult:
    """Run the scenario once. Never raises for a broken property; it is in the result."""
    return run_virtual(_Run(seed).play())


def application() -> ApplicationSpec:
    """Return the application that the demo has, in figures."""
    shape = Resources(cpu_millis=250, memory_bytes=64 << 20)
    health = HealthCheck(http_path="/healthz", interval_s=1.0, timeout_s=1.0, retries=3, start_period_s=10.0)

    def service(name: str, replicas: int, most: int, capacity: Capacity) -> ServiceSpec:
        return ServiceSpec(
            name=name,
            command=("service",),
            resources=shape,
            replicas=replicas,
            health=health,
            elastic=Elastic(min_instances=replicas, max_instances=most, safe_level=1.8, fatal_level=1.2),
            capacity=capacity,
            slow_threshold_ms=500,
            stop_grace_s=2.0,
        )

    feed = replace(
        service("feed", 2, 24, Capacity(units_per_s=320.0, requests_per_s=40.0)),
        calls=(Call("user", 0.4), Call("card", 0.3)),
        depends_on=(Dependency("user"), Dependency("card")),
    )
    user = service("user", 1, 12, Capacity(units_per_s=120.0, requests_per_s=60.0))
    card = service("card", 1, 12, Capacity(units_per_s=120.0, requests_per_s=60.0))
    return ApplicationSpec("hot-event", (feed, user, card))


def settings() -> EngineSettings:
    """Return limits that fit a time scale of 60."""
    timing = replace(Timing().scaled(60.0), shrink_after_s=20.0)
    return EngineSettings(
        policy=Policy.GATED,
        timing=timing,
        lease_ttl_s=12.0,
        poll_s=3.0,
        busy_poll_s=1.0,
        drain_limit_s=20.0,
        boot_limit_s=30.0,
        lost_after_s=3.0,
        unreachable_after_s=3.0,
        engine_lost_after_s=8.0,
        stock_memory_s=10.0,
        cost_every_s=10.0,
        cost_lag_s=1.0,
    )


class _Run:
    """One seed. `play` gives the result."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._rng = random.Random(seed)
        self._faults = Faults.draw(self._rng)
        self._violation = ""
        self._crashes = 0
        self._lost_host = ""
        self._cut_off_host_id = ""
        self._peak_instances = 0
        self._peak_cloud_hosts = 0
        self._shown = Shown()

    async def play(self) -> SurgeResult:
        self._clock = LoopClock()
        self._began = self._clock.now()
        limits = replace(settings(), placements_at_once=PARTS[self._seed % len(PARTS)])
        self._world = make_world(application(), limits, self._rng, SERVICE_MS)
        world = self._world
        world.rates = {"feed": BASE_REQUESTS_PER_S}
        await commands.apply(self._context(Fuse(None)), world.spec)
        surroundings = [asyncio.create_task(work, name=name) for name, work in self._surroundings(world)]
        converged_s = await self._until_settled(world)
        for task in surroundings:
            task.cancel()
        await asyncio.gather(*surroundings, return_exceptions=True)
        if not self._violation:
            now, made = self._clock.now(), world.cloud.creations
            self._violation = await world.database.read(lambda c: fault_of_bill(c, self._shown, made, now))
        return await self._result(world, converged_s)

    def _surroundings(self, world: World) -> tuple[tuple[str, Coroutine[None, None, None]], ...]:
        return (
            ("load", world.drive()),
            ("surge", self._surge(world)),
            ("lose-host", self._lose_host(world)),
            ("cut-off", self._cut_off_host(world)),
            ("metrics", self._hide_metrics(world)),
            ("peaks", self._note_peaks(world)),
        )

    def _elapsed_s(self) -> float:
        return self._clock.now() - self._began

    def _context(self, fuse: Fuse) -> Context:
        world = self._world
        return Context(
            controller_id=f"controller-{self._crashes}",
            clock=world.clock,
            database=CrashingDatabase(world.database, fuse),
            runtimes=CrashingRuntimes(world.engines, fuse),
            balancer=CrashingDriver(world.balancer, fuse),
            sources=tuple(CrashingDriver(WithEngines(one), fuse) for one in (world.private, world.cloud)),
            settings=world.settings,
        )

    async def _until_settled(self, world: World) -> float | None:
        """Run one controller after another until all is as before the surge; None if it takes too long."""
        planned = list(self._faults.crash_boundaries)
        while not self._violation:
            fuse = Fuse(planned.pop(0) if planned else None)
            before = asyncio.all_tasks()
            context = self._context(fuse)
            controller = asyncio.create_task(Controller(context).run(), name="controller")
            settled_s = await self._watch(world, context, controller, fuse)
            await end_all(asyncio.all_tasks() - before - {asyncio.current_task()})
            if not fuse.burnt.is_set():
                return settled_s
            self._crashes += 1
            await self._clock.sleep(self._faults.downtime_s)
            await world.database.write(leases.break_all)
        return None

    async def _watch(self, world: World, context: Context, controller: asyncio.Task[None], fuse: Fuse) -> float | None:
        while not fuse.burnt.is_set():
            await self._clock.sleep(1.0)
            broken = world.invariants.broken or [repr(error) for error in context.unexpected]
            if broken:
                self._violation = broken[0]
                return None
            if controller.done() and not fuse.burnt.is_set():
                self._violation = f"the controller ended: {controller.exception()!r}"
                return None
            after_s = self._elapsed_s() - LAST_FAULT_S
            if after_s > 0 and await self._as_before(world):
                return after_s
            if after_s > CONVERGE_LIMIT_S:
                self._violation = f"not as before {CONVERGE_LIMIT_S:.0f} s after the last fault"
                return None
        return None

    async def _as_before(self, world: World) -> bool:
        """Targets at their floor, exactly those instances running and serving, no cloud host, nothing unknown."""
        live = await world.database.read(instances.live)
        ledger = await world.database.read(hosts.current)
        rows = await world.database.read(applications.service_rows)
        floors = {service.name: service.min_instances for service in world.spec.services}
        machines = {one.host_id for one in (*await world.cloud.list_all(), *await world.private.list_all())}
        return (
            {row.key.name: row.scaling.target for row in rows} == floors
            and world.serving() == floors
            and {i.id for i in live} == set(world.runtime.running())
            and len(live) == sum(floors.values())
            and all(host.state == HostState.READY for host in ledger)
            and {host.id for host in ledger} == machines
            and not any(host.kind == "cloud" for host in ledger)
        )

    async def _surge(self, world: World) -> None:
        await self._clock.sleep(SURGE_AT_S)
        world.rates = {"feed": BASE_REQUESTS_PER_S * SURGE_FACTOR}
        await self._clock.sleep(SURGE_S)
        world.rates = {"feed": BASE_REQUESTS_PER_S}

    async def _lose_host(self, world: World) -> None:
        await self._clock.sleep(self._faults.lose_host_at_s)
        ready = [h for h in await world.database.read(hosts.current) if h.state == HostState.READY]
        if not ready:
            return
        lost = self._rng.choice(ready)
        self._lost_host = lost.id
        world.runtime.lose_host(lost.id)
        await world.private.delete((lost.id,))
        await world.cloud.lose(lost.id)

    async def _cut_off_host(self, world: World) -> None:
        await self._clock.sleep(self._faults.cut_off_at_s)
        ready = [h for h in await world.database.read(hosts.current) if h.state == HostState.READY]
        if not ready:
            return
        self._cut_off_host_id = self._rng.choice(ready).id
        world.engines.cut(self._cut_off_host_id)
        world.invariants.silent[self._cut_off_host_id] = self._clock.now() + GRACE_S
        await self._clock.sleep(self._faults.cut_off_for_s)
        del world.invariants.silent[self._cut_off_host_id]
        world.engines.mend(self._cut_off_host_id)

    async def _hide_metrics(self, world: World) -> None:
        await self._clock.sleep(self._faults.metrics_missing_from_s)
        windows = int(self._faults.metrics_missing_for_s / world.settings.timing.sample_s)
        if windows:
            world.balancer.fail("traffic", DriverError("no answer"), times=windows)

    async def _note_peaks(self, world: World) -> None:
        while True:
            self._peak_instances = max(self._peak_instances, sum(world.serving().values()))
            machines = await world.cloud.list_all()
            self._shown.note(machines, self._clock.now())
            self._peak_cloud_hosts = max(self._peak_cloud_hosts, len(machines))
            await self._clock.sleep(1.0)

    async def _result(self, world: World, converged_s: float | None) -> SurgeResult:
        log_hash = await world.database.read(events.log_hash)
        return SurgeResult(
            seed=self._seed,
            log_hash=log_hash,
            events=await world.database.read(events.count),
            crashes=self._crashes,
            lost_host=self._lost_host,
            cut_off_host=self._cut_off_host_id,
            checks=world.invariants.checks,
            peak_instances=self._peak_instances,
            peak_cloud_hosts=self._peak_cloud_hosts,
            converged_s=converged_s,
            violation=self._violation,
        )
