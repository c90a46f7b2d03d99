"""Where a service may stand and would rather stand: `deploy.placement.preferences` and `x-dcp.placement`."""

import re

from dcp.compose.findings import Findings
from dcp.compose.schema import NeighbourPart, PlacementPart, Service
from dcp.compose.yaml_text import Path
from dcp.orchestration.services.placement import PlacementRules, PlacementWishes
from dcp.scheduling.model import Neighbour, SpreadOver

_LABEL = re.compile(r"node\.labels\.([A-Za-z0-9][\w./-]*)", re.ASCII)
PLAIN_RESOURCES = frozenset({"cpu", "cpus", "memory", "disk"})


def rules_of(service: Service, at: Path, findings: Findings) -> PlacementRules:
    """Return what must hold of a host."""
    part = service.x_dcp.placement
    return PlacementRules(
        sites=part.sites,
        hardware=part.hardware,
        dedicated=part.dedicated or "",
        heavy=part.heavy or "",
        leans=part.leans or "",
        empty_only=part.empty_hosts,
        beside=tuple(map(_neighbour, part.beside)),
        apart=tuple(map(_neighbour, part.apart)),
        spread=_spread(service, at, findings),
    )


def wishes_of(part: PlacementPart) -> PlacementWishes:
    """Return how hosts are chosen, and who goes first."""
    default = PlacementWishes()
    return PlacementWishes(
        strategy=part.strategy or default.strategy,
        weights=tuple(sorted(part.weights.items())),
        priority=part.priority,
        group=part.group or "",
    )


def named_resources(service: Service, at: Path, findings: Findings) -> tuple[tuple[str, int], ...]:
    """Return resources that have a name, such as `gpu`, and how many pieces one instance takes."""
    found: dict[str, int] = {}
    for position, part in enumerate(service.deploy.resources.reservations.generic_resources):
        kind, value = part.discrete_resource_spec.kind.lower(), part.discrete_resource_spec.value
        if kind in PLAIN_RESOURCES or kind in found:
            path = (*at, "deploy", "resources", "reservations", "generic_resources", position)
            words = "has a key of its own" if kind in PLAIN_RESOURCES else "is given twice"
            findings.error(path, f"{kind} {words}", "such as kind: gpu, value: 1, once")
        elif value:
            found[kind] = value
    return tuple(sorted(found.items()))


def _neighbour(part: NeighbourPart) -> Neighbour:
    return Neighbour(part.service, part.within, part.preferred)


def _spread(service: Service, at: Path, findings: Findings) -> tuple[SpreadOver, ...]:
    """Return the domains of Compose's preferences, then ours; one that stands in both takes our skew."""
    found: dict[str, int | None] = {}
    for position, preference in enumerate(service.deploy.placement.preferences):
        match = _LABEL.fullmatch(preference.spread)
        if match is None:
            path = (*at, "deploy", "placement", "preferences", position, "spread")
            findings.error(path, f"{preference.spread!r} is not a label of a host", "such as node.labels.zone")
        else:
            found[match[1]] = None
    for part in service.x_dcp.placement.spread:
        found[part.over] = part.max_skew
    return tuple(SpreadOver(label, skew) for label, skew in found.items())
