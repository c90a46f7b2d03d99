"""What a mirror tells about itself: JSON for the controller, numbers for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dcp.mirror.server import Mirror


def status_of(mirror: Mirror) -> dict[str, Any]:
    """Return the state of a mirror as JSON."""
    counters, route = mirror.counters, mirror.upstreams.route
    return {
        "name": mirror.settings.name,
        "route": {"stripes": [list(stripe) for stripe in route.stripes], "registries": list(route.registries)},
        "disk": {
            "used_bytes": mirror.disk.used_bytes,
            "capacity_bytes": mirror.disk.capacity_bytes,
            "blobs": len(mirror.disk),
            "evicted_bytes": counters.evicted_bytes,
        },
        "coming": [
            {"digest": one.digest, "size": one.size, "have_bytes": one.have_bytes, "readers": one.readers}
            for one in mirror.blobs.coming.values()
        ],
        "warmed": mirror.warming.states(),
        "from_upstream_bytes": dict(counters.from_upstream),
        "upstream_failures": dict(counters.upstream_failures),
        "wrong_digests": dict(counters.wrong_digests),
        "served_bytes": counters.served_bytes,
        "blobs": {"hits": counters.hits, "joined": counters.joined, "misses": counters.misses},
        "passed_through": counters.passed_through,
        "rights_asked": counters.rights_asked,
        "readers": counters.readers,
    }


def exposition(mirror: Mirror) -> str:
    """Return the counters in Prometheus's text format."""
    counters = mirror.counters
    lines: list[str] = []

    def metric(name: str, kind: str, values: dict[str, float]) -> None:
        lines.append(f"# TYPE dcp_mirror_{name} {kind}")
        lines.extend(f"dcp_mirror_{name}{labels} {value:g}" for labels, value in values.items())

    def by_upstream(counts: dict[str, int]) -> dict[str, float]:
        return {f'{{upstream="{url}"}}': float(count) for url, count in sorted(counts.items())}

    metric("upstream_bytes_total", "counter", by_upstream(counters.from_upstream))
    metric("upstream_failures_total", "counter", by_upstream(counters.upstream_failures))
    metric("wrong_digests_total", "counter", by_upstream(counters.wrong_digests))
    metric("served_bytes_total", "counter", {"": counters.served_bytes})
    outcomes = {"hit": counters.hits, "joined": counters.joined, "miss": counters.misses}
    metric("blobs_total", "counter", {f'{{outcome="{name}"}}': count for name, count in outcomes.items()})
    metric("passed_through_total", "counter", {"": counters.passed_through})
    metric("rights_asked_total", "counter", {"": counters.rights_asked})
    metric("evicted_bytes_total", "counter", {"": counters.evicted_bytes})
    metric("disk_used_bytes", "gauge", {"": mirror.disk.used_bytes})
    metric("disk_capacity_bytes", "gauge", {"": mirror.disk.capacity_bytes})
    metric("readers", "gauge", {"": counters.readers})
    return "\n".join(lines) + "\n"
