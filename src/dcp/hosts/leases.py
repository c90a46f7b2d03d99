"""Who has which host since when and until when, who lends it, and what each cluster lends and borrows in all.

Read from the ledger: a lease is a host's row, seen with what the settings say of owners and hours.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dcp.hosts.clusters import Cluster
from dcp.hosts.loans import Loan
from dcp.hosts.model import Host, SourceKind
from dcp.hosts.sharing import Sharing


@dataclass(frozen=True, slots=True)
class Lease:
    """One host that a cluster has. Times are seconds since the epoch."""

    host: Host
    lender: str
    """Who lends it; empty: it is the cluster's own, everybody's or bought."""
    since: float
    until: float | None
    """It has to be empty by then: it leaves, is claimed, or its source's hours end."""


@dataclass(frozen=True, slots=True)
class Lending:
    """Private hosts of one cluster's own sources, and of others that it has."""

    cluster: str
    lends: bool
    owned: int
    """Of its own sources, whoever has them; free ones, which nobody has, do not count."""
    lent: int
    """Of these, those that others have."""
    borrowed: int
    claimed: int
    """Those that it claims back and others still have."""


def leases_of(hosts: Iterable[Host], sharing: Sharing, loans: Iterable[tuple[str, Loan]], now: float) -> list[Lease]:
    """Return a lease for each host, by cluster and time."""
    ends = {source: end for source, loan in loans if (end := loan.lent_until(now)) is not None}
    found = [
        Lease(
            host=host,
            lender=sharing.lender(host),
            since=host.requested_at if host.cluster_since is None else host.cluster_since,
            until=_first(host.leave_by, ends.get(host.source)),
        )
        for host in hosts
    ]
    return sorted(found, key=lambda one: (one.host.cluster, one.since, one.host.id))


def lendings_of(clusters: Iterable[Cluster], hosts: Sequence[Host], sharing: Sharing) -> list[Lending]:
    """Return what each cluster lends and borrows, those without a host or a source left out."""
    owned: Counter[str] = Counter()
    lent: Counter[str] = Counter()
    borrowed: Counter[str] = Counter()
    claimed = Counter(host.claimed_by for host in hosts if host.claimed_by is not None)
    for host in hosts:
        if host.kind is not SourceKind.PRIVATE:
            continue
        owners = sharing.owners_of(host)
        owned.update(owners)
        if sharing.lender(host):
            lent.update(owners)
            borrowed[host.cluster] += 1
    lenders = {one.name for one in clusters if one.lends}
    return [
        Lending(name, name in lenders, owned[name], lent[name], borrowed[name], claimed[name])
        for name in sorted(lenders | owned.keys() | borrowed.keys())
    ]


def _first(*times: float | None) -> float | None:
    known = [one for one in times if one is not None and one != math.inf]
    return min(known, default=None)
