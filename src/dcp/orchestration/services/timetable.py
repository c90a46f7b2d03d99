"""Hours of the week at which a service is known to need more, by the clocks of a time zone."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

DAY_MINUTES = 24 * 60
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
EVERY_DAY = tuple(range(7))


@dataclass(frozen=True, slots=True)
class TimetableEntry:
    """From one minute of the day to another, on the days on which it begins, so much is expected.

    One that ends before it begins goes over midnight. Of `requests_per_s` (from outside, in all) and `instances` one is
    stated. What is due follows from the clock alone, so a controller that was away has missed nothing.
    """

    from_minute: int
    until_minute: int
    days: tuple[int, ...] = EVERY_DAY
    """Monday is 0."""
    timezone: str = "UTC"
    requests_per_s: float = 0.0
    instances: int = 0
    lead_s: float = 600.0
    """So long before, the application starts to grow."""

    def is_due(self, now: float) -> bool:
        """Return whether it asks for something at this moment, its lead included."""
        zone = ZoneInfo(self.timezone)
        today = datetime.fromtimestamp(now, zone).date()
        lead_days = int(self.lead_s // 86400) + 1
        return any(
            self._begins(day, zone) - self.lead_s <= now < self._ends(day, zone)
            for day in (today + timedelta(days=days) for days in range(-2, lead_days + 1))
            if day.weekday() in self.days
        )

    def __str__(self) -> str:
        days = "" if self.days == EVERY_DAY else f"{','.join(DAYS[day] for day in self.days)} "
        return f"{days}{_clock(self.from_minute)}-{_clock(self.until_minute)} {self.timezone}"

    def _begins(self, day: date, zone: ZoneInfo) -> float:
        return _at(day, self.from_minute, zone)

    def _ends(self, day: date, zone: ZoneInfo) -> float:
        return _at(day + timedelta(days=self.until_minute <= self.from_minute), self.until_minute, zone)


def _at(day: date, minute: int, zone: ZoneInfo) -> float:
    days, minute = divmod(minute, DAY_MINUTES)
    return datetime.combine(day + timedelta(days=days), time(minute // 60, minute % 60), zone).timestamp()


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
