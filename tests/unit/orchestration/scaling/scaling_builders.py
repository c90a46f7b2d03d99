"""Builders of views: services with a capacity of 100 requests/s (400 units/s) an instance, windows of one second."""

from collections.abc import Iterable

from dcp.hosts.model import Resources
from dcp.orchestration.capacity.model import LATENCY_BOUNDS_MS, Sample
from dcp.orchestration.scaling.model import (
    ApplicationView,
    Policy,
    ScalingState,
    ServiceView,
    TargetDecision,
    Timing,
)
from dcp.orchestration.services.model import Call, Capacity, Dependency, Elastic, ServiceSpec

NOW = 1_700_000_000.0
TIMING = Timing().scaled(60.0)
"""One window a second; act on 3 of 5; catch up in 10 s; shrink after 60 s, a step every 5 s."""
CAPACITY = Capacity(units_per_s=400.0, requests_per_s=100.0)


def service(
    name: str = "web",
    *,
    calls: dict[str, float] | None = None,
    depends_on: Iterable[str] = (),
    low: int = 2,
    high: int = 100,
    elastic: bool = True,
    capacity: Capacity | None = CAPACITY,
    published_port: int | None = None,
) -> ServiceSpec:
    return ServiceSpec(
        name=name,
        command=("serve",),
        resources=Resources(100, 1 << 20),
        replicas=low,
        calls=tuple(Call(called, rate) for called, rate in (calls or {}).items()),
        depends_on=tuple(Dependency(one) for one in depends_on),
        elastic=Elastic(low, high) if elastic else None,
        capacity=capacity,
        published_port=published_port,
    )


def sample(
    age: int = 0,
    *,
    arrived: int = 100,
    units: int | None = None,
    waiting: int = 0,
    completed: int | None = None,
) -> Sample:
    """A window that ended `age` seconds before NOW. All that completed took 25 to 50 ms (weight 2) unless `units`."""
    done = arrived if completed is None else completed
    if units is not None:
        done, by_latency = units, (units,) * (len(LATENCY_BOUNDS_MS) + 1)
    else:
        by_latency = (0, 0) + (done,) * (len(LATENCY_BOUNDS_MS) - 1)
    return Sample(NOW - age, 1.0, arrived, done, 0, waiting, by_latency)


def samples(*units: int | None, arrived: int = 100, waiting: tuple[int, ...] = ()) -> tuple[Sample | None, ...]:
    """Windows with these loads in units/s, oldest first; None where the metrics were missing."""
    waits = waiting or (0,) * len(units)
    ages = range(len(units) - 1, -1, -1)
    return tuple(
        None if one is None else sample(age, arrived=arrived, units=one, waiting=wait)
        for one, age, wait in zip(units, ages, waits, strict=True)
    )


def view_of(
    spec: ServiceSpec,
    seen: tuple[Sample | None, ...],
    *,
    target: int = 4,
    serving: int | None = None,
    coming: int = 0,
    leaving: int = 0,
    settled_s: float | None = 600.0,
    state: ScalingState | None = None,
) -> ServiceView:
    """A service that has been settled for `settled_s` seconds unless something is under way."""
    busy = coming or leaving or settled_s is None
    return ServiceView(
        spec=spec,
        state=state or ScalingState(target),
        serving=target - coming if serving is None else serving,
        coming=coming,
        leaving=leaving,
        settled_since=None if busy or settled_s is None else NOW - settled_s,
        samples=seen,
    )


def application(*services: ServiceView, policy: Policy = Policy.GATED, now: float = NOW) -> ApplicationView:
    return ApplicationView("shop", now, policy, TIMING, services)


def by_name(decisions: tuple[TargetDecision, ...]) -> dict[str, TargetDecision]:
    return {decision.service: decision for decision in decisions}
