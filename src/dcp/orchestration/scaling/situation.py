"""The whole application, measured: every service's reading, the demand on it, and the instances that demand needs.

Demand is in requests/s. A service that the saturated services before it hold back sees too few requests itself, so its
demand is the larger of what arrives there and of what the demand on its callers will send once they have grown.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from dcp.orchestration.ahead.floors import Floor, floors_of
from dcp.orchestration.scaling.graph import (
    call_order,
    closure,
    direct_callees,
    direct_dependencies,
    propagate,
    reversed_edges,
)
from dcp.orchestration.scaling.model import ApplicationView, Policy, Timing
from dcp.orchestration.scaling.reading import (
    Reading,
    arriving_requests_per_s,
    completed_requests_per_s,
    highest_units_per_s,
    read_service,
    waiting_too_many,
)
from dcp.orchestration.scaling.signals import SignalDemand, signal_demand
from dcp.orchestration.services.model import ApplicationSpec, Elastic, ServiceSpec

ROUNDING = 1e-9
"""Keeps 0.3 x 10 from asking for a fourth instance."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What growth and shrinking decide from."""

    view: ApplicationView
    spec: ApplicationSpec
    order: tuple[str, ...]
    """Dependencies before dependants."""
    callers_of: Mapping[str, tuple[str, ...]]
    dependants_of: Mapping[str, tuple[str, ...]]
    dependencies_of: Mapping[str, tuple[str, ...]]
    readings: Mapping[str, Reading]
    demand: Mapping[str, float]
    """Requests/s to be ready for now: by the newest `Timing.agree` windows."""
    lasting_demand: Mapping[str, float]
    """Requests/s to stay ready for when shrinking: by all windows, so a short pause releases nothing."""
    floors: Mapping[str, Floor]
    """What planned surges, timetables and signals ask for: the highest of each service."""
    signals: Mapping[str, SignalDemand]

    @property
    def timing(self) -> Timing:
        return self.view.timing

    def callers(self, name: str) -> tuple[Reading, ...]:
        """Return every service whose load reaches `name`, directly or not; none if planned apart."""
        return self._related(self.callers_of[name])

    def dependants(self, name: str) -> tuple[Reading, ...]:
        """Return every service that needs `name`, directly or not; none if planned apart."""
        return self._related(self.dependants_of[name])

    def dependencies(self, name: str) -> tuple[Reading, ...]:
        """Return every service that `name` needs, directly or not; none if planned apart."""
        return self._related(self.dependencies_of[name])

    def _related(self, names: tuple[str, ...]) -> tuple[Reading, ...]:
        if self.view.policy is Policy.INDEPENDENT:
            return ()
        return tuple(self.readings[name] for name in names if name in self.readings)

    def grew_lately(self, name: str) -> bool:
        """Return whether the last growth is younger than the time it was sized to catch up in."""
        return self.view.now - self.readings[name].view.state.grown_at < self.timing.catch_up_s

    def needed(self, name: str, level: float) -> int:
        """Return the instances that keep the demand on a scalable service at a water level."""
        capacity = self.readings[name].view.spec.capacity
        return _instances(self.demand[name], level, capacity.requests_per_s) if capacity else 0

    def floor(self, name: str) -> int:
        """Return the instances that a shrink must leave: the safe level for the lasting demand, in both units.

        Requests/s say what will come when callers recover; capacity units say how heavy the requests are just now.
        """
        reading = self.readings[name]
        elastic, capacity = elastic_of(reading), reading.view.spec.capacity
        planned = self.floors[name].instances if name in self.floors else 0
        least = max(elastic.min_instances, planned, min(self.signals[name].keep, elastic.max_instances))
        if capacity is None:
            return least
        by_requests = _instances(self.lasting_demand[name], elastic.safe_level, capacity.requests_per_s)
        by_units = _instances(highest_units_per_s(reading), elastic.safe_level, capacity.units_per_s)
        return max(by_requests, by_units, least)


