"""What a cluster may have: which sources it may use, how many hosts, how much an hour and a month.

A cluster is one business line. Its hosts carry its name, and nothing of another cluster is placed there. The cluster
"" is everybody who names none.
"""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from dcp.hosts.cost.prices import price_now
from dcp.hosts.model import Host, Offer, SourceKind

MONTHLY_LOOKAHEAD_H = 24.0
"""A monthly cap must leave room for what the hosts would cost for so long."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """The bounds of one cluster; None: no bound."""

    name: str
    max_hosts: int | None = None
    max_cloud_hosts: int | None = None
    hard_cap_usd_per_hour: float | None = None
    """No host is asked for that would exceed it."""
    soft_cap_usd_per_hour: float | None = None
    """May be exceeded, which is said."""
    hard_cap_usd_per_month: float | None = None
    """No host is asked for that would, with all others, exceed it within a day. It never ends what serves."""
    headroom_hosts: int = 0
    """Empty hosts that are kept ready, or"""
    headroom_percent: float = 0.0
    """of the hosts in use, whichever is more."""
    headroom_cloud: bool = False
    """Whether headroom may be in the cloud where no private host is left."""
    stopped_hosts: int = 0
    """Hosts that are switched off rather than given back, where their source can."""
    lends: bool = False
    """Whether others may have private hosts of its sources while it does not need them."""
    claim_notice_s: float = 120.0
    """A host that it claims back is to be empty so long after."""


@dataclass(frozen=True, slots=True)
class SourceAccess:
    """Who may use a source, and how much of it. No clusters: everybody."""

    source: str
    clusters: tuple[str, ...] = ()
    """Its owners."""
    quota: int | None = None
    """Hosts of it at once, at most; None: no bound."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a plan may still ask for; infinite where there is no bound."""

    cluster: str = ""
    hosts: float = math.inf
    cloud_hosts: float = math.inf
    usd_per_hour: float = math.inf
    usd_per_hour_by_month: float = math.inf
    """What the monthly cap leaves for each hour of the next day."""
    usd_per_hour_softly: float = math.inf
    """What is left below the soft cap; negative: it is exceeded already."""
    by_source: tuple[tuple[str, int], ...] = ()
    """Hosts that are left of each source which has a quota."""

    def permits(self, offer: Offer) -> bool:
        """Return whether one more host of the offer stays inside every bound."""
        return not self.against(offer)

    def against(self, offer: Offer) -> str:
        """Return which bound forbids one more host of the offer, in words; empty: none."""
        price = offer.host_type.price_usd_per_hour
        who = f"of cluster {self.cluster}" if self.cluster else "of hosts without a cluster"
        if self.hosts < 1:
            return f"the quota of hosts {who} is used up"
        if offer.kind is SourceKind.CLOUD and self.cloud_hosts < 1:
            return f"the quota of cloud hosts {who} is used up"
        if self.by_source and dict(self.by_source).get(offer.source, 1) < 1:
            return f"the quota of source {offer.source} is used up"
        if price > self.usd_per_hour + _ROUNDING:
            left = max(0.0, self.usd_per_hour)
            return f"${price:g} an hour would exceed the hard cap {who}: ${left:g} an hour is left"
        if price > self.usd_per_hour_by_month + _ROUNDING:
            left = max(0.0, self.usd_per_hour_by_month)
            return f"${price:g} an hour would exceed the monthly cap {who} within a day: ${left:g} an hour is left"
        return ""

    def over_soft_cap(self, taken: Iterable[Offer]) -> str:
        """Return in words by how much hosts of `taken` go over the soft cap; empty: they do not."""
        over = sum(offer.host_type.price_usd_per_hour for offer in taken) - self.usd_per_hour_softly
        if over <= _ROUNDING:
            return ""
        return f"goes ${over:g} an hour over the soft cap of cluster {self.cluster or 'none'}"

    def less(self, taken: Iterable[Offer]) -> "Allowance":
        """Return what is left once one host of each of `taken` is asked for."""
        left = self
        for offer in taken:
            price = offer.host_type.price_usd_per_hour
            left = replace(
                left,
                hosts=left.hosts - 1,
                cloud_hosts=left.cloud_hosts - (offer.kind is SourceKind.CLOUD),
                usd_per_hour=left.usd_per_hour - price,
                usd_per_hour_by_month=left.usd_per_hour_by_month - price,
                by_source=tuple((name, n - (name == offer.source)) for name, n in left.by_source),
            )
        return left


_ROUNDING = 1e-9
UNBOUNDED = Allowance()


def allowance_of(cluster: Cluster, hosts: Iterable[Host], spent_this_month_usd: float) -> Allowance:
    """Return what the cluster may ask for beside the hosts it has, asked for or claims back."""
    own = [host for host in hosts if cluster.name in (host.cluster, host.claimed_by)]  # None is nobody's name
    rate = sum(price_now(host) for host in own)
    cloud = sum(1 for host in own if host.kind is SourceKind.CLOUD)
    by_month = math.inf
    if cluster.hard_cap_usd_per_month is not None:
        by_month = (cluster.hard_cap_usd_per_month - spent_this_month_usd) / MONTHLY_LOOKAHEAD_H - rate
    return Allowance(
        cluster=cluster.name,
        hosts=_left(cluster.max_hosts, len(own)),
        cloud_hosts=_left(cluster.max_cloud_hosts, cloud),
        usd_per_hour=_left(cluster.hard_cap_usd_per_hour, rate),
        usd_per_hour_by_month=by_month,
        usd_per_hour_softly=_left(cluster.soft_cap_usd_per_hour, rate),
    )


def quotas_left(access: Iterable[SourceAccess], hosts: Iterable[Host]) -> tuple[tuple[str, int], ...]:
    """Return what is left of each source that has a quota; `hosts` of all clusters count, coming ones included."""
    bounded = [one for one in access if one.quota is not None]
    if not bounded:
        return ()
    held = Counter(host.source for host in hosts)
    return tuple((one.source, (one.quota or 0) - held[one.source]) for one in bounded)


def month_began(now: float) -> float:
    """Return when the month of `now` began, in UTC, as seconds since the epoch."""
    today = datetime.fromtimestamp(now, UTC)
    return today.replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()


def _left(bound: float | None, used: float) -> float:
    return math.inf if bound is None else bound - used
