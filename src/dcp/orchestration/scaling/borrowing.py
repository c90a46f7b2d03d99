"""Hosts between clusters: what another cluster has too much of is taken over, what is ours and lent is claimed back.

An empty private host that another cluster has is part of what its source offers, so plans count with it like with any
offer; here it is named instead of asking the source for another one. A claim is made where neither what we have nor
private offers suffice, before a cloud is asked; what the claimed hosts will take waits for them. Nothing is claimed for
groups and for services with rules about neighbours: whether a host helps those is not known before it is empty.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dcp.hosts.clusters import Allowance
from dcp.hosts.model import Host, Offer, SourceKind
from dcp.hosts.pool import Pool
from dcp.orchestration.scaling.filling import candidate_of, fill_new_hosts
from dcp.orchestration.scaling.hosts_wanted import (
    HostPlan,
    NewHost,
    merge,
    offers_left,
    place_with_new_hosts,
    remaining,
    with_assigned,
)
from dcp.orchestration.scaling.trying import is_involved
from dcp.scheduling.model import Ask, Candidate


@dataclass(frozen=True, slots=True)
class TakeOver:
    """An empty host of another cluster that is ours from now on, and why."""

    host: Host
    """As the other cluster has it."""
    words: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A host of our own source that another cluster uses and has to leave."""

    host: Host
    leave_by: float
    words: str


@dataclass(frozen=True, slots=True)
class ClaimPlan:
    """A placement, the hosts to claim, and what waits for claimed hosts, by service, in words."""

    host_plan: HostPlan
    claims: tuple[Claim, ...] = ()
    waiting: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Claimant:
    """Who claims, and how much may be asked for."""

    cluster: str
    now: float
    allowance: Allowance


def place_with_claims(
    asks: tuple[Ask, ...],
    candidates: tuple[Candidate, ...],
    offers: tuple[Offer, ...],
    last_host: int,
    seed: int,
    claimant: Claimant,
    pool: Pool,
) -> ClaimPlan:
    """Return a placement on what is there, then on private offers, then on claims, then on cloud offers."""
    allowance = claimant.allowance
    if not (pool.claimable or pool.claimed):
        return ClaimPlan(place_with_new_hosts(asks, candidates, offers, last_host, seed, allowance))
    private = tuple(offer for offer in offers if offer.kind is SourceKind.PRIVATE)
    first = place_with_new_hosts(asks, candidates, private, last_host, seed, allowance)
    left = remaining(asks, first.placement)
    if not left:
        return ClaimPlan(first)
    spoken = [new.offer for new in first.new_hosts]
    plain = tuple(ask for ask in left if not ask.group and not is_involved(ask))
    held, claims, counts = _claims(plain, replace(claimant, allowance=allowance.less(spoken)), pool)
    still = tuple(replace(ask, count=ask.count - counts[ask.service]) for ask in left)
    still = tuple(ask for ask in still if ask.count)
    waiting = _waiting(left, counts, (*held, *(claim.host for claim in claims)), claimant)
    if not still:
        return ClaimPlan(replace(first, placement=replace(first.placement, unplaced=())), claims, waiting)
    new = {host.host_id: host.offer for host in first.new_hosts}
    there = with_assigned(
        first.placement.assignments, asks, (*candidates, *(candidate_of(offer, name) for name, offer in new.items()))
    )
    spoken += [_offer_of(claim.host) for claim in claims]
    second = place_with_new_hosts(
        still, there, offers_left(offers, new.values()), last_host + len(new), seed, allowance.less(spoken)
    )
    return ClaimPlan(merge(asks, first, second), claims, waiting)


def take_over(host_plan: HostPlan, idle: Sequence[Host], last_host: int) -> tuple[HostPlan, tuple[TakeOver, ...]]:
    """Return the plan with hosts that are there in place of new ones of the same source and type, as far as they go.

    The other new hosts are numbered again, so that there is no gap. `idle`: best first.
    """
    if not idle or not host_plan.new_hosts:
        return host_plan, ()
    there: dict[tuple[str, str], list[Host]] = {}
    for host in reversed(idle):
        there.setdefault((host.source, host.host_type.name), []).append(host)
    names: dict[str, str] = {}
    taken: list[TakeOver] = []
    asked: list[NewHost] = []
    for new in host_plan.new_hosts:
        free = there.get((new.offer.source, new.offer.host_type.name))
        if free:
            host = free.pop()
            taken.append(TakeOver(host, f"cluster {host.cluster or 'none'} has it and does not need it; {new.why}"))
            names[new.host_id] = host.id
        else:
            name = f"{new.offer.source}-{last_host + len(asked) + 1}"
            asked.append(replace(new, host_id=name))
            names[new.host_id] = name
    assignments = tuple(
        replace(one, host_id=names.get(one.host_id, one.host_id)) for one in host_plan.placement.assignments
    )
    placement = replace(host_plan.placement, assignments=assignments)
    return replace(host_plan, placement=placement, new_hosts=tuple(asked)), tuple(taken)


def _claims(
    asks: tuple[Ask, ...], claimant: Claimant, pool: Pool
) -> tuple[tuple[Host, ...], tuple[Claim, ...], Counter[str]]:
    """Return claimed hosts that are waited for, new claims, and how many instances of each service they will take."""
    # Hosts that are claimed already were counted by the allowance; here they are filled first.
    allowance = replace(
        claimant.allowance,
        hosts=claimant.allowance.hosts + len(pool.claimed),
        usd_per_hour=claimant.allowance.usd_per_hour + sum(_price(host) for host in pool.claimed),
        usd_per_hour_by_month=claimant.allowance.usd_per_hour_by_month + sum(_price(host) for host in pool.claimed),
        by_source=(),
    )
    hosts: dict[Offer, list[Host]] = {}
    for host in (*pool.claimed, *pool.claimable):
        hosts.setdefault(_offer_of(host), []).append(host)
    offers = [replace(offer, available=len(found)) for offer, found in hosts.items()]
    filled = fill_new_hosts(asks, offers, allowance)
    wanted = Counter(replace(one.offer, available=None) for one in filled)
    counts: Counter[str] = Counter()
    for one in filled:
        counts.update({ask.service: ask.count for ask in one.asks})
    chosen = [host for offer, count in wanted.items() for host in hosts[offer][:count]]
    known = {host.id for host in pool.claimed}
    names = " and ".join(ask.service for ask in asks)
    leave_by = claimant.now + pool.claim_notice_s
    words = f"cluster {claimant.cluster} needs its host for {names}: empty in {pool.claim_notice_s:g} s at the latest"
    claims = tuple(Claim(host, leave_by, words) for host in chosen if host.id not in known)
    return tuple(host for host in chosen if host.id in known), claims, counts


def _waiting(
    asks: tuple[Ask, ...], counts: Counter[str], hosts: tuple[Host, ...], claimant: Claimant
) -> tuple[tuple[str, str], ...]:
    names = ", ".join(f"{host.id} (from {host.cluster or 'none'})" for host in hosts)
    return tuple(
        (ask.service, f"{counts[ask.service]:,} wait for hosts that cluster {claimant.cluster} claims back: {names}")
        for ask in asks
        if counts[ask.service]
    )


def _offer_of(host: Host) -> Offer:
    return Offer(host.source, host.kind, host.host_type, None)


def _price(host: Host) -> float:
    return host.host_type.price_usd_per_hour
