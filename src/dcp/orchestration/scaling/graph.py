"""The graph of an application: who needs whom, and how load on the entry services spreads along calls.

Two kinds of edges: `calls` carry load, `depends_on` only orders. Order and shrinking look at both, load only at calls.
"""

import math
from collections.abc import Mapping
from graphlib import TopologicalSorter

from dcp.orchestration.services.model import ApplicationSpec


def call_order(spec: ApplicationSpec) -> tuple[str, ...]:
    """Return the names of all services, dependencies before their dependants.

    The specification is free of cycles (checked when it is read); graphlib.CycleError otherwise.
    """
    names = {service.name for service in spec.services}
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for service in spec.services:
        sorter.add(service.name, *(name for name in service.dependencies() if name in names))
    return tuple(sorter.static_order())


def direct_dependencies(spec: ApplicationSpec) -> Mapping[str, tuple[str, ...]]:
    """Return, for every service, what it needs itself, by `calls` or by `depends_on`."""
    return {service.name: service.dependencies() for service in spec.services}


def direct_callees(spec: ApplicationSpec) -> Mapping[str, tuple[str, ...]]:
    """Return, for every service, what it calls itself: the edges that carry load."""
    return {service.name: tuple(call.service for call in service.calls) for service in spec.services}


def dependencies_of(spec: ApplicationSpec, name: str) -> frozenset[str]:
    """Return everything that `name` needs, directly or through others."""
    return _reachable(direct_dependencies(spec), name)


def dependants_of(spec: ApplicationSpec, name: str) -> frozenset[str]:
    """Return everything that needs `name`, directly or through others."""
    return _reachable(reversed_edges(direct_dependencies(spec)), name)


def closure(edges: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
    """Return, for every service, all that its edges lead to, directly or through others, sorted."""
    return {name: tuple(sorted(_reachable(edges, name))) for name in edges}


def reversed_edges(edges: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
    """Return the same edges, pointing back."""
    back: dict[str, list[str]] = {name: [] for name in edges}
    for name, targets in edges.items():
        for target in targets:
            back.setdefault(target, []).append(name)
    return {name: tuple(sources) for name, sources in back.items()}


def propagate(
    outside_requests_per_s: Mapping[str, float],
    spec: ApplicationSpec,
    at_least: Mapping[str, float] | None = None,
    passes_on_at_most: Mapping[str, float] | None = None,
) -> Mapping[str, float]:
    """Return requests/s on every service: from outside plus each caller's rate times its calls per request.

    `at_least` raises a service's rate, and with it what it sends on; `passes_on_at_most` bounds what a service sends
    on, whatever arrives.
    """
    floors, bounds = at_least or {}, passes_on_at_most or {}
    rates = {service.name: outside_requests_per_s.get(service.name, 0.0) for service in spec.services}
    calls = {service.name: service.calls for service in spec.services}
    for name in reversed(call_order(spec)):
        rates[name] = max(rates[name], floors.get(name, 0.0))
        passes_on = min(rates[name], bounds.get(name, math.inf))
        for call in calls[name]:
            if call.service in rates:
                rates[call.service] += passes_on * call.per_request
    return rates


def _reachable(edges: Mapping[str, tuple[str, ...]], start: str) -> frozenset[str]:
    found: set[str] = set()
    pending = list(edges.get(start, ()))
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending.extend(edges.get(name, ()))
    return frozenset(found)
