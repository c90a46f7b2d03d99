"""The worker that compares the runtime with the ledger: what the ledger does not want is stopped and forgotten.

Every instance is written before it is started, and the runtime is listed before the ledger is read; so whatever runs
without a live row was left behind by a crash or by a controller that had lost its lease.
"""

import asyncio

from dcp.engine.context import Context, log
from dcp.kernel.errors import DriverError
from dcp.kernel.events import Event
from dcp.orchestration.services.model import Observation
from dcp.store import events, instances
from dcp.store.leases import Lease

SUBJECT = "runtime"
GRACE_S = 5.0


class CollectorWorker:
    """Collects what nobody wants."""

    def __init__(self, context: Context) -> None:
        self.subject = SUBJECT
        self._context = context

    async def step(self, lease: Lease) -> float:
        """Compare and collect once; return seconds until the next look."""
        try:
            listed = await self._context.runtime.list_all()
        except DriverError as error:
            log.warning("runtime cannot be listed", error=str(error))
            return self._context.settings.poll_s
        ids = [one.instance_id for one in listed]
        wanted = await self._context.database.read(lambda connection: instances.unended_among(connection, ids))
        unwanted = [one for one in listed if one.instance_id not in wanted]
        await asyncio.gather(*(self._collect(lease, one) for one in unwanted))
        return self._context.settings.poll_s

    async def _collect(self, lease: Lease, seen: Observation) -> None:
        if seen.running:
            event = Event(f"instance/{seen.instance_id}", "collected", "runs, but the ledger does not want it: stopped")
            now = self._context.clock.now()
            await self._context.write_under(lease, lambda connection: events.append(connection, now, [event]))
        try:
            await self._context.runtime.stop(seen.instance_id, GRACE_S)
            await self._context.runtime.forget(seen.instance_id)
        except DriverError as error:
            log.warning("collecting failed", instance=seen.instance_id, error=str(error))
