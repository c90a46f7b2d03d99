"""The instances that planned surges and timetables ask for, of every service that their load reaches."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from dcp.orchestration.ahead.model import Expected, Foretold, PlannedSurge
from dcp.orchestration.services.model import ApplicationSpec, ServiceSpec

ROUNDING = 1e-9
Spread = Callable[[Mapping[str, float]], Mapping[str, float]]
"""From requests/s that enter at some services to requests/s at all."""


@dataclass(frozen=True, slots=True)
class Floor:
    """A target must not be below `instances`; `words` say for what."""

    instances: int
    words: str
    reason: str = "planned-surge"
    """The code of a decision that it makes."""


def floors_of(
    spec: ApplicationSpec,
    surges: Iterable[PlannedSurge],
    now: float,
    spread: Spread,
    foretold: Mapping[str, Foretold] | None = None,
) -> Mapping[str, Floor]:
    """Return the highest floor of each scalable service over all that is due; none for the others."""
    floors: dict[str, Floor] = {}
    due = [(expected, words, "planned-surge") for expected, words in _due(spec, surges, now)]
    for name, one in (foretold or {}).items():
        due.append(((Expected(name, one.requests_per_s),), one.words, one.reason))
    for expected, words, reason in due:
        rates = spread(_entering(spec, expected))
        for service in spec.services:
            count = instances_for(service, rates.get(service.name, 0.0))
            if count > (floors[service.name].instances if service.name in floors else 0):
                floors[service.name] = Floor(count, f"{words} needs {count:,}", reason)
    return floors


def _due(
    spec: ApplicationSpec, surges: Iterable[PlannedSurge], now: float
) -> Iterator[tuple[tuple[Expected, ...], str]]:
    """Yield what is expected together, and in words why."""
    for surge in surges:
        if surge.application == spec.name and surge.is_due(now):
            yield surge.expected, f"planned surge {surge.id} ({surge.asked})"
    for service in spec.services:
        for entry in service.timetable:
            if entry.is_due(now):
                expected = Expected(service.name, entry.requests_per_s, entry.instances)
                yield (expected,), f"timetable of {service.name} ({entry})"


def instances_for(service: ServiceSpec, requests_per_s: float) -> int:
    """Return the instances that carry a load at the safe level, at most its maximum; 0 if it cannot be scaled."""
    if service.elastic is None or service.capacity is None:
        return 0
    needed = math.ceil(service.elastic.safe_level * requests_per_s / service.capacity.requests_per_s - ROUNDING)
    return min(needed, service.elastic.max_instances)


def _entering(spec: ApplicationSpec, expected: tuple[Expected, ...]) -> Mapping[str, float]:
    known = {service.name: service for service in spec.services}
    return {one.service: _rate(known[one.service], one) for one in expected if one.service in known}


def _rate(service: ServiceSpec, expected: Expected) -> float:
    if not expected.instances:
        return expected.requests_per_s
    if service.elastic is None or service.capacity is None:
        return 0.0
    return expected.instances * service.capacity.requests_per_s / service.elastic.safe_level
