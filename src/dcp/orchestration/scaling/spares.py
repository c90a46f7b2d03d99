"""Spares: a few hosts more than wanted, because some fail and some are late; given back once enough are ready.

Pure. A spare is no kind of host: it is one that is coming while nothing waits for it. What is placed on a host that is
still coming goes to one that is ready (`rebind`), so it does not matter which of them are late.
"""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from dcp.hosts.boots import WATCHED_STATES, Chances, SpareSettings, chances, more_needed, watched
from dcp.hosts.clusters import UNBOUNDED, Allowance
from dcp.hosts.model import Host, Offer, SourceKind
from dcp.hosts.states import HostState
from dcp.orchestration.scaling.equal_sources import in_turn
from dcp.orchestration.scaling.filling import fill_new_hosts
from dcp.scheduling.model import Ask

WAVE_S = 1800.0
"""Hosts asked for within this long belong to one growth: they are what the share of spares is of."""


@dataclass(frozen=True, slots=True)
class SparesView:
    """Everything `decide_spares` looks at."""

    now: float
    settings: SpareSettings
    hosts: tuple[Host, ...]
    """Of the cluster, not given back."""
    taken: Collection[str]
    """Hosts that something runs on or waits for, by the plan too."""
    new: int
    """Cloud hosts that the plan asks for."""


@dataclass(frozen=True, slots=True)
class Spares:
    """How many to ask for now, and why."""

    count: int
    words: str


def decide_spares(view: SparesView) -> Spares:
    """Return how many spares are missing for those that wait to be ready in time, with the stated probability."""
    clouds = [host for host in view.hosts if host.kind is SourceKind.CLOUD]
    coming = [host for host in clouds if host.state in WATCHED_STATES]
    waited_for = sum(1 for host in coming if host.id in view.taken)
    wanted = waited_for + view.new
    if not wanted or view.settings.max_share <= 0:
        return Spares(0, "")
    odds = chances(watched(clouds, view.now), view.settings)
    wave = view.new + sum(1 for host in clouds if host.requested_at > view.now - WAVE_S and host.id in view.taken)
    spare = len(coming) - waited_for + sum(1 for h in clouds if h.state is HostState.READY and h.id not in view.taken)
    most = int(view.settings.max_share * wave) - spare
    if most <= 0:
        return Spares(0, "")
    ages_s = [0.0 if host.billed_from is None else view.now - host.billed_from for host in coming]
    there = odds.all_in_time((*ages_s, *[0.0] * view.new))
    count = more_needed(wanted, there, odds.in_time(0.0), view.settings.confidence, most)
    return Spares(count, _words(odds, count, wanted))


def ask_for_spares(
    spares: Spares, asks: Sequence[Ask], offers: Sequence[Offer], allowance: Allowance = UNBOUNDED
) -> tuple[Offer, ...]:
    """Return the offer of each spare: hosts that would hold what waits, private ones first as ever."""
    instances = sum(ask.count for ask in asks)
    if not spares.count or not instances:
        return ()
    # Scaled up, so that `count` hosts are filled however many instances one holds.
    several = tuple(replace(ask, count=math.ceil(ask.count * spares.count)) for ask in asks)
    bounded = [_at_most(offer, spares.count) for offer in offers]
    of = dict(zip(bounded, offers, strict=True))
    filled = fill_new_hosts(several, bounded, allowance)[: spares.count]
    return in_turn([of[one.offer] for one in filled], offers, allowance)


def late_spares(
    hosts: Iterable[Host], empty: Iterable[Host], taken: Collection[str], keep: Collection[str] = ()
) -> tuple[tuple[Host, str], ...]:
    """Return cloud hosts that are still coming, have nothing on them, and that nobody waits for any more.

    `empty` are those of `hosts` that are not among the `taken`.
    """
    late = [host for host in empty if _is_coming(host) and host.id not in keep]
    waiting = {
        cluster
        for cluster in {host.cluster for host in late}
        if any(host.cluster == cluster and host.id in taken and _is_coming(host) for host in hosts)
    }
    words = "it is not ready yet, and enough others are"
    return tuple((host, words) for host in late if host.cluster not in waiting)


def _is_coming(host: Host) -> bool:
    return host.state in WATCHED_STATES and host.kind is SourceKind.CLOUD


def _at_most(offer: Offer, count: int) -> Offer:
    return offer if offer.available is not None and offer.available < count else replace(offer, available=count)


def _words(odds: Chances, count: int, wanted: int) -> str:
    settings = odds.settings
    late = 1 - odds.in_time(0.0)
    seen = f"; {odds.hosts} hosts observed" if odds.hosts else ""
    return (
        f"spare: one of {count} beside {wanted:,} wanted, as {late:.1%} fail or take longer than "
        f"{settings.deadline_s:g} s{seen}; with {settings.confidence:.1%} enough are ready by then"
    )
