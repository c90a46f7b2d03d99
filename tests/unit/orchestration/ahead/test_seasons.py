"""Seasonal forecasts: what repeats is foretold, what does not is not claimed, and the future is never looked at."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dcp.orchestration.ahead.seasons import DAY, WEEK, foretell, judge, season_of

Load = NDArray[np.float64]


def days(count: int) -> Load:
    """Return loads of a day with one hill, again and again."""
    buckets = np.arange(count * DAY)
    return 100 + 80 * np.sin(2 * math.pi * buckets / DAY)


def weeks(count: int) -> Load:
    """Return weeks whose sixth day has twice the load."""
    load = days(7 * count)
    load[(np.arange(len(load)) % WEEK) // DAY == 5] *= 2
    return load


@pytest.mark.parametrize(
    ("known", "season"), [(2 * DAY - 1, None), (2 * DAY, DAY), (2 * WEEK - 1, DAY), (2 * WEEK, WEEK)]
)
def test_the_season_is_the_longest_that_was_seen_twice(known: int, season: int | None) -> None:
    assert season_of(known) == season


def test_before_two_days_nothing_is_said() -> None:
    assert np.isnan(foretell(days(1), 10)).all()
    _, judged = judge(days(1), 6, DAY)
    assert judged.buckets == 0
    assert math.isnan(judged.error)


def test_what_repeats_every_day_is_foretold() -> None:
    assert foretell(days(5), 2 * DAY) == pytest.approx(days(7)[5 * DAY :], rel=0.02)


def test_the_sixth_day_of_the_week_is_known_after_two_weeks() -> None:
    begins = 2 * WEEK + 5 * DAY
    told, came = foretell(weeks(3)[:begins], DAY), weeks(3)[begins:]
    # At a fresh edge the level is still that of the day before, and its neighbours even it out.
    assert told[20:-20] == pytest.approx(came[20 : DAY - 20], rel=0.02)


def test_a_higher_level_is_carried_on_within_bounds() -> None:
    noon, expected = DAY // 2, days(1)[DAY // 2 : DAY // 2 + 10]
    higher = np.concatenate([days(4), 1.5 * days(1)[:noon]])
    assert foretell(higher, 10) == pytest.approx(1.5 * expected, rel=0.03)
    mad = np.concatenate([days(4), 9 * days(1)[:noon]])
    assert foretell(mad, 10) == pytest.approx(2 * expected, rel=0.03)


def test_single_events_are_not_foretold_again() -> None:
    history = days(5)
    history[2 * DAY + 100 : 2 * DAY + 110] *= 20
    assert foretell(history, DAY)[100:110] == pytest.approx(days(1)[100:110], rel=0.02)


def test_gaps_are_bridged_where_another_season_knows() -> None:
    history = days(5)
    history[4 * DAY : 4 * DAY + 50] = math.nan
    history[-2:] = math.nan
    assert foretell(history, 50) == pytest.approx(days(1)[:50], rel=0.02)
    assert np.isnan(foretell(np.full(5 * DAY, math.nan), 5)).all()


def test_judging_says_how_wrong_it_was_and_what_standing_still_would_have_been() -> None:
    told, judged = judge(days(6), 12, DAY)
    assert judged.buckets == DAY
    assert judged.error < 0.02 < judged.last_error
    assert abs(judged.bias) < 0.01
    assert told == pytest.approx(days(1), rel=0.03)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(0, 2**31))
def test_a_judged_forecast_never_looks_at_what_was_not_known_yet(ahead: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    history = random.uniform(10, 100, 4 * DAY)
    changed = history.copy()
    changed[-20:] = random.uniform(1000, 2000, 20)
    before, after = judge(history, ahead, 20)[0], judge(changed, ahead, 20)[0]
    # The first of the last 20 was foretold `ahead` before it, when none of them was known.
    unseen = min(ahead, 20)
    assert after[:unseen] == pytest.approx(before[:unseen])


@given(st.floats(1, 1e5), st.integers(2, 20))
def test_steady_load_stays_steady(rate: float, count: int) -> None:
    assert foretell(np.full(count * DAY, rate), 72) == pytest.approx(np.full(72, rate))
