"""What hosts cost an hour now, by cluster and source, and what they will with those that a plan asks for."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from dcp.hosts.model import Host, SourceHost
from dcp.hosts.states import HostState
from dcp.hosts.steps import HostStep

LEAST_CHANGE_USD = 1e-9
"""Prices are kept in whole nano-dollars."""
_SETTLED = frozenset(
    {
        HostState.BOOTING,
        HostState.INITIALISING,
        HostState.READY,
        HostState.UNREACHABLE,
        HostState.CORDONED,
        HostState.DRAINING,
    }
)
"""In other states the row says what the source is asked next, and stays as it is until that was answered."""


@dataclass(frozen=True, slots=True)
class PriceLine:
    """Price per hour of one cluster's hosts from one source."""

    cluster: str
    source: str
    before_usd_per_hour: float
    after_usd_per_hour: float


def price_now(host: Host) -> float:
    """Return what the host costs an hour as it is; one that was not asked for yet counts as if it ran."""
    if host.state == HostState.RELEASED:
        return 0.0
    kind = host.host_type
    return kind.price_stopped_usd_per_hour if host.state == HostState.STOPPED else kind.price_usd_per_hour


def repriced(host: Host, seen: SourceHost | None) -> HostStep | None:
    """Return the step that takes over the price which the source shows for a host, where that changed: spot."""
    price = seen.price_usd_per_hour if seen is not None else None
    kind = host.host_type
    if price is None or host.state not in _SETTLED or abs(price - kind.price_usd_per_hour) < LEAST_CHANGE_USD:
        return None
    words = f"now ${price:g} an hour, was ${kind.price_usd_per_hour:g}"
    changes = {
        "host_type": replace(kind, price_usd_per_hour=price),
        "reason": host.reason,
        "attempts": host.attempts,
        "not_before": host.not_before,
    }
    return HostStep(host, host.state, "repriced", words, changes=changes)


def price_lines(
    held: Iterable[Host], new: Iterable[Host], cluster: str = "", taken_over: Iterable[Host] = ()
) -> tuple[PriceLine, ...]:
    """Return a line for each cluster and source that has a host or will have one. `cluster` takes some over."""
    before: dict[tuple[str, str], float] = {}
    for host in held:
        if host.state != HostState.RELEASED:
            key = host.cluster, host.source
            before[key] = before.get(key, 0.0) + price_now(host)
    after = dict(before)
    for host in new:
        key = host.cluster, host.source
        after[key] = after.get(key, 0.0) + host.host_type.price_usd_per_hour
    for host in taken_over:
        for key, change in (((host.cluster, host.source), -price_now(host)), ((cluster, host.source), price_now(host))):
            after[key] = after.get(key, 0.0) + change
    return tuple(
        PriceLine(*key, round(before.get(key, 0.0), 9), round(price, 9)) for key, price in sorted(after.items())
    )
