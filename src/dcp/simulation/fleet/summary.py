"""What many seeds of one scenario say together: quantiles, and whether the promise is kept."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dcp.simulation.fleet.run import FleetResult
from dcp.simulation.fleet.scenario import Promise

FIGURES = (
    "serving_s",
    "bound_s",
    "own_share_s",
    "asked",
    "created",
    "spares",
    "given_back",
    "spares_usd",
    "refused_calls",
    "throttled_calls",
    "writes",
    "cpu_s",
)
"""Fields of a result that have quantiles."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure over all seeds."""

    name: str
    p50: float
    p99: float
    highest: float


@dataclass(frozen=True, slots=True)
class Summary:
    """All figures, and what was broken: `broken` names seeds, `missed` parts of the promise."""

    seeds: int
    figures: tuple[Figure, ...]
    broken: tuple[tuple[int, str], ...]
    """Seeds in which a property did not hold, and which."""
    missed: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether every property held and the promise is kept."""
        return not self.broken and not self.missed


def summarise(results: Sequence[FleetResult], promise: Promise) -> Summary:
    """Return the summary of at least one result."""
    return Summary(
        seeds=len(results),
        figures=tuple(_figure(name, [getattr(one, name) for one in results]) for name in FIGURES),
        broken=tuple((one.seed, one.violation) for one in results if one.violation),
        missed=_missed(results, promise),
    )


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest of `values` that `share` of them do not exceed (nearest rank)."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def _figure(name: str, values: list[float]) -> Figure:
    return Figure(name, quantile(values, 0.5), quantile(values, 0.99), max(values))


def _missed(results: Sequence[FleetResult], promise: Promise) -> tuple[str, ...]:
    limits = (("serving_s", promise.serving_s), ("own_share_s", promise.own_share_s))
    found = ((name, quantile([getattr(one, name) for one in results], promise.quantile), most) for name, most in limits)
    return tuple(
        f"{name} is {value:.1f} at p{promise.quantile * 100:g}, promised {most:g}"
        for name, value, most in found
        if most is not None and value > most
    )
