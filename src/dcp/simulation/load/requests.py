"""Every single request of a surge on a virtual clock: services as queues before the production engine.

An instance works on so many requests at a time, the rest wait first come, first served. A request works for its time,
then calls its dependencies side by side through the balancer, and keeps its place until all have answered; a call that
takes too long is given up, and made again where that is allowed. So a slow dependency makes its callers slow, and
tails, retries and queues are those of the requests themselves. Seconds of processor for a hundred thousand requests;
for millions there is the fluid of `simulation.traffic`.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from dcp.engine.settings import EngineSettings
from dcp.orchestration.services.model import ApplicationSpec, ServiceKey
from dcp.simulation.load.faults import Fault, happen
from dcp.simulation.load.ground import Ground, make_ground
from dcp.simulation.load.model import Site
from dcp.simulation.virtual_time import run_virtual

LOOK_S = 0.25


@dataclass(frozen=True, slots=True)
class ServiceQueue:
    """How an instance works: `concurrency` requests at a time, `service_ms` each, give or take a share of `spread`."""

    concurrency: int
    service_ms: float
    spread: float = 0.0
    timeout_s: float = 60.0
    """Whoever calls it gives up after that."""
    retries: int = 0
    """And calls again so often."""


@dataclass(frozen=True, slots=True)
class RequestScenario:
    """One application, how its services work, and when requests enter."""

    spec: ApplicationSpec
    queues: Mapping[str, ServiceQueue]
    entry: str
    arrivals_s: Callable[[int], Iterator[float]]
    """From a seed to the instants at which requests enter, in order."""
    lasts_s: float
    settings: EngineSettings
    site: Site
    faults: tuple[Fault, ...] = ()


@dataclass(slots=True)
class SecondCount:
    """What became of the requests that entered in one second."""

    second: int
    offered: int = 0
    failed: int = 0
    slow: int = 0


@dataclass(frozen=True, slots=True)
class RequestRun:
    """What one run gave."""

    seconds: tuple[SecondCount, ...]
    peak_instances: Mapping[str, int]
    peak_cloud_hosts: int
    cloud_host_s: float


def simulate_requests(scenario: RequestScenario, seed: int) -> RequestRun:
    """Run a scenario once. Raises RuntimeError if the controller met a fault of its own."""
    return run_virtual(_Run(scenario, seed).play())


@dataclass(slots=True)
class _Run:
    scenario: RequestScenario
    seed: int
    ground: Ground = field(init=False)
    rng: random.Random = field(init=False)
    slots: dict[str, asyncio.Semaphore] = field(default_factory=dict)
    owed: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Parts of calls that are not due yet, in thousandths: 0.4 calls a request are 0, 0, 1, 0, 1."""
    seconds: dict[int, SecondCount] = field(default_factory=dict)

    async def play(self) -> RequestRun:
        scenario = self.scenario
        self.rng = random.Random(f"{self.seed}/work")
        self.ground = make_ground(scenario.spec, scenario.site, scenario.settings, self.seed)
        await self.ground.begin()
        begins_at = self.ground.clock.now()
        load = asyncio.create_task(self._send(begins_at))
        faults = asyncio.create_task(happen(self.ground, scenario.faults, self.seed))
        peaks: Counter[str] = Counter()
        peak_hosts, host_s = 0, 0.0
        while self.ground.clock.now() < begins_at + scenario.lasts_s or not load.done():
            running = Counter(one.rpartition("-")[0] for one in self.ground.runtime.running())
            peaks |= running
            hosts = len(await self.ground.cloud.list_all())
            peak_hosts, host_s = max(peak_hosts, hosts), host_s + hosts * LOOK_S
            await self.ground.clock.sleep(LOOK_S)
            self.ground.check()
        await load
        await faults
        await self.ground.end()
        seconds = tuple(self.seconds[number] for number in sorted(self.seconds))
        return RequestRun(seconds, dict(peaks), peak_hosts, host_s)

    async def _send(self, begins_at: float) -> None:
        """Let requests enter on schedule, whatever becomes of the earlier ones; return when all are answered."""
        async with asyncio.TaskGroup() as group:
            for at_s in self.scenario.arrivals_s(self.seed):
                await self.ground.clock.sleep(begins_at + at_s - self.ground.clock.now())
                group.create_task(self._enter(at_s))

    async def _enter(self, at_s: float) -> None:
        count = self.seconds.setdefault(int(at_s), SecondCount(int(at_s)))
        count.offered += 1
        began_at = self.ground.clock.now()
        answered = await self._ask(self.scenario.entry)
        took_ms = (self.ground.clock.now() - began_at) * 1000
        count.failed += not answered
        count.slow += took_ms > self.scenario.spec.service(self.scenario.entry).slow_threshold_ms

    async def _ask(self, service: str) -> bool:
        """Ask one service through the balancer; return whether it answered well."""
        queue = self.scenario.queues[service]
        for _ in range(1 + queue.retries):
            try:
                async with asyncio.timeout(queue.timeout_s):
                    if await self._once(service, queue):
                        return True
            except TimeoutError:
                continue
        return False

    async def _once(self, service: str, queue: ServiceQueue) -> bool:
        key = ServiceKey(self.scenario.spec.name, service)
        try:
            endpoint = self.ground.balancer.begin(key)
        except ConnectionRefusedError:
            return False
        if endpoint is None:
            return False
        began_at, answered = self.ground.clock.now(), False
        try:
            slots = self.slots.setdefault(endpoint.instance_id, asyncio.Semaphore(queue.concurrency))
            async with slots:
                factor = 1 + queue.spread * self.rng.uniform(-1, 1)
                await self.ground.clock.sleep(queue.service_ms * factor / 1000)
                answered = await self._call_dependencies(service)
            # Whoever ended meanwhile has cut its requests off.
            answered = answered and endpoint.instance_id in self.ground.runtime.running()
            return answered
        finally:
            took_ms = (self.ground.clock.now() - began_at) * 1000
            self.ground.balancer.end(key, endpoint, took_ms, failed=not answered)

    async def _call_dependencies(self, service: str) -> bool:
        due = []
        for call in self.scenario.spec.service(service).calls:
            edge = (service, call.service)
            self.owed[edge] += round(call.per_request * 1000)
            count, self.owed[edge] = divmod(self.owed[edge], 1000)
            due += [call.service] * count
        if len(due) == 1:
            return await self._ask(due[0])
        return all(await asyncio.gather(*(self._ask(one) for one in due))) if due else True
