"""The gate: a new instance is started with all others, and held just before it takes traffic.

It is let in once the services it needs have grown as the same plan says; otherwise the dependant's new instances would
push a multiplied load onto dependencies that are still starting.
"""

from collections.abc import Mapping

from dcp.orchestration.scaling.model import Policy
from dcp.orchestration.services.model import GateCondition, ServiceSpec


def gate_for(
    service: ServiceSpec,
    targets: Mapping[str, int],
    serving: Mapping[str, int],
    policy: Policy,
    first_start: bool,
    *,
    indirect: frozenset[str] = frozenset(),
) -> tuple[GateCondition, ...]:
    """Return what must serve before an instance of `service` that is planned now may take traffic.

    A dependency that grows in the same plan (its target is above what serves) must serve its target. A dependency that
    does not grow asks for nothing, but at the first start of the application one instance of each `depends_on` must
    serve. `independent` has only the latter rule.

    New instances of a dependency hold themselves back by their own gate, so direct dependencies cover the chain as long
    as each link grows. Where a link in the middle does not grow, what lies behind it must be named: pass
    `graph.dependencies_of(spec, name)` as `indirect`.
    """
    conditions: dict[str, int] = {}
    if first_start:
        conditions |= {dependency.service: 1 for dependency in service.depends_on}
    if policy is not Policy.INDEPENDENT:
        for name in {*service.dependencies(), *indirect} - {service.name}:
            if targets.get(name, 0) > serving.get(name, 0):
                conditions[name] = targets[name]
    return tuple(GateCondition(name, conditions[name]) for name in sorted(conditions))


def gate_open(
    gate: tuple[GateCondition, ...],
    serving: Mapping[str, int],
    targets: Mapping[str, int],
    attainable: Mapping[str, int] | None = None,
) -> str:
    """Return "" if the gate is open, else which dependency misses how many.

    A condition never asks for more than the dependency's present target, so a gate does not outlive the plan that set
    it. Where `attainable` is given (instances of each service that there is room for), a gate does not wait for more
    than that either, but for one at least: a dependency that finds no host for its last instance must not keep the rest
    of a surge plan out of service. A dependency that keeps failing does hold its dependants' new instances back.
    """
    missing = []
    for condition in gate:
        wanted = min(condition.serving_at_least, targets.get(condition.service, 0))
        if attainable is not None:
            wanted = min(wanted, max(1, attainable.get(condition.service, 0)))
        present = serving.get(condition.service, 0)
        if present < wanted:
            missing.append(f"{wanted - present} more of {condition.service} must serve ({present} of {wanted} do)")
    return "; ".join(missing)
