"""Terms that are paid for in full when they begin: months and years from the day of taking, and hours.

A term that begins on the 31st begins on the last day of a shorter month, and on the 31st again after that. Days are
days in UTC.
"""

import calendar
from datetime import UTC, datetime, timedelta

from dcp.hosts.cost.model import HOUR_MS, HOURS_A_MONTH
from dcp.hosts.model import Billing

TERM_MONTHS = {Billing.MONTHLY: 1, Billing.YEARLY: 12}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_MS = 24 * HOUR_MS


def term_price(billing: Billing, price_nano_usd_per_hour: int) -> int:
    """Return what one hour, month or year costs."""
    months = TERM_MONTHS.get(billing)
    return price_nano_usd_per_hour * (months * HOURS_A_MONTH if months else 1)


def term_start(billing: Billing, anchor_ms: int, number: int) -> int:
    """Return when term `number` begins; the first is 0."""
    months = TERM_MONTHS.get(billing)
    if months is None:
        return anchor_ms + number * HOUR_MS
    anchor = _EPOCH + timedelta(milliseconds=anchor_ms)
    year, month = divmod(anchor.year * 12 + anchor.month - 1 + number * months, 12)
    day = min(anchor.day, calendar.monthrange(year, month + 1)[1])
    midnight = datetime(year, month + 1, day, tzinfo=UTC)
    return (midnight - _EPOCH) // timedelta(milliseconds=1) + anchor_ms % _DAY_MS


def terms_begun(billing: Billing, anchor_ms: int, before_ms: int) -> int:
    """Return how many terms begin before `before_ms`."""
    if before_ms <= anchor_ms:
        return 0
    months = TERM_MONTHS.get(billing)
    if months is None:
        return -((anchor_ms - before_ms) // HOUR_MS)
    anchor, before = (_EPOCH + timedelta(milliseconds=ms) for ms in (anchor_ms, before_ms))
    number = ((before.year - anchor.year) * 12 + before.month - anchor.month) // months
    while term_start(billing, anchor_ms, number) < before_ms:
        number += 1
    while term_start(billing, anchor_ms, number - 1) >= before_ms:
        number -= 1
    return number


def pro_rata(billing: Billing, anchor_ms: int, price_nano_usd_per_hour: int, at_ms: int) -> int:
    """Return the price of the time from `anchor_ms` to `at_ms`: whole terms, and of the last its share."""
    if billing not in TERM_MONTHS:
        return price_nano_usd_per_hour * (at_ms - anchor_ms) // HOUR_MS
    whole = terms_begun(billing, anchor_ms, at_ms + 1) - 1
    start, end = (term_start(billing, anchor_ms, number) for number in (whole, whole + 1))
    price = term_price(billing, price_nano_usd_per_hour)
    return whole * price + price * (at_ms - start) // (end - start)
