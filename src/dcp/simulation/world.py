"""The world around the controller: the store and fake drivers that outlive it, and the load on them.

Everything the controller touches goes through this module's checked drivers, so that each property is looked at where
it would break.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from sqlalchemy import Connection

from dcp.drivers.balancers.fake import VERBS, FakeBalancer
from dcp.drivers.clouds.fake import CloudLimits, FakeCloud
from dcp.drivers.clouds.private import PrivateHosts, PrivatePool
from dcp.drivers.runtimes.fake import Behaviour, FakeRuntime
from dcp.drivers.runtimes.fake_engines import FakeEngines
from dcp.engine.settings import EngineSettings
from dcp.hosts.model import HostType, Resources, SourceHost
from dcp.hosts.ports import HostSource
from dcp.kernel.clock import LoopClock
from dcp.orchestration.services.model import ApplicationSpec, Observation, ServiceKey, StartOrder
from dcp.orchestration.traffic.model import Endpoint
from dcp.simulation.invariants import Invariants
from dcp.simulation.traffic import Fluid
from dcp.store.database import InlineDatabase

T = TypeVar("T")
TICK_S = 0.5
PRIVATE_HOSTS = 4


class CheckedDatabase:
    """The store that outlives every controller; each committed write is checked."""

    def __init__(self, invariants: Invariants) -> None:
        self.inner = InlineDatabase()
        self._invariants = invariants

    async def read(self, work: Callable[[Connection], T]) -> T:
        return await self.inner.read(work)

    async def write(self, work: Callable[[Connection], T]) -> T:
        def checked(connection: Connection) -> T:
            result = work(connection)
            self._invariants.after_write(connection)
            return result

        return await self.inner.write(checked)

    def close(self) -> None:
        self.inner.close()


class CheckedBalancer(FakeBalancer):
    """The fake proxy; looks at every endpoint it is given."""

    def watch(self, database: CheckedDatabase, invariants: Invariants) -> None:
        """Check from now on."""
        self._database = database
        self._invariants = invariants

    async def set_endpoints(self, service: ServiceKey, endpoints: tuple[Endpoint, ...], fence: int) -> None:
        await super().set_endpoints(service, endpoints, fence)
        await self._database.read(lambda connection: self._invariants.endpoints_set(connection, endpoints))


class CheckedRuntime(FakeRuntime):
    """The fake runtime; looks at every start and stop."""

    def watch(self, balancer: CheckedBalancer, invariants: Invariants) -> None:
        """Check from now on."""
        self._balancer = balancer
        self._invariants = invariants

    async def start(self, order: StartOrder) -> Observation:
        try:
            return await super().start(order)
        finally:
            self._invariants.started(order.instance_id, self.starts[order.instance_id])

    async def stop(self, instance_id: str, grace_s: float) -> None:
        if instance_id in self.running():
            self._invariants.stopping(instance_id, self._balancer.all_endpoints())
        await super().stop(instance_id, grace_s)


class WithEngines:
    """A source all of whose hosts have a container engine."""

    def __init__(self, inner: HostSource) -> None:
        self.name, self.kind, self.limits = inner.name, inner.kind, inner.limits
        self.offers, self.create, self.delete = inner.offers, inner.create, inner.delete
        self._inner = inner

    async def list_all(self) -> tuple[SourceHost, ...]:
        return tuple(replace(one, engine=f"fake://{one.host_id}") for one in await self._inner.list_all())


@dataclass(slots=True)
class World:
    """All that stays when a controller dies."""

    spec: ApplicationSpec
    settings: EngineSettings
    clock: LoopClock
    invariants: Invariants
    database: CheckedDatabase
    balancer: CheckedBalancer
    runtime: CheckedRuntime
    engines: FakeEngines
    private: PrivatePool
    cloud: FakeCloud
    fluid: Fluid
    rates: Mapping[str, float] = field(default_factory=dict)
    """Requests per second that arrive from outside now, by service."""

    async def drive(self) -> None:
        """Move requests until cancelled."""
        while True:
            await self.clock.sleep(TICK_S)
            serving = self.serving()
            self.fluid.advance(self.rates, serving, TICK_S)
            for name, queue in self.fluid.queues.items():
                self.balancer.set_traffic(ServiceKey(self.spec.name, name), queue.counted())

    def serving(self) -> dict[str, int]:
        """Return how many running instances of each service the proxy sends requests to."""
        running = self.runtime.running()
        counts: dict[str, int] = {}
        for service in self.spec.services:
            endpoints = self.balancer.current(ServiceKey(self.spec.name, service.name))
            counts[service.name] = sum(1 for e in endpoints if not e.draining and e.instance_id in running)
        return counts


def make_world(
    spec: ApplicationSpec, settings: EngineSettings, rng: random.Random, service_ms: Mapping[str, float]
) -> World:
    """Return a fresh world; every random draw comes from `rng`."""
    clock = LoopClock()
    invariants = Invariants(private_hosts=PRIVATE_HOSTS)
    database = CheckedDatabase(invariants)
    balancer = CheckedBalancer(clock)
    balancer.delays_s = dict.fromkeys(VERBS, 0.0)  # yields, so that other workers run in the middle of a step
    balancer.watch(database, invariants)
    runtime = CheckedRuntime(clock, rng=rng, default=Behaviour(healthy_after_s=(0.2, 1.5), stop_s=0.2))
    runtime.watch(balancer, invariants)
    shape = Resources(cpu_millis=1000, memory_bytes=1 << 30)
    private = PrivatePool("private", None, [PrivateHosts(HostType("slice", shape), PRIVATE_HOSTS)])
    cloud_type = HostType("c1", shape, price_usd_per_hour=0.1, boot_s=4.0)
    cloud = FakeCloud("cloud", clock, types=[cloud_type], limits=CloudLimits(boot_spread=0.5), rng=rng)
    return World(
        spec=spec,
        settings=settings,
        clock=clock,
        invariants=invariants,
        database=database,
        balancer=balancer,
        runtime=runtime,
        engines=FakeEngines(runtime, clock),
        private=private,
        cloud=cloud,
        fluid=Fluid(spec, service_ms),
    )
