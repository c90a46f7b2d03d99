"""Enters what host time cost in a period, by quarter of an hour and by service.

A host's cost is shared among the services whose instances hold its resources, by the larger of their share of its
processors and of its memory; what nobody holds stands under no service. Shares are whole numbers cut from the whole
one after the other, so the parts of a host always add up to what it cost.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from dcp.hosts.cost.charge import due
from dcp.hosts.cost.model import BUCKET_S, Amount, Entry, Holding, Span

_BUCKET_MS = BUCKET_S * 1000
IDLE = ""
"""The service that stands for what no instance held."""


def accrue(spans: Iterable[Span], holdings: Iterable[Holding], since_ms: int, until_ms: int) -> dict[Entry, Amount]:
    """Return what falls into [since, until). Entries of adjoining periods are to be added up."""
    by_host: dict[str, list[Holding]] = defaultdict(list)
    for holding in holdings:
        by_host[holding.host_id].append(holding)
    entries: dict[Entry, Amount] = {}
    for span in spans:
        held = by_host.get(span.host_id, ())
        for at_s, services, amount in _pieces(span, held, since_ms, until_ms):
            for service, part in _shared(amount, services, span):
                entry = Entry(at_s, span.cluster, service, span.source, span.billing, span.state)
                found = entries.get(entry)
                entries[entry] = part if found is None else found + part
    return entries


def _pieces(
    span: Span, holdings: Sequence[Holding], since_ms: int, until_ms: int
) -> Iterator[tuple[int, Mapping[str, tuple[int, int]], Amount]]:
    """Cut the span where a quarter of an hour ends and where what is held of the host changes."""
    begin = max(since_ms, span.from_ms)
    # A moment beyond the end, for what is owed by a span that ended as it began.
    end = until_ms if span.until_ms is None else min(until_ms, max(span.until_ms, span.from_ms + 1))
    if begin >= end:
        return
    cuts = {begin, end, *range((begin // _BUCKET_MS + 1) * _BUCKET_MS, end, _BUCKET_MS)}
    for holding in holdings:
        cuts.update(at for at in (holding.from_ms, holding.until_ms) if begin < at < end)
    before = due(span, begin)
    for left, right in pairwise(sorted(cuts)):
        after = due(span, right)
        if amount := after - before:
            yield left // _BUCKET_MS * BUCKET_S, _held(holdings, left), amount
        before = after


def _held(holdings: Sequence[Holding], at_ms: int) -> Mapping[str, tuple[int, int]]:
    held: dict[str, tuple[int, int]] = {}
    for one in holdings:
        if one.from_ms <= at_ms < one.until_ms:
            cpu_millis, memory_bytes = held.get(one.service, (0, 0))
            held[one.service] = (cpu_millis + one.cpu_millis, memory_bytes + one.memory_bytes)
    return held


def _shared(amount: Amount, services: Mapping[str, tuple[int, int]], span: Span) -> Iterator[tuple[str, Amount]]:
    whole = max(1, span.cpu_millis) * max(1, span.memory_bytes)
    weights = [
        (service, max(cpu_millis * max(1, span.memory_bytes), memory_bytes * max(1, span.cpu_millis)))
        for service, (cpu_millis, memory_bytes) in sorted(services.items())
    ]
    total = sum(weight for _, weight in weights)
    if idle := max(0, whole - total):
        weights.append((IDLE, idle))
    reached, given = 0, Amount()
    for service, weight in weights:
        reached += weight
        until = _part(amount, reached, total + idle)
        if part := until - given:
            yield service, part
        given = until


def _part(amount: Amount, numerator: int, denominator: int) -> Amount:
    if numerator == denominator:
        return amount
    return Amount(
        amount.charged_nano_usd * numerator // denominator,
        amount.amortised_nano_usd * numerator // denominator,
        amount.host_ms * numerator // denominator,
    )
