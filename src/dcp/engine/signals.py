"""The worker of signals: asks the metrics server for the figures of every service, once a window.

A figure that cannot be read is stored as missing, which shrinks nothing; what is wrong becomes an event when it begins.
"""

import asyncio

from sqlalchemy import Connection

from dcp.engine.context import Context, log
from dcp.kernel.errors import DriverError
from dcp.kernel.events import Event
from dcp.orchestration.capacity.ports import Metrics
from dcp.orchestration.services.model import ServiceKey
from dcp.orchestration.services.signals import Signal
from dcp.store import applications, events, signals
from dcp.store.leases import Lease
from dcp.store.signals import Figure

SUBJECT = "signals"


class SignalsWorker:
    """Asks for all signals side by side."""

    def __init__(self, context: Context, metrics: Metrics) -> None:
        self.subject = SUBJECT
        self._context = context
        self._metrics = metrics
        self._trouble: dict[tuple[ServiceKey, str], str] = {}

    async def step(self, lease: Lease) -> float:
        """Ask, write, and return when the next window ends."""
        wanted = await self._context.database.read(_wanted)
        limit = asyncio.Semaphore(self._context.settings.parallel_calls)
        figures = await asyncio.gather(*(self._figure(key, signal, limit) for key, signal in wanted))
        now, keep_s = self._context.clock.now(), self._context.settings.keep_samples_s
        news = self._news(figures)

        def work(connection: Connection) -> None:
            signals.add(connection, now, figures)
            signals.prune(connection, now - keep_s)
            events.append(connection, now, news)

        if figures:
            await self._context.write_under(lease, work)
            self._trouble = {(one.service, one.name): one.words for one in figures if one.words}
            self._context.wakes.wake_kind("application")
        return self._context.settings.timing.sample_s

    async def _figure(self, key: ServiceKey, signal: Signal, limit: asyncio.Semaphore) -> Figure:
        async with limit:
            try:
                return Figure(key, signal.name, await self._metrics.value(signal.query))
            except DriverError as error:
                log.warning("no figure", service=str(key), signal=signal.name, error=str(error))
                return Figure(key, signal.name, None, str(error))

    def _news(self, figures: list[Figure]) -> list[Event]:
        return [
            Event(f"service/{one.service}", "signal-missing", f"signal {one.name}: {one.words}")
            for one in figures
            if one.words and (one.service, one.name) not in self._trouble
        ]


def _wanted(connection: Connection) -> list[tuple[ServiceKey, Signal]]:
    return [
        (ServiceKey(spec.name, service.name), signal)
        for spec in applications.every_spec(connection)
        for service in spec.services
        for signal in service.signals
    ]
