"""How few hosts dcp needs: its plans and its placements against a proven bound, fits, and the scores of Kubernetes.

Run `python bench/packing.py --data DIR`; one JSON object for each case and policy, and Markdown tables on stderr at the
end. Batches are decided by the production planner (`place_with_new_hosts`), arrivals one by one by the production
scheduler. Decided only, nothing is started. Without `--data` the trace is left out, which is said; `--quick` runs one
seed of each mix. Needs the extra `bounds` (HiGHS).
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dcp.hosts.model import Offer, Resources
from dcp.orchestration.scaling.filling import candidate_of, fill_new_hosts
from dcp.orchestration.scaling.hosts_wanted import place_with_new_hosts
from dcp.orchestration.scaling.patterns import Classes, Counts
from dcp.scheduling.fleet import Fleet
from dcp.scheduling.model import DEFAULT, FULLEST_FIRST, Weights
from dcp.scheduling.place import place_batch
from packed.bound import exact, lower_bound, whole
from packed.cases import FAMILY, Case, large_instances, microservices, openb, openb_fleet, small
from packed.rivals import Hosts, Score, best_fit, first_fit, kubernetes_default, kubernetes_most, place_each

SEEDS = (1, 2, 3)
NAMES = ("cpu", "memory", "gpu-milli")
BATCH, ARRIVALS = "batch", "arrivals"
RIVALS: dict[str, Score] = {
    "first-fit": first_fit,
    "best-fit": best_fit,
    "Kubernetes, default": kubernetes_default,
    "Kubernetes, MostAllocated": kubernetes_most,
}
OURS: dict[str, Weights] = {"dcp, strategy binpack": FULLEST_FIRST, "dcp, default weights": DEFAULT}
Used = list[tuple[Offer, Resources]]
"""Hosts that have something on them, and how much."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a policy needs: hosts by their offers, what is left free on them, what found no place."""

    used: Used
    unplaced: int = 0

    @property
    def usd_per_hour(self) -> float:
        return sum(offer.host_type.price_usd_per_hour for offer, _ in self.used)

    def free(self, name: str) -> float:
        """Return the free share of a resource on the hosts that are used."""
        has = sum(offer.host_type.resources.amounts().get(name, 0) for offer, _ in self.used)
        return 1 - sum(load.amounts().get(name, 0) for _, load in self.used) / max(has, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="", help="folder with the OpenB trace")
    parser.add_argument("--quick", action="store_true", help="one seed of each mix")
    asked = parser.parse_args()
    rows = []
    for case in cases(asked.data, quick=asked.quick):
        best = bound_of(case)
        for kind, policy, run in policies(case):
            began = time.process_time()
            result = run()
            row = as_row(case, kind, policy, result, best) | {"processor_s": round(time.process_time() - began, 2)}
            print(json.dumps(row), flush=True)
            rows.append(row)
    for value in ("over_bound", "free"):
        print(as_table(rows, value), file=sys.stderr)


def cases(data: str, *, quick: bool) -> Iterator[Case]:
    for seed in SEEDS[: 1 if quick else None]:
        yield from (small(seed), microservices(seed), large_instances(seed), large_instances(seed, FAMILY))
    if data:
        yield from (openb(Path(data)), openb_fleet(Path(data)))
    else:
        print("without --data the trace is left out", file=sys.stderr)


def policies(case: Case) -> Iterator[tuple[str, str, Callable[[], Result]]]:
    yield BATCH, "dcp", lambda: planned(case)
    yield BATCH, "filled in order", lambda: filled(case)
    for name, score in RIVALS.items():
        yield (
            BATCH,
            f"{name}{', largest first' if 'fit' in name else ''}",
            lambda score=score: cheapest(case, score, BATCH),
        )
    for name, weights in OURS.items():
        yield ARRIVALS, name, lambda weights=weights: arriving(case, weights)
    for name, score in RIVALS.items():
        yield ARRIVALS, name, lambda score=score: cheapest(case, score, ARRIVALS)


