"""The worker of one source of hosts: list it, read the ledger, decide every host's next step, write, then call."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace

from sqlalchemy import Connection

from dcp.engine.context import Context, log
from dcp.hosts.decide import EngineLook, HostStep, SourceDecision, SourceView, decide_hosts
from dcp.hosts.model import Host, HostOrder, SourceHost
from dcp.hosts.ports import HostSource, Refusals
from dcp.hosts.states import HostState
from dcp.kernel.errors import DriverError, OutOfStock, Rejected, Stale, Throttled
from dcp.kernel.events import Event
from dcp.orchestration.scaling.removals import idle_hosts
from dcp.store import events, hosts, instances
from dcp.store.leases import Lease

BACK_OFF_LIMIT_S = 60.0


class SourceWorker:
    """Drives the hosts of one source through their life."""

    def __init__(self, context: Context, source: HostSource) -> None:
        self.subject = f"source/{source.name}"
        self._context = context
        self._source = source
        self._unseen_since: dict[str, float] = {}
        self._silent = False
        self._lost: frozenset[str] = frozenset()

    async def step(self, lease: Lease) -> float:
        """List, decide, write, call once; return seconds until the next look."""
        listed = await self._listing(lease)
        if listed is None:
            return self._context.settings.poll_s
        engines = await self._engines()
        view = await self._context.database.read(lambda connection: self._view(connection, listed, engines))
        decision = decide_hosts(view)
        written = await self._write(lease, decision.steps)
        creating = (*decision.create, *(host for host in written if host.state == HostState.CREATING))
        releasing = (*decision.delete, *(host for host in written if host.state == HostState.RELEASING))
        await self._call(lease, creating, releasing, decision)
        if written:
            self._context.wakes.wake_kind("service")
            self._context.wakes.wake_kind("application")
        busy = bool(written or creating or releasing or _under_way(view.hosts))
        return self._context.settings.busy_poll_s if busy else self._context.settings.poll_s

    async def _listing(self, lease: Lease) -> tuple[SourceHost, ...] | None:
        """A failed listing changes nothing: without it no host is lost and none is collected."""
        try:
            listed = await self._source.list_all()
        except DriverError as error:
            if not self._silent:
                event = Event(self.subject, "listing-failed", f"it cannot be listed: {error}")
                await self._context.write_under(lease, lambda connection: self._append(connection, [event]))
            self._silent = True
            return None
        self._silent = False
        return listed

    async def _engines(self) -> dict[str, EngineLook]:
        """Return the look at every engine that has answered, or has been silent long enough to count as silent."""
        now, patience_s = self._context.clock.now(), self._context.settings.unreachable_after_s
        states = self._context.runtimes.engines()
        return {
            host_id: EngineLook(
                state.answers, state.since, await self._leftovers(host_id) if state.answers else 0, state.words
            )
            for host_id, state in states.items()
            if state.answers or now - state.since >= patience_s
        }

    async def _leftovers(self, host_id: str) -> int:
        """Count what the runtime lists on a host that is known to be lost; anything may be on one that is not yet."""
        if host_id not in self._lost:
            return 1
        try:
            return len(await self._context.runtimes.of(host_id).list_all())
        except DriverError:
            return 1

    def _view(
        self, connection: Connection, listed: tuple[SourceHost, ...], engines: Mapping[str, EngineLook]
    ) -> SourceView:
        now = self._context.clock.now()
        settings = self._context.settings
        every = hosts.current(connection)
        mine = tuple(host for host in every if host.source == self._source.name)
        self._lost = frozenset(host.id for host in mine if host.state == HostState.LOST)
        live = instances.live(connection)
        counts: dict[str, int] = {}
        for instance in live:
            counts[instance.host_id] = counts.get(instance.host_id, 0) + 1
        ended = instances.last_end_by_host(connection, now - 86400.0)
        empty_since = {host.id: max(ended.get(host.id, 0.0), host.changed_at) for host in every}
        give_back = idle_hosts(every, live, now, settings.timing.host_linger_s, empty_since)
        return SourceView(
            now=now,
            hosts=mine,
            listed=listed,
            live_instances=counts,
            give_back={host.id: words for host, words in give_back},
            unseen_since=self._note_unseen(mine, listed, now),
            boot_limit_s=settings.boot_limit_s,
            lost_after_s=settings.lost_after_s,
            engines={host.id: engines[host.id] for host in mine if host.id in engines},
            engine_lost_after_s=settings.engine_lost_after_s,
        )

    def _note_unseen(self, mine: tuple[Host, ...], listed: tuple[SourceHost, ...], now: float) -> dict[str, float]:
        shown = {one.host_id for one in listed}
        self._unseen_since = {host.id: self._unseen_since.get(host.id, now) for host in mine if host.id not in shown}
        return self._unseen_since

    async def _write(self, lease: Lease, steps: tuple[HostStep, ...]) -> tuple[Host, ...]:
        if not steps:
            return ()
        now = self._context.clock.now()

        def work(connection: Connection) -> tuple[Host, ...]:
            written = tuple(hosts.change(connection, step.host, _after(step, now)) for step in steps)
            events.append(connection, now, [_event(step) for step in steps])
            return written

        return await self._context.write_under(lease, work)

    async def _call(
        self, lease: Lease, creating: tuple[Host, ...], releasing: tuple[Host, ...], decision: SourceDecision
    ) -> None:
        limit = asyncio.Semaphore(self._context.settings.parallel_calls)

        async def bounded(work: Coroutine[None, None, None]) -> None:
            async with limit:
                await work

        await asyncio.gather(
            *(bounded(self._create(lease, host)) for host in creating),
            *(bounded(self._delete(lease, host)) for host in releasing),
            *(bounded(self._collect(lease, host_id)) for host_id in decision.collect),
        )

    async def _create(self, lease: Lease, host: Host) -> None:
        try:
            order = HostOrder(host.id, host.host_type.name, host.variant, host.token or host.id)
            _raise_first(await self._source.create((order,)))
        except OutOfStock as error:
            await self._give_up(lease, host, "out-of-stock", str(error))
        except Rejected as error:
            await self._give_up(lease, host, "rejected", str(error))
        except DriverError as error:
            await self._back_off(lease, host, error)

    async def _delete(self, lease: Lease, host: Host) -> None:
        try:
            _raise_first(await self._source.delete((host.id,)))
        except DriverError as error:
            await self._back_off(lease, host, error)

    async def _collect(self, lease: Lease, host_id: str) -> None:
        words = f"{self._source.name} shows it, the ledger does not know it: taken back"
        event = Event(f"host/{host_id}", "collected", words)
        await self._context.write_under(lease, lambda connection: self._append(connection, [event]))
        try:
            _raise_first(await self._source.delete((host_id,)))
        except DriverError as error:
            log.warning("collecting failed", host=host_id, error=str(error))

    async def _give_up(self, lease: Lease, host: Host, reason: str, words: str) -> None:
        await self._change(lease, HostStep(host, HostState.FAILED, reason, words))
        self._context.wakes.wake_kind("service")

    async def _back_off(self, lease: Lease, host: Host, error: DriverError) -> None:
        delay_s = error.delay_s if isinstance(error, Throttled) else min(BACK_OFF_LIMIT_S, 0.5 * 2**host.attempts)
        now = self._context.clock.now()
        later = replace(host, attempts=host.attempts + 1, not_before=now + delay_s)
        event = Event(host.subject, error.code, f"{error}; tried again in {delay_s:.1f} s")

        def work(connection: Connection) -> None:
            hosts.change(connection, host, later)
            events.append(connection, now, [event])

        await self._unless_stale(lease, work)

    async def _change(self, lease: Lease, step: HostStep) -> None:
        now = self._context.clock.now()

        def work(connection: Connection) -> None:
            hosts.change(connection, step.host, _after(step, now))
            events.append(connection, now, [_event(step)])

        await self._unless_stale(lease, work)

    async def _unless_stale(self, lease: Lease, work: Callable[[Connection], None]) -> None:
        try:
            await self._context.write_under(lease, work)
        except Stale:
            log.debug("host changed meanwhile", source=self._source.name)

    def _append(self, connection: Connection, new: list[Event]) -> None:
        events.append(connection, self._context.clock.now(), new)


def _raise_first(refusals: Refusals) -> None:
    for error in refusals.values():
        raise error


def _under_way(ledger: tuple[Host, ...]) -> bool:
    return any(host.state not in (HostState.READY, HostState.RELEASED) for host in ledger)


def _after(step: HostStep, now: float) -> Host:
    """The host after the step. Billing runs from the first request to the source until it no longer shows the host."""
    host = replace(step.host, state=step.after, reason=step.reason, changed_at=now, attempts=0, not_before=0.0)
    if step.seen is not None:
        host = replace(host, address=step.seen.address, engine=step.seen.engine)
    if step.after == HostState.CREATING:
        return replace(host, billed_from=now)
    if step.after == HostState.RELEASED and host.billed_from is not None:
        return replace(host, billed_until=now)
    return host


def _event(step: HostStep) -> Event:
    return Event(step.host.subject, step.reason, step.words, before=str(step.host.state), after=str(step.after))
