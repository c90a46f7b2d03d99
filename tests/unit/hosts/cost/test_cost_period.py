"""Days, months and hours of a time zone, over the changes of its clocks."""

import itertools
from datetime import UTC, datetime

import pytest

from dcp.hosts.cost.model import BUCKET_S
from dcp.hosts.cost.period import Period, periods_of, read_question
from dcp.kernel.errors import InvalidInput

HOUR_S = 3600


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def periods(by: str, since: str, until: str, zone: str) -> tuple[Period, ...]:
    question = read_question(by, since, until, zone)
    assert question.since_s is not None
    assert question.until_s is not None
    return periods_of(question, question.since_s, question.until_s)


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", "2026-03-29", 23),
        ("Europe/Berlin", "2026-10-25", 25),
        ("Asia/Kathmandu", "2026-10-25", 24),
        ("America/Havana", "2026-03-08", 23),  # clocks go forward at midnight
        ("America/Havana", "2026-11-01", 25),
        ("Australia/Lord_Howe", "2026-10-04", 23.5),
    ],
)
def test_a_day_has_the_hours_it_has_there(zone: str, day: str, hours: float) -> None:
    found = {one.name: one for one in periods("day", "2026-03", "2026-12", zone)}
    assert (found[day].until_s - found[day].since_s) / HOUR_S == hours
    assert all(one.since_s % BUCKET_S == 0 for one in found.values())


def test_periods_follow_without_gap_and_are_cut_to_the_time_asked_about() -> None:
    found = periods("month", "2026-01-15", "2026-03-10T12:00", "Europe/Berlin")
    assert [one.name for one in found] == ["2026-01", "2026-02", "2026-03"]
    assert (found[0].since_s, found[-1].until_s) == (at("2026-01-14 23:00"), at("2026-03-10 11:00"))
    assert all(left.until_s == right.since_s for left, right in itertools.pairwise(found))


def test_an_hour_that_comes_twice_is_told_apart() -> None:
    found = periods("hour", "2026-10-25", "2026-10-26", "Europe/Berlin")
    assert len(found) == len({one.name for one in found}) == 25
    assert [one.name[11:] for one in found[2:4]] == ["02:00+02:00", "02:00+01:00"]


def test_hours_of_a_zone_with_quarters_begin_with_its_own() -> None:
    found = periods("hour", "2026-10-25", "2026-10-25T03:00", "Asia/Kathmandu")
    assert [one.name[11:16] for one in found] == ["00:00", "01:00", "02:00"]
    assert found[0].since_s == at("2026-10-24 18:15")


def test_every_fault_of_a_question_is_named() -> None:
    with pytest.raises(InvalidInput) as caught:
        read_question("colour,day,month", "soon", "2026-01-01T00:01", "Nowhere")
    assert sorted(problem.path for problem in caught.value.problems) == ["by", "by", "from", "timezone", "to"]


def test_too_many_periods_are_refused() -> None:
    question = read_question("hour", "2020-01", "2026-01")
    assert question.since_s is not None
    assert question.until_s is not None
    with pytest.raises(InvalidInput, match="more than 2000"):
        periods_of(question, question.since_s, question.until_s)
