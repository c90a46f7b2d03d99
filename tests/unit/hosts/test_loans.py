"""Hosts that are ours by day: the end of the hours, over midnight and over the clocks' change."""

import math
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ask_source import ask, give_back
from dcp.drivers.clouds.lent import LentSource
from dcp.drivers.clouds.private import PrivateHosts, PrivatePool
from dcp.hosts.loans import DAY_MINUTES, Loan, Window
from dcp.hosts.model import HostType, Resources
from dcp.hosts.ports import StoppingSource
from dcp.kernel.errors import OutOfStock

BERLIN = "Europe/Berlin"
DAY = Loan((Window(7 * 60, 23 * 60),), BERLIN)
NIGHT = Loan((Window(22 * 60, 6 * 60),), BERLIN)


def at(text: str, zone: str = BERLIN) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.parametrize(
    ("loan", "now", "until"),
    [
        (DAY, "2026-11-23 06:59:59", None),
        (DAY, "2026-11-23 07:00:00", "2026-11-23 23:00"),
        (DAY, "2026-11-23 22:59:59", "2026-11-23 23:00"),
        (DAY, "2026-11-23 23:00:00", None),
        (NIGHT, "2026-11-23 23:30", "2026-11-24 06:00"),
        (NIGHT, "2026-11-24 05:59", "2026-11-24 06:00"),
        (NIGHT, "2026-11-24 12:00", None),
        (Loan((Window(0, 720), Window(720, 1080)), BERLIN), "2026-11-24 03:00", "2026-11-24 18:00"),
    ],
)
def test_hours_of_the_day(loan: Loan, now: str, until: str | None) -> None:
    assert loan.lent_until(at(now)) == (None if until is None else at(until))


def test_a_night_in_which_the_clocks_change_is_longer_or_shorter() -> None:
    lengths = []
    for evening in ("2026-03-28 22:00", "2026-06-01 22:00", "2026-10-24 22:00"):
        until = NIGHT.lent_until(at(evening))
        assert until is not None
        lengths.append((until - at(evening)) / 3600)
    assert lengths == [7, 8, 9]


def test_hours_without_a_gap_never_end() -> None:
    assert Loan((Window(0, DAY_MINUTES),)).lent_until(at("2026-11-23 12:00")) == math.inf
    assert Loan((Window(0, 600), Window(540, DAY_MINUTES))).lent_until(at("2026-11-23 12:00")) == math.inf


minutes = st.integers(0, DAY_MINUTES - 1)


@given(
    windows=st.lists(st.tuples(minutes, minutes).filter(lambda w: w[0] != w[1]), min_size=1, max_size=3),
    now=st.floats(1.7e9, 1.9e9),
    zone=st.sampled_from([BERLIN, "UTC", "Asia/Shanghai", "America/New_York", "Australia/Lord_Howe"]),
)
def test_it_is_lent_all_the_time_until_the_end_and_not_at_the_end(
    windows: list[tuple[int, int]], now: float, zone: str
) -> None:
    loan = Loan(tuple(Window(*window) for window in windows), zone)
    until = loan.lent_until(now)
    if until is None:
        return
    assert until > now
    if until != math.inf:
        assert loan.lent_until(until) is None
        assert loan.lent_until((now + until) / 2) == until


class SetClock:
    def __init__(self, text: str) -> None:
        self.text = text

    def now(self) -> float:
        return at(self.text)

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(seconds)


async def test_a_source_offers_by_day_gives_notice_in_the_evening_and_refuses_at_night() -> None:
    clock = SetClock("2026-11-23 12:00")
    pool = PrivatePool("own", None, [PrivateHosts(HostType("slice", Resources(1000, 1 << 30)), 3)])
    source = LentSource(pool, DAY, clock)
    assert (source.name, source.kind, source.limits) == (pool.name, pool.kind, pool.limits)
    assert not isinstance(source, StoppingSource), "what the inner one cannot, this one cannot"
    await ask(source, "h-1", "slice")
    assert [offer.available for offer in await source.offers()] == [2]
    assert [one.leave_by for one in await source.list_all()] == [None]
    clock.text = "2026-11-23 22:31"
    assert [offer.available for offer in await source.offers()] == [0]
    (told,) = await source.list_all()
    assert (told.leave_by, told.leave_words) == (at("2026-11-23 23:00"), "its loan ends")
    with pytest.raises(OutOfStock, match="not lent at this hour"):
        await ask(source, "h-2", "slice")
    await ask(source, "h-1", "slice")
    clock.text = "2026-11-23 23:30"
    (late,) = await source.list_all()
    assert late.leave_by == clock.now(), "what is still there is overdue"
    await give_back(source, "h-1")
    assert await source.list_all() == ()
