"""What a Compose file says of forecasts."""

from dataclasses import dataclass
from enum import StrEnum

LEAST_AHEAD_S, LONGEST_AHEAD_S = 60.0, 6 * 3600.0


class ForecastMode(StrEnum):
    """Whether targets follow a forecast, or it is only made and judged."""

    ACT = "act"
    SHADOW = "shadow"


@dataclass(frozen=True, slots=True)
class Forecasting:
    """The load of a service is foretold from its own past; a floor under its target, never more than that."""

    mode: ForecastMode = ForecastMode.SHADOW
    ahead_s: float = 1800.0
    """So long before it comes the load is prepared for: what hosts and instances take to be ready."""
