"""Builders of hosts and asks: a host has 1 CPU and 1 GiB, an instance asks for a quarter of each."""

from dcp.hosts.model import Resources, SourceKind
from dcp.scheduling.model import Ask, Candidate, Placement

MIB = 1 << 20
HOST = Resources(1000, 1024 * MIB)
QUARTER = Resources(250, 256 * MIB)
NOTHING = Resources(0, 0)


def host(
    name: str,
    *,
    total: Resources = HOST,
    used: Resources = NOTHING,
    kind: SourceKind = SourceKind.PRIVATE,
    ready: bool = True,
    labels: dict[str, str] | None = None,
    instances: dict[str, int] | None = None,
) -> Candidate:
    return Candidate(name, total, used, kind, ready, 0.0, labels or {}, instances or {})


def ask(
    count: int = 1,
    service: str = "shop/web",
    *,
    resources: Resources = QUARTER,
    constraints: tuple[str, ...] = (),
    max_per_host: int | None = None,
) -> Ask:
    return Ask(service, count, resources, constraints, max_per_host)


def where(placement: Placement, service: str = "shop/web") -> list[str]:
    """The hosts that instances of a service went to, sorted."""
    return sorted(one.host_id for one in placement.assignments if one.service == service)
