"""The worker of the edge: keeps the proxy running with one route a service, and samples what it counted.

The proxy runs while there is a service, so that an empty dcp leaves nothing behind on the machine. One sampler serves
all services, because one reading of the proxy holds them all.
"""

from sqlalchemy import Connection

from dcp.engine.context import Context, log
from dcp.engine.forecasting import close_buckets
from dcp.engine.learning import EVERY_WINDOWS, learn_calls
from dcp.kernel.errors import DcpError, DriverError, Unavailable
from dcp.kernel.events import Event
from dcp.orchestration.capacity.model import Sample
from dcp.orchestration.capacity.units import sample_between
from dcp.orchestration.services.model import ServiceKey
from dcp.orchestration.traffic.model import Route, Traffic
from dcp.store import applications, events, samples
from dcp.store.leases import Lease

SUBJECT = "edge"


class EdgeWorker:
    """Routes and samples."""

    def __init__(self, context: Context) -> None:
        self.subject = SUBJECT
        self._context = context
        self._routes: tuple[Route, ...] | None = None
        self._next_sample_at: float | None = None
        self._last_counters: dict[ServiceKey, tuple[float, Traffic]] | None = None
        self._sampled = 0
        self._trouble = ""

    async def step(self, lease: Lease) -> float:
        """Make the routes right, take a sample if one is due; return seconds until the next look."""
        await self._make_routes(lease)
        now = self._context.clock.now()
        sample_s = self._context.settings.timing.sample_s
        if self._next_sample_at is None:
            self._next_sample_at = now
        if now >= self._next_sample_at:
            if self._routes:
                await self._sample(lease)
            behind = int((now - self._next_sample_at) / sample_s)
            self._next_sample_at += (behind + 1) * sample_s
        return max(0.01, min(self._context.settings.poll_s, self._next_sample_at - self._context.clock.now()))

    async def _make_routes(self, lease: Lease) -> None:
        rows = await self._context.database.read(applications.service_rows)
        address = self._context.settings.listen_address
        wanted = tuple(Route(row.key, row.listen_port, address) for row in rows)
        try:
            if wanted:
                await self._context.balancer.ensure_running()
            if wanted != self._routes:
                await (self._context.balancer.set_routes(wanted) if wanted else self._context.balancer.stop())
                self._routes = wanted
        except (DriverError, Unavailable) as error:
            await self._tell(lease, error)
            return
        self._trouble = ""

    async def _tell(self, lease: Lease, error: DcpError) -> None:
        """Trouble becomes an event when it begins, not at every look."""
        if str(error) == self._trouble:
            return
        self._trouble = str(error)
        log.error("balancer", error=str(error))
        event = Event(SUBJECT, error.code, f"the balancer is not as it should be: {error}")
        now = self._context.clock.now()
        await self._context.write_under(lease, lambda connection: events.append(connection, now, [event]))

    async def _sample(self, lease: Lease) -> None:
        """Add one window for each service; what could not be read is stored as missing, which shrinks nothing."""
        keys = [row.key for row in await self._context.database.read(applications.service_rows)]
        if self._last_counters is None:
            self._last_counters = await self._context.database.read(samples.last_counters)
        try:
            counters = dict(await self._context.balancer.traffic())
        except DriverError as error:
            log.warning("no metrics", error=str(error))
            counters = {}
        now = self._context.clock.now()
        rows = {key: (self._between(key, counters.get(key), now), counters.get(key)) for key in keys}

        def work(connection: Connection) -> None:
            samples.add(connection, now, rows)
            samples.prune(connection, now - self._context.settings.keep_samples_s)
            close_buckets(connection, now)
            if self._sampled % EVERY_WINDOWS == 0:
                learn_calls(connection, now)

        self._sampled += 1
        await self._context.write_under(lease, work)
        self._last_counters |= {key: (now, found) for key, found in counters.items()}
        self._context.wakes.wake_kind("application")

    def _between(self, key: ServiceKey, counters: Traffic | None, now: float) -> Sample | None:
        before = (self._last_counters or {}).get(key)
        if before is None or counters is None:
            return None
        at, earlier = before
        return sample_between(earlier, counters, now, now - at) if now > at else None
