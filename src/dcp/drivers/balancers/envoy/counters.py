"""What Envoy's admin interface answers, read as our values.

Its words mean (tried with 1.40): `completed` and the status classes are counted when the response's headers pass;
`tx_reset` a response that was cut off after them, by the instance; a client that goes away appears in neither. The
histogram holds requests whose response passed whole, and lags by the flush interval.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

from dcp.drivers.balancers.envoy.documents import ALL_MS
from dcp.drivers.balancers.envoy.names import SEPARATOR, decode
from dcp.orchestration.capacity.model import LATENCY_BOUNDS_MS
from dcp.orchestration.services.model import ServiceKey
from dcp.orchestration.traffic.model import EndpointStatus, Traffic

TRAFFIC_FILTER = rf"^http\.[^.]*{SEPARATOR}[^.]*\.downstream_rq_(total|completed|5xx|tx_reset|active|time)$"
"""Selects the statistics that `read_traffic` needs."""

_PREFIX = "downstream_rq_"


def read_traffic(stats: Mapping[str, Any]) -> dict[ServiceKey, Traffic]:
    """Return the counters of every service in the answer to `/stats?format=json&histogram_buckets=cumulative`."""
    numbers: dict[str, dict[str, int]] = {}
    buckets: dict[str, dict[float, int]] = {}
    for entry in stats["stats"]:
        if "name" in entry:
            service, word = _split(entry["name"])
            numbers.setdefault(service, {})[word] = int(entry["value"])
        for histogram in entry.get("histograms", ()):
            service, _ = _split(histogram["name"])
            buckets[service] = {float(one["upper_bound"]): int(one["cumulative"]) for one in histogram["buckets"]}
    return {decode(service): _traffic(counted, buckets.get(service, {})) for service, counted in numbers.items()}


def sum_traffic(parts: Sequence[Mapping[ServiceKey, Traffic]]) -> dict[ServiceKey, Traffic]:
    """Return what several proxies counted together."""
    return {
        service: reduce(_add, (part[service] for part in parts if service in part))
        for service in {service for part in parts for service in part}
    }


def sum_endpoints(parts: Sequence[Sequence[EndpointStatus]]) -> tuple[EndpointStatus, ...]:
    """Return every endpoint once, with the requests of all proxies; it drains once it drains at all of them."""
    together: dict[tuple[str, int], EndpointStatus] = {}
    for status in (status for part in parts for status in part):
        place = (status.address, status.port)
        before = together.get(place, replace(status, active_requests=0))
        together[place] = replace(
            status,
            draining=before.draining and status.draining,
            active_requests=before.active_requests + status.active_requests,
        )
    return tuple(together.values())


def read_endpoints(clusters: Mapping[str, Any], name: str) -> tuple[EndpointStatus, ...]:
    """Return the endpoints of one cluster in the answer to `/clusters?format=json`."""
    for entry in clusters.get("cluster_statuses", ()):
        if entry["name"] == name:
            return tuple(_status(host) for host in entry.get("host_statuses", ()))
    return ()


def read_refusals(dump: Mapping[str, Any]) -> dict[str, str]:
    """Return why listeners or clusters were refused, by name, in the answer to `/config_dump?resource=dynamic_…`."""
    refused = {}
    for entry in dump.get("configs", ()):
        if "error_state" in entry:
            state = entry["error_state"]
            name = entry.get("name") or state.get("failed_configuration", {}).get("name", "")
            refused[name] = state.get("details", "")
    return refused


def _add(one: Traffic, other: Traffic) -> Traffic:
    return Traffic(
        arrived=one.arrived + other.arrived,
        answered=one.answered + other.answered,
        failed=one.failed + other.failed,
        waiting=one.waiting + other.waiting,
        by_latency=tuple(a + b for a, b in zip(one.by_latency, other.by_latency, strict=True)),
    )


def _split(stat: str) -> tuple[str, str]:
    _, service, word = stat.split(".")
    return service, word.removeprefix(_PREFIX)


def _traffic(counted: Mapping[str, int], bucket: Mapping[float, int]) -> Traffic:
    cut = counted["tx_reset"]
    return Traffic(
        arrived=counted["total"],
        answered=max(0, counted["completed"] - counted["5xx"] - cut),
        failed=counted["5xx"] + cut,
        waiting=counted["active"],
        by_latency=tuple(bucket.get(bound, 0) for bound in (*LATENCY_BOUNDS_MS, ALL_MS)),
    )


def _status(host: Mapping[str, Any]) -> EndpointStatus:
    address = host["address"]["socket_address"]
    gauges = {stat["name"]: int(stat.get("value", 0)) for stat in host["stats"] if stat.get("type") == "GAUGE"}
    return EndpointStatus(
        address=address["address"],
        port=address["port_value"],
        draining=host["health_status"].get("eds_health_status") == "DRAINING",
        # A request that was given to the endpoint but waits for its connection is on its way as well.
        active_requests=gauges.get("rq_active", 0) + gauges.get("rq_pending_active", 0),
    )
