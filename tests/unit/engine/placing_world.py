"""Hosts that are ready, applications to place on them, and several controllers over one database; nothing runs."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, text

from dcp.drivers.balancers.fake import FakeBalancer
from dcp.drivers.clouds.private import PrivateHosts, PrivatePool
from dcp.drivers.runtimes.fake import FakeRuntime
from dcp.engine import commands
from dcp.engine.application import Loaded, load
from dcp.engine.context import Context
from dcp.engine.placing import Written, write_plan
from dcp.engine.settings import EngineSettings
from dcp.hosts.model import Host, HostType, Resources, SourceKind
from dcp.hosts.states import HostState
from dcp.kernel.clock import SystemClock
from dcp.orchestration.scaling.decide import decide_application
from dcp.orchestration.scaling.plan import ApplicationPlan
from dcp.orchestration.services.model import ApplicationSpec, Instance, ServiceSpec
from dcp.orchestration.services.ports import OneRuntime
from dcp.simulation.invariants import USED_BY_HOST
from dcp.store import hosts, instances, leases
from dcp.store.database import Database
from dcp.store.leases import Lease

LEASE_S = 3600.0
LARGEST = HostType("large", Resources(64_000, 64 << 30))


def make_context(database: Database, name: str = "one", at_once: int = 2000) -> Context:
    clock = SystemClock()
    return Context(
        controller_id=name,
        clock=clock,
        database=database,
        runtimes=OneRuntime(FakeRuntime(clock)),
        balancer=FakeBalancer(clock),
        sources=(PrivatePool("private", None, [PrivateHosts(LARGEST, 0)]),),
        settings=EngineSettings(placements_at_once=at_once),
    )


def ready_hosts(cpus: Iterable[int], at: float) -> tuple[Host, ...]:
    """Return hosts `rack-1`, …, with so many thousandths of a processor each."""
    return tuple(
        Host(
            f"rack-{number}",
            "private",
            SourceKind.PRIVATE,
            HostType(f"of-{cpu_millis}", Resources(cpu_millis, 64 << 30)),
            HostState.READY,
            requested_at=at,
            changed_at=at,
        )
        for number, cpu_millis in enumerate(cpus, 1)
    )


def shop(name: str, replicas: int, cpu_millis: int = 100, constraints: tuple[str, ...] = ()) -> ApplicationSpec:
    shape = Resources(cpu_millis, 1 << 20)
    return ApplicationSpec(name, (ServiceSpec("feed", ("run",), shape, replicas=replicas, constraints=constraints),))


@dataclass(slots=True)
class Controller:
    """Plans one application, in two steps, so that others can come between."""

    context: Context
    application: str
    lease: Lease
    loaded: Loaded | None = None
    plan: ApplicationPlan | None = None

    async def decide(self) -> ApplicationPlan:
        self.loaded = await load(self.context, self.application)
        assert self.loaded is not None
        self.plan = decide_application(self.loaded.snapshot)
        return self.plan

    async def write(self) -> Written:
        """Write what was decided last."""
        assert self.plan is not None
        assert self.loaded is not None
        plan, self.plan = self.plan, None
        return await write_plan(self.context, self.lease, plan, self.loaded.snapshot, self.loaded.rows)

    async def own(self) -> tuple[Instance, ...]:
        return await self.context.database.read(lambda c: instances.live(c, self.application))


async def controller_of(context: Context, spec: ApplicationSpec) -> Controller:
    """Apply `spec` and take its lease."""
    await commands.apply(context, spec)
    now, subject = context.clock.now(), f"application/{spec.name}"
    lease = await context.database.write(lambda c: leases.acquire(c, subject, context.controller_id, now, LEASE_S))
    assert lease is not None
    return Controller(context, spec.name, lease)


async def add_hosts(database: Database, cpus: Iterable[int]) -> tuple[Host, ...]:
    added = ready_hosts(cpus, SystemClock().now())
    await database.write(lambda c: hosts.add(c, added))
    return added


def overcommitted(connection: Connection) -> dict[str, int]:
    """Return, for every host that has more than it can, how much of its processors was given."""
    totals = {host.id: host.host_type.resources for host in hosts.every(connection)}
    used = connection.execute(text(USED_BY_HOST)).all()
    return {host_id: cpu for host_id, cpu, memory in used if cpu > totals[host_id].cpu_millis or memory > 64 << 30}
