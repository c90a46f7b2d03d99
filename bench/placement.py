"""How long placement takes, how it grows with size, and what it costs beside the simplest thing that could work.

Run `python bench/placement.py`; it prints one JSON object. At each of three sizes the same question goes to
`dcp.scheduling.place` (filters, scores, spread, one explanation for each refused service) and to a first fit in plain
Python that looks at no more than processor and memory and explains nothing. Times are the best of three, in seconds.
Stops starting new runs after 20 s.
"""

import json
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from dcp.hosts.model import HostType, Offer, Resources, SourceKind
from dcp.orchestration.scaling.hosts_wanted import place_with_new_hosts
from dcp.scheduling.model import Ask, Candidate
from dcp.scheduling.place import place

LIMIT_S = 20.0
REPEATS = 3
MIB = 1 << 20
SIZES = ((250, 2_500), (1_000, 10_000), (4_000, 40_000))
"""Hosts and instances; each four times the one before."""
SERVICES = 10


def hosts_of(count: int) -> tuple[Candidate, ...]:
    """Every fourth host is in the cloud, every tenth has a label, every third is half used."""
    return tuple(
        Candidate(
            host_id=f"host-{number}",
            total=Resources(8000, 32 * 1024 * MIB),
            used=Resources(4000, 16 * 1024 * MIB) if number % 3 == 0 else Resources(0, 0),
            kind=SourceKind.CLOUD if number % 4 == 0 else SourceKind.PRIVATE,
            ready=number % 5 != 0,
            labels={"zone": "a"} if number % 10 == 0 else {"zone": "b"},
        )
        for number in range(count)
    )


def asks_of(count: int) -> tuple[Ask, ...]:
    """Ten services of four sizes; one may not use zone a, one has at most two on a host."""
    return tuple(
        Ask(
            service=f"shop/service-{number}",
            count=count // SERVICES,
            resources=Resources(100 * (1 + number % 4), 256 * MIB * (1 + number % 4)),
            constraints=("node.labels.zone!=a",) if number == 3 else (),
            max_per_host=2 if number == 5 else None,
        )
        for number in range(SERVICES)
    )


def first_fit(asks: tuple[Ask, ...], hosts: tuple[Candidate, ...]) -> int:
    """Return how many instances find a host: each goes to the first one with enough left, from the first host on."""
    free = [
        [host.total.cpu_millis - host.used.cpu_millis, host.total.memory_bytes - host.used.memory_bytes]
        for host in hosts
    ]
    placed = 0
    for ask in asks:
        for _ in range(ask.count):
            for left in free:
                if left[0] >= ask.resources.cpu_millis and left[1] >= ask.resources.memory_bytes:
                    left[0] -= ask.resources.cpu_millis
                    left[1] -= ask.resources.memory_bytes
                    placed += 1
                    break
    return placed


def best_of(work: Callable[[], int], started_at: float) -> tuple[float, int]:
    """Return the shortest time and the result; fewer repeats once the limit has passed."""
    shortest, result = float("inf"), 0
    for _ in range(REPEATS):
        begun = time.perf_counter()
        result = work()
        shortest = min(shortest, time.perf_counter() - begun)
        if time.perf_counter() - started_at > LIMIT_S:
            break
    return shortest, result


def measure(host_count: int, instance_count: int, started_at: float) -> dict[str, Any]:
    """Return the figures of one size."""
    hosts, asks = hosts_of(host_count), asks_of(instance_count)
    offers = (
        Offer("pool", SourceKind.PRIVATE, HostType("slice", Resources(8000, 32 * 1024 * MIB)), host_count // 2),
        Offer("cloud", SourceKind.CLOUD, HostType("large", Resources(16000, 64 * 1024 * MIB), 0.5), None),
    )
    took_s, placed = best_of(lambda: len(place(asks, hosts, 1).assignments), started_at)
    plain_s, plain_placed = best_of(lambda: first_fit(asks, hosts), started_at)
    nothing: tuple[Candidate, ...] = ()
    new_s, new_hosts = best_of(lambda: len(place_with_new_hosts(asks, nothing, offers, 0, 1).new_hosts), started_at)
    return {
        "hosts": host_count,
        "instances": instance_count,
        "place_s": round(took_s, 4),
        "placed": placed,
        "instances_per_s": round(placed / took_s),
        "first_fit_s": round(plain_s, 4),
        "first_fit_placed": plain_placed,
        "first_fit_times_slower": round(plain_s / took_s, 2),
        "from_no_hosts_s": round(new_s, 4),
        "from_no_hosts_new_hosts": new_hosts,
    }


def main() -> None:
    """Measure every size that still fits into the limit."""
    started_at = time.perf_counter()
    rows: list[dict[str, Any]] = []
    for host_count, instance_count in SIZES:
        if time.perf_counter() - started_at < LIMIT_S:
            rows.append(measure(host_count, instance_count, started_at))
    growth = [
        {
            "times_larger": round(after["instances"] / before["instances"], 1),
            "place_times_longer": round(after["place_s"] / before["place_s"], 1),
            "first_fit_times_longer": round(after["first_fit_s"] / before["first_fit_s"], 1),
        }
        for before, after in pairwise(rows)
    ]
    took_s = round(time.perf_counter() - started_at, 1)
    print(json.dumps({"bench": "placement", "sizes": rows, "growth": growth, "took_s": took_s}, indent=2))


if __name__ == "__main__":
    main()
