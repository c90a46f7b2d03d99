"""A surge rehearsed on what runs now: the present application, load, hosts and prices, on a virtual clock.

The production engine plays the surge with the settings, capacities and calls that it has now. Instances are fakes that
carry what they were measured or declared to; they take `START_S` to start, and cloud hosts boot around the time that
their source states. Requests are a fluid: queues grow and are worked off, single requests have no fate of their own.
What the playing ground cannot hold is left out: images, placement rules, clusters, signals, and all types of hosts but
the first private and the first cloud one.
"""

import asyncio
import logging
import math
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context

import structlog

from dcp.engine.application import Loaded
from dcp.engine.settings import EngineSettings
from dcp.hosts.model import Offer, SourceKind
from dcp.kernel.errors import Conflict, InvalidInput, Problem
from dcp.orchestration.capacity.model import LATENCY_BOUNDS_MS, Sample
from dcp.orchestration.services.container import ContainerSpec
from dcp.orchestration.services.model import ServiceSpec
from dcp.orchestration.services.placement import PlacementRules, PlacementWishes
from dcp.simulation.load.loads import step
from dcp.simulation.load.model import LoadResult, LoadScenario, Site
from dcp.simulation.load.scaled import Scaling, simulate_scaled

QUIET_S = 120.0
"""Played before the surge begins."""
LONGEST_S = 2 * 3600.0
MOST_TIMES = 100.0
START_S = (2.0, 10.0)
BOOT_SPREAD = 0.5
UNBOUNDED_HOSTS = 10_000


@dataclass(frozen=True, slots=True)
class RehearsalAsked:
    """So many times what arrives at `service` now, for so long."""

    service: str
    times: float
    lasts_s: float


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What became of the surge. `recovery_s` None: it never recovered. `before`: instances that serve now."""

    service: str
    requests_per_s: float
    times: float
    lasts_s: float
    recovery_s: float | None
    violation_s: float
    waiting_most: float
    before: int
    peak_instances: int
    peak_cloud_hosts: int
    cloud_usd: float


def rehearsal_of(loaded: Loaded, offers: tuple[Offer, ...], asked: RehearsalAsked) -> LoadScenario:
    """Return the scenario. Raises InvalidInput with every problem, or Conflict where too little is known."""
    services = {one.spec.name: one for one in loaded.snapshot.services}
    if problems := _problems(asked, services):
        raise InvalidInput(problems, subject="rehearsal")
    rate = _arriving(services[asked.service].samples)
    if not rate:
        raise Conflict(f"nothing arrives at {asked.service} now that could be multiplied", hint="wait for a sample")
    specs = tuple(_played(one.spec, len(one.instances)) for one in loaded.snapshot.services)
    spec = replace(loaded.snapshot.spec, services=specs, cluster="")
    return LoadScenario(
        name=f"{loaded.application.name}, {asked.service}={asked.times:g}x",
        spec=spec,
        service_ms={name: _service_ms(one.samples) for name, one in services.items()},
        entry=asked.service,
        curve=step(rate, asked.times, QUIET_S, QUIET_S + asked.lasts_s),
        lasts_s=QUIET_S + asked.lasts_s,
        surge_at_s=QUIET_S,
        site=_site(loaded, offers),
    )


async def rehearse(scenario: LoadScenario, settings: EngineSettings, asked: RehearsalAsked) -> Rehearsal:
    """Play it in a process of its own, as it takes seconds of a processor that the controller needs."""
    scaling = Scaling(settings.policy, settings.timing, "rehearsal")
    pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_say_nothing)
    try:
        playing = asyncio.get_running_loop().run_in_executor(pool, simulate_scaled, scenario, 1, scaling)
        return _rehearsal(scenario, asked, await playing)
    finally:
        # Whoever asked may be gone: nobody waits for the end of what is played.
        pool.shutdown(wait=False, cancel_futures=True)


def _say_nothing() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def _rehearsal(scenario: LoadScenario, asked: RehearsalAsked, played: LoadResult) -> Rehearsal:
    recovery = played.recovery_s
    return Rehearsal(
        service=asked.service,
        requests_per_s=round(scenario.curve(0.0), 3),
        times=asked.times,
        lasts_s=asked.lasts_s,
        recovery_s=None if recovery is None or math.isinf(recovery) else recovery,
        violation_s=played.violation_s,
        waiting_most=round(played.waiting_most, 1),
        before=sum(one.replicas for one in scenario.spec.services),
        peak_instances=played.peak_instances,
        peak_cloud_hosts=played.peak_cloud_hosts,
        cloud_usd=round(played.host_usd, 4),
    )


def _problems(asked: RehearsalAsked, services: Mapping[str, object]) -> tuple[Problem, ...]:
    found = []
    if asked.service not in services:
        found.append(Problem("service", f"{asked.service} is not a service of the application", "see `dcp services`"))
    if not 1 < asked.times <= MOST_TIMES:
        found.append(Problem("times", f"{asked.times:g} times is no surge", f"above 1, up to {MOST_TIMES:g}"))
    if not 60 <= asked.lasts_s <= LONGEST_S:
        found.append(Problem("lasts_s", f"{asked.lasts_s:g} s cannot be played", "from 1 minute to 2 hours"))
    return tuple(found)


def _played(spec: ServiceSpec, there: int) -> ServiceSpec:
    """Return the service as the playing ground can hold it, with as many instances as there are now."""
    return replace(
        spec,
        command=("service",),
        image="",
        environment=(),
        working_dir="",
        published_port=None,
        container=ContainerSpec(),
        replicas=min(max(there, spec.min_instances, 1), spec.max_instances),
        signals=(),
        quiet_hours=None,
        forecast=None,
        degrade=None,
        constraints=(),
        rules=PlacementRules(),
        wishes=PlacementWishes(),
    )


def _arriving(samples: tuple[Sample | None, ...]) -> float:
    return max((one.arrived / one.window_s for one in samples if one is not None), default=0.0)


def _service_ms(samples: tuple[Sample | None, ...]) -> float:
    """Return about how long a request takes: the mean of the bands of the newest sample that has any."""
    for one in reversed(samples):
        if one is not None and one.by_latency[-1]:
            below, total, count = 0.0, 0.0, 0
            for bound, upto in zip((*LATENCY_BOUNDS_MS, 2 * LATENCY_BOUNDS_MS[-1]), one.by_latency, strict=True):
                total += (upto - count) * (below + bound) / 2
                below, count = float(bound), upto
            return max(1.0, total / one.by_latency[-1])
    return 10.0


def _site(loaded: Loaded, offers: tuple[Offer, ...]) -> Site:
    private = [offer for offer in offers if offer.kind is SourceKind.PRIVATE]
    clouds = [offer for offer in offers if offer.kind is SourceKind.CLOUD]
    shape = (private or clouds)[0].host_type.resources
    own = sum(1 for host in loaded.snapshot.hosts if host.kind is SourceKind.PRIVATE)
    free = sum(UNBOUNDED_HOSTS if offer.available is None else offer.available for offer in private)
    cloud = clouds[0].host_type if clouds else None
    boot_s = cloud.boot_s if cloud is not None and cloud.boot_s else 90.0
    return Site(
        shape=replace(shape, extra=()),
        private_hosts=min(UNBOUNDED_HOSTS, max(1, own + free)),
        cloud_usd_per_hour=cloud.price_usd_per_hour if cloud is not None else 0.0,
        boot_s=(boot_s * (1 - BOOT_SPREAD), boot_s * (1 + BOOT_SPREAD)),
        start_s=START_S,
        cloud_hosts=None if cloud is not None else 0,
    )
