"""What a service's own past says of its load within the time ahead: its seasons, the trend of the last samples. Pure.

Either only raises a floor under the target. Where the load stays away, the usual shrink gives back what was added.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from dcp.orchestration.ahead.model import Foretold
from dcp.orchestration.ahead.seasons import BUCKET_S
from dcp.orchestration.capacity.model import Sample
from dcp.orchestration.services.forecasting import Forecasting, ForecastMode

RISES = 3
"""So many samples in a row, each above the one before, are a trend."""
LEAST_RISE = 0.05
"""Of the first of them: slower is no trend."""
MOST_TIMES = 2.0
"""A trend is believed until it has doubled the load: then the next samples say more."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Requests/s by bucket from `from_at` (seconds since the epoch) on; None where nothing is said."""

    made_at: float
    from_at: float
    requests_per_s: tuple[float | None, ...]

    def highest(self, now: float, ahead_s: float) -> float | None:
        """Return the highest figure from now until `ahead_s` later; None if nothing is known."""
        first = max(0, math.floor((now - self.from_at) / BUCKET_S))
        last = math.floor((now + ahead_s - self.from_at) / BUCKET_S)
        known = [one for one in self.requests_per_s[first : last + 1] if one is not None]
        return max(known, default=None)


def foretold(
    asked: Forecasting | None, forecast: Forecast | None, samples: Sequence[Sample | None], now: float
) -> Foretold | None:
    """Return the higher one of what seasons and trend say; None: nothing, or nobody acts on it."""
    if asked is None or asked.mode is not ForecastMode.ACT:
        return None
    usual = forecast.highest(now, asked.ahead_s) if forecast is not None else None
    rising = trend(samples, asked.ahead_s)
    found = []
    if usual is not None:
        words = f"forecast of {usual:,.1f} requests/s, as usual at this time,"
        found.append(Foretold(usual, words, "forecast-season"))
    if rising is not None:
        found.append(Foretold(rising, f"trend towards {rising:,.1f} requests/s", "forecast-trend"))
    return max(found, key=lambda one: one.requests_per_s, default=None)


def trend(samples: Sequence[Sample | None], ahead_s: float) -> float | None:
    """Return the requests/s that the last samples lead to `ahead_s` later; None where they do not rise steadily."""
    newest = samples[-RISES:]
    rates = [one.arrived / one.window_s for one in newest if one is not None]
    if len(rates) < RISES or any(after <= before for before, after in pairwise(rates)):
        return None
    if rates[-1] < rates[0] * (1 + LEAST_RISE) or not rates[0]:
        return None
    present = [one for one in newest if one is not None]
    slope = (rates[-1] - rates[0]) / max(1e-9, present[-1].at - present[0].at)
    return min(rates[-1] + slope * ahead_s, rates[-1] * MOST_TIMES)
