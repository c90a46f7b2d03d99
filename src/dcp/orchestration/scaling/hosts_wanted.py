"""Where instances go when the hosts we have are not enough: which hosts to ask for, how many, and why from there.

Private sources come first and the cloud last, as an invariant: a cloud host is asked for only for instances that no
private offer with something left could take. How many hosts is found by filling them to the brim, all services
together; where the instances then go on them is the scheduler's to say, which spreads them.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from dcp.hosts.clusters import UNBOUNDED, Allowance
from dcp.hosts.model import Offer, SourceKind
from dcp.orchestration.scaling.equal_sources import in_turn
from dcp.orchestration.scaling.filling import Filled, candidate_of, unmet
from dcp.orchestration.scaling.packing import pack_new_hosts
from dcp.orchestration.scaling.trying import avoided_in, is_involved, try_new_hosts
from dcp.scheduling.change import describe
from dcp.scheduling.explain import explain
from dcp.scheduling.fleet import fleet_of
from dcp.scheduling.model import Ask, Assignment, Candidate, Placement, Unplaced
from dcp.scheduling.place import place
from dcp.scheduling.traits import traits_of


@dataclass(frozen=True, slots=True)
class NewHost:
    """A host to ask its source for, and why this one."""

    host_id: str
    offer: Offer
    why: str


@dataclass(frozen=True, slots=True)
class HostPlan:
    """Where every instance goes, and the hosts to ask for first; assignments name those by their new identifiers."""

    placement: Placement
    new_hosts: tuple[NewHost, ...]


def place_with_new_hosts(
    asks: tuple[Ask, ...],
    candidates: tuple[Candidate, ...],
    offers: tuple[Offer, ...],
    last_host: int,
    seed: int,
    allowance: Allowance = UNBOUNDED,
) -> HostPlan:
    """Return a placement on the hosts that are there and on as few new ones as are reasonable.

    `offers` stand in the order of preference of their sources. New hosts are called `SOURCE-NUMBER`, with numbers from
    `last_host + 1` on without a gap. No offer gives more than it has, and no host is asked for that gets no instance.
    ValueError: two asks name the same service.
    """
    if len({ask.service for ask in asks}) < len(asks):
        raise ValueError("two asks name the same service")
    plan = _place_in_order(asks, candidates, offers, last_host, seed, allowance)
    if not any(ask.group for ask in asks):
        return plan
    refused = {one.service for one in plan.placement.unplaced}
    broken = {ask.group for ask in asks if ask.group and ask.service in refused}
    if not broken:
        return plan
    whole = tuple(ask for ask in asks if ask.group not in broken)
    rest = place_with_new_hosts(whole, candidates, offers, last_host, seed, allowance)
    return replace(rest, placement=_with_refused_groups(rest.placement, plan.placement, asks, broken))


def _with_refused_groups(
    kept: Placement, tried: Placement, asks: tuple[Ask, ...], broken: Collection[str]
) -> Placement:
    """Return `kept` with a refusal for every ask of the broken groups, which says who is to blame."""
    blamed = {one.service: one for one in tried.unplaced}
    found = list(kept.unplaced)
    for ask in asks:
        if ask.group not in broken:
            continue
        why = [blamed[one.service] for one in asks if one.group == ask.group and one.service in blamed]
        words = f"{ask.service}: nothing of group {ask.group} is placed unless all of it fits; {why[0].words}"
        found.append(Unplaced(ask.service, ask.count, why[0].refusals, words))
    return replace(kept, unplaced=tuple(found))


def _place_in_order(
    asks: tuple[Ask, ...],
    candidates: tuple[Candidate, ...],
    offers: tuple[Offer, ...],
    last_host: int,
    seed: int,
    allowance: Allowance,
) -> HostPlan:
    if any(ask.not_on for ask in asks):
        return _place_elsewhere_first(asks, candidates, offers, last_host, seed, allowance)
    return _place(asks, candidates, offers, last_host, seed, allowance)


def _place_elsewhere_first(
    asks: tuple[Ask, ...],
    candidates: tuple[Candidate, ...],
    offers: tuple[Offer, ...],
    last_host: int,
    seed: int,
    allowance: Allowance,
) -> HostPlan:
    """Leave hosts out where a private one can be had instead; nothing is bought only because a start failed."""
    private = tuple(offer for offer in offers if offer.kind is SourceKind.PRIVATE)
    first = _place(asks, candidates, private, last_host, seed, allowance)
    left = tuple(replace(ask, not_on=frozenset()) for ask in remaining(asks, first.placement))
    if not left:
        return first
    new = {host.host_id: host.offer for host in first.new_hosts}
    hosts = (*candidates, *(candidate_of(offer, name) for name, offer in new.items()))
    there = with_assigned(first.placement.assignments, asks, hosts)
    second = _place(
        left, there, offers_left(offers, new.values()), last_host + len(new), seed, allowance.less(new.values())
    )
    return merge(asks, first, second)


def merge(asks: tuple[Ask, ...], first: HostPlan, second: HostPlan) -> HostPlan:
    """Return both as one; what the second one, which was made for the rest, left over is left over."""
    assignments = _in_order(asks, (*first.placement.assignments, *second.placement.assignments))
    return HostPlan(Placement(assignments, second.placement.unplaced), (*first.new_hosts, *second.new_hosts))


def _place(
    asks: tuple[Ask, ...],
    candidates: tuple[Candidate, ...],
    offers: tuple[Offer, ...],
    last_host: int,
    seed: int,
    allowance: Allowance,
) -> HostPlan:
    first = place(asks, candidates, seed)
    if not first.unplaced:
        return HostPlan(first, ())
    left = remaining(asks, first)
    avoided = avoided_in(candidates)
    packed = pack_new_hosts([ask for ask in left if not is_involved(ask, avoided)], offers, allowance)
    sources = in_turn([one.offer for one in packed], offers, allowance)
    filled = tuple(replace(one, offer=offer) for one, offer in zip(packed, sources, strict=True))
    new, second = _place_on_new(tuple(ask for ask in left if not is_involved(ask, avoided)), filled, last_host, seed)
    assignments = _in_order(asks, (*first.assignments, *second))
    if involved := tuple(ask for ask in left if is_involved(ask, avoided)):
        there = with_assigned(
            assignments, asks, (*candidates, *(candidate_of(offer, name) for name, offer in new.items()))
        )
        open_offers, allowed = offers_left(offers, new.values()), allowance.less(new.values())
        more, third = try_new_hosts(involved, there, open_offers, last_host + len(new), seed, allowed)
        new, second = new | more, (*second, *third)
        assignments = _in_order(asks, (*assignments, *third))
    there = with_assigned(assignments, asks, (*candidates, *(candidate_of(offer, name) for name, offer in new.items())))
    unplaced = _unplaced(
        asks, assignments, there, offers_left(offers, new.values()), seed, allowance.less(new.values())
    )
    loads = _by_host(second)
    new_hosts = tuple(NewHost(name, offer, _why(offer, loads[name], offers)) for name, offer in new.items())
    return HostPlan(Placement(assignments, unplaced), new_hosts)


def remaining(asks: tuple[Ask, ...], placement: Placement) -> tuple[Ask, ...]:
    """Return what `placement` left over, as asks."""
    left = {refused.service: refused.count for refused in placement.unplaced}
    return tuple(replace(ask, count=left[ask.service]) for ask in asks if ask.service in left)


def _place_on_new(
    asks: tuple[Ask, ...], filled: tuple[Filled, ...], last_host: int, seed: int
) -> tuple[dict[str, Offer], tuple[Assignment, ...]]:
    """Return the new hosts that are used, by identifier, and what goes there: spread, if all that fitted still fits.

    Private and cloud hosts each keep what was meant for them, so that spreading sends nothing to the cloud.
    """
    hosts = {_name(host.offer, last_host + number): host for number, host in enumerate(filled, 1)}
    private = {name: host for name, host in hosts.items() if host.offer.kind is SourceKind.PRIVATE}
    cloud = {name: host for name, host in hosts.items() if host.offer.kind is SourceKind.CLOUD}
    spread = (*_spread(asks, private, seed, all_used=bool(cloud)), *_spread(asks, cloud, seed, all_used=False))
    used = {assignment.host_id for assignment in spread}
    kept = [(name, host.offer) for name, host in hosts.items() if name in used]
    names = {name: _name(offer, last_host + number) for number, (name, offer) in enumerate(kept, 1)}
    renamed = tuple(replace(assignment, host_id=names[assignment.host_id]) for assignment in spread)
    return {names[name]: offer for name, offer in kept}, renamed


def _spread(asks: tuple[Ask, ...], hosts: Mapping[str, Filled], seed: int, *, all_used: bool) -> tuple[Assignment, ...]:
    """Return where the instances that fill `hosts` go on these: spread, else as they fill them."""
    meant = _counts(hosts.values())
    own = tuple(replace(ask, count=meant[ask.service]) for ask in asks if meant[ask.service])
    found = place(own, tuple(candidate_of(host.offer, name) for name, host in hosts.items()), seed).assignments
    some_empty = len({one.host_id for one in found}) < len(hosts)
    if Counter(one.service for one in found) == meant and not (all_used and some_empty):
        return found
    return tuple(
        assignment
        for name, host in hosts.items()
        for assignment in place(host.asks, (candidate_of(host.offer, name),), seed).assignments
    )


def _counts(filled: Iterable[Filled]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for host in filled:
        counts.update({ask.service: ask.count for ask in host.asks})
    return counts


def _name(offer: Offer, number: int) -> str:
    return f"{offer.source}-{number}"


def _in_order(asks: tuple[Ask, ...], assignments: tuple[Assignment, ...]) -> tuple[Assignment, ...]:
    order = {ask.service: position for position, ask in enumerate(asks)}
    return tuple(sorted(assignments, key=lambda assignment: order[assignment.service]))


def with_assigned(
    assignments: tuple[Assignment, ...], asks: tuple[Ask, ...], hosts: tuple[Candidate, ...]
) -> tuple[Candidate, ...]:
    return with_assignments(assignments, {ask.service: ask for ask in asks}, hosts)


def with_assignments(
    assignments: tuple[Assignment, ...], asks: Mapping[str, Ask], hosts: tuple[Candidate, ...]
) -> tuple[Candidate, ...]:
    """Return the hosts as they are once the assignments are there; `asks` of every service by its name."""
    if not assignments:
        return hosts
    added = _by_host(assignments)
    return tuple(_loaded(host, added[host.host_id], asks) if host.host_id in added else host for host in hosts)


def _by_host(assignments: tuple[Assignment, ...]) -> Mapping[str, Counter[str]]:
    """Return how many instances of each service every host gets."""
    found: dict[str, Counter[str]] = {}
    for assignment in assignments:
        found.setdefault(assignment.host_id, Counter())[assignment.service] += 1
    return found


def _loaded(host: Candidate, added: Counter[str], asks: Mapping[str, Ask]) -> Candidate:
    used, traits = host.used, Counter(host.traits)
    for service, count in added.items():
        used = used.plus(asks[service].resources, count)
        traits.update(dict.fromkeys(traits_of(asks[service]), count))
    return replace(host, used=used, instances=dict(Counter(host.instances) + added), traits=traits)


def offers_left(offers: Sequence[Offer], taken: Iterable[Offer]) -> tuple[Offer, ...]:
    """Return what is left of offers once one host of each of `taken` was asked for."""
    counts = Counter(taken)
    return tuple(
        offer if offer.available is None else replace(offer, available=offer.available - counts[offer])
        for offer in offers
    )


def _unplaced(
    asks: tuple[Ask, ...],
    assignments: tuple[Assignment, ...],
    hosts: tuple[Candidate, ...],
    offers: tuple[Offer, ...],
    seed: int,
    allowance: Allowance,
) -> tuple[Unplaced, ...]:
    """Explain what still fits nowhere, on the hosts as they will be, and why no source helps."""
    placed = Counter(assignment.service for assignment in assignments)
    fleet = fleet_of(hosts, seed)
    found: list[Unplaced] = []
    for ask in asks:
        if placed[ask.service] < ask.count:
            refusal = explain(fleet, ask, ask.count - placed[ask.service])
            words = f"{refusal.words}; new hosts: {_why_not(ask, offers, allowance) or 'there is no source'}"
            found.append(replace(refusal, words=words))
    return tuple(found)


def _why(offer: Offer, counts: Counter[str], offers: tuple[Offer, ...]) -> str:
    """Say in words what the host is for and why it comes from this source."""
    load = " and ".join(f"{count:,} of {service}" for service, count in counts.items())
    size = describe(offer.host_type.resources)
    if offer.kind is SourceKind.PRIVATE:
        return (
            f"no host has room for {load}; the private source {offer.source} gives one {offer.host_type.name} ({size})"
        )
    price = offer.host_type.price_usd_per_hour
    private = [one.source for one in offers if one.kind is SourceKind.PRIVATE]
    first = (
        f"private sources ({', '.join(dict.fromkeys(private))}) have nothing left for it"
        if private
        else ("there is no private source")
    )
    return (
        f"no host has room for {load} and {first}; {offer.source} gives one {offer.host_type.name} ({size}) at "
        f"${price:g} an hour, ${price / counts.total():.4g} an instance, the best found for all"
    )


def _why_not(ask: Ask, offers: tuple[Offer, ...], allowance: Allowance) -> str:
    """Say in words, for every offer, why it gives no host for one more instance of `ask`."""
    said: list[str] = []
    for offer in offers:
        name = f"{offer.host_type.name} of {offer.source}"
        rule = unmet(candidate_of(offer, "new"), ask)
        if offer.available is not None and offer.available <= 0:
            said.append(f"no {name} is left")
        elif rule:
            said.append(f"{name} is ruled out by {rule}")
        elif ask.resources.fits_in(offer.host_type.resources) and (bound := allowance.against(offer)):
            said.append(f"{name}: {bound}")
        elif ask.resources.fits_in(offer.host_type.resources):
            said.append(f"one more {name} would not be where it may stand")
        else:
            said.append(f"{name} is too small ({describe(offer.host_type.resources)})")
    return ", ".join(said)
