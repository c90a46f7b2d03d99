"""Machines that are ours only at certain hours of the day: lent by day, claimed back at night.

Hours are those of a time zone's clocks, so a window that the clocks' change lies in is an hour shorter or longer.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

DAY_MINUTES = 24 * 60
_LOOK_AHEAD_DAYS = 8
"""Windows that touch are one; after so many days without a gap the loan counts as having no end."""


@dataclass(frozen=True, slots=True)
class Window:
    """Every day from one minute of the day to another; one that ends before it begins goes over midnight."""

    from_minute: int
    to_minute: int


@dataclass(frozen=True, slots=True)
class Loan:
    """When the hosts of a source may be used, and how long before the end they are emptied."""

    windows: tuple[Window, ...]
    timezone: str = "UTC"
    notice_s: float = 1800.0

    def lent_until(self, now: float) -> float | None:
        """Return when the hosts have to be given back; infinite: never; None: they are not lent now."""
        spans = sorted(self._spans(datetime.fromtimestamp(now, ZoneInfo(self.timezone)).date()))
        until: float | None = None
        for begin, end in spans:
            if begin <= (now if until is None else until) < end:
                until = end
        horizon = max((end for _, end in spans), default=0.0)
        return math.inf if until is not None and until >= horizon else until

    def _spans(self, today: date) -> Iterator[tuple[float, float]]:
        zone = ZoneInfo(self.timezone)
        for days in range(-2, _LOOK_AHEAD_DAYS):
            day = today + timedelta(days=days)
            for window in self.windows:
                later = window.to_minute <= window.from_minute
                yield _at(day, window.from_minute, zone), _at(day + timedelta(days=later), window.to_minute, zone)


def _at(day: date, minute: int, zone: ZoneInfo) -> float:
    days, minute = divmod(minute, DAY_MINUTES)
    local = datetime.combine(day + timedelta(days=days), time(minute // 60, minute % 60), zone)
    return local.timestamp()
