"""Hours of the week: over midnight, when the clocks change, before they begin, after a restart."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcp.orchestration.services.timetable import DAY_MINUTES, TimetableEntry

EVENING = TimetableEntry(19 * 60, 23 * 60, timezone="Asia/Shanghai", instances=9, lead_s=600.0)
NIGHT = TimetableEntry(22 * 60, 2 * 60, days=(4,), timezone="Europe/Berlin", instances=9, lead_s=0.0)
"""On Fridays from 22:00 until Saturday 02:00."""


def at(text: str, zone: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.parametrize(
    ("moment", "due"),
    [
        ("2026-11-23T18:49:59", False),
        ("2026-11-23T18:50:00", True),
        ("2026-11-23T22:59:59", True),
        ("2026-11-23T23:00:00", False),
    ],
)
def test_it_begins_by_its_lead_earlier_and_ends_on_time(moment: str, due: bool) -> None:
    assert EVENING.is_due(at(moment, "Asia/Shanghai")) is due


@pytest.mark.parametrize(
    ("moment", "due"),
    [
        ("2026-11-27T21:59:59", False),
        ("2026-11-27T22:00:00", True),
        ("2026-11-28T01:59:59", True),
        ("2026-11-28T02:00:00", False),
        ("2026-11-28T22:30:00", False),
        ("2026-11-27T01:00:00", False),
    ],
)
def test_hours_over_midnight_belong_to_the_day_on_which_they_begin(moment: str, due: bool) -> None:
    assert NIGHT.is_due(at(moment, "Europe/Berlin")) is due


def test_a_lead_over_midnight_begins_the_day_before():
    early = TimetableEntry(5, 60, days=(0,), instances=1, lead_s=3 * 3600.0)
    assert early.is_due(at("2026-11-22T21:05:00", "UTC"))
    assert not early.is_due(at("2026-11-22T21:04:59", "UTC"))


def test_the_night_on_which_the_clocks_change_is_shorter():
    spring = TimetableEntry(0, 6 * 60, timezone="Europe/Berlin", instances=1, lead_s=0.0)
    begin, end = at("2026-03-29T00:00:00", "Europe/Berlin"), at("2026-03-29T06:00:00", "Europe/Berlin")
    assert end - begin == 5 * 3600
    assert spring.is_due(begin) and spring.is_due(end - 1)
    assert not spring.is_due(end)


def test_it_is_named_as_it_is_written():
    assert str(EVENING) == "19:00-23:00 Asia/Shanghai"
    assert str(NIGHT) == "fri 22:00-02:00 Europe/Berlin"


@given(
    st.integers(0, DAY_MINUTES - 1),
    st.integers(1, DAY_MINUTES - 1),
    st.sets(st.integers(0, 6), min_size=1),
    st.integers(0, 7 * DAY_MINUTES - 1),
)
def test_a_week_holds_each_day_once(begin: int, length: int, days: set[int], minute: int):
    entry = TimetableEntry(begin, (begin + length) % DAY_MINUTES, tuple(sorted(days)), instances=1, lead_s=0.0)
    monday = at("2026-11-23T00:00:00", "UTC")
    spans = [(day * DAY_MINUTES + begin) for day in days]
    inside = any(start <= minute + week < start + length for start in spans for week in (0, 7 * DAY_MINUTES))
    assert entry.is_due(monday + 60 * minute) is inside
