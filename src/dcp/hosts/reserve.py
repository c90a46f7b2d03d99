"""Hosts that are kept although nothing runs there: headroom that is ready at once, and switched-off hosts for less."""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from dcp.hosts.clusters import Allowance, Cluster
from dcp.hosts.model import Host, Offer, SourceKind
from dcp.hosts.states import COMING, HostState

_OFF = frozenset({HostState.STOPPING, HostState.STOPPED})
_EMPTY = COMING | {HostState.READY}


def headroom(cluster: Cluster, used: int) -> int:
    """Return how many empty hosts the cluster wants beside those in use: the larger of number and percentage."""
    return max(cluster.headroom_hosts, math.ceil(cluster.headroom_percent * used / 100 - 1e-9))


def missing_headroom(cluster: Cluster, hosts: Iterable[Host], taken: Collection[str]) -> int:
    """Return how many empty hosts are missing; those that are coming count. `taken` have instances."""
    own = [host for host in hosts if host.cluster == cluster.name]
    return max(0, headroom(cluster, _used(own, taken)) - len(_empty(own, taken)))


def kept_ready(clusters: Iterable[Cluster], hosts: Sequence[Host], taken: Collection[str]) -> frozenset[str]:
    """Return the empty hosts that headroom keeps: private and cheap ones, then those that are there the longest."""
    kept: set[str] = set()
    for cluster in clusters:
        own = [host for host in hosts if host.cluster == cluster.name]
        best = sorted(_empty(own, taken), key=_worth)
        kept.update(host.id for host in best[: headroom(cluster, _used(own, taken))])
    return frozenset(kept)


def kept_stopped(clusters: Iterable[Cluster], hosts: Sequence[Host], idle: Sequence[Host]) -> Mapping[str, str]:
    """Return which `idle` hosts are switched off rather than given back, and why. All of `idle` can be."""
    found: dict[str, str] = {}
    for cluster in clusters:
        off = sum(1 for host in hosts if host.cluster == cluster.name and host.state in _OFF)
        mine = sorted((host for host in idle if host.cluster == cluster.name), key=_worth)
        words = f"one of {cluster.stopped_hosts} that the cluster keeps switched off"
        found.update((host.id, words) for host in mine[: max(0, cluster.stopped_hosts - off)])
    return found


def surplus_stopped(clusters: Iterable[Cluster], hosts: Sequence[Host], taken: Collection[str]) -> Mapping[str, str]:
    """Return switched-off hosts that are more than their cluster keeps, and why they are given back."""
    keeps = {cluster.name: cluster.stopped_hosts for cluster in clusters}
    found: dict[str, str] = {}
    kept: Counter[str] = Counter()
    off = [host for host in hosts if host.state is HostState.STOPPED and host.id not in taken]
    for host in sorted(off, key=_worth):
        kept[host.cluster] += 1
        if kept[host.cluster] > keeps.get(host.cluster, 0):
            found[host.id] = f"its cluster keeps {keeps.get(host.cluster, 0)} switched off"
    return found


def reserve_hosts(cluster: Cluster, count: int, offers: Sequence[Offer], allowance: Allowance) -> Iterator[Offer]:
    """Yield an offer for each of up to `count` empty hosts: private in their order, then the cheapest cloud if wanted.

    `offers` say what is left of each. Nothing beyond the allowance, nothing that costs beyond it.
    """
    private = [offer for offer in offers if offer.kind is SourceKind.PRIVATE]
    cloud = [offer for offer in offers if offer.kind is SourceKind.CLOUD] if cluster.headroom_cloud else []
    for offer in (*private, *sorted(cloud, key=lambda one: one.host_type.price_usd_per_hour)):
        left = math.inf if offer.available is None else offer.available
        while count > 0 and left > 0 and allowance.permits(offer):
            yield offer
            count, left = count - 1, left - 1
            allowance = allowance.less((offer,))


def _used(own: Iterable[Host], taken: Collection[str]) -> int:
    return sum(1 for host in own if host.id in taken)


def _empty(own: Iterable[Host], taken: Collection[str]) -> list[Host]:
    return [host for host in own if host.state in _EMPTY and host.leave_by is None and host.id not in taken]


def _worth(host: Host) -> tuple[bool, float, bool, float, str]:
    dear = host.host_type.price_usd_per_hour
    return (host.kind is SourceKind.CLOUD, dear, host.state is not HostState.READY, host.requested_at, host.id)
