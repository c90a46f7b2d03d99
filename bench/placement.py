"""How fast placement decides, how that grows with hosts and containers, and what one decision on a full fleet takes.

Run `python bench/placement.py`; it prints one JSON object, `--quick` leaves out the largest sizes. Every line says what
is in it: all of them are decisions only, with the columns kept up to date; nothing is stored, called or started.
Hosts differ in source, state and labels; containers fill them to nine tenths.

* `batches`: n identical instances are one question. Beside it a first fit over the same columns that looks at processor
  and memory and at nothing else, as the least that could be done.
* `one`: one instance is decided on the fleet that the batches have filled.
* `mixed`: services of 20 instances with rules: over zones with a skew of 1, apart from another service and from their
  own kind, with a port of the host in two zones of three, over zones and racks beside another.
* `explained`: the door for plans, which gives every instance its score and parts.
* `new_hosts`: the same from no hosts at all: which to ask for, and what goes there.

`per_s` is by the clock on the wall, `per_s_of_processor` by the time that the process had: on a busy machine they
differ.
"""

import argparse
import json
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from dcp.hosts.model import HostType, Offer, Resources, SourceKind
from dcp.orchestration.scaling.hosts_wanted import place_with_new_hosts
from dcp.scheduling.fleet import CPU, Fleet
from dcp.scheduling.model import Ask, Candidate, Neighbour, SpreadOver
from dcp.scheduling.place import decide_batch, place, place_batch

GIB = 1 << 30
HOST = Resources(64_000, 256 * GIB)
HOSTS = (1_000, 5_000, 10_000)
CONTAINERS = (10_000, 100_000, 1_000_000)
AT_ONCE = 1_000
"""Instances of one service, asked for together."""
FILL = 0.9
ONE_TIMES = 1_000
MIXED_AT_ONCE = 20
MIXED = 20_000
"""Instances with rules that are placed and timed."""
DECIDED = "decided only: filters, scores, spread, columns kept up to date; not stored, no API, nothing started"


def hosts_of(count: int) -> list[Candidate]:
    """Every fourth host is in the cloud, every fifth is coming; three zones, forty racks."""
    return [
        Candidate(
            host_id=f"host-{number}",
            total=HOST,
            used=Resources(0, 0),
            kind=SourceKind.CLOUD if number % 4 == 0 else SourceKind.PRIVATE,
            ready=number % 5 != 0,
            price_usd_per_hour=0.5 if number % 4 == 0 else 0.0,
            labels={"site": "s1", "zone": "abc"[number % 3], "rack": f"r{number % 40}"},
        )
        for number in range(count)
    ]