def planned(case: Case) -> Result:
    """Plan the batch as production does; nothing may be over-committed."""
    plan = place_with_new_hosts(case.asks, (), case.offers, 0, seed=1)
    sizes = {ask.service: ask.resources for ask in case.asks}
    load = {new.host_id: Resources(0, 0) for new in plan.new_hosts}
    for one in plan.placement.assignments:
        load[one.host_id] = load[one.host_id].plus(sizes[one.service])
    used = [(new.offer, load[new.host_id]) for new in plan.new_hosts]
    assert all(one.fits_in(offer.host_type.resources) for offer, one in used)
    return Result(used, sum(one.count for one in plan.placement.unplaced))


def filled(case: Case) -> Result:
    """Fill one host after the other, as dcp did before it planned mixes."""
    hosts = fill_new_hosts(case.asks, case.offers)
    used = []
    for host in hosts:
        load = Resources(0, 0)
        for ask in host.asks:
            load = load.plus(ask.resources, ask.count)
        used.append((host.offer, load))
    return Result(used, len(case.arrivals) - sum(host.count for host in hosts))


def arriving(case: Case, weights: Weights) -> Result:
    """Place one instance after the other with the production scheduler; the best of the offers for hosts that join."""
    asks = [replace(ask, count=1, weights=weights) for ask in case.asks]
    return min((_arriving(case, asks, offer) for offer in endless(case)), key=_rank)


def _arriving(case: Case, asks: list, offer: Offer | None) -> Result:
    fleet = Fleet(1)
    if offer is None:
        fleet.join(
            replace(candidate_of(one, f"{one.source}-{n}"), ready=True)
            for one in case.offers
            for n in range(one.available or 0)
        )
    unplaced = joined = 0
    for number in case.arrivals:
        if not place_batch(fleet, asks[number]).left:
            continue
        if offer is not None:
            joined += 1
            fleet.join([replace(candidate_of(offer, f"new-{joined}"), ready=True)])
            unplaced += place_batch(fleet, asks[number]).left
        else:
            unplaced += 1
    by_source = {one.source: one for one in case.offers}
    totals = [
        (by_source[host.host_id.rpartition("-")[0]] if offer is None else offer, amounts)
        for host, amounts, empty in zip(fleet.hosts, (fleet.total - fleet.free).T.tolist(), fleet.empty(), strict=True)
        if not empty
    ]
    return Result(
        [(one, _resources(dict(zip(fleet.resources, amounts, strict=True)))) for one, amounts in totals], unplaced
    )


def cheapest(case: Case, score: Score, kind: str) -> Result:
    """Place instance after instance by a rival's score; of several offers that which turns out best for it."""
    return min((_by_score(case, score, kind, offer) for offer in endless(case)), key=_rank)


def _by_score(case: Case, score: Score, kind: str, offer: Offer | None) -> Result:
    sizes = sizes_of(case)
    if offer is None:
        offers = [one for one in case.offers for _ in range(one.available or 0)]
        hosts = Hosts(
            np.array([amounts_of(one.host_type.resources) for one in offers]),
            np.zeros((len(offers), 3), dtype=np.int64),
            None,
        )
    else:
        new = np.array(amounts_of(offer.host_type.resources))
        hosts, offers = Hosts(np.zeros((0, 3), dtype=np.int64), np.zeros((0, 3), dtype=np.int64), new), []
    order = list(case.arrivals) if kind == ARRIVALS else in_batch(case, sizes, score)
    place_each(hosts, (sizes[number] for number in order), score, seed=1)
    used = [
        (offer or offers[n], _resources(dict(zip(NAMES, one, strict=True))))
        for n, one in enumerate(hosts.used.tolist())
        if any(one)
    ]
    return Result(used, hosts.unplaced)


def in_batch(case: Case, sizes: Counts, score: Score) -> list[int]:
    """Return service after service; the largest first for the fits, which profit from it."""
    numbers = range(len(sizes))
    if score in (first_fit, best_fit):
        room = np.maximum(np.array([amounts_of(one.host_type.resources) for one in case.offers]).max(axis=0), 1)
        numbers = sorted(numbers, key=lambda n: -float((sizes[n] / room).max()))
    return [number for number in numbers for _ in range(case.asks[number].count)]


