"""What was counted, over reloads: each process counts from zero, and the sum of all must never go back.

The counters of processes that are being replaced are written down: when one has ended, what was read of it last is
added. By then it takes nothing new, and what it had under way is counted as answered, since it ends only after that.
A process that is being replaced soon forgets its table of latencies, so what was read before is kept.
When the master itself was ended all counters start anew.
"""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from dcp.orchestration.services.model import ServiceKey
from dcp.orchestration.traffic.model import Traffic

Counted = Mapping[ServiceKey, Traffic]


def add_up(live: Mapping[int, Counted], kept: Mapping[int, Counted]) -> dict[ServiceKey, Traffic]:
    """Return the sums of what processes that run say and what those that have ended had said."""
    total: dict[ServiceKey, Traffic] = {}
    for pid in live.keys() | kept.keys():
        for service, counted in (live[pid] if pid in live else settled(kept[pid])).items():
            total[service] = plus(total[service], counted) if service in total else counted
    return total


def not_less(live: Mapping[int, Counted], kept: Mapping[int, Counted]) -> dict[int, Counted]:
    """Return what processes that run say, and where that is less than they said before, what they said before."""
    return {pid: {**kept.get(pid, {}), **_at_least(counted, kept.get(pid, {}))} for pid, counted in live.items()}


def to_keep(live: Mapping[int, Counted], kept: Mapping[int, Counted], current: int | None) -> dict[int, Counted]:
    """Return what must be remembered: of every process but the one that serves; those that have ended as one, 0."""
    ended = {pid: counted for pid, counted in kept.items() if pid not in live and pid != current}
    result: dict[int, Counted] = {pid: counted for pid, counted in live.items() if pid != current}
    if ended:
        result[0] = add_up({}, ended)
    return result


def settled(counted: Counted) -> dict[ServiceKey, Traffic]:
    """Return the counters of a process that has ended by now."""
    return {service: replace(one, answered=one.answered + one.waiting, waiting=0) for service, one in counted.items()}


def plus(left: Traffic, right: Traffic) -> Traffic:
    return Traffic(
        left.arrived + right.arrived,
        left.answered + right.answered,
        left.failed + right.failed,
        left.waiting + right.waiting,
        tuple(a + b for a, b in zip(left.by_latency, right.by_latency, strict=True)),
    )


def _at_least(counted: Counted, before: Counted) -> dict[ServiceKey, Traffic]:
    return {service: _larger(one, before[service]) if service in before else one for service, one in counted.items()}


def _larger(now: Traffic, before: Traffic) -> Traffic:
    return Traffic(
        max(now.arrived, before.arrived),
        max(now.answered, before.answered),
        max(now.failed, before.failed),
        now.waiting,
        tuple(max(pair) for pair in zip(now.by_latency, before.by_latency, strict=True)),
    )


def to_document(master: str, kept: Mapping[int, Counted]) -> dict[str, Any]:
    """Return what is written down; it holds for this master only."""
    return {
        "master": master,
        "processes": {
            str(pid): {str(service): asdict(one) for service, one in counted.items()} for pid, counted in kept.items()
        },
    }


def from_document(master: str, document: Mapping[str, Any]) -> dict[int, Counted]:
    """Return what `to_document` wrote; nothing if it was of another master."""
    if document.get("master") != master:
        return {}
    return {
        int(pid): {ServiceKey.parse(service): _traffic(one) for service, one in counted.items()}
        for pid, counted in document["processes"].items()
    }


def _traffic(stored: Mapping[str, Any]) -> Traffic:
    return Traffic(**{**stored, "by_latency": tuple(stored["by_latency"])})
