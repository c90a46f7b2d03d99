"""How policies ride out the same loads: dcp's three, dcp told beforehand, and a model of the Kubernetes autoscalers.

Run `python bench/surge.py`; it prints one JSON object a run, and a Markdown table at the end on stderr. Everything runs
on a virtual clock: dcp is its production engine over fake drivers, the rival is `dcp.simulation.load.hpa` and
`autoscaled`, both with the same requests, hosts, boot and start times. `--quick` runs the chain under the step only.
`--data DIR` adds loads from public traces (see `LOADS`); without it they are left out, which is said.
"""

import argparse
import json
import logging
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import structlog

from dcp.orchestration.scaling.model import Policy
from dcp.orchestration.services.model import ApplicationSpec
from dcp.simulation.load.applications import chain, service_ms, shop
from dcp.simulation.load.autoscaled import simulate_autoscaled
from dcp.simulation.load.loads import busiest, read_values, step, trace
from dcp.simulation.load.model import Curve, LoadResult, LoadScenario
from dcp.simulation.load.scaled import Scaling, quicker, simulate_scaled

BASE = 40.0
SURGE_AT_S = 600.0
LASTS_S = 2400.0
APPLICATIONS: dict[str, tuple[Callable[[float], ApplicationSpec], str]] = {
    "chain": (chain, "feed"),
    "shop": (shop, "frontend"),
}
LOADS = {
    "world-cup": ("worldcup98-1998-07-03.csv", "count", 60.0, 60),
    "tweets": ("nab-twitter-volume-FB.csv", "value", 300.0, 12),
    "diurnal": ("autothrottle-rps-diurnal.txt", "", 1.0, 3600),
    "bursty": ("autothrottle-rps-bursty.txt", "", 1.0, 3600),
}
"""File, column, seconds between values, values that are played: those around the sharpest rise."""
DCP = {
    "gated": Scaling(),
    "gated, samples of 10 s": Scaling(timing=quicker(6), name="gated, samples of 10 s"),
    "gated, told 10 min before": Scaling(name="gated, told 10 min before", told=True),
    "dependency-first": Scaling(policy=Policy.DEPENDENCY_FIRST, name="dependency-first"),
    "independent": Scaling(policy=Policy.INDEPENDENT, name="independent"),
}
HPA = {"HPA, CPU 80%": 0.8, "HPA, CPU 50%": 0.5}


@dataclass(frozen=True, slots=True)
class Job:
    """One run, small enough to send to another process: curves are made there."""

    application: str
    load: str
    policy: str
    seed: int
    data: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the chain under the step only")
    parser.add_argument("--data", default="", help="folder with the traces")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    asked = parser.parse_args()
    jobs = list(wanted(asked.data, asked.seed, quick=asked.quick))
    rows = []
    with ProcessPoolExecutor(max_workers=asked.jobs) as pool:
        for job, (result, cpu_s) in zip(jobs, pool.map(run, jobs), strict=True):
            over = result.instance_s / result.oracle_instance_s - 1
            row = {**asdict(result), "over_oracle": round(over, 3), "processor_s": round(cpu_s, 1)}
            if result.recovery_s is not None and math.isinf(result.recovery_s):
                row["recovery_s"] = "never"
            print(json.dumps(row), flush=True)
            rows.append((job, result))
    print(as_table(rows), file=sys.stderr)


def wanted(data: str, seed: int, *, quick: bool) -> Iterator[Job]:
    loads = ["6x step", *([] if quick else ["retry storm", *(LOADS if data else ())])]
    if not data and not quick:
        print("without --data the traces are left out", file=sys.stderr)
    for application in ["chain"] if quick else APPLICATIONS:
        for load in loads:
            for policy in (*DCP, *HPA):
                if load in ("6x step", "retry storm") or not policy.startswith("gated, told"):
                    yield Job(application, load, policy, seed, data)


def run(job: Job) -> tuple[LoadResult, float]:
    """Return the result and the processor time that it took."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    scenario, began = scenario_of(job), time.process_time()
    if job.policy in HPA:
        result = replace(simulate_autoscaled(scenario, job.seed, HPA[job.policy]), policy=job.policy)
    else:
        result = simulate_scaled(scenario, job.seed, DCP[job.policy])
    return result, time.process_time() - began


def scenario_of(job: Job) -> LoadScenario:
    make, entry = APPLICATIONS[job.application]
    spec = make(BASE)
    curve, lasts_s, surge_at_s = curve_of(job)
    return LoadScenario(
        name=f"{job.application}, {job.load}",
        spec=spec,
        service_ms=service_ms(spec),
        entry=entry,
        curve=curve,
        lasts_s=lasts_s,
        surge_at_s=surge_at_s,
        retries=2.0 if job.load == "retry storm" else 0.0,
    )


def curve_of(job: Job) -> tuple[Curve, float, float | None]:
    if job.load == "6x step":
        return step(BASE, 6, SURGE_AT_S), LASTS_S, SURGE_AT_S
    if job.load == "retry storm":
        return step(BASE, 3, SURGE_AT_S), LASTS_S, SURGE_AT_S
    file, column, every_s, length = LOADS[job.load]
    values = busiest(read_values(Path(job.data) / file, column), length)
    return trace(values, every_s, 2 * BASE), length * every_s, None


def as_table(rows: list[tuple[Job, LoadResult]]) -> str:
    lines = [
        "| load | policy | recovery s | violation s | instance-s over oracle | peak instances | cloud USD |",
        "|---|---|---|---|---|---|---|",
    ]
    for job, one in rows:
        recovery = "" if one.recovery_s is None else "never" if math.isinf(one.recovery_s) else f"{one.recovery_s:.0f}"
        over = f"{one.instance_s / one.oracle_instance_s - 1:+.0%}"
        lines.append(
            f"| {job.application}, {job.load} | {job.policy} | {recovery} | {one.violation_s:.0f} | {over} "
            f"| {one.peak_instances} | {one.host_usd:.2f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
