"""Instants at which requests enter, drawn from a curve, and the curve of a surge that rises and falls."""

import random
from collections.abc import Iterator

from dcp.simulation.load.model import Curve

STEP_S = 0.05
"""A curve is taken as even for so long."""


def surge(base: float, times: float, at_s: float, ramp_s: float, hold_s: float, fall_s: float) -> Curve:
    """Return `base` requests/s that rise to `times` as many within `ramp_s`, hold, and fall again."""

    def at(second: float) -> float:
        since = second - at_s
        if since < 0:
            return base
        if since < ramp_s:
            return base * (1 + (times - 1) * since / ramp_s)
        if since < ramp_s + hold_s:
            return base * times
        left = ramp_s + hold_s + fall_s - since
        return base * (1 + (times - 1) * left / fall_s) if left > 0 else base

    return at


def arrivals(curve: Curve, lasts_s: float, seed: int) -> Iterator[float]:
    """Yield the instants of a Poisson process whose rate follows the curve, in order."""
    rng = random.Random(f"{seed}/arrivals")
    owed, at_s = rng.expovariate(1.0), 0.0
    while at_s < lasts_s:
        rate = curve(at_s)
        expected = rate * STEP_S
        passed = 0.0
        while owed <= expected - passed:
            passed += owed
            instant = at_s + passed / rate
            if instant >= lasts_s:
                return
            yield instant
            owed = rng.expovariate(1.0)
        owed -= expected - passed
        at_s += STEP_S
