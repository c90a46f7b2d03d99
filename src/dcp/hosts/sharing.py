"""Whose private hosts they are, who else may have them for a time, and how their owner gets them back.

A source that names clusters is owned by them. Where all of its owners lend, what they have too much of is shared: other
clusters take it over before anything is bought, and an owner that needs a host claims it back with notice. Where a host
is, the ledger says: `Host.cluster` has it, `Host.claimed_by` gets it next. Nothing else is remembered, so a host is
lent once at most, and no crash leaves more to mend than one row.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from dcp.hosts.clusters import Cluster, SourceAccess
from dcp.hosts.model import Host, Offer, SourceKind
from dcp.hosts.states import HostState
from dcp.hosts.steps import HostStep

CLAIMED = "claimed"
"""Reason of a host that leaves because an owner claims it back."""
HANDED_OVER = "handed-over"
"""Reason of a host that its owner has got back by a claim."""
TAKEN_OVER = "taken-over"
"""Reason of a host that went from a cluster that did not need it to one that does."""

FREE_STATES = frozenset({HostState.READY, HostState.DRAINING})
"""States in which an empty host can be taken over: it is there, and was not given back yet."""


class Standing(StrEnum):
    """What a source is to a cluster."""

    OWN = "own"
    """Only for it, and perhaps some others."""
    OPEN = "open"
    """For everybody."""
    SHARED = "shared"
    """Of others, who lend."""
    CLOSED = "closed"


_USED_FIRST = (Standing.OWN, Standing.OPEN, Standing.SHARED)


@dataclass(frozen=True, slots=True)
class Sharing:
    """Who owns which source, and which clusters lend."""

    owners: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By source; one that is not in it is everybody's."""
    of_types: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    """By source and type of host, where a source says so itself."""
    lenders: frozenset[str] = frozenset()

    @property
    def is_known(self) -> bool:
        """Return whether anything has an owner."""
        return bool(self.owners or self.of_types)

    def owners_of(self, one: Host | Offer) -> tuple[str, ...]:
        """Return whose it is; empty: everybody's."""
        return self.of_types.get((one.source, one.host_type.name)) or self.owners.get(one.source, ())

    def standing(self, cluster: str, one: Host | Offer) -> Standing:
        """Return what it is to the cluster. Clouds are never lent: there each buys for itself."""
        owners = self.owners_of(one)
        if not owners:
            return Standing.OPEN
        if cluster in owners:
            return Standing.OWN
        lent = one.kind is SourceKind.PRIVATE and self.lenders.issuperset(owners)
        return Standing.SHARED if lent else Standing.CLOSED

    def lender(self, host: Host) -> str:
        """Return who lends the host to the cluster that has it, as `a or b` where it has several owners; else "".

        A host of a source that was kept for others since is lent too, whether they lend or not.
        """
        owners = self.owners_of(host)
        if host.cluster in owners or host.kind is not SourceKind.PRIVATE:
            return ""
        return " or ".join(owners)


EVERYBODYS = Sharing()


def sharing_of(clusters: Iterable[Cluster], access: Iterable[SourceAccess], offers: Iterable[Offer] = ()) -> Sharing:
    """Return who owns and who lends, as the settings and the sources say."""
    return Sharing(
        owners={one.source: one.clusters for one in access if one.clusters},
        of_types={(offer.source, offer.host_type.name): offer.clusters for offer in offers if offer.clusters},
        lenders=frozenset(cluster.name for cluster in clusters if cluster.lends),
    )


def in_order(cluster: str, offers: Iterable[Offer], sharing: Sharing) -> tuple[Offer, ...]:
    """Return what the cluster may use: private sources of its own and everybody's, shared ones, then clouds."""
    found: list[tuple[tuple[bool, bool], Offer]] = []
    for offer in offers:
        standing = sharing.standing(cluster, offer)
        if standing is Standing.CLOSED:
            continue
        shared = standing is Standing.SHARED
        lender = " or ".join(sharing.owners_of(offer)) if shared else ""
        found.append(((offer.kind is SourceKind.CLOUD, shared), replace(offer, lender=lender) if shared else offer))
    return tuple(offer for _, offer in sorted(found, key=lambda one: one[0]))


def free_elsewhere(
    cluster: str,
    hosts: Iterable[Host],
    taken: Collection[str],
    kept: Collection[str],
    sharing: Sharing,
    held_since: float = 0.0,
) -> tuple[Host, ...]:
    """Return the private hosts of other clusters that this one may take over as they are: nothing is on them.

    `taken` have an instance; `kept` are headroom, which only an owner takes, from who is none. What an owner got back
    after `held_since` is left to it: it was claimed for something that is not there yet. Best first.
    """
    found: list[tuple[tuple[int, bool, float, str], Host]] = []
    for host in hosts:
        if host.cluster == cluster or not _is_free(host) or host.id in taken:
            continue
        if host.reason == HANDED_OVER and host.changed_at > held_since:
            continue
        standing = sharing.standing(cluster, host)
        if standing is Standing.CLOSED or (host.id in kept and not _may_claim(cluster, host, sharing)):
            continue
        rank = (_USED_FIRST.index(standing), host.state is not HostState.READY, host.requested_at, host.id)
        found.append((rank, host))
    return tuple(host for _, host in sorted(found, key=lambda one: one[0]))


def claimable(cluster: str, hosts: Iterable[Host], sharing: Sharing) -> tuple[Host, ...]:
    """Return hosts of the cluster's own sources that somebody else has and uses, and that nobody claims yet."""
    return tuple(
        host
        for host in hosts
        if host.state is HostState.READY and host.leave_by is None and _may_claim(cluster, host, sharing)
    )


def is_claimed_by(host: Host, cluster: str) -> bool:
    """Return whether the cluster waits for the host, which somebody else still has."""
    return host.state is HostState.CORDONED and host.reason == CLAIMED and host.claimed_by == cluster


def lately_claimed(cluster: str, hosts: Iterable[Host], sharing: Sharing, since: float) -> frozenset[str]:
    """Return sources of others of which an owner claims a host now or got one back after `since`."""
    return frozenset(
        host.source
        for host in hosts
        if (
            (host.reason == CLAIMED and host.state is HostState.CORDONED)
            or (host.reason == HANDED_OVER and host.changed_at > since)
        )
        and cluster not in sharing.owners_of(host)
    )


def taken_over(host: Host, cluster: str, words: str) -> HostStep:
    """Give the host, on which nothing is, to another cluster. One that was about to go back to its source stays."""
    return HostStep(host, HostState.READY, TAKEN_OVER, words, changes={"cluster": cluster})


def claimed_back(host: Host, owner: str, leave_by: float, words: str) -> HostStep:
    """Let the host be emptied for its owner."""
    return HostStep(host, HostState.CORDONED, CLAIMED, words, changes={"leave_by": leave_by, "claimed_by": owner})


def _is_free(host: Host) -> bool:
    return host.kind is SourceKind.PRIVATE and host.state in FREE_STATES and host.leave_by is None


def _may_claim(cluster: str, host: Host, sharing: Sharing) -> bool:
    owners = sharing.owners_of(host)
    return host.kind is SourceKind.PRIVATE and cluster in owners and host.cluster not in owners
