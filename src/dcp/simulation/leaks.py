"""The scenario of the leak test: hosts come and go under faults, and the controller dies at one given boundary.

Small on purpose, because it is played once for every boundary there is: every write, and every call that has an
effect, before it and after it. What is asked at the end is always the same: no machine is left that nobody holds, none
was made twice, and the ledger holds nothing any more.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from dcp.drivers.balancers.fake import FakeBalancer
from dcp.drivers.clouds.fake import CloudLimits, FakeCloud, Place
from dcp.drivers.clouds.private import PrivateHosts, PrivatePool
from dcp.drivers.runtimes.fake import Behaviour, FakeRuntime
from dcp.engine import commands
from dcp.engine.context import Context
from dcp.engine.controller import Controller
from dcp.engine.settings import EngineSettings
from dcp.hosts.model import HostType, Resources, SourceLimits, Variant
from dcp.hosts.states import ENDED
from dcp.kernel.clock import LoopClock
from dcp.kernel.errors import DriverError, Throttled
from dcp.orchestration.scaling.model import Timing
from dcp.orchestration.services.model import ApplicationSpec, Elastic, ServiceSpec
from dcp.orchestration.services.ports import OneRuntime
from dcp.simulation.crash import CrashingDatabase, CrashingDriver, Fuse, end_all
from dcp.simulation.virtual_time import run_virtual
from dcp.store import applications, events, hosts, instances, leases
from dcp.store.database import InlineDatabase

SHAPE = Resources(cpu_millis=1000, memory_bytes=1 << 30)
INSTANCES = 6
PRIVATE = 2
LOOKING = frozenset({"list_all", "offers", "observe", "check", "traffic", "endpoints"})
"""Calls without an effect: dying beside one is dying beside the effect before or after it."""
DOWNTIME_S = 2.0
GIVE_UP_S = 400.0


@dataclass(frozen=True, slots=True)
class LeakResult:
    """What one run left."""

    boundaries: int
    """Passed by the first incarnation of the controller."""
    crashed: bool
    served: bool
    """Whether all instances served at one time."""
    ended_s: float | None
    """Virtual seconds until everything was given back; None: never."""
    left: tuple[str, ...]
    """Machines that some source still has."""
    held: tuple[str, ...]
    """Hosts that the ledger still holds."""
    twice: tuple[str, ...]
    """Hosts for which more than one machine was made, and tokens that came again with other hosts."""
    unexpected: tuple[str, ...]
    """Errors of the controller that it should not have."""
    machines: int
    """Made by the cloud."""
    reasons: frozenset[str]
    """Of all events."""


def simulate_leaks(crash_at: int | None = None) -> LeakResult:
    """Play the scenario; the controller dies at boundary `crash_at`, counted from 1 (None: it does not)."""
    return run_virtual(_Run(crash_at).play())


def settings() -> EngineSettings:
    """Return limits for a scenario of some virtual minutes."""
    return EngineSettings(
        timing=replace(Timing().scaled(60.0), host_linger_s=4.0),
        lease_ttl_s=60.0,
        poll_s=2.0,
        busy_poll_s=1.0,
        drain_limit_s=2.0,
        boot_limit_s=60.0,
        lost_after_s=5.0,
        stock_memory_s=30.0,
        shown_within_s=20.0,
        delete_again_s=3.0,
        leak_grace_s=6.0,
    )


def application() -> ApplicationSpec:
    """Return one service whose instances fill a host each."""
    elastic = Elastic(min_instances=INSTANCES, max_instances=INSTANCES)
    web = ServiceSpec("web", ("web",), SHAPE, replicas=INSTANCES, elastic=elastic, stop_grace_s=1.0)
    return ApplicationSpec("shop", (web,))


def make_cloud(clock: LoopClock) -> FakeCloud:
    """Return a cloud with little of what is cheap, that loses calls and answers, and lags."""
    small = HostType("small", SHAPE, price_usd_per_hour=0.1, boot_s=3.0)
    large = HostType("large", SHAPE, price_usd_per_hour=0.3, boot_s=3.0)
    places = (
        Place("small", Variant("a", 0.1), 1),
        Place("small", Variant("b", 0.12), 1),
        Place("large", Variant("a", 0.3), 8),
    )
    asked = SourceLimits(batch=3, in_flight=4)
    cloud = FakeCloud(
        "cloud", clock, types=(small, large), limits=CloudLimits(places=places, knows_ids=False), asked=asked
    )
    cloud.faults.lost_calls = 1
    cloud.faults.created_but_timed_out = 2
    cloud.faults.hide_new_s = 3.0
    cloud.faults.show_deleted_s = 1.0
    cloud.faults.ignored_deletes = 1
    cloud.fail("delete", DriverError("no answer"))
    cloud.fail("list_all", Throttled("slow down", delay_s=2.0))
    return cloud


class _Run:
    """One run. `play` gives the result."""

    def __init__(self, crash_at: int | None) -> None:
        self._first = Fuse(crash_at)
        self._unexpected: list[str] = []

    async def play(self) -> LeakResult:
        self._clock = LoopClock()
        self._began = self._clock.now()
        self._database = InlineDatabase()
        self._private = PrivatePool("private", None, [PrivateHosts(HostType("slice", SHAPE), PRIVATE)])
        self._cloud = make_cloud(self._clock)
        self._balancer = FakeBalancer(self._clock)
        self._runtime = FakeRuntime(self._clock, rng=random.Random(1), default=Behaviour(healthy_after_s=(0.2, 0.2)))
        outside = self._context(Fuse(None))
        await commands.apply(outside, application())
        running = asyncio.create_task(self._keep_running(), name="controllers")
        served = await self._until(self._all_serve)
        await commands.remove(outside, "shop")
        ended = await self._until(self._all_gone)
        ended_s = self._clock.now() - self._began if ended else None
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        result = await self._result(served=served, ended_s=ended_s)
        self._database.close()
        return result

    def _context(self, fuse: Fuse) -> Context:
        return Context(
            controller_id=f"controller-{id(fuse)}",
            clock=self._clock,
            database=CrashingDatabase(self._database, fuse, effects_only=True),
            runtimes=OneRuntime(CrashingDriver(self._runtime, fuse, LOOKING)),
            balancer=CrashingDriver(self._balancer, fuse, LOOKING),
            sources=tuple(CrashingDriver(one, fuse, LOOKING) for one in (self._private, self._cloud)),
            settings=settings(),
        )

    async def _keep_running(self) -> None:
        """Run a controller, and after its death a second one, which does not die."""
        for fuse in (self._first, Fuse(None)):
            before = asyncio.all_tasks()
            context = self._context(fuse)
            controller = asyncio.create_task(Controller(context).run(), name="controller")
            try:
                await fuse.burnt.wait()
            finally:
                self._unexpected += [repr(error) for error in context.unexpected]
                if controller.done() and not controller.cancelled() and not fuse.burnt.is_set():
                    self._unexpected.append(f"the controller ended: {controller.exception()!r}")
                await end_all(asyncio.all_tasks() - before - {asyncio.current_task()})
            await self._clock.sleep(DOWNTIME_S)
            await self._database.write(leases.break_all)

    async def _until(self, condition: Callable[[], Awaitable[bool]]) -> bool:
        give_up_at = self._clock.now() + GIVE_UP_S
        while not await condition():
            if self._clock.now() > give_up_at:
                return False
            await self._clock.sleep(1.0)
        return True

    async def _all_serve(self) -> bool:
        live = await self._database.read(instances.live)
        return sum(one.serving_at is not None for one in live) == INSTANCES

    async def _all_gone(self) -> bool:
        names = await self._database.read(applications.names)
        return not names and not await self._database.read(hosts.current) and not await self._machines()

    async def _machines(self) -> tuple[str, ...]:
        taken = await self._private.list_all()
        return (*(one.host_id for one in taken), *await self._cloud.really_there())

    async def _result(self, *, served: bool, ended_s: float | None) -> LeakResult:
        twice = [host_id for host_id, times in self._cloud.creations.items() if times > 1]
        ledger = await self._database.read(hosts.every)
        logged = await self._database.read(lambda connection: events.newest(connection, 100_000))
        return LeakResult(
            boundaries=self._first.passed,
            crashed=self._first.burnt.is_set(),
            served=served,
            ended_s=ended_s,
            left=await self._machines(),
            held=tuple(host.id for host in ledger if host.state not in ENDED),
            twice=(*twice, *self._cloud.misused_tokens),
            unexpected=tuple(self._unexpected),
            machines=sum(self._cloud.creations.values()),
            reasons=frozenset(one.event.reason for one in logged),
        )
