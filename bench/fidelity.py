"""Is the simulator true? The demo on real processes beside its simulation: recovery, peak instances, slow requests.

Run `python bench/fidelity.py` (about five minutes; ports as for `dcp demo`); it prints one JSON object: what `dcp demo`
measured, what the simulation of the same application, load and hosts gives over some seeds, and their ratios. What the
simulation is told of the machine is measured first, in the same run: how long an instance takes to start, and how long
the service really works on a request. `--real FILE` takes the figures that `dcp demo --json FILE` wrote.
"""

import argparse
import asyncio
import json
import logging
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import structlog

from dcp.compose import read
from dcp.demo.ground import CLOUD_PRICE_USD_PER_HOUR, ProcessGround
from dcp.demo.load_profile import LoadProfile, Spacing
from dcp.demo.run import ENTRY, find_example
from dcp.hosts.model import Resources
from dcp.orchestration.capacity.recovery import find_recovery_s, slow_ratio_of
from dcp.orchestration.scaling.model import Policy
from dcp.orchestration.services.model import ServiceSpec
from dcp.settings.read import parse_settings
from dcp.simulation.load.model import Site
from dcp.simulation.load.requests import RequestRun, RequestScenario, ServiceQueue, simulate_requests

PROFILE = LoadProfile(base_rps=36.0, surge_factor=6.0, before_s=12.0, hold_s=40.0, tail_s=100.0)
"""What `dcp demo` plays if nothing else is said."""
SETTLES_S = 60.0
WITHIN = 0.25
STARTS = 10
REQUESTS = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--real", type=Path, help="figures of a demo run, instead of a new one")
    parser.add_argument("--seeds", type=int, default=5)
    asked = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    starts, overhead_ms = measure_machine()
    began = time.perf_counter()
    runs = [simulate_requests(scenario(starts, overhead_ms), seed) for seed in range(1, asked.seeds + 1)]
    took_s = (time.perf_counter() - began) / asked.seeds
    simulated = [figures_of(run) for run in runs]
    real = real_figures(json.loads(asked.real.read_text()) if asked.real else play_demo())
    rows = [compare(name, real[name], [one[name] for one in simulated]) for name in real]
    found = {
        "bench": "fidelity",
        "told": {"start_s": [round(one, 3) for one in starts], "overhead_ms": round(overhead_ms, 2)},
        "seeds": asked.seeds,
        "simulated_in_s": round(took_s, 2),
        "rows": rows,
        "all_within": all(row["within"] for row in rows),
    }
    print(json.dumps(found, indent=1))


def compare(name: str, real: float, simulated: list[float]) -> dict[str, Any]:
    """Return one line: the real figure, the median of the simulated ones with their range, the ratio."""
    middle = statistics.median(simulated)
    ratio = middle / real if real else float(middle == real)
    return {
        "figure": name,
        "real": round(real, 4),
        "simulated": round(middle, 4),
        "lowest": round(min(simulated), 4),
        "highest": round(max(simulated), 4),
        "ratio": round(ratio, 3),
        "within": abs(ratio - 1) <= WITHIN,
    }


def figures_of(run: RequestRun) -> dict[str, float]:
    recovery = find_recovery_s(run.seconds, PROFILE.surge_start_s)
    return {
        "recovery_s": float("inf") if recovery is None else recovery,
        "peak_instances": float(sum(run.peak_instances.values())),
        "slow_ratio": slow_ratio_of(run.seconds),
    }


def real_figures(outcome: dict[str, Any]) -> dict[str, float]:
    recovery = outcome["recovery_s"]
    return {
        "recovery_s": float("inf") if recovery is None else recovery,
        "peak_instances": float(sum(one["peak"] for one in outcome["instances"].values())),
        "slow_ratio": outcome["slow_requests"] / outcome["offered_requests"],
    }


def play_demo() -> dict[str, Any]:
    """Run `dcp demo` as a user would; return its figures."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "outcome.json"
        words = [sys.executable, "-m", "dcp", "demo", "--plain", "--json", str(file)]
        subprocess.run(words, check=True, stdout=sys.stderr)
        found: dict[str, Any] = json.loads(file.read_text())
        return found


def scenario(starts: tuple[float, float], overhead_ms: float) -> RequestScenario:
    """Return the demo's own run: its application, load, hosts and settings."""
    spec = read(find_example(), environment=os.environ).spec
    configuration = ProcessGround().configuration(Policy.GATED)
    settings = parse_settings(json.dumps(configuration), "demo").engine
    private, cloud = configuration["sources"]
    boot_s = cloud["types"][0]["boot_s"]
    site = Site(
        shape=Resources(1000 * private["cpus"], 512 << 20),
        private_hosts=private["hosts"],
        cloud_usd_per_hour=CLOUD_PRICE_USD_PER_HOUR,
        boot_s=(boot_s, boot_s),
        start_s=starts,
    )
    return RequestScenario(
        spec=spec,
        queues={one.name: queue_of(one, overhead_ms) for one in spec.services},
        entry=ENTRY,
        arrivals_s=lambda seed: PROFILE.arrivals_s(Spacing.POISSON, seed),
        lasts_s=PROFILE.duration_s + SETTLES_S,
        settings=replace(settings, seed=1),
        site=site,
    )


def queue_of(service: ServiceSpec, overhead_ms: float) -> ServiceQueue:
    environment = dict(service.environment)
    return ServiceQueue(int(environment["CONCURRENCY"]), float(environment["SERVICE_MS"]) + overhead_ms)


def measure_machine() -> tuple[tuple[float, float], float]:
    """Return how long an instance takes until it answers (fastest, slowest), and what a request costs in ms."""
    program, took = find_example().parent / "service.py", []
    overhead_ms = 0.0
    for number in range(STARTS):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        environment = {**os.environ, "PORT": str(port), "SERVICE_MS": "20", "CONCURRENCY": "2"}
        began = time.perf_counter()
        process = subprocess.Popen([sys.executable, "-S", "-E", str(program)], env=environment)
        try:
            while not answers(port):
                time.sleep(0.005)
            took.append(time.perf_counter() - began)
            if number == STARTS - 1:
                overhead_ms = asyncio.run(cost_of_a_request(port)) - 20.0
        finally:
            process.terminate()
            process.wait(10)
    return (min(took), max(took)), max(0.0, overhead_ms)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def cost_of_a_request(port: int) -> float:
    """Return the median milliseconds of a request that waits for nobody."""
    took = []
    async with httpx.AsyncClient() as client:
        for _ in range(REQUESTS):
            began = time.perf_counter()
            await client.get(f"http://127.0.0.1:{port}/")
            took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


if __name__ == "__main__":
    main()
