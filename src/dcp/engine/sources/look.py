"""What the worker of a source looks at before it decides: the source's listing, the engines, the ledger."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from dcp.engine.context import Context
from dcp.hosts.creation import account_wide, open_tokens
from dcp.hosts.model import Host, SourceHost, SourceHostState
from dcp.hosts.ports import HostSource
from dcp.hosts.refusals import Refused
from dcp.hosts.reserve import kept_ready, kept_stopped, surplus_stopped
from dcp.hosts.states import HostState
from dcp.hosts.view import EngineLook, SourceView, is_there
from dcp.kernel.errors import DriverError
from dcp.orchestration.scaling.removals import idle_hosts
from dcp.orchestration.scaling.spares import late_spares
from dcp.orchestration.services.suspects import suspect_hosts
from dcp.store import hosts, initialisations, instances, refusals

A_DAY_S = 86400.0
MAY_BE_OFF = frozenset({HostState.STOPPING, HostState.STOPPED, HostState.STARTING})
"""States in which a machine that does not run is as it should be."""


@dataclass(frozen=True, slots=True)
class Look:
    """One moment of a source."""

    view: SourceView
    memory: tuple[Refused, ...]
    members: tuple[Host, ...]
    """All hosts of the calls that have to be repeated now."""

    @property
    def listed(self) -> frozenset[str]:
        return frozenset(one.host_id for one in self.view.listed)


class Looker:
    """Remembers between two looks since when hosts are not shown, or machines not known, and which hosts are lost."""

    def __init__(self, context: Context, source: HostSource) -> None:
        self._context = context
        self._source = source.name
        self._can_stop = source.limits.can_stop
        self._unseen_since: dict[str, float] = {}
        self._strangers_since: dict[str, float] = {}
        self._lost: frozenset[str] = frozenset()

    async def look(self, listed: tuple[SourceHost, ...]) -> Look:
        """Return everything there is to decide from. The listing was taken before the ledger is read."""
        engines = await self._engines()
        return await self._context.database.read(lambda connection: self._load(connection, listed, engines))

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

    def _load(self, connection: Connection, listed: tuple[SourceHost, ...], engines: Mapping[str, EngineLook]) -> Look:
        now = self._context.clock.now()
        view = self._view(connection, listed, engines, now)
        memory = refusals.live(connection, now)
        tokens = open_tokens(view.hosts, frozenset(one.host_id for one in listed), now)
        if account_wide(memory, self._source, now):
            tokens = frozenset()
        return Look(view, memory, hosts.of_tokens(connection, tokens) if tokens else ())

    def _view(
        self,
        connection: Connection,
        listed: tuple[SourceHost, ...],
        engines: Mapping[str, EngineLook],
        now: float,
    ) -> SourceView:
        settings = self._context.settings
        every = hosts.current(connection)
        mine = tuple(host for host in every if host.source == self._source)
        self._lost = frozenset(host.id for host in mine if host.state == HostState.LOST)
        live = instances.live(connection)
        ended = instances.last_end_by_host(connection, now - A_DAY_S)
        empty_since = {host.id: max(ended.get(host.id, 0.0), host.changed_at) for host in every}
        taken = {instance.host_id for instance in live}
        keep = kept_ready(settings.clusters, every, taken)
        give_back = dict(idle_hosts(every, live, now, settings.timing.host_linger_s, empty_since, keep))
        late = late_spares(every, live, keep) if self._context.spares is not None else ()
        idle = [host for host in give_back if host.source == self._source and self._can_stop]
        return SourceView(
            now=now,
            hosts=mine,
            listed=listed,
            live_instances=Counter(instance.host_id for instance in live),
            give_back={
                **{host.id: words for host, words in give_back.items()},
                **{host.id: words for host, words in late},
                **surplus_stopped(settings.clusters, every, taken),
            },
            keep_stopped=kept_stopped(settings.clusters, every, idle),
            unseen_since=self._note_unseen(mine, listed, now),
            boot_limit_s=settings.boot_limit_s,
            lost_after_s=settings.lost_after_s,
            engines={host.id: engines[host.id] for host in mine if host.id in engines},
            engine_lost_after_s=settings.engine_lost_after_s,
            shown_within_s=settings.shown_within_s,
            initialised=initialisations.looks(connection),
            initialise_limit_s=settings.initialise_limit_s,
            suspects=suspect_hosts(instances.failed_places(connection, now - settings.suspect_for_s), live),
            suspect_for_s=settings.suspect_for_s,
            strangers_since=self._note_strangers(mine, listed, now),
            leak_grace_s=settings.leak_grace_s,
        )

    def _note_unseen(self, mine: tuple[Host, ...], listed: tuple[SourceHost, ...], now: float) -> dict[str, float]:
        shown = {one.host_id: one for one in listed}
        self._unseen_since = {
            host.id: self._unseen_since.get(host.id, now) for host in mine if _is_missing(host, shown.get(host.id))
        }
        return self._unseen_since

    def _note_strangers(self, mine: tuple[Host, ...], listed: tuple[SourceHost, ...], now: float) -> dict[str, float]:
        """A machine that goes already needs nobody to take it back."""
        known = {host.id for host in mine}
        self._strangers_since = {
            one.host_id: self._strangers_since.get(one.host_id, now)
            for one in listed
            if one.host_id not in known and one.state != SourceHostState.DELETING
        }
        return self._strangers_since


def _is_missing(host: Host, seen: SourceHost | None) -> bool:
    return seen is None if host.state in MAY_BE_OFF else not is_there(seen)
