"""What a span of host time costs between two instants.

Every amount is the difference of what had fallen due by the end and what had by the beginning, so a period may be cut
anywhere, any number of times, and the parts add up to the whole exactly.

What falls due when:
- by the second and spot: the minimum when the host starts, every further moment as it passes;
- by the hour, month and year: each begun one in full, when it begins;
- switched off: every moment as it passes, at the price for that; a month or year goes on as before.
"""

from dcp.hosts.cost.contracts import TERM_MONTHS, pro_rata, term_price, terms_begun
from dcp.hosts.cost.model import HOUR_MS, Amount, Span, SpanState
from dcp.hosts.model import Billing


def charge(span: Span, since_ms: int, until_ms: int) -> Amount:
    """Return what of the span falls into [since, until)."""
    return due(span, until_ms) - due(span, since_ms) if since_ms < until_ms else Amount()


def due(span: Span, before_ms: int) -> Amount:
    """Return what has fallen due before `before_ms`, since the span began."""
    if before_ms <= span.from_ms:
        return Amount()
    end = before_ms if span.until_ms is None else min(before_ms, span.until_ms)
    begin = span.anchor_ms if span.first else span.from_ms
    return Amount(_charged(span, begin, end), _amortised(span, begin, end), end - begin)


def _charged(span: Span, begin: int, end: int) -> int:
    price = span.price_nano_usd_per_hour
    if span.billing in TERM_MONTHS or (span.billing is Billing.HOURLY and span.state is SpanState.RUNNING):
        # The first term is owed also if the host was gone in the moment it was there.
        reached = max(end, span.from_ms + 1) if span.first else end
        terms = terms_begun(span.billing, span.anchor_ms, reached) - terms_begun(span.billing, span.anchor_ms, begin)
        return terms * term_price(span.billing, price)
    if span.state is SpanState.STOPPED:
        return price * (end - begin) // HOUR_MS
    paid_until = span.anchor_ms + span.minimum_ms
    start = begin if span.first else max(begin, paid_until)
    return price * (max(end, paid_until) - start) // HOUR_MS


def _amortised(span: Span, begin: int, end: int) -> int:
    price, anchor = span.price_nano_usd_per_hour, span.anchor_ms
    if span.billing in TERM_MONTHS:
        return pro_rata(span.billing, anchor, price, end) - pro_rata(span.billing, anchor, price, begin)
    return price * (end - begin) // HOUR_MS
