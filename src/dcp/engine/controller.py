"""One controller: takes leases on its share of the subjects and runs a worker for each.

Several controllers over one database share the subjects evenly. A worker whose lease is lost is cancelled at once;
a worker that fails backs off alone, so that a fault in one service leaves the others untouched.
"""

import asyncio
import math
from typing import Protocol, runtime_checkable

from sqlalchemy import Connection

from dcp.engine.application import ApplicationWorker
from dcp.engine.collector import SUBJECT as RUNTIME
from dcp.engine.collector import CollectorWorker
from dcp.engine.context import Context, log
from dcp.engine.cost.worker import SUBJECT as COST
from dcp.engine.cost.worker import CostWorker
from dcp.engine.discovery import SUBJECT as DISCOVERY
from dcp.engine.discovery import DiscoveryWorker
from dcp.engine.edge import SUBJECT as EDGE
from dcp.engine.edge import EdgeWorker
from dcp.engine.images.worker import SUBJECT as IMAGES
from dcp.engine.images.worker import ImagesWorker
from dcp.engine.initialising.worker import SUBJECT as INITIALISE
from dcp.engine.initialising.worker import InitialiseWorker
from dcp.engine.service import ServiceWorker
from dcp.engine.signals import SUBJECT as SIGNALS
from dcp.engine.signals import SignalsWorker
from dcp.engine.sources.worker import SourceWorker
from dcp.engine.warming.worker import NO_SITE, WarmingWorker
from dcp.engine.warming.worker import SUBJECT as SITE
from dcp.hosts.adding.model import SOURCE as ADDED
from dcp.hosts.model import Host
from dcp.hosts.states import COMING, HostState
from dcp.kernel.errors import DcpError, LeaseLost, Stale
from dcp.orchestration.services.model import ServiceKey
from dcp.orchestration.services.ports import HostEngine
from dcp.orchestration.traffic.ports import Opening
from dcp.store import applications, hosts, initialisations, instances, leases, machines, warming
from dcp.store.leases import Lease

BACK_OFF_LIMIT_S = 10.0


class Worker(Protocol):
    """Works on one subject."""

    subject: str

    async def step(self, lease: Lease) -> float:
        """Load, decide, apply once; return seconds until the next look."""
        ...


@runtime_checkable
class Closing(Protocol):
    """A worker with tasks of its own."""

    async def close(self) -> None:
        """End them."""
        ...


@runtime_checkable
class Pausing(Protocol):
    """A worker whose looks are dear."""

    pause_s: float
    """It looks no sooner after its last look, however often it is woken."""


