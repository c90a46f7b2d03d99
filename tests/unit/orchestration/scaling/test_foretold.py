"""Season and trend become a floor where somebody acts on them, the higher one; never less than the load asks for."""

from dataclasses import replace

import pytest
from scaling_builders import NOW, application, sample, samples, service, view_of

from dcp.orchestration.ahead.forecast import Forecast, foretold, trend
from dcp.orchestration.ahead.model import Foretold
from dcp.orchestration.ahead.seasons import BUCKET_S
from dcp.orchestration.capacity.model import Sample
from dcp.orchestration.scaling.model import Direction
from dcp.orchestration.scaling.targets import decide_targets
from dcp.orchestration.services.forecasting import Forecasting, ForecastMode

ACT = Forecasting(ForecastMode.ACT, 1800.0)
HOUR = Forecast(NOW, NOW, tuple(float(number) for number in range(12)))


def rising(*requests_per_s: float) -> tuple[Sample, ...]:
    return tuple(
        replace(sample(100), at=60.0 * number, window_s=60.0, arrived=round(60 * rate))
        for number, rate in enumerate(requests_per_s)
    )


def test_the_highest_within_the_time_ahead_counts() -> None:
    assert HOUR.highest(NOW, 1800.0) == 6.0
    assert HOUR.highest(NOW + 2 * BUCKET_S, 0.0) == 2.0
    assert HOUR.highest(NOW + 20 * BUCKET_S, 600.0) is None
    assert replace(HOUR, requests_per_s=(None, 3.0, None)).highest(NOW, 600.0) == 3.0
    assert replace(HOUR, requests_per_s=(None,)).highest(NOW, 600.0) is None


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (rising(10, 11, 12), 12 + 1 / 60 * 600),
        (rising(10, 20, 30), 60.0),
        (rising(9, 10, 11, 12), 12 + 1 / 60 * 600),
        (rising(10, 10, 12), None),
        (rising(12, 11, 13), None),
        (rising(100, 101, 102), None),
        (rising(10, 11), None),
        ((*rising(10, 11), None), None),
        ((), None),
    ],
)
def test_three_samples_that_rise_are_a_trend_to_twice_the_load_at_most(seen, expected) -> None:  # type: ignore[no-untyped-def]
    found = trend(seen, 600.0)
    assert found == (None if expected is None else pytest.approx(expected))


def test_the_higher_one_counts_and_only_where_somebody_acts_on_it() -> None:
    season = foretold(ACT, HOUR, (), NOW)
    assert season is not None
    assert (season.requests_per_s, season.reason) == (6.0, "forecast-season")
    both = foretold(ACT, HOUR, rising(10, 11, 12), NOW)
    assert both is not None
    assert (both.reason, both.requests_per_s) == ("forecast-trend", 24.0)
    assert foretold(replace(ACT, mode=ForecastMode.SHADOW), HOUR, rising(10, 11, 12), NOW) is None
    assert foretold(None, HOUR, (), NOW) is None
    assert foretold(ACT, None, (), NOW) is None


def test_it_is_a_floor_under_the_target_and_never_lowers_one() -> None:
    quiet = samples(*[100] * 5, arrived=50)
    view = view_of(service(), quiet)
    expected = Foretold(600.0, "forecast of 600 requests/s, as usual at this time,", "forecast-season")
    (grown,) = decide_targets(application(replace(view, foretold=expected)))
    assert (grown.direction, grown.reason) == (Direction.GROW, "forecast-season")
    assert "as usual at this time, needs" in grown.words
    (unmoved,) = decide_targets(application(view))
    assert grown.target > unmoved.target
    (same,) = decide_targets(application(replace(view, foretold=replace(expected, requests_per_s=0.1))))
    assert same.target == unmoved.target
