"""How many new hosts, and of which offers, hold what has no room.

Hosts are filled to the brim one after the other, with the instances of all services together.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dcp.hosts.clusters import UNBOUNDED, Allowance
from dcp.hosts.model import Offer, Resources, SourceKind
from dcp.scheduling.filters import unmet_constraint
from dcp.scheduling.model import Ask, Candidate


@dataclass(frozen=True, slots=True)
class Filled:
    """One new host of an offer, and the asks (with their counts) that fill it."""

    offer: Offer
    asks: tuple[Ask, ...]

    @property
    def count(self) -> int:
        return sum(ask.count for ask in self.asks)


def fill_new_hosts(
    asks: Sequence[Ask], offers: Sequence[Offer], allowance: Allowance = UNBOUNDED
) -> tuple[Filled, ...]:
    """Return new hosts for `asks`: private offers in their order while they help, then the cloud by price per instance.

    Takes no more of an offer than it has, and no more than is allowed; what fits on no offer is left over. Each host
    holds at least one instance.
    `asks` name different services.
    """
    private = [offer for offer in offers if offer.kind is SourceKind.PRIVATE]
    cloud = [offer for offer in offers if offer.kind is SourceKind.CLOUD]
    filled: list[Filled] = []
    used: Counter[Offer] = Counter()
    left = list(asks)
    for choice in (*((offer,) for offer in private), cloud):
        while left:
            stocked = [
                offer
                for offer in choice
                if (offer.available is None or used[offer] < offer.available) and allowance.permits(offer)
            ]
            hosts = [host for offer in stocked if (host := fill(offer, left))]
            best = _cheapest(hosts)
            if best is None:
                break
            stock = None if best.offer.available is None else best.offer.available - used[best.offer]
            times, allowance = _permitted(best, _times_alike(best, hosts, left, stock), stocked, allowance)
            filled += [best] * times
            used[best.offer] += times
            left = _without(left, best, times)
    return tuple(filled)


def fill(offer: Offer, asks: Sequence[Ask]) -> Filled | None:
    """Return one host of `offer` with as much of `asks` as it holds; None if it holds nothing.

    Those with rules come first, as they fit on fewer offers, and among them and the others the largest instances.
    """
    host = candidate_of(offer, "new")
    free = host.total
    taken: dict[str, Ask] = {}
    for ask in sorted(asks, key=lambda ask: (not _is_choosy(ask), -_share(ask.resources, host.total))):
        count = 0 if unmet(host, ask) else times_on(ask, free)
        if count:
            taken[ask.service] = replace(ask, count=count)
            free = free.plus(ask.resources, -count)
    return Filled(offer, tuple(taken[ask.service] for ask in asks if ask.service in taken)) if taken else None


def candidate_of(offer: Offer, host_id: str) -> Candidate:
    """Return a host of this offer as the scheduler sees it: empty and still coming."""
    return Candidate(
        host_id=host_id,
        total=offer.host_type.resources,
        used=Resources(0, 0),
        kind=offer.kind,
        ready=False,
        price_usd_per_hour=offer.host_type.price_usd_per_hour,
        labels=dict(offer.host_type.labels),
    )


def _is_choosy(ask: Ask) -> bool:
    return bool(ask.constraints or ask.sites or ask.hardware or ask.dedicated or ask.resources.extra)


def unmet(host: Candidate, ask: Ask) -> str:
    """Return which rule keeps instances of `ask` off an empty host like this one; "" if none does."""
    labels = host.labels
    if labels.get("dedicated", "") != ask.dedicated:
        return f"being kept for {labels.get('dedicated') or 'anybody'}"
    if ask.sites and labels.get("site", "") not in ask.sites:
        return f"the site {' or '.join(sorted(ask.sites))}"
    if ask.hardware and labels.get("hardware", "") not in ask.hardware:
        return f"the hardware class {' or '.join(sorted(ask.hardware))}"
    return unmet_constraint(host, ask.constraints)


def _cheapest(hosts: list[Filled]) -> Filled | None:
    """Return the lowest price for each instance placed; among equals the one that places most, then the first."""
    if not hosts:
        return None
    return min(hosts, key=lambda host: (host.offer.host_type.price_usd_per_hour / host.count, -host.count))


def _times_alike(best: Filled, hosts: Sequence[Filled], left: Sequence[Ask], stock: int | None) -> int:
    """Return how often in a row `best` would be filled and chosen again: while no count is what limits any host."""
    times = sum(ask.count for ask in left) if stock is None else stock
    waiting = {ask.service: ask.count for ask in left}
    takes = {ask.service: ask.count for ask in best.asks}
    for host in hosts:
        for ask in host.asks:
            if taken := takes.get(ask.service):
                times = min(times, 1 + (waiting[ask.service] - ask.count) // taken)
    return max(1, times)


def _permitted(best: Filled, times: int, stocked: Sequence[Offer], allowance: Allowance) -> tuple[int, Allowance]:
    """Return how many of `times` hosts are taken before one of the offers is allowed no more, and what is left then."""
    for taken in range(1, times + 1):
        allowance = allowance.less((best.offer,))
        if not all(allowance.permits(offer) for offer in stocked):
            return taken, allowance
    return times, allowance


def _without(asks: list[Ask], host: Filled, times: int) -> list[Ask]:
    took = {ask.service: ask.count * times for ask in host.asks}
    left = [replace(ask, count=ask.count - took.get(ask.service, 0)) for ask in asks]
    return [ask for ask in left if ask.count]


def times_on(ask: Ask, free: Resources) -> int:
    """Return how many instances of `ask` an otherwise empty host takes into what is free."""
    most = ask.count if ask.max_per_host is None else min(ask.count, ask.max_per_host)
    if ask.resources.cpu_millis:
        most = min(most, free.cpu_millis // ask.resources.cpu_millis)
    if ask.resources.memory_bytes:
        most = min(most, free.memory_bytes // ask.resources.memory_bytes)
    if ask.resources.disk_bytes or ask.resources.extra:
        has = free.amounts()
        most = min(most, *(has.get(name, 0) // one for name, one in ask.resources.amounts().items() if one))
    return max(0, most)


def _share(one: Resources, of: Resources) -> float:
    return max(one.cpu_millis / max(of.cpu_millis, 1), one.memory_bytes / max(of.memory_bytes, 1))
