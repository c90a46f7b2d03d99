"""The worker that compares the runtime with the ledger: what the ledger does not want is stopped and forgotten.

It also forgets history, in the ledger, once that is old enough.

Every instance is written before it is started, and the runtime is listed before the ledger is read; so whatever runs
without a live row was left behind by a crash or by a controller that had lost its lease.
"""

import asyncio

from sqlalchemy import Connection

from dcp.engine.context import Context, log
from dcp.engine.forgetting import forget_history
from dcp.kernel.errors import DriverError, Unreachable
from dcp.kernel.events import Event
from dcp.orchestration.services.model import Observation, ServiceKey
from dcp.orchestration.services.ports import Runtime
from dcp.store import applications, events, instances, warming
from dcp.store.leases import Lease

SUBJECT = "runtime"
GRACE_S = 5.0
FORGET_EVERY_S = 600.0


class CollectorWorker:
    """Collects what nobody wants."""

    def __init__(self, context: Context) -> None:
        self.subject = SUBJECT
        self._context = context
        self._forget_at = context.clock.now() + FORGET_EVERY_S

    async def step(self, lease: Lease) -> float:
        """Compare and collect once on every host; return seconds until the next look."""
        listed = await asyncio.gather(*(self._list(host, runtime) for host, runtime in self._context.runtimes.each()))
        found = [(runtime, one) for runtime, seen in listed for one in seen]
        ids = [one.instance_id for _, one in found]
        wanted = await self._context.database.read(lambda connection: _wanted(connection, ids))
        unwanted = [(runtime, one) for runtime, one in found if one.instance_id not in wanted]
        told = await self._still_told([one.instance_id for _, one in unwanted if one.running])
        unwanted = [(runtime, one) for runtime, one in unwanted if one.instance_id not in told]
        await asyncio.gather(*(self._collect(lease, runtime, one) for runtime, one in unwanted))
        await self._forget_history(lease)
        return self._context.settings.poll_s

    async def _still_told(self, ids: list[str]) -> frozenset[str]:
        """Return those of `ids` that the balancer still sends requests to: a crash came between row and balancer.

        The worker of their service tells it first. While the balancer cannot be asked, any of them may be one.
        """
        found: set[str] = set()
        ended = await self._context.database.read(lambda connection: _routed(connection, ids)) if ids else {}
        for service, addresses in ended.items():
            try:
                there = {(one.address, one.port) for one in await self._context.balancer.endpoints(service)}
            except DriverError:
                there = set(addresses.values())
            found.update(instance_id for instance_id, address in addresses.items() if address in there)
        return frozenset(found)

    async def _forget_history(self, lease: Lease) -> None:
        now = self._context.clock.now()
        if now < self._forget_at:
            return
        self._forget_at = now + FORGET_EVERY_S
        gone = await forget_history(self._context, lease)
        log.info("history forgotten", instances=gone.instances, plans=gone.plans, events=gone.events)

    async def _list(self, host_id: str, runtime: Runtime) -> tuple[Runtime, tuple[Observation, ...]]:
        """A host that cannot be listed is left alone until it can."""
        try:
            return runtime, await runtime.list_all()
        except Unreachable:
            return runtime, ()
        except DriverError as error:
            log.warning("runtime cannot be listed", host=host_id, error=str(error))
            return runtime, ()

    async def _collect(self, lease: Lease, runtime: Runtime, seen: Observation) -> None:
        if seen.running:
            event = Event(f"instance/{seen.instance_id}", "collected", "runs, but the ledger does not want it: stopped")
            now = self._context.clock.now()
            await self._context.write_under(lease, lambda connection: events.append(connection, now, [event]))
        try:
            await runtime.stop(seen.instance_id, GRACE_S)
            await runtime.forget(seen.instance_id)
        except DriverError as error:
            log.warning("collecting failed", instance=seen.instance_id, error=str(error))


def _wanted(connection: Connection, ids: list[str]) -> frozenset[str]:
    """Return those that the ledger wants: instances that have not ended, and mirrors that are not gone."""
    return instances.unended_among(connection, ids) | {mirror.id for mirror in warming.mirrors_of(connection)}


def _routed(connection: Connection, ids: list[str]) -> dict[ServiceKey, dict[str, tuple[str, int]]]:
    """Return where each of `ids` was reached, by service that has a route, unless a live instance is there now."""
    found: dict[ServiceKey, dict[str, tuple[str, int]]] = {}
    for instance_id in ids:
        instance = instances.find(connection, instance_id)
        if instance is None or not instance.port:
            continue
        service = ServiceKey(instance.application, instance.service)
        found.setdefault(service, {})[instance_id] = (instance.address, instance.port)
    for service in list(found):
        rows = applications.service_rows(connection, service.application)
        live = {(one.address, one.port) for one in instances.live(connection, service.application, service.name)}
        left = {one: address for one, address in found.pop(service).items() if address not in live}
        if left and any(row.key == service for row in rows):
            found[service] = left
    return found
