"""Business lines beside each other under quotas and caps: loads come and go, the controller dies now and then.

Checked after every write, in plain SQL apart from the words that the planner has for it: no cluster has more hosts,
more cloud hosts or a higher hourly price than it may; nothing of one cluster stands on a host of another; no cloud host
is asked for while a private one that the cluster may use is free at its source, or idle in the hands of another cluster
whose owner lends; what an owner claims back it gets in time. At the end the ledger of costs must say what the
cloud's own machines cost. Everything is drawn from the seed.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NoReturn, TypeVar

from sqlalchemy import Connection

from dcp.drivers.balancers.fake import FakeBalancer
from dcp.drivers.clouds.fake import FakeCloud
from dcp.drivers.clouds.fake_limits import CloudLimits
from dcp.drivers.clouds.private import PrivateHosts, PrivatePool
from dcp.drivers.runtimes.fake import Behaviour, FakeRuntime
from dcp.engine import commands
from dcp.engine.context import Context
from dcp.engine.controller import Controller
from dcp.engine.settings import EngineSettings
from dcp.hosts.clusters import Cluster, SourceAccess
from dcp.hosts.model import HostType, Resources
from dcp.hosts.ports import HostSource
from dcp.kernel.clock import LoopClock
from dcp.orchestration.scaling.model import Timing
from dcp.orchestration.services.model import ApplicationSpec, Capacity, Elastic, ServiceKey, ServiceSpec
from dcp.orchestration.services.ports import OneRuntime
from dcp.simulation.bill import Shown, fault_of_bill
from dcp.simulation.traffic import Fluid
from dcp.simulation.virtual_time import run_virtual
from dcp.store import leases
from dcp.store.database import InlineDatabase

T = TypeVar("T")
SHAPE = Resources(cpu_millis=1000, memory_bytes=1 << 30)
PRIVATE_HOSTS = {"own-news": 3, "own-games": 2, "shared": 2}
ACCESS = (SourceAccess("own-news", ("news",)), SourceAccess("own-games", ("games",)))
CHEAP_USD, DEAR_USD = 0.10, 0.25
LASTS_S, TICK_S = 240.0, 0.5
LIVE = "state NOT IN ('released', 'failed')"
BY_CLUSTER = (
    "SELECT cluster, count(*), sum(kind = 'cloud'), sum(CASE kind WHEN 'cloud' THEN"
    " CAST(json_extract(host_type, '$.price_usd_per_hour') AS REAL) ELSE 0 END)"
    f" FROM hosts WHERE {LIVE} GROUP BY cluster"
)
STRANGERS = (
    "SELECT i.id, i.application, h.cluster FROM instances i JOIN hosts h ON h.id = i.host_id"
    " WHERE i.ended_at IS NULL AND i.application != h.cluster"
)
"""Applications are called as their cluster here."""
NEW_HOSTS = "SELECT id, source, kind, cluster, requested_at FROM hosts ORDER BY id"
IDLE = (
    "SELECT id, source FROM hosts h WHERE kind = 'private' AND state = 'ready' AND leave_by IS NULL AND cluster != ?1"
    " AND reason != 'handed-over' AND changed_at < ?2 AND NOT EXISTS"
    " (SELECT 1 FROM instances WHERE host_id = h.id AND (ended_at IS NULL OR ended_at >= ?2)) ORDER BY id"
)
"""Private hosts that others have had for nothing since a time."""
OVERDUE = (
    "SELECT id, cluster, claimed_by FROM hosts WHERE state = 'cordoned' AND claimed_by IS NOT NULL AND leave_by < ?"
)
IDLE_FOR_S = 1.0
"""Plans decide from what they read; what others left since then they cannot know."""
HANDED_OVER_WITHIN_S = 20.0
"""Beyond the notice: connections drain, instances stop, a dead controller is followed by the next."""
HELD = f"SELECT source, count(*) FROM hosts WHERE {LIVE} GROUP BY source"


@dataclass(frozen=True, slots=True)
class ClustersResult:
    """What one seed gave; `violation` is empty if every property held."""

    seed: int
    checks: int
    deaths: int
    peak_hosts: tuple[tuple[str, int], ...]
    peak_usd_per_hour: tuple[tuple[str, float], ...]
    refused: int
    """Times that a bound was said to hold a plan back."""
    borrowed: int
    """Times that an idle host went from one cluster to another."""
    claimed: int
    """Times that an owner got one back."""
    violation: str


def simulate_clusters(seed: int) -> ClustersResult:
    """Run once. Never raises for a broken property; it is in the result."""
    return run_virtual(_Run(seed).play())


@dataclass(slots=True)
class CheckedDatabase:
    """The store; each committed write is checked."""

    clusters: dict[str, Cluster]
    clock: LoopClock
    inner: InlineDatabase = field(default_factory=InlineDatabase)
    checks: int = 0
    violation: str = ""
    peak_hosts: dict[str, int] = field(default_factory=dict)
    peak_usd: dict[str, float] = field(default_factory=dict)
    _known: int = 0

    async def read(self, work: Callable[[Connection], T]) -> T:
        return await self.inner.read(work)

    async def write(self, work: Callable[[Connection], T]) -> T:
        def checked(connection: Connection) -> T:
            result = work(connection)
            self.after_write(connection)
            return result

        return await self.inner.write(checked)

    def close(self) -> None:
        self.inner.close()

    def after_write(self, connection: Connection) -> None:
        """Look at every bound."""
        self.checks += 1
        for name, count, cloud, usd in connection.exec_driver_sql(BY_CLUSTER).all():
            self._bounds(self.clusters[name], count, cloud, usd)
        for instance, application, cluster in connection.exec_driver_sql(STRANGERS).all():
            self._break(f"{instance} of {application} stands on a host of {cluster}")
        due = self.clock.now() - HANDED_OVER_WITHIN_S
        for host, cluster, owner in connection.exec_driver_sql(OVERDUE, (due,)).all():
            self._break(f"{host} is still with {cluster}, {owner} should have it back by now")
        self._private_first(connection)

    def _bounds(self, cluster: Cluster, count: int, cloud: int, usd: float) -> None:
        self.peak_hosts[cluster.name] = max(self.peak_hosts.get(cluster.name, 0), count)
        self.peak_usd[cluster.name] = max(self.peak_usd.get(cluster.name, 0.0), usd)
        if cluster.max_hosts is not None and count > cluster.max_hosts:
            self._break(f"{cluster.name} has {count} hosts, its quota is {cluster.max_hosts}")
        if cluster.max_cloud_hosts is not None and cloud > cluster.max_cloud_hosts:
            self._break(f"{cluster.name} has {cloud} cloud hosts, its quota is {cluster.max_cloud_hosts}")
        if cluster.hard_cap_usd_per_hour is not None and usd > cluster.hard_cap_usd_per_hour + 1e-9:
            self._break(f"{cluster.name} costs ${usd:g} an hour, its cap is ${cluster.hard_cap_usd_per_hour:g}")

    def _private_first(self, connection: Connection) -> None:
        rows = connection.exec_driver_sql(NEW_HOSTS).all()
        if len(rows) == self._known:
            return
        new, self._known = len(rows) - self._known, len(rows)
        held = {row[0]: row[1] for row in connection.exec_driver_sql(HELD).all()}
        newest = sorted(rows, key=lambda row: int(row.id.rpartition("-")[2]))[-new:]
        for row in newest:
            if row.kind != "cloud":
                continue
            closed = {one.source for one in ACCESS if row.cluster not in one.clusters and not self._lend(one.clusters)}
            for source, count in PRIVATE_HOSTS.items():
                if source not in closed and held.get(source, 0) < count:
                    self._break(f"{row.id} was asked for by {row.cluster} while {source} has a host free")
            since = row.requested_at - IDLE_FOR_S
            for host, source in connection.exec_driver_sql(IDLE, (row.cluster, since)).all():
                if source not in closed:
                    self._break(f"{row.id} was asked for by {row.cluster} while {host} is idle")

    def _lend(self, owners: tuple[str, ...]) -> bool:
        return all(self.clusters[owner].lends for owner in owners)

    def _break(self, words: str) -> NoReturn:
        self.violation = self.violation or words
        raise AssertionError(words)


class _Run:
    """One seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._rng = random.Random(seed)
        self._deaths = 0

    async def play(self) -> ClustersResult:
        self._make_world()
        for spec in self._specs:
            await commands.apply(self._context(), spec)
        load = asyncio.create_task(self._load())
        faults: list[str] = []
        while self._clock.now() < self._until and not self._database.violation and not faults:
            faults = await self._one_life()
        load.cancel()
        await asyncio.gather(load, return_exceptions=True)
        if not self._database.violation and not faults:
            made, now = self._cloud.creations, self._clock.now()
            bill = await self._database.read(lambda connection: fault_of_bill(connection, self._shown, made, now))
            faults = [bill] if bill else []
        refused = await self._database.read(
            lambda connection: connection.exec_driver_sql(
                "SELECT count(*) FROM events WHERE words LIKE '%quota%' OR words LIKE '%cap of cluster%'"
            ).scalar_one()
        )
        return ClustersResult(
            seed=self._seed,
            borrowed=await self._told("taken-over"),
            claimed=await self._told("handed-over"),
            checks=self._database.checks,
            deaths=self._deaths,
            peak_hosts=tuple(sorted(self._database.peak_hosts.items())),
            peak_usd_per_hour=tuple(sorted(self._database.peak_usd.items())),
            refused=refused,
            violation=self._database.violation or "; ".join(faults),
        )

    async def _told(self, reason: str) -> int:
        query = "SELECT count(*) FROM events WHERE reason = ?"
        return await self._database.read(lambda c: int(c.exec_driver_sql(query, (reason,)).scalar_one()))

    async def _one_life(self) -> list[str]:
        """Let a controller work until it dies or all is over; return faults of its own."""
        context = self._context()
        controller = asyncio.create_task(Controller(context).run())
        dies_at = self._clock.now() + self._rng.uniform(20.0, 120.0)
        while self._clock.now() < min(dies_at, self._until) and not self._database.violation:
            await self._clock.sleep(1.0)
            if context.unexpected or controller.done():
                break
        unexpected = [repr(error) for error in context.unexpected if not self._database.violation]
        controller.cancel()
        await asyncio.gather(controller, return_exceptions=True)
        await self._clock.sleep(self._rng.uniform(0.1, 4.0))
        await self._database.inner.write(leases.break_all)
        self._deaths += 1
        return unexpected

    def _make_world(self) -> None:
        rng = self._rng
        self._clock = LoopClock()
        self._until = self._clock.now() + LASTS_S
        bounded = (
            Cluster(
                "news", max_cloud_hosts=rng.randrange(0, 6), hard_cap_usd_per_hour=rng.choice((None, 0.3, 0.5, 1.0))
            ),
            Cluster("games", max_hosts=rng.randrange(3, 9), hard_cap_usd_per_hour=rng.choice((None, 0.2, 0.7))),
        )
        consent = random.Random(self._seed)  # of its own: loads stay what they were without it
        clusters = tuple(
            replace(one, lends=consent.random() < 0.7, claim_notice_s=consent.choice((0.0, 5.0, 15.0)))
            for one in bounded
        )
        self._database = CheckedDatabase({one.name: one for one in clusters}, self._clock)
        self._balancer = FakeBalancer(self._clock)
        self._runtime = FakeRuntime(self._clock, rng=rng, default=Behaviour(healthy_after_s=(0.2, 1.0), stop_s=0.2))
        types = (HostType("c1", SHAPE, CHEAP_USD, boot_s=4.0), HostType("c2", SHAPE, DEAR_USD, boot_s=3.0))
        limits = CloudLimits(stock=(("c1", rng.randrange(1, 5)),), boot_spread=0.5)
        self._shown = Shown()
        self._cloud = FakeCloud("cloud", self._clock, types=types, limits=limits, rng=rng)
        pools = (
            PrivatePool(name, None, [PrivateHosts(HostType("own", SHAPE), count)])
            for name, count in PRIVATE_HOSTS.items()
        )
        self._sources: tuple[HostSource, ...] = (*pools, self._cloud)
        timing = replace(Timing().scaled(60.0), shrink_after_s=15.0)
        self._settings = EngineSettings(
            timing=timing,
            poll_s=2.0,
            busy_poll_s=1.0,
            lost_after_s=3.0,
            stock_memory_s=10.0,
            cost_every_s=10.0,
            cost_lag_s=1.0,
            seed=self._seed,
            clusters=clusters,
            access=ACCESS,
        )
        self._specs = tuple(_application(one.name) for one in clusters)
        self._fluids = {spec.name: Fluid(spec, {"web": 40.0}) for spec in self._specs}

    def _context(self) -> Context:
        return Context(
            controller_id=f"controller-{self._deaths}",
            clock=self._clock,
            database=self._database,
            runtimes=OneRuntime(self._runtime),
            balancer=self._balancer,
            sources=self._sources,
            settings=self._settings,
        )

    async def _load(self) -> None:
        """Each application's load jumps now and then, up or down."""
        rates = dict.fromkeys(self._fluids, 20.0)
        while True:
            await self._clock.sleep(TICK_S)
            self._shown.note(await self._cloud.list_all(), self._clock.now())
            for name, fluid in self._fluids.items():
                if self._rng.random() < TICK_S / 30.0:
                    rates[name] = self._rng.choice((10.0, 40.0, 150.0, 400.0))
                key = ServiceKey(name, "web")
                running = self._runtime.running()
                serving = sum(1 for one in self._balancer.current(key) if one.instance_id in running)
                fluid.advance({"web": rates[name]}, {"web": serving}, TICK_S)
                self._balancer.set_traffic(key, fluid.queues["web"].counted())


def _application(name: str) -> ApplicationSpec:
    service = ServiceSpec(
        name="web",
        command=("web",),
        resources=Resources(cpu_millis=450, memory_bytes=64 << 20),
        elastic=Elastic(1, 40),
        capacity=Capacity(units_per_s=80.0, requests_per_s=40.0),
        stop_grace_s=1.0,
    )
    return ApplicationSpec(name, (service,), cluster=name)
