"""What load is offered when: a base rate, a surge that is reached within seconds, a hold, a fall, a tail.

The rate is piecewise linear, so the expected number of arrivals up to an instant is piecewise quadratic and can be
inverted exactly. Both kinds of schedule come from that one inverse: even spacing takes every whole arrival, Poisson
takes the arrivals of a unit-rate process. Pure: the same profile and seed give the same instants.
"""

import math
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum

from dcp.kernel.errors import InvalidInput, Problem


class Spacing(StrEnum):
    """How arrivals are spread: `poisson` like independent users, `even` like a metronome."""

    POISSON = "poisson"
    EVEN = "even"


@dataclass(frozen=True, slots=True)
class Phase:
    """One part of the run: the rate goes in a straight line from `from_rps` to `to_rps`."""

    name: str
    start_s: float
    end_s: float
    from_rps: float
    to_rps: float

    @property
    def duration_s(self) -> float:
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True)
class LoadProfile:
    """The load of one run. Times in seconds, rates in requests per second."""

    base_rps: float
    surge_factor: float = 6.0
    before_s: float = 15.0
    ramp_s: float = 2.0
    hold_s: float = 45.0
    fall_s: float = 2.0
    tail_s: float = 90.0

    def __post_init__(self) -> None:
        problems = [
            Problem(name, f"{value} is not a number of at least {least}")
            for name, value, least in self._bounded()
            if not (math.isfinite(value) and value >= least)
        ]
        if not problems and self.base_rps == 0:
            problems = [Problem("base_rps", "a load of 0 requests per second shows nothing")]
        if problems:
            raise InvalidInput(tuple(problems), subject="load profile")

    def _bounded(self) -> tuple[tuple[str, float, float], ...]:
        least = {"surge_factor": 1.0}
        return tuple((name, value, least.get(name, 0.0)) for name, value in asdict(self).items())

    @property
    def surge_start_s(self) -> float:
        """When the load begins to rise."""
        return self.before_s

    @property
    def surge_end_s(self) -> float:
        """When the load begins to fall."""
        return self.before_s + self.ramp_s + self.hold_s

    @property
    def duration_s(self) -> float:
        return self.surge_end_s + self.fall_s + self.tail_s

    def timeline(self) -> tuple[Phase, ...]:
        """Return the phases in order, without those that last no time."""
        peak_rps = self.base_rps * self.surge_factor
        parts = (
            ("base", self.before_s, self.base_rps, self.base_rps),
            ("rise", self.ramp_s, self.base_rps, peak_rps),
            ("surge", self.hold_s, peak_rps, peak_rps),
            ("fall", self.fall_s, peak_rps, self.base_rps),
            ("tail", self.tail_s, self.base_rps, self.base_rps),
        )
        phases: list[Phase] = []
        start_s = 0.0
        for name, duration_s, from_rps, to_rps in parts:
            if duration_s > 0:
                phases.append(Phase(name, start_s, start_s + duration_s, from_rps, to_rps))
            start_s += duration_s
        return tuple(phases)

    def rate_rps(self, at_s: float) -> float:
        """Return the rate at an instant of the run; 0 outside it."""
        for phase in self.timeline():
            if phase.start_s <= at_s < phase.end_s:
                share = (at_s - phase.start_s) / phase.duration_s
                return phase.from_rps + share * (phase.to_rps - phase.from_rps)
        return 0.0

    def arrivals_s(self, spacing: Spacing, seed: int) -> Iterator[float]:
        """Yield the instants of all arrivals, in order, in seconds since the start of the run."""
        generator = random.Random(seed)
        count = 0.0 if spacing is Spacing.POISSON else -0.5
        passed = 0.0
        for phase in self.timeline():
            expected = phase.duration_s * (phase.from_rps + phase.to_rps) / 2
            while True:
                following = count + (generator.expovariate(1.0) if spacing is Spacing.POISSON else 1.0)
                if following >= passed + expected:
                    break
                count = following
                yield phase.start_s + _instant_s(phase, count - passed)
            # An exponential gap has no memory: at a phase's end a new one may be drawn from the border on.
            passed += expected
            count = passed if spacing is Spacing.POISSON else count


def _instant_s(phase: Phase, arrivals: float) -> float:
    """Return how long after its start a phase has seen `arrivals` arrivals on average."""
    slope = (phase.to_rps - phase.from_rps) / phase.duration_s
    if abs(slope) < 1e-12:
        return arrivals / phase.from_rps
    root = math.sqrt(max(0.0, phase.from_rps**2 + 2 * slope * arrivals))
    return (root - phase.from_rps) / slope