def endless(case: Case) -> list[Offer | None]:
    """Return the offers whose hosts may join one by one, if each instance fits there; None: the hosts are given."""
    if case.offers[0].available is not None:
        return [None]
    return [one for one in case.offers if all(ask.resources.fits_in(one.host_type.resources) for ask in case.asks)]


def _rank(result: Result) -> tuple[int, float, int]:
    return result.unplaced, result.usd_per_hour, len(result.used)


def bound_of(case: Case) -> float:
    """Return the least number of hosts of one price, or the least price an hour."""
    sizes, most = sizes_of(case), []
    room = np.array([amounts_of(one.host_type.resources) for one in case.offers])
    for own in room:
        with np.errstate(divide="ignore"):
            times = np.where(sizes > 0, own // np.maximum(sizes, 1), 1 << 40).min(axis=1)
        most.append(times)
    classes = Classes(
        sizes=sizes,
        counts=np.array([ask.count for ask in case.asks]),
        unplaced_cost=np.full(len(sizes), 1000.0),
        room=room,
        most=np.array(most),
        cost=np.array([one.host_type.price_usd_per_hour if len(prices(case)) > 1 else 1.0 for one in case.offers]),
        stock=np.array([np.inf if one.available is None else one.available for one in case.offers]),
    )
    if case.name.startswith("small"):
        return exact(classes)
    found = lower_bound(classes)
    return found if len(prices(case)) > 1 else whole(found)


def prices(case: Case) -> set[float]:
    return {one.host_type.price_usd_per_hour for one in case.offers}


def sizes_of(case: Case) -> Counts:
    return np.array([amounts_of(ask.resources) for ask in case.asks], dtype=np.int64)


def amounts_of(resources: Resources) -> list[int]:
    return [resources.amounts().get(name, 0) for name in NAMES]


def _resources(amounts: dict[str, int]) -> Resources:
    gpu = amounts.get("gpu-milli", 0)
    return Resources(amounts["cpu"], amounts["memory"], 0, (("gpu-milli", gpu),) if gpu else ())


def as_row(case: Case, kind: str, policy: str, result: Result, best: float) -> dict[str, object]:
    cost = result.usd_per_hour if len(prices(case)) > 1 else len(result.used)
    return {
        "case": case.name,
        "kind": kind,
        "policy": policy,
        "instances": len(case.arrivals),
        "services": len(case.asks),
        "hosts": len(result.used),
        "types": dict(Counter(offer.source for offer, _ in result.used)) if 1 < len(case.offers) < 9 else {},
        "cost": round(cost, 2),
        "bound": round(best, 2),
        "over_bound": round(cost / best - 1, 4),
        "unplaced": result.unplaced,
        "cpu_free": round(result.free("cpu"), 3),
        "memory_free": round(result.free("memory"), 3),
    }


def as_table(rows: list[dict[str, object]], value: str) -> str:
    """Return policies by cases: the mean over seeds of what is over the bound, or of processor and memory left free."""
    family = {
        str(row["case"]): str(row["case"]).rstrip(" 0123456789") if "own" not in str(row["case"]) else str(row["case"])
        for row in rows
    }
    names = list(dict.fromkeys(family.values()))
    lines = [f"| {value} | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for kind, policy in dict.fromkeys((str(row["kind"]), str(row["policy"])) for row in rows):
        cells = []
        for name in names:
            own = [
                row for row in rows if (family[str(row["case"])], row["kind"], row["policy"]) == (name, kind, policy)
            ]
            cells.append(_cell(own, value))
        lines.append(f"| {kind}: {policy} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(rows: list[dict[str, object]], value: str) -> str:
    if value == "free":
        cpu, memory = (float(np.mean([row[name] for row in rows])) for name in ("cpu_free", "memory_free"))
        return f"{cpu:.0%} / {memory:.0%}"
    hosts = float(np.mean([row["hosts"] for row in rows]))
    left = sum(int(str(row["unplaced"])) for row in rows)
    over = float(np.mean([row["over_bound"] for row in rows]))
    return f"{over:+.1%} ({hosts:,.0f})" + (f", {left} left out" if left else "")


if __name__ == "__main__":
    main()
