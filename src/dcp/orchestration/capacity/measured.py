"""What a service carries as its last capacity test found it: by hardware class, with spread, without outliers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from dcp.orchestration.capacity.measuring import CapacityTest, Found, Outcome
from dcp.orchestration.services.difference import needs_replacement
from dcp.orchestration.services.model import ApplicationSpec, Capacity, ServiceSpec

OUTLIER_SHARE = 0.25
"""An instance this far from the median of at least FEWEST_TO_JUDGE of its class is none of them."""
FEWEST_TO_JUDGE = 3


@dataclass(frozen=True, slots=True)
class OfClass:
    """What instances on one type of host carry: the median, the lowest, the highest."""

    hardware: str
    instances: int
    requests_per_s: float
    units_per_s: float
    lowest_units_per_s: float
    highest_units_per_s: float


@dataclass(frozen=True, slots=True)
class Measured:
    """The result of a test. `capacity` is that of the weakest class: a plan may put an instance on any."""

    test: str
    at: float
    image: str
    stale: bool
    capacity: Capacity
    classes: tuple[OfClass, ...]
    outliers: tuple[str, ...]


def result_of(test: CapacityTest, now: ServiceSpec | None) -> Measured | None:
    """Return what a test found; None if it found nothing. Stale: `now` would run other instances than were measured."""
    if test.outcome is not Outcome.MEASURED or test.ended_at is None:
        return None
    classes, outliers = by_class([one for one in test.found if one.reached])
    weakest = min(classes, key=lambda one: one.units_per_s)
    return Measured(
        test=test.id,
        at=test.ended_at,
        image=test.spec.image,
        stale=now is None or needs_replacement(test.spec, now) or test.spec.slow_threshold_ms != now.slow_threshold_ms,
        capacity=Capacity(weakest.units_per_s, min(one.requests_per_s for one in classes)),
        classes=classes,
        outliers=outliers,
    )


def by_class(found: Sequence[Found]) -> tuple[tuple[OfClass, ...], tuple[str, ...]]:
    """Return the classes, sorted by name, and the instances that were left out of them."""
    classes: list[OfClass] = []
    outliers: list[str] = []
    for hardware in sorted({one.hardware for one in found}):
        own = [one for one in found if one.hardware == hardware]
        middle = median(one.requests_per_s for one in own)
        far = [one for one in own if abs(one.requests_per_s - middle) > OUTLIER_SHARE * middle]
        if len(own) >= FEWEST_TO_JUDGE and len(far) * 2 < len(own):
            outliers += [one.instance_id for one in far]
            own = [one for one in own if one not in far]
        units = [one.units_per_s for one in own]
        requests = median(one.requests_per_s for one in own)
        classes.append(OfClass(hardware, len(own), requests, median(units), min(units), max(units)))
    return tuple(classes), tuple(outliers)


def with_measured(spec: ApplicationSpec, tests: Mapping[str, CapacityTest]) -> ApplicationSpec:
    """Return `spec` with measured capacities, by service, where they are not stale: these win over declared ones."""
    if not tests:
        return spec
    services = tuple(_with_own(one, tests.get(one.name)) for one in spec.services)
    return replace(spec, services=services)


def _with_own(service: ServiceSpec, test: CapacityTest | None) -> ServiceSpec:
    measured = result_of(test, service) if test else None
    return service if measured is None or measured.stale else replace(service, capacity=measured.capacity)
