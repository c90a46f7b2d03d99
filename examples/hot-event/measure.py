"""Find what one instance of each service carries: the figures of `x-dcp.capacity` in compose.yaml.

    python examples/hot-event/measure.py [SERVICE …]

Starts one instance of a service by itself (its dependencies with room to spare), offers a steady load of independent
arrivals without any balancer, and raises it step by step until the slow ratio passes 1%. What the instance carries is
the last step before that: plain requests per second and, at the same moment, requests weighted by latency band.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from dcp.kernel.units import parse_duration_s

HERE = Path(__file__).parent
FIRST_PORT = 19300
ROOMY = {"CONCURRENCY": "64"}
SETTLE_S, COUNT_S = 3, 60
"""Each step lasts this long together; the first seconds are not counted."""
FIRST_RPS, STEP_RPS = 38, 2
SLOW_RATIO = 0.01


def start(service: dict[str, Any], settings: dict[str, str], ports: dict[str, int]) -> subprocess.Popen[bytes]:
    """Start one instance with `settings` over those of compose.yaml."""
    urls = {f"DCP_URL_{name.upper()}": f"http://127.0.0.1:{port}" for name, port in ports.items()}
    environment = os.environ | urls | service["environment"] | settings
    return subprocess.Popen(service["command"], cwd=HERE, env=environment)


def offer(port: int, rps: float, slow_ms: float, count_s: int) -> tuple[float, float, float]:
    """Offer a steady load; return requests per second, units per second and the slow ratio."""
    profile = {"base_rps": rps, "surge_factor": 1, "before_s": SETTLE_S + count_s}
    profile |= dict.fromkeys(("ramp_s", "hold_s", "fall_s", "tail_s"), 0)
    command = [sys.executable, "-m", "dcp.demo.load", "--url", f"http://127.0.0.1:{port}/", "--events", "-"]
    command += ["--profile", json.dumps(profile), "--slow-ms", str(slow_ms), "--seed", str(round(rps))]
    lines = [json.loads(line) for line in subprocess.check_output(command).splitlines()]
    counted = [line for line in lines if line["kind"] == "second" and line["second"] >= SETTLE_S]
    offered, units, slow = (sum(line[key] for line in counted) for key in ("offered", "units", "slow"))
    return offered / count_s, units / count_s, slow / offered


def measure(name: str, services: dict[str, dict[str, Any]]) -> None:
    """Print the steps of one service up to the first whose slow ratio passes 1%."""
    first = FIRST_PORT + 10 * list(services).index(name)
    ports = {other: first + number for number, other in enumerate(services)}
    started = []
    for other, service in services.items():
        own = {} if other == name else ROOMY
        started.append(start(service, own | {"PORT": str(ports[other])}, ports))
    try:
        slow_ms = parse_duration_s(services[name]["x-dcp"]["slow_threshold"]) * 1000
        rps, slow_ratio = FIRST_RPS, 0.0
        while slow_ratio <= SLOW_RATIO:
            offered, units, slow_ratio = offer(ports[name], rps, slow_ms, COUNT_S)
            print(f"{name}: {offered:5.1f} requests/s  {units:6.1f} units/s  {slow_ratio:6.2%} slow", flush=True)
            rps += STEP_RPS
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait()


def main() -> None:
    """Measure the services named on the command line, or all."""
    services: dict[str, dict[str, Any]] = yaml.safe_load((HERE / "compose.yaml").read_text())["services"]
    for name in sys.argv[1:] or services:
        measure(name, services)


if __name__ == "__main__":
    main()
