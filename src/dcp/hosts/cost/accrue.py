"""Enters what host time cost in a period, by quarter of an hour and by service.

A host's cost is shared among the services whose instances hold its resources, by the larger of their share of its
processors and of its memory; what nobody holds stands under no service. Shares are whole numbers cut from the whole
one after the other, so the parts of a host always add up to what it cost.

Sums are kept in plain tuples and lists while they are made: a fleet has 100,000 holdings.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from dcp.hosts.cost.charge import due
from dcp.hosts.cost.model import BUCKET_S, Amount, Entry, Holding, Span, SpanState
from dcp.hosts.model import Billing

_BUCKET_MS = BUCKET_S * 1000
IDLE = ""
"""The service that stands for what no instance held."""
_Share = tuple[str, int]
"""A service and how far shares reach with its own, on a scale where the last one's number is the whole."""


def accrue(spans: Iterable[Span], holdings: Iterable[Holding], since_ms: int, until_ms: int) -> dict[Entry, Amount]:
    """Return what falls into [since, until). Entries of adjoining periods are to be added up."""
    by_host: dict[str, list[Holding]] = defaultdict(list)
    for holding in holdings:
        by_host[holding.host_id].append(holding)
    # One sum by service for each quarter and kind of span: there are few of those, and many hosts.
    sums: dict[tuple[int, str, str, Billing, SpanState], dict[str, list[int]]] = {}
    for span in spans:
        kind = span.cluster, span.source, span.billing, span.state
        for at_s, shares, amount in _pieces(span, by_host.get(span.host_id, ()), since_ms, until_ms):
            _share(sums.setdefault((at_s, *kind), {}), shares, amount)
    entries: dict[Entry, Amount] = {}
    for (at_s, cluster, source, billing, state), by_service in sums.items():
        for service, parts in by_service.items():
            if any(parts):
                entry = Entry(at_s, cluster, service, source, billing, state)
                entries[entry] = Amount(*parts)
    return entries


def _pieces(
    span: Span, holdings: Sequence[Holding], since_ms: int, until_ms: int
) -> Iterator[tuple[int, Sequence[_Share], Amount]]:
    """Cut the span where a quarter of an hour ends and where what is held of the host changes."""
    begin = max(since_ms, span.from_ms)
    # A moment beyond the end, for what is owed by a span that ended as it began.
    end = until_ms if span.until_ms is None else min(until_ms, max(span.until_ms, span.from_ms + 1))
    if begin >= end:
        return
    steady = [one for one in holdings if one.from_ms <= begin and one.until_ms >= end]
    changing = (
        [one for one in holdings if one.from_ms > begin or one.until_ms < end] if len(steady) < len(holdings) else []
    )
    cuts = {begin, end, *range((begin // _BUCKET_MS + 1) * _BUCKET_MS, end, _BUCKET_MS)}
    for one in changing:
        cuts.update(at for at in (one.from_ms, one.until_ms) if begin < at < end)
    shares = _shares(steady, span)
    before = due(span, begin)
    for left, right in pairwise(sorted(cuts)):
        after = due(span, right)
        if amount := after - before:
            if changing:
                there = [one for one in changing if one.from_ms <= left < one.until_ms]
                shares = _shares([*steady, *there], span)
            yield left // _BUCKET_MS * BUCKET_S, shares, amount
        before = after


def _shares(holdings: Sequence[Holding], span: Span) -> Sequence[_Share]:
    cpu_millis, memory_bytes = max(1, span.cpu_millis), max(1, span.memory_bytes)
    held: dict[str, tuple[int, int]] = {}
    for one in holdings:
        cpu, memory = held.get(one.service, (0, 0))
        held[one.service] = cpu + one.cpu_millis, memory + one.memory_bytes
    reached, shares = 0, []
    for service in sorted(held):
        cpu, memory = held[service]
        reached += max(cpu * memory_bytes, memory * cpu_millis)
        shares.append((service, reached))
    if reached < cpu_millis * memory_bytes:
        shares.append((IDLE, cpu_millis * memory_bytes))
    return shares


def _share(sums: dict[str, list[int]], shares: Sequence[_Share], amount: Amount) -> None:
    charged, amortised, host_ms = amount.charged_nano_usd, amount.amortised_nano_usd, amount.host_ms
    whole = shares[-1][1]
    given = (0, 0, 0)
    for service, reached in shares:
        until = charged * reached // whole, amortised * reached // whole, host_ms * reached // whole
        found = sums.get(service)
        if found is None:
            found = sums[service] = [0, 0, 0]
        found[0] += until[0] - given[0]
        found[1] += until[1] - given[1]
        found[2] += until[2] - given[2]
        given = until
