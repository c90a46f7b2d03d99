"""What a question about costs means: by what, from when until when, in whose days.

Days and months are those of a time zone. Costs are kept by the quarter of an hour in UTC, on which midnight falls
everywhere, so a day with 23 or 25 hours has the costs of exactly those hours.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from dcp.hosts.cost.model import BUCKET_S
from dcp.kernel.errors import InvalidInput, Problem

COLUMNS = ("cluster", "service", "source", "billing", "state")
PERIODS = ("hour", "day", "month")
MOST_PERIODS = 2000
"""Each is a look into the ledger."""
_BY_HINT = f"any of {', '.join((*COLUMNS, *PERIODS))}, separated by commas"
_TIME_HINT = "such as 2026-11, 2026-11-23 or 2026-11-23T04:15"


@dataclass(frozen=True, slots=True)
class Question:
    """Columns to tell apart, one length of period at most, and the time asked about, ends excluded."""

    columns: tuple[str, ...]
    period: str
    """hour, day or month; empty: the whole time at once."""
    order: tuple[str, ...]
    """Columns and period as they were asked for."""
    since_s: int | None
    until_s: int | None
    zone: tzinfo
    zone_name: str


@dataclass(frozen=True, slots=True)
class Period:
    """Seconds since the epoch, the end excluded, and what to call it."""

    since_s: int
    until_s: int
    name: str


def read_question(by: str = "source", since: str = "", until: str = "", timezone: str = "UTC") -> Question:
    """Return the question. Raises InvalidInput with every fault."""
    problems: list[Problem] = []
    order = tuple(dict.fromkeys(word.strip() for word in by.split(",") if word.strip()))
    problems += [Problem("by", f"{word!r} is nothing to tell costs apart by", _BY_HINT) for word in _unknown(order)]
    periods = [word for word in order if word in PERIODS]
    if len(periods) > 1:
        problems.append(Problem("by", f"{' and '.join(periods)} at once", "one of them says the other"))
    zone: tzinfo = UTC
    try:
        zone = ZoneInfo(timezone)
    except (KeyError, ValueError, OSError):
        problems.append(Problem("timezone", f"{timezone!r} is no known time zone", "such as UTC or Europe/Berlin"))
    begin, end = (_instant(name, text, zone, problems) for name, text in (("from", since), ("to", until)))
    if begin is not None and end is not None and begin >= end:
        problems.append(Problem("to", f"{until} is not after {since}", "the end is not part of the time"))
    if problems:
        raise InvalidInput(tuple(problems), subject="the question about costs")
    columns = tuple(word for word in order if word in COLUMNS)
    return Question(columns, periods[0] if periods else "", order, begin, end, zone, timezone)


def periods_of(question: Question, since_s: int, until_s: int) -> tuple[Period, ...]:
    """Return the periods of [since, until), the first and the last cut to it. Raises InvalidInput if too many."""
    if not question.period:
        return (Period(since_s, until_s, ""),)
    found: list[Period] = []
    for begin, end, name in _calendar(question, since_s):
        if begin >= until_s:
            break
        if len(found) == MOST_PERIODS:
            words = f"more than {MOST_PERIODS} of them in the time asked about"
            raise InvalidInput((Problem("by", f"{question.period}: {words}", "ask for less time at once"),))
        found.append(Period(max(begin, since_s), min(end, until_s), name))
    return tuple(found)


def _unknown(order: Iterable[str]) -> list[str]:
    return [word for word in order if word not in COLUMNS and word not in PERIODS]


def _instant(name: str, text: str, zone: tzinfo, problems: list[Problem]) -> int | None:
    if not text:
        return None
    try:
        read = datetime.fromisoformat(f"{text}-01" if len(text) == len("2026-11") else text)
        found = round((read if read.tzinfo else read.replace(tzinfo=zone)).timestamp())
    except (ValueError, OverflowError):
        problems.append(Problem(name, f"{text!r} is no time", _TIME_HINT))
        return None
    if found % BUCKET_S:
        problems.append(
            Problem(name, f"{text} is not at a quarter of an hour", "costs are kept by the quarter of an hour")
        )
    elif found < 0:
        problems.append(Problem(name, f"{text} is before 1970", _TIME_HINT))
    return found


def _calendar(question: Question, since_s: int) -> Iterator[tuple[int, int, str]]:
    """Yield begin, end and name of each hour, day or month from the one that `since` lies in."""
    zone = question.zone
    local = datetime.fromtimestamp(since_s, zone)
    if question.period == "hour":
        begin = since_s - local.minute * 60 - local.second
        while True:
            end = begin + 3600
            end -= datetime.fromtimestamp(end, zone).minute * 60
            yield begin, end, datetime.fromtimestamp(begin, zone).isoformat(timespec="minutes")
            begin = end
    day = local.date().replace(day=1) if question.period == "month" else local.date()
    while True:
        after = _next_month(day) if question.period == "month" else day + timedelta(days=1)
        name = f"{day:%Y-%m}" if question.period == "month" else day.isoformat()
        yield _midnight(day, zone), _midnight(after, zone), name
        day = after


def _next_month(day: date) -> date:
    return (day + timedelta(days=32)).replace(day=1)


def _midnight(day: date, zone: tzinfo) -> int:
    """Where midnight does not exist, because clocks go forward there, the day begins as they do."""
    return round(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()) // BUCKET_S * BUCKET_S
