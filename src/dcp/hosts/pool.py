"""What one cluster sees of the hosts that clusters share, at one moment: what it may take over or claim."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dcp.hosts.clusters import Cluster
from dcp.hosts.loans import Loan
from dcp.hosts.model import Host, Offer
from dcp.hosts.places import places_left
from dcp.hosts.refusals import Refused
from dcp.hosts.reserve import kept_ready
from dcp.hosts.sharing import Sharing, claimable, free_elsewhere, is_claimed_by, lately_claimed


@dataclass(frozen=True, slots=True)
class Pool:
    """Empty where there is one cluster and no hours."""

    idle: tuple[Host, ...] = ()
    """Empty private hosts that others have and the cluster may take over: their sources offer them, best first."""
    claimable: tuple[Host, ...] = ()
    """Hosts of its own sources that others use, those with the fewest instances first."""
    claimed: tuple[Host, ...] = ()
    """Hosts that it claims back and that others still have."""
    claim_notice_s: float = Cluster("").claim_notice_s
    kept: frozenset[str] = frozenset()
    """Its own hosts that headroom keeps empty."""
    uncertain: frozenset[str] = frozenset()
    """Sources of others of which an owner claimed a host lately."""
    until: Mapping[str, float] = field(default_factory=dict)
    """When the hours end at which hosts of a source are ours; only sources whose hours it is."""
    lent: frozenset[str] = frozenset()
    """Sources that have hours."""


ALONE = Pool()


@dataclass(frozen=True, slots=True)
class PoolRules:
    """What the settings say of clusters and sources."""

    clusters: tuple[Cluster, ...]
    sharing: Sharing
    loans: tuple[tuple[str, Loan], ...]
    claims_count_s: float
    """A claim keeps others from moving to hosts of that source for so long."""
    held_s: float
    """What an owner got back by a claim is left to it for so long, also while it is empty."""


def look_at_pool(
    name: str, hosts: Sequence[Host], placed: Iterable[str], offers: Iterable[Offer], rules: PoolRules, now: float
) -> Pool:
    """Return what cluster `name` sees. `placed`: the host of each instance; `offers`: of which shape hosts are."""
    until = {source: end for source, loan in rules.loans if (end := loan.lent_until(now)) is not None}
    lent = frozenset(source for source, _ in rules.loans)
    shared = rules.sharing.is_known or any(host.cluster != name for host in hosts)
    if not shared and not rules.clusters:
        return Pool(until=until, lent=lent) if lent else ALONE
    taken = Counter(placed)
    kept = kept_ready(rules.clusters, hosts, taken)
    own = next((one for one in rules.clusters if one.name == name), Cluster(name))
    shapes = {_shape(offer.source, offer) for offer in offers}
    idle = free_elsewhere(name, hosts, taken, kept, rules.sharing, now - rules.held_s)
    return Pool(
        idle=tuple(host for host in idle if _shape(host.source, host) in shapes),
        claimable=tuple(sorted(claimable(name, hosts, rules.sharing), key=lambda host: taken[host.id])),
        claimed=tuple(host for host in hosts if is_claimed_by(host, name)),
        claim_notice_s=own.claim_notice_s,
        kept=kept,
        uncertain=lately_claimed(name, hosts, rules.sharing, now - rules.claims_count_s),
        until=until,
        lent=lent,
    )


def spoken_for(hosts: Sequence[Host], pool: Pool) -> tuple[Host, ...]:
    """Return the hosts that are neither free at their source nor there to be taken over."""
    idle = {host.id for host in pool.idle}
    return tuple(host for host in hosts if host.id not in idle) if idle else tuple(hosts)


def left_of(
    offers: Iterable[Offer], spoken: Iterable[Host], idle: Iterable[Host], memory: tuple[Refused, ...], now: float
) -> tuple[Offer, ...]:
    """Return what is left of offers, which say what each source could give in all.

    That is: places that were not refused lately, and hosts that are not `spoken` for. `idle` ones are there, whatever
    their source refuses.
    """
    counts = Counter(map(_type, spoken))
    there = Counter(map(_type, idle))
    found: list[Offer] = []
    for offer in offers:
        key = offer.source, offer.host_type.name
        places = places_left(memory, offer, now)
        if not places:
            found.append(replace(offer, available=there[key]))
        elif offer.available is None:
            found.append(replace(offer, variants=places))
        else:
            found.append(replace(offer, variants=places, available=max(0, offer.available - counts[key])))
    return tuple(found)


def _type(host: Host) -> tuple[str, str]:
    return host.source, host.host_type.name


def _shape(source: str, one: Host | Offer) -> tuple[object, ...]:
    kind = one.host_type
    return source, kind.name, kind.resources, kind.labels
