"""Two applications to compare policies on: a chain of three, and a shop of ten services."""

from collections.abc import Mapping
from dataclasses import replace

from dcp.hosts.model import Resources
from dcp.orchestration.scaling.graph import propagate
from dcp.orchestration.services.model import (
    ApplicationSpec,
    Call,
    Capacity,
    Dependency,
    Elastic,
    HealthCheck,
    ServiceSpec,
)

REQUESTS_PER_S = 40.0
"""What one instance answers at its limit."""
SERVICE_MS = 50.0
OBJECTIVE_MS = 500
SHAPE = Resources(cpu_millis=500, memory_bytes=256 << 20)
SHOP: Mapping[str, Mapping[str, float]] = {
    "frontend": {"product": 1.5, "currency": 1.0, "cart": 0.8, "recommendation": 0.5, "ad": 0.6, "checkout": 0.1},
    "checkout": {"payment": 1.0, "shipping": 1.0, "email": 1.0, "cart": 2.0, "product": 1.0, "currency": 2.0},
    "recommendation": {"product": 1.0},
    "product": {},
    "currency": {},
    "cart": {},
    "ad": {},
    "payment": {},
    "shipping": {},
    "email": {},
}
"""Calls for one request: of the shape of the public Online Boutique demonstration, with figures of our own."""
CHAIN: Mapping[str, Mapping[str, float]] = {"feed": {"user": 1.0}, "user": {"card": 1.0}, "card": {}}


def chain(base: float) -> ApplicationSpec:
    """Return three services that call one another in a row, sized for `base` requests/s at the entry."""
    return _application("chain", CHAIN, "feed", base)


def shop(base: float) -> ApplicationSpec:
    """Return ten services behind a front end, sized for `base` requests/s at the entry."""
    return _application("shop", SHOP, "frontend", base)


def service_ms(spec: ApplicationSpec) -> Mapping[str, float]:
    """Return how long each service itself works on a request."""
    return {service.name: SERVICE_MS for service in spec.services}


def _application(name: str, calls: Mapping[str, Mapping[str, float]], entry: str, base: float) -> ApplicationSpec:
    services = tuple(_service(one, callees) for one, callees in calls.items())
    spec = ApplicationSpec(
        name, tuple(replace(one, published_port=80) if one.name == entry else one for one in services)
    )
    return replace(spec, services=tuple(_sized(spec, one, entry, base) for one in spec.services))


def _service(name: str, calls: Mapping[str, float]) -> ServiceSpec:
    return ServiceSpec(
        name=name,
        command=("service",),
        resources=SHAPE,
        health=HealthCheck(http_path="/healthz", interval_s=5.0, start_period_s=60.0),
        capacity=Capacity(units_per_s=REQUESTS_PER_S * 2, requests_per_s=REQUESTS_PER_S),
        calls=tuple(Call(callee, rate) for callee, rate in calls.items()),
        depends_on=tuple(Dependency(callee) for callee in calls),
        slow_threshold_ms=OBJECTIVE_MS,
        stop_grace_s=2.0,
    )


def _sized(spec: ApplicationSpec, service: ServiceSpec, entry: str, base: float) -> ServiceSpec:
    """Start where a load of `base` stands at a water level of 2 (half of what it can)."""
    rate = _rates(spec, entry, base)[service.name]
    least = max(1, -(-round(2 * rate * 1000) // round(REQUESTS_PER_S * 1000)))
    return replace(service, replicas=least, elastic=Elastic(min_instances=least, max_instances=40 * least))


def _rates(spec: ApplicationSpec, entry: str, base: float) -> Mapping[str, float]:
    return propagate({entry: base}, spec)