class Controller:
    """Runs until cancelled."""

    def __init__(self, context: Context, address: str = "") -> None:
        self._context = context
        self._address = address
        self._started_at = context.clock.now()
        self._attached: tuple[HostEngine, ...] = ()
        self._opened = False
        self._running: dict[str, tuple[Lease, asyncio.Task[None]]] = {}

    async def run(self) -> None:
        """Hold leases and work until cancelled; then give the leases back."""
        try:
            while True:
                await self._tend()
                await self._context.wakes.wait("controller", self._context.settings.lease_ttl_s / 6)
        finally:
            await self._stop_all()

    async def leave(self) -> None:
        """Give every lease back, so that another controller takes over at once."""
        controller = self._context.controller_id
        await self._context.database.write(lambda connection: leases.leave(connection, controller))

    async def _tend(self) -> None:
        try:
            subjects, mine, share = await self._context.database.write(self._renew)
            await self._attach()
        except DcpError as error:
            log.error("leases cannot be renewed", error=str(error))
            return
        await self._open_balancer()
        for subject, (lease, task) in list(self._running.items()):
            if task.done() or (subject, lease.token) not in mine:
                await self._cancel(subject)
        for subject in [s for s in self._running if s not in subjects]:
            await self._give_back(subject)
        for subject in sorted(self._running)[share:]:
            await self._give_back(subject)
        await self._take(subjects, share)

    async def _open_balancer(self) -> None:
        """Answer the balancer's proxies from the start, whoever has its lease: each may turn to any controller."""
        balancer = self._context.balancer
        if self._opened or not isinstance(balancer, Opening):
            return
        try:
            await balancer.open()
            self._opened = True
        except DcpError as error:
            log.error("proxies cannot be answered", error=str(error))

    async def _attach(self) -> None:
        """Every controller talks to every host, whoever has its source: any service may have an instance there."""
        known = await self._context.database.read(_with_engines)
        engines = tuple(HostEngine(h.id, h.engine, h.address, h.site) for h in known)
        if engines != self._attached:
            await self._context.runtimes.attach(engines)
            self._attached = engines

    def _renew(self, connection: Connection) -> tuple[tuple[str, ...], frozenset[tuple[str, int]], int]:
        """Renew what we hold; return all subjects, our leases, and how many we should hold."""
        context, now = self._context, self._context.clock.now()
        ttl_s = context.settings.lease_ttl_s
        leases.heartbeat(connection, context.controller_id, self._address, self._started_at, now)
        mine = leases.renew(connection, context.controller_id, now, ttl_s)
        living = leases.living(connection, now - ttl_s)
        leases.forget_dead(connection, now - 10 * ttl_s)
        subjects = self._subjects(connection)
        return subjects, mine, math.ceil(len(subjects) / max(1, len(living)))

    def _subjects(self, connection: Connection) -> tuple[str, ...]:
        keys = {row.key for row in applications.service_rows(connection)} | instances.services_with_live(connection)
        return (
            EDGE,
            RUNTIME,
            COST,
            *((DISCOVERY,) if self._context.settings.discovery else ()),
            *((IMAGES,) if self._context.images else ()),
            *((INITIALISE,) if self._context.initialiser else ()),
            *((SIGNALS,) if self._context.metrics else ()),
            *self._sites(connection),
            *self._sources(connection),
            *(f"application/{name}" for name in applications.names(connection)),
            *(f"service/{key}" for key in sorted(keys, key=str)),
        )

    def _sources(self, connection: Connection) -> tuple[str, ...]:
        """The source of added machines has no work before the first is added."""
        names = [source.name for source in self._context.sources]
        if ADDED in names and not machines.there_are(connection) and not hosts.current(connection, ADDED):
            names.remove(ADDED)
        return tuple(f"source/{name}" for name in names)

    def _sites(self, connection: Connection) -> tuple[str, ...]:
        if self._context.warming is None:
            return ()
        sites = {host.site for host in hosts.current(connection)} | {one.site for one in warming.mirrors_of(connection)}
        return tuple(f"{SITE}/{site or NO_SITE}" for site in sorted(sites))

    async def _take(self, subjects: tuple[str, ...], share: int) -> None:
        for subject in subjects:
            if subject in self._running or len(self._running) >= share:
                continue
            lease = await self._acquire(subject)
            if lease is not None:
                task = asyncio.create_task(self._work(self._worker(subject), lease), name=subject)
                self._running[subject] = (lease, task)

    async def _acquire(self, subject: str) -> Lease | None:
        context, now = self._context, self._context.clock.now()
        ttl_s = context.settings.lease_ttl_s
        try:
            return await context.database.write(
                lambda connection: leases.acquire(connection, subject, context.controller_id, now, ttl_s)
            )
        except DcpError as error:
            log.debug("lease not taken", subject=subject, error=str(error))
            return None

    def _worker(self, subject: str) -> Worker:
        kind, _, name = subject.partition("/")
        if subject == EDGE:
            return EdgeWorker(self._context)
        if subject == RUNTIME:
            return CollectorWorker(self._context)
        if subject == COST:
            return CostWorker(self._context)
        if subject == IMAGES and self._context.images is not None:
            return ImagesWorker(self._context, self._context.images)
        if subject == INITIALISE and self._context.initialiser is not None:
            return InitialiseWorker(self._context, self._context.initialiser)
        if subject == SIGNALS and self._context.metrics is not None:
            return SignalsWorker(self._context, self._context.metrics)
        if subject == DISCOVERY and self._context.settings.discovery is not None:
            return DiscoveryWorker(self._context, self._context.settings.discovery)
        if kind == "application":
            return ApplicationWorker(self._context, name)
        if kind == "service":
            return ServiceWorker(self._context, ServiceKey.parse(name))
        if kind == SITE:
            assert self._context.warming is not None, f"no worker for {subject}"
            return WarmingWorker(self._context, self._context.warming, name)
        source = self._context.source(name)
        assert source is not None, f"no worker for {subject}"
        return SourceWorker(self._context, source)

    async def _work(self, worker: Worker, lease: Lease) -> None:
        failures = 0
        try:
            while True:
                try:
                    delay_s = await worker.step(lease)
                    failures = 0
                except LeaseLost as error:
                    log.warning("lease lost", subject=worker.subject, error=str(error))
                    return
                except Stale as error:
                    log.debug("decides again", subject=worker.subject, error=str(error))
                    delay_s = 0.0
                except Exception as error:
                    failures += 1
                    delay_s = min(BACK_OFF_LIMIT_S, 0.25 * 2 ** min(failures, 10))
                    expected = isinstance(error, DcpError)
                    log.error("worker failed", subject=worker.subject, error=str(error), exc_info=not expected)
                    if not expected:
                        self._context.unexpected.append(error)
                if isinstance(worker, Pausing) and worker.pause_s > 0:
                    await self._context.clock.sleep(worker.pause_s)
                await self._context.wakes.wait(worker.subject, delay_s)
        finally:
            if isinstance(worker, Closing):
                await worker.close()

    async def _cancel(self, subject: str) -> Lease:
        lease, task = self._running.pop(subject)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return lease

    async def _give_back(self, subject: str) -> None:
        lease = await self._cancel(subject)
        await self._context.database.write(lambda connection: leases.release(connection, lease))

    async def _stop_all(self) -> None:
        for subject in list(self._running):
            await self._cancel(subject)


def _with_engines(connection: Connection) -> tuple[Host, ...]:
    """Return the hosts whose engine can be talked to: a bare one has none before its initialisation is done."""
    known = tuple(host for host in hosts.current(connection) if host.engine)
    if not any(_comes_bare(host) for host in known):
        return known
    looks = initialisations.looks(connection)
    return tuple(host for host in known if not _comes_bare(host) or (host.id in looks and looks[host.id].done))


def _comes_bare(host: Host) -> bool:
    return host.host_type.initialise and host.state in COMING and host.state != HostState.STARTING