def measure(view: ApplicationView) -> Situation:
    """Return the situation of an application."""
    spec = ApplicationSpec(view.name, tuple(service.spec for service in view.services))
    readings = {service.spec.name: read_service(service, view.timing) for service in view.services}
    order = call_order(spec)
    foretold = {one.spec.name: one.foretold for one in view.services if one.foretold is not None}
    spread = partial(_planned_demand, view, spec, readings)
    planned = floors_of(spec, view.surges, view.now, spread, foretold)
    signals = {name: _signals(reading, view.timing) for name, reading in readings.items()}
    floors = {name: floor for name in readings if (floor := _highest(planned.get(name), signals[name], readings[name]))}
    return Situation(
        view=view,
        spec=spec,
        order=order,
        callers_of=closure(reversed_edges(direct_callees(spec))),
        dependants_of=closure(reversed_edges(direct_dependencies(spec))),
        dependencies_of=closure(direct_dependencies(spec)),
        readings={name: _raised(reading, floors.get(name)) for name, reading in readings.items()},
        demand=_demand(view, spec, readings, view.timing.agree),
        lasting_demand=_demand(view, spec, readings, view.timing.samples),
        floors=floors,
        signals=signals,
    )


def _signals(reading: Reading, timing: Timing) -> SignalDemand:
    return signal_demand(reading.view.spec.signals, reading.view.signals, timing.samples, timing.agree)


def _highest(planned: Floor | None, signals: SignalDemand, reading: Reading) -> Floor | None:
    """Return the higher of two floors of a scalable service; None if there is none."""
    if not reading.scalable or not signals.grow_to:
        return planned
    count = min(signals.grow_to, elastic_of(reading).max_instances)
    if planned is not None and planned.instances >= count:
        return planned
    return Floor(count, f"{signals.words}: needs {signals.grow_to:,}", "signal")


def _raised(reading: Reading, floor: Floor | None) -> Reading:
    """Return the reading with a target that a planned surge leaves no lower."""
    return replace(reading, target=max(reading.target, floor.instances)) if floor else reading


def elastic_of(reading: Reading) -> Elastic:
    """Return the bounds and lines of a scalable service."""
    if reading.view.spec.elastic is None:
        raise ValueError(f"{reading.name} is not elastic")
    return reading.view.spec.elastic


def _instances(load: float, level: float, capacity: float) -> int:
    return math.ceil(level * load / capacity - ROUNDING)


def _demand(
    view: ApplicationView,
    spec: ApplicationSpec,
    readings: Mapping[str, Reading],
    newest: int,
) -> Mapping[str, float]:
    own = _own_demand(view, readings, newest)
    if view.policy is Policy.INDEPENDENT:
        return own
    outside = _from_outside(spec, readings, own, newest)
    return propagate(outside, spec, own, {service.name: _most_it_passes_on(service) for service in spec.services})


def _planned_demand(
    view: ApplicationView, spec: ApplicationSpec, readings: Mapping[str, Reading], entering: Mapping[str, float]
) -> Mapping[str, float]:
    """Return requests/s on the services that a planned surge reaches: it replaces what enters there now."""
    if view.policy is Policy.INDEPENDENT:
        return entering
    newest = view.timing.agree
    outside = _from_outside(spec, readings, _own_demand(view, readings, newest), newest) | dict(entering)
    rates = propagate(outside, spec, None, {service.name: _most_it_passes_on(service) for service in spec.services})
    callees = closure(direct_callees(spec))
    reached = set(entering).union(*(callees[name] for name in entering))
    return {name: rate for name, rate in rates.items() if name in reached}


def _own_demand(view: ApplicationView, readings: Mapping[str, Reading], newest: int) -> dict[str, float]:
    return {
        name: arriving_requests_per_s(reading, newest) + waiting_too_many(reading) / view.timing.catch_up_s
        for name, reading in readings.items()
    }


def _most_it_passes_on(service: ServiceSpec) -> float:
    """Return the requests/s that a service can answer at its maximum: more never reaches what it calls."""
    if service.capacity is None:
        return math.inf
    return service.max_instances * service.capacity.requests_per_s


def _from_outside(
    spec: ApplicationSpec, readings: Mapping[str, Reading], own: Mapping[str, float], newest: int
) -> dict[str, float]:
    """Return the requests/s that reach each service from outside the application.

    All of them where nobody calls it, none where only others call it. A published service that is also called has
    what arrives there less what its callers sent while they answered.
    """
    called: dict[str, float] = {}
    for service in spec.services:
        for call in service.calls:
            through = completed_requests_per_s(readings[service.name], newest) * call.per_request
            called[call.service] = called.get(call.service, 0.0) + through
    outside: dict[str, float] = {}
    for service in spec.services:
        if service.name not in called:
            outside[service.name] = own[service.name]
        elif service.published_port is None:
            outside[service.name] = 0.0
        else:
            outside[service.name] = max(0.0, own[service.name] - called[service.name])
    return outside
