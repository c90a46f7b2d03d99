"""A surge from a file, played once for each seed, and what many seeds say together."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dcp.orchestration.capacity.recovery import find_recovery_s, slow_ratio_of
from dcp.simulation.fleet.summary import Figure, quantile
from dcp.simulation.load.file import Promise, read_surge
from dcp.simulation.load.requests import RequestRun, simulate_requests

NEVER_S = 1e9
"""A recovery that never comes, where a number is needed."""
FIGURES = ("recovery_s", "slow_ratio", "failed", "offered", "peak_instances", "peak_cloud_hosts", "cloud_usd", "cpu_s")


@dataclass(frozen=True, slots=True)
class PlayedSurge:
    """What one seed gave. `recovery_s` None: there is no surge to recover from; NEVER_S: it never did."""

    seed: int
    offered: int
    failed: int
    slow_ratio: float
    recovery_s: float | None
    peak_instances: int
    """The highest of each service, added up."""
    peak_cloud_hosts: int
    cloud_usd: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class SurgeSummary:
    """All figures over all seeds, and what of the promise was missed."""

    seeds: int
    figures: tuple[Figure, ...]
    missed: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether the promise is kept."""
        return not self.missed


def play_surge(path: Path, seed: int) -> PlayedSurge:
    """Play the surge of a file once; the file is read anew, so that a process of its own can do it."""
    scenario = read_surge(path)
    began = time.process_time()
    run = simulate_requests(scenario.requests, seed)
    return PlayedSurge(
        seed=seed,
        offered=sum(one.offered for one in run.seconds),
        failed=sum(one.failed for one in run.seconds),
        slow_ratio=slow_ratio_of(run.seconds),
        recovery_s=None if scenario.begins_s is None else _recovery_s(run, scenario.begins_s),
        peak_instances=sum(run.peak_instances.values()),
        peak_cloud_hosts=run.peak_cloud_hosts,
        cloud_usd=run.cloud_host_s / 3600 * scenario.requests.site.cloud_usd_per_hour,
        cpu_s=time.process_time() - began,
    )


def summarise_surge(results: Sequence[PlayedSurge], promise: Promise) -> SurgeSummary:
    """Return the summary of at least one result."""
    figures = []
    for name in FIGURES:
        values = [float(value) for one in results if (value := getattr(one, name)) is not None]
        if values:
            figures.append(Figure(name, quantile(values, 0.5), quantile(values, 0.99), max(values)))
    return SurgeSummary(len(results), tuple(figures), tuple(_missed(results, promise)))


def _missed(results: Sequence[PlayedSurge], promise: Promise) -> list[str]:
    found = []
    for name, most in (
        ("recovery_s", promise.recovery_s),
        ("slow_ratio", promise.slow_ratio),
        ("failed", promise.failed),
    ):
        if most is None:
            continue
        value = quantile([float(getattr(one, name)) for one in results], promise.quantile)
        if value > most:
            said = "never" if value >= NEVER_S else f"{value:g}"
            found.append(f"{name} is {said} at p{promise.quantile * 100:g}, promised {most:g}")
    return found


def _recovery_s(run: RequestRun, begins_s: float) -> float:
    found = find_recovery_s(run.seconds, begins_s)
    return NEVER_S if found is None else found
