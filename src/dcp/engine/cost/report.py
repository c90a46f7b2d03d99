"""Answers what hosts cost: the ledger, and what came since it was written last, to this moment."""

from collections import defaultdict
from dataclasses import dataclass

from sqlalchemy import Connection

from dcp.hosts.cost.accrue import accrue
from dcp.hosts.cost.charge import charge
from dcp.hosts.cost.model import BUCKET_S, NANO, Amount, Entry, to_ms, to_usd
from dcp.hosts.cost.period import Period, Question, periods_of
from dcp.store import costs, spans

Key = tuple[str, ...]
PriceKey = tuple[str, str, str, str]
"""Cluster, source, billing, state."""


@dataclass(frozen=True, slots=True)
class CostRow:
    """What one key cost; the key's parts stand in the order that was asked for."""

    key: Key
    since_s: int
    """When its period begins."""
    until_s: int
    amount: Amount


@dataclass(frozen=True, slots=True)
class CostReport:
    """Rows in order of their keys, and their sum."""

    since_s: int
    until_s: int
    rows: tuple[CostRow, ...]
    total: Amount


def cost_report(connection: Connection, question: Question, now: float) -> CostReport:
    """Return what the time asked about cost; without an end, until now."""
    now_ms = to_ms(now)
    until_s = question.until_s if question.until_s is not None else now_ms // 1000 // BUCKET_S * BUCKET_S + BUCKET_S
    pending = _pending(connection, now_ms, until_s)
    since_s = question.since_s if question.since_s is not None else _begin(connection, pending, until_s)
    found: dict[tuple[Period, Key], Amount] = {}
    periods = periods_of(question, since_s, until_s) if since_s < until_s else ()
    for period in periods:
        for key, amount in costs.totals(connection, question.columns, period.since_s, period.until_s).items():
            found[period, key] = amount
        for entry, amount in pending.items():
            if period.since_s <= entry.at_s < period.until_s:
                key = tuple(str(getattr(entry, name)) for name in question.columns)
                found[period, key] = found.get((period, key), Amount()) + amount
    rows = [
        CostRow(_key(question, period, key), period.since_s, period.until_s, amount)
        for (period, key), amount in found.items()
    ]
    rows.sort(key=lambda row: (_order(question, row), row.key))
    return CostReport(since_s, until_s, tuple(rows), sum((row.amount for row in rows), Amount()))


def charged_usd(connection: Connection, now: float) -> dict[tuple[str, str, str], float]:
    """Return what was charged so far by cluster, source and billing."""
    now_ms = to_ms(now)
    by = ("cluster", "source", "billing")
    total: dict[tuple[str, ...], int] = defaultdict(int)
    for key, amount in costs.totals(connection, by, 0, now_ms // 1000 + BUCKET_S).items():
        total[key] += amount.charged_nano_usd
    since_ms = spans.accrued_until(connection)
    if since_ms is not None and since_ms < now_ms:
        for span in spans.within(connection, since_ms, now_ms):
            key = (span.cluster, span.source, str(span.billing))
            total[key] += charge(span, since_ms, now_ms).charged_nano_usd
    return {(key[0], key[1], key[2]): to_usd(nano_usd) for key, nano_usd in total.items()}


def prices_usd_per_hour(connection: Connection) -> dict[PriceKey, float]:
    """Return the price of all hosts that cost something now."""
    total: dict[PriceKey, int] = defaultdict(int)
    for span in spans.going_on(connection):
        total[span.cluster, span.source, str(span.billing), str(span.state)] += span.price_nano_usd_per_hour
    return {key: nano_usd / NANO for key, nano_usd in total.items()}


def _pending(connection: Connection, now_ms: int, until_s: int) -> dict[Entry, Amount]:
    """What was not entered yet: at most some minutes, or what was missed while no controller ran."""
    since_ms = spans.accrued_until(connection)
    end_ms = min(now_ms, until_s * 1000)
    if since_ms is None or end_ms <= since_ms:
        return {}
    return accrue(
        spans.within(connection, since_ms, end_ms), spans.holdings(connection, since_ms, end_ms), since_ms, end_ms
    )


def _begin(connection: Connection, pending: dict[Entry, Amount], until_s: int) -> int:
    starts = [entry.at_s for entry in pending]
    earliest = costs.earliest_s(connection)
    return min([*starts, *([] if earliest is None else [earliest])], default=until_s - BUCKET_S)


def _key(question: Question, period: Period, key: Key) -> Key:
    parts = dict(zip(question.columns, key, strict=True)) | ({question.period: period.name} if question.period else {})
    return tuple(parts[word] for word in question.order)


def _order(question: Question, row: CostRow) -> tuple[str | int, ...]:
    """Periods in order of time, though the name of an hour that comes twice a year does not sort so."""
    return tuple(
        row.since_s if word == question.period else part for word, part in zip(question.order, row.key, strict=True)
    )