def asks_of(hosts: int, containers: int) -> list[Ask]:
    """Services of four sizes that fill the hosts to nine tenths in all, less where one would not fit on a host."""
    services = max(10, containers // AT_ONCE)
    share = min(FILL * hosts / containers / 2.5, 0.9 / 4)
    return [
        Ask(f"shop/service-{number}", containers // services, _size(share * (1 + number % 4), number))
        for number in range(services)
    ]


def _size(share: float, number: int) -> Resources:
    """Return `share` of a host, a little more of the processor for every other service."""
    lean = 1.1 if number % 8 < 4 else 0.9
    return Resources(int(HOST.cpu_millis * share * lean), int(HOST.memory_bytes * share * (2 - lean)))


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Return seconds on the wall, seconds of the processor, and the result."""
    wall, processor = time.perf_counter(), time.process_time()
    result = work()
    return time.perf_counter() - wall, time.process_time() - processor, result


def rates(placed: int, wall_s: float, processor_s: float) -> dict[str, Any]:
    """Return the figures of a run."""
    return {
        "decided_s": round(wall_s, 4),
        "per_s": round(placed / wall_s),
        "per_s_of_processor": round(placed / processor_s),
    }


def batches(host_count: int, containers: int) -> tuple[dict[str, Any], Fleet]:
    """Place all services, each as one question; return the figures and the full fleet."""
    fleet, asks = Fleet(1, hosts_of(host_count)), asks_of(host_count, containers)
    tenth = max(1, len(asks) // 10)

    def put(some: Sequence[Ask]) -> int:
        return sum(ask.count - place_batch(fleet, ask).left for ask in some)

    first = timed(lambda: put(asks[:tenth]))
    middle = timed(lambda: put(asks[tenth:-tenth]))
    last = timed(lambda: put(asks[-tenth:]))
    placed = first[2] + middle[2] + last[2]
    simple = timed(lambda: first_fit(asks, host_count))
    row = {
        "hosts": host_count,
        "containers": containers,
        "questions": len(asks),
        "placed": placed,
        **rates(placed, first[0] + middle[0] + last[0], first[1] + middle[1] + last[1]),
        "per_s_of_processor_first_tenth": round(first[2] / first[1]),
        "per_s_of_processor_last_tenth": round(last[2] / last[1]),
        "used": round(float(1 - fleet.free[CPU].sum() / fleet.total[CPU].sum()), 3),
        "first_fit_s": round(simple[0], 4),
        "first_fit_placed": simple[2],
    }
    return row, fleet


def first_fit(asks: Sequence[Ask], host_count: int) -> int:
    """Return how many instances find a host: each goes to the first one with enough processor and memory left."""
    free = np.array([[HOST.cpu_millis], [HOST.memory_bytes]]) * np.ones((2, host_count), dtype=np.int64)
    placed = 0
    for ask in asks:
        one = np.array([[ask.resources.cpu_millis], [ask.resources.memory_bytes]])
        room = (free // one).min(axis=0)
        counts = np.clip(ask.count - (np.cumsum(room) - room), 0, room)
        free -= counts * one
        placed += int(counts.sum())
    return placed


def one(fleet: Fleet, containers: int) -> dict[str, Any]:
    """Decide one instance after another on a full fleet, and keep each; services that are there in turn."""
    asks = [
        Ask(ask.service, 1, Resources(ask.resources.cpu_millis // 8, ask.resources.memory_bytes // 8))
        for ask in asks_of(len(fleet), containers)
    ]
    times_s: list[float] = []
    for number in range(ONE_TIMES):
        wall_s, _, batch = timed(partial(decide_batch, fleet, asks[number % len(asks)]))
        times_s.append(wall_s)
        fleet.take(batch.ask, batch.positions, batch.counts)
    times_s.sort()
    return {
        "hosts": len(fleet),
        "containers_there": containers,
        "decisions": ONE_TIMES,
        "p50_ms": round(times_s[ONE_TIMES // 2] * 1000, 3),
        "p99_ms": round(times_s[ONE_TIMES * 99 // 100] * 1000, 3),
        "longest_ms": round(times_s[-1] * 1000, 3),
    }


def mixed_asks(hosts: int, containers: int) -> list[Ask]:
    """Services of `MIXED_AT_ONCE` instances, in turn: over zones with a skew, apart, a port, over zones and racks."""
    several = asks_of(hosts, containers)
    asks: list[Ask] = []
    for number in range(containers // MIXED_AT_ONCE):
        like = several[number % len(several)]
        one = Ask(f"shop/mixed-{number}", MIXED_AT_ONCE, like.resources)
        rules: dict[str, Any] = (
            {"spread": (SpreadOver("zone", 1),)},
            {"apart": (Neighbour(f"shop/mixed-{number - 1}"), Neighbour(one.service))},
            {"host_ports": frozenset({8000 + number % 50}), "constraints": ("node.labels.zone!=b",)},
            {
                "spread": (SpreadOver("zone"), SpreadOver("rack")),
                "beside": (Neighbour("shop/mixed-0", preferred=True),),
            },
        )[number % 4]
        asks.append(replace(one, **rules))
    return asks


def mixed(host_count: int, containers: int) -> dict[str, Any]:
    """Place services with rules onto a fleet that `batches` of plain ones have half filled."""
    fleet = Fleet(1, hosts_of(host_count))
    for ask in asks_of(host_count, containers):
        place_batch(fleet, replace(ask, count=ask.count // 2))
    asks = mixed_asks(host_count, containers)[: MIXED // MIXED_AT_ONCE]
    wall_s, processor_s, placed = timed(lambda: sum(ask.count - place_batch(fleet, ask).left for ask in asks))
    return {
        "hosts": host_count,
        "containers_there": containers // 2,
        "questions": len(asks),
        "placed": placed,
        **rates(placed, wall_s, processor_s),
    }


def explained(host_count: int, containers: int) -> dict[str, Any]:
    """Place through the door that wants columns built and every instance explained."""
    hosts, asks = tuple(hosts_of(host_count)), tuple(asks_of(host_count, containers))
    wall_s, processor_s, placement = timed(lambda: place(asks, hosts, 1))
    placed = len(placement.assignments)
    return {"hosts": host_count, "containers": containers, "placed": placed, **rates(placed, wall_s, processor_s)}


def new_hosts(host_count: int, containers: int) -> dict[str, Any]:
    """Plan hosts for all containers where there are none."""
    offers = (
        Offer("pool", SourceKind.PRIVATE, HostType("slice", HOST), host_count // 2),
        Offer("cloud", SourceKind.CLOUD, HostType("large", HOST, 0.5), None),
    )
    asks = tuple(asks_of(host_count, containers))
    wall_s, processor_s, plan = timed(lambda: place_with_new_hosts(asks, (), offers, 0, 1))
    placed = len(plan.placement.assignments)
    return {"new_hosts": len(plan.new_hosts), "placed": placed, **rates(placed, wall_s, processor_s)}


def curve(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what one more host and one more container cost, from the rows of `batches`."""
    return [
        {
            "hosts": row["hosts"],
            "containers": row["containers"],
            "us_per_container": round(1e6 / row["per_s_of_processor"], 3),
            "ms_per_question": round(1e3 * row["placed"] / row["per_s_of_processor"] / row["questions"], 3),
        }
        for row in rows
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="no more than 100,000 containers on 5,000 hosts")
    quick = parser.parse_args().quick
    started_at = time.perf_counter()
    rows: list[dict[str, Any]] = []
    singles: list[dict[str, Any]] = []
    for host_count in HOSTS[:-1] if quick else HOSTS:
        for containers in CONTAINERS[:-1] if quick else CONTAINERS:
            row, fleet = batches(host_count, containers)
            rows.append(row)
            if containers == CONTAINERS[1 if quick else 2]:
                singles.append(one(fleet, containers))
    small = (1_000, 10_000)
    found = {
        "bench": "placement",
        "batches": {"includes": DECIDED, "rows": rows},
        "one": {"includes": f"{DECIDED}; one instance a decision", "rows": singles},
        "mixed": {
            "includes": f"{DECIDED}; a rule or two for each service",
            "rows": [mixed(hosts, CONTAINERS[1 if quick else 2]) for hosts in (HOSTS[:-1] if quick else HOSTS)],
        },
        "explained": {
            "includes": f"{DECIDED}; columns built first, scores of each instance",
            "rows": [explained(*small)],
        },
        "new_hosts": {"includes": "decided only: which hosts to ask for too", "rows": [new_hosts(*small)]},
        "curve": curve(rows),
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "took_s": round(time.perf_counter() - started_at, 1),
    }
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
