"""Hosts that their instances speak against: several services fail there and run well elsewhere. Pure."""

from collections.abc import Iterable, Mapping

from dcp.orchestration.services.model import Instance, ServiceKey
from dcp.orchestration.services.states import InstanceState

AT_LEAST = 2
"""One service that fails says more about the service than about the host."""


def suspect_hosts(failed: Iterable[tuple[str, ServiceKey]], live: Iterable[Instance]) -> Mapping[str, str]:
    """Return by host, in words, that most of its services failed there while they serve elsewhere.

    `failed` names host and service of each instance that failed lately. A service that fails on more hosts than it
    serves on is not counted against any of them.
    """
    failed_on: dict[ServiceKey, set[str]] = {}
    for host_id, service in failed:
        failed_on.setdefault(service, set()).add(host_id)
    if len(failed_on) < AT_LEAST:
        return {}
    serving_on: dict[ServiceKey, set[str]] = {}
    there: dict[str, set[ServiceKey]] = {}
    for instance in live:
        service = ServiceKey(instance.application, instance.service)
        there.setdefault(instance.host_id, set()).add(service)
        if instance.state is InstanceState.SERVING:
            serving_on.setdefault(service, set()).add(instance.host_id)
    against: dict[str, set[ServiceKey]] = {}
    for service, places in failed_on.items():
        for host_id in places:
            elsewhere = serving_on.get(service, set()) - places
            if host_id not in serving_on.get(service, set()) and len(elsewhere) >= len(places):
                against.setdefault(host_id, set()).add(service)
    return {
        host_id: _words(services)
        for host_id, services in sorted(against.items())
        if len(services) >= AT_LEAST and len(services) * 2 > len(services | there.get(host_id, set()))
    }


def _words(services: set[ServiceKey]) -> str:
    names = ", ".join(sorted(map(str, services)))
    return f"instances of {names} failed there and serve elsewhere: takes nothing new for a while"
