"""What the worker of a source looks at before it decides: the source's listing, the engines, the ledger.

Hosts at which nothing can have changed since the last look are at rest; the others are looked at one by one.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from dcp.engine.context import Context
from dcp.engine.sources.fleet import Fleet
from dcp.hosts.creation import account_wide, open_tokens
from dcp.hosts.model import Host, SourceHost, SourceHostState
from dcp.hosts.ports import HostSource
from dcp.hosts.refusals import Refused
from dcp.hosts.reserve import kept_stopped
from dcp.hosts.rest import rests_until, signalled
from dcp.hosts.states import HostState
from dcp.hosts.view import EngineLook, SourceView, is_there
from dcp.kernel.errors import DriverError
from dcp.orchestration.scaling.removals import idle_hosts
from dcp.orchestration.services.suspects import suspect_hosts
from dcp.store import hosts, initialisations, instances, refusals

A_DAY_S = 86400.0
MAY_BE_OFF = frozenset({HostState.STOPPING, HostState.STOPPED, HostState.STARTING})
"""States in which a machine that does not run is as it should be."""
SETTLED = frozenset({HostState.READY, HostState.CORDONED, HostState.INITIALISING, HostState.STOPPED})
"""States that last: a source whose hosts are all in one of them is looked at less often."""


@dataclass(frozen=True, slots=True)
class Look:
    """One moment of a source."""

    view: SourceView
    fleet: Fleet
    memory: tuple[Refused, ...]
    members: tuple[Host, ...]
    """All hosts of the calls that have to be repeated now."""
    under_way: bool
    """Some host of the source is on its way from one state to another."""
    listed: frozenset[str]
    """Ids of the hosts that the source shows."""


@dataclass(frozen=True, slots=True)
class _Resting:
    """A host as it was when nothing was to be decided for it."""

    host: Host
    seen: SourceHost | None
    until: float

    def holds(self, host: Host, seen: SourceHost | None, now: float) -> bool:
        """Return whether all is as it was; rows that have not changed are the same objects."""
        return host is self.host and now < self.until and (seen is self.seen or seen == self.seen)


class Looker:
    """Remembers between two looks since when hosts are not shown, or machines not known, and which hosts are lost."""

    def __init__(self, context: Context, source: HostSource) -> None:
        self._context = context
        self._source = source.name
        self._can_stop = source.limits.can_stop
        self._unseen_since: dict[str, float] = {}
        self._strangers_since: dict[str, float] = {}
        self._lost: frozenset[str] = frozenset()
        self._resting: dict[str, _Resting] = {}

    async def look(self, listed: tuple[SourceHost, ...], calling: Collection[str]) -> Look:
        """Return everything there is to decide from. The listing was taken before the ledger is read.

        `calling` are the tokens of calls that are under way.
        """
        engines = await self._engines()
        return await self._context.database.read(lambda connection: self._load(connection, listed, engines, calling))

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

    def _load(
        self,
        connection: Connection,
        listed: tuple[SourceHost, ...],
        engines: Mapping[str, EngineLook],
        calling: Collection[str],
    ) -> Look:
        context, now = self._context, self._context.clock.now()
        fleet = context.fleets.at(connection, context.settings.clusters, spares=context.spares is not None)
        view, under_way = self._view(connection, fleet, listed, engines, now)
        memory = refusals.live(connection, now)
        shown = frozenset(one.host_id for one in listed)
        tokens = open_tokens(view.hosts, shown, now) - frozenset(calling)
        if account_wide(memory, self._source, now):
            tokens = frozenset()
        members = hosts.of_tokens(connection, tokens) if tokens else ()
        return Look(view, fleet, memory, members, under_way, shown)

    def _view(
        self,
        connection: Connection,
        fleet: Fleet,
        listed: tuple[SourceHost, ...],
        engines: Mapping[str, EngineLook],
        now: float,
    ) -> tuple[SourceView, bool]:
        settings = self._context.settings
        mine = fleet.hosts.grouped["source"].get(self._source, {})
        shown = {one.host_id: one for one in listed}
        give_back, keep_stopped = self._unneeded(connection, fleet, now)
        live = fleet.instances.all
        suspects = suspect_hosts(instances.failed_places(connection, now - settings.suspect_for_s), live)
        named = signalled(engines, give_back, keep_stopped, suspects)
        awake = self._wake(mine, shown, named, now)
        self._lost = frozenset(host.id for host in awake if host.state == HostState.LOST)
        initialising = any(host.state is HostState.INITIALISING for host in awake)
        view = SourceView(
            now=now,
            hosts=awake,
            listed=listed,
            live_instances={host.id: len(held) for host in awake if (held := fleet.held.get(host.id))},
            give_back=give_back,
            keep_stopped=keep_stopped,
            unseen_since=self._note_unseen(awake, shown, now),
            boot_limit_s=settings.boot_limit_s,
            lost_after_s=settings.lost_after_s,
            engines=engines,
            engine_lost_after_s=settings.engine_lost_after_s,
            shown_within_s=settings.shown_within_s,
            initialised=initialisations.looks(connection) if initialising else {},
            initialise_limit_s=settings.initialise_limit_s,
            suspects=suspects,
            suspect_for_s=settings.suspect_for_s,
            strangers_since=self._note_strangers(mine, listed, now),
            leak_grace_s=settings.leak_grace_s,
            at_rest=sum(1 for one in self._resting.values() if one.host.state is HostState.READY),
        )
        under_way = any(host.state not in SETTLED for host in awake)
        self._rest(awake, shown)
        return view, under_way or any(one.until < math.inf for one in self._resting.values())

    def _unneeded(self, connection: Connection, fleet: Fleet, now: float) -> tuple[dict[str, str], Mapping[str, str]]:
        """Return hosts to give back, and hosts of this source to switch off instead, each with the reason in words."""
        settings, ready = self._context.settings, [host for host in fleet.empty if host.state is HostState.READY]
        ended = instances.last_end_by_host(connection, now - A_DAY_S, [host.id for host in ready])
        empty_since = {host.id: max(ended.get(host.id, 0.0), host.changed_at) for host in ready}
        idle = idle_hosts(ready, (), now, settings.timing.host_linger_s, empty_since, fleet.keep)
        stoppable = [host for host, _ in idle if host.source == self._source and self._can_stop]
        give_back = {**{host.id: words for host, words in idle}, **fleet.not_needed}
        return give_back, kept_stopped(settings.clusters, fleet.hosts.all, stoppable)

    def _wake(
        self, mine: Mapping[str, Host], shown: Mapping[str, SourceHost], named: Collection[str], now: float
    ) -> tuple[Host, ...]:
        """Return the hosts that are not at rest any more, and forget that those were."""
        awake: list[Host] = []
        resting: dict[str, _Resting] = {}
        for host_id, host in mine.items():
            known = self._resting.get(host_id)
            if known is None or host_id in named or not known.holds(host, shown.get(host_id), now):
                awake.append(host)
            else:
                resting[host_id] = known
        self._resting = resting
        return tuple(awake)

    def _rest(self, awake: tuple[Host, ...], shown: Mapping[str, SourceHost]) -> None:
        """Let those rest that nothing is to be decided for; one that a step follows for now is changed by that step."""
        limit_s = self._context.settings.boot_limit_s
        for host in awake:
            seen = shown.get(host.id)
            if (until := rests_until(host, seen, limit_s)) > 0:
                self._resting[host.id] = _Resting(host, seen, until)

    def _note_unseen(self, awake: tuple[Host, ...], shown: Mapping[str, SourceHost], now: float) -> dict[str, float]:
        self._unseen_since = {
            host.id: self._unseen_since.get(host.id, now) for host in awake if _is_missing(host, shown.get(host.id))
        }
        return self._unseen_since

    def _note_strangers(self, mine: Mapping[str, Host], listed: tuple[SourceHost, ...], now: float) -> dict[str, float]:
        """A machine that goes already needs nobody to take it back."""
        self._strangers_since = {
            one.host_id: self._strangers_since.get(one.host_id, now)
            for one in listed
            if one.host_id not in mine and one.state != SourceHostState.DELETING
        }
        return self._strangers_since


def _is_missing(host: Host, seen: SourceHost | None) -> bool:
    return seen is None if host.state in MAY_BE_OFF else not is_there(seen)
