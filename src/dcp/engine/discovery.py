"""The worker of discovery: makes what clients can see follow the ledger, in steps, and counts what it finds wrong."""

from dataclasses import dataclass

from sqlalchemy import Connection

from dcp.engine.context import Context
from dcp.kernel.events import Event
from dcp.orchestration.discovery.decide import decide_published
from dcp.orchestration.discovery.model import Entry, Limits, Published, PublishedChange
from dcp.orchestration.services.model import Instance, ServiceKey
from dcp.orchestration.services.states import InstanceState
from dcp.store import applications, events, hosts, instances, published
from dcp.store.leases import Lease

SUBJECT = "discovery"


@dataclass(frozen=True, slots=True)
class _Decided:
    """What is published of one service, what becomes of it, and whether the service is no more."""

    before: Published
    change: PublishedChange
    over: bool

    @property
    def is_due(self) -> bool:
        """Whether anything is to be written."""
        return bool(self.change.added or self.change.cut or not self.before.index or self.over)


class DiscoveryWorker:
    """Compares every service's entries with its instances, and writes what may change now."""

    def __init__(self, context: Context, limits: Limits) -> None:
        self.subject = SUBJECT
        self._context = context
        self._limits = limits

    async def step(self, lease: Lease) -> float:
        """Compare and write once; return seconds until the next look."""
        decided = await self._context.database.read(self._decide)
        if any(one.is_due for one in decided):
            for done in await self._context.write_under(lease, self._apply):
                self._context.wakes.wake(f"service/{done.before.service}")
        settings = self._context.settings
        return settings.busy_poll_s if any(one.change.waiting for one in decided) else settings.poll_s

    def _apply(self, connection: Connection) -> tuple[_Decided, ...]:
        """Decide again where nobody else can write, so that what just began to leave is not published once more."""
        now = self._context.clock.now()
        due = tuple(one for one in self._decide(connection) if one.is_due)
        for one in due:
            published.change(connection, one.before, one.change, now)
            if one.over:
                published.forget(connection, one.before.service)
            events.append(connection, now, _events(one.before, one.change))
        return due

    def _decide(self, connection: Connection) -> tuple[_Decided, ...]:
        now = self._context.clock.now()
        sites = {host.id: host.site for host in hosts.current(connection)}
        living: dict[ServiceKey, list[Instance]] = {row.key: [] for row in applications.service_rows(connection)}
        wanted = frozenset(living)
        for instance in instances.live(connection):
            living.setdefault(ServiceKey(instance.application, instance.service), []).append(instance)
        before = {one.service: one for one in published.every(connection)}
        decided = []
        for key in sorted({*before, *living}, key=str):
            known = before.get(key) or Published(key)
            change = decide_published(known, *_truth(living.get(key, []), sites), now, self._limits)
            decided.append(_Decided(known, change, over=key not in wanted and not change.entries))
        return tuple(decided)


def _truth(own: list[Instance], sites: dict[str, str]) -> tuple[tuple[Entry, ...], frozenset[str]]:
    """Return the entries that should be there, and who leaves but still answers."""
    serving = tuple(
        Entry(i.id, i.address, i.port, sites.get(i.host_id, ""))
        for i in own
        if i.state == InstanceState.SERVING and i.serving_at is not None and not i.leave_reason
    )
    answering = (InstanceState.SERVING, InstanceState.DRAINING)
    return serving, frozenset(i.id for i in own if i.state in answering) - {entry.instance_id for entry in serving}


def _events(before: Published, change: PublishedChange) -> list[Event]:
    subject = f"service/{before.service}"
    found = []
    for entry in change.zombies:
        words = f"{entry.instance_id} was published at {entry.address}:{entry.port} and has ended: removed"
        found.append(Event(subject, "zombie-removed", words))
    if change.waiting:
        share = "all may go" if before.allow_all else "the rest in later steps"
        words = f"{len(change.cut)} of {len(before.entries)} entries cut; {change.waiting} have to wait ({share})"
        numbers = {"cut": len(change.cut), "published": len(before.entries), "waiting": change.waiting}
        found.append(Event(subject, "cut-in-steps", words, numbers=numbers))
    return found
