"""What the controller says, second by second, as the demo's own values."""

from collections.abc import Iterable, Mapping
from typing import Any

from dcp.api.client import Client
from dcp.demo.recording import Decision, HostCount, InstanceCount, ServiceLevel, StateSample

INSTANCE_PLACES = {
    "placed": "starting",
    "starting": "starting",
    "held": "held",
    "serving": "serving",
    "draining": "leaving",
    "stopping": "leaving",
}
HOST_PLACES = {
    "requested": "coming",
    "creating": "coming",
    "booting": "coming",
    "ready": "ready",
    "draining": "leaving",
    "releasing": "leaving",
    "lost": "leaving",
    "failed": "leaving",
}
TOLD_OF_INSTANCES = frozenset({"gate-open", "exited", "unhealthy", "never-healthy", "host-gone", "start-failed"})
"""Reasons of single instances that belong among the decisions; services and hosts are told whole."""
EVENTS_AT_ONCE = 500


class Watch:
    """Reads one controller. Instants are seconds since `zero_at` (seconds since the epoch)."""

    def __init__(self, client: Client, kinds: Mapping[str, str]) -> None:
        self._client = client
        self._kinds = dict(kinds)
        self._last_event = 0
        self.zero_at = 0.0

    def sample(self) -> StateSample:
        """Return the controller's state now."""
        services = self._client.services()["services"]
        instances = self._client.instances()["instances"]
        hosts = self._client.hosts()["hosts"]
        return StateSample(
            at_s=self._client.status()["now"] - self.zero_at,
            levels=tuple(_level(service) for service in services),
            instances=tuple(_instances(service["name"], instances) for service in services),
            hosts=tuple(_hosts(source, kind, hosts) for source, kind in self._kinds.items()),
            cost_usd=self._client.cost()["cost_usd"],
        )

    def decisions(self) -> tuple[Decision, ...]:
        """Return what was decided since this was asked last, oldest first."""
        found: list[Decision] = []
        while True:
            page = self._client.events(self._last_event, limit=EVENTS_AT_ONCE)["events"]
            found += [_decision(event, self.zero_at) for event in page if _is_decision(event)]
            if page:
                self._last_event = page[-1]["seq"]
            if len(page) < EVENTS_AT_ONCE:
                return tuple(found)


def same_counts(one: StateSample, other: StateSample) -> bool:
    """Return whether two moments have the same instances and hosts, with nothing under way in the later one."""
    still = all(count.serving == count.total for count in other.instances)
    return (
        still
        and [(count.service, count.total) for count in one.instances]
        == [(count.service, count.total) for count in other.instances]
        and [(count.source, count.total) for count in one.hosts]
        == [(count.source, count.total) for count in other.hosts]
    )


def _level(service: Mapping[str, Any]) -> ServiceLevel:
    return ServiceLevel(
        service=service["name"],
        target=service["target"],
        water_level=service["water_level"],
        slow_ratio=service["slow_ratio"],
        requests_per_s=service["requests_per_s"],
        reason=service["reason"],
    )


def _instances(service: str, instances: Iterable[Mapping[str, Any]]) -> InstanceCount:
    counts = dict.fromkeys(INSTANCE_PLACES.values(), 0)
    for instance in instances:
        if instance["service"] == service:
            counts[INSTANCE_PLACES[instance["state"]]] += 1
    return InstanceCount(service, **counts)


def _hosts(source: str, kind: str, hosts: Iterable[Mapping[str, Any]]) -> HostCount:
    counts = dict.fromkeys(HOST_PLACES.values(), 0)
    price = 0.0
    for host in hosts:
        if host["source"] == source:
            counts[HOST_PLACES[host["state"]]] += 1
            price += host["price_usd_per_hour"]
    return HostCount(source, kind, **counts, price_usd_per_hour=price)


def _is_decision(event: Mapping[str, Any]) -> bool:
    kind = event["subject"].partition("/")[0]
    return kind in ("service", "host", "application", "edge") or event["reason"] in TOLD_OF_INSTANCES


def _decision(event: Mapping[str, Any], zero_at: float) -> Decision:
    return Decision(
        at_s=round(event["at"] - zero_at, 3),
        subject=event["subject"],
        reason=event["reason"],
        words=event["words"],
        numbers=event["numbers"],
    )
