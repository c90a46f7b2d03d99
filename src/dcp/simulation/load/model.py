"""What is compared: an application, the load on it, the hosts it can have, and what a run of it gave."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dcp.hosts.model import Resources
from dcp.orchestration.scaling.graph import propagate
from dcp.orchestration.services.model import ApplicationSpec

Curve = Callable[[float], float]
"""Requests/s that enter at a second of the run."""


@dataclass(frozen=True, slots=True)
class Site:
    """The hosts that there are, how long things take, and what a host costs. The same for every policy."""

    shape: Resources = Resources(cpu_millis=4000, memory_bytes=8 << 30)
    private_hosts: int = 4
    cloud_usd_per_hour: float = 0.2
    boot_s: tuple[float, float] = (60.0, 120.0)
    """A cloud host runs after a time drawn evenly from this range."""
    start_s: tuple[float, float] = (2.0, 6.0)
    """An instance is healthy so long after its start; its image is there."""
    cloud_hosts: int | None = None
    """Most that the cloud gives; None: no bound."""


@dataclass(frozen=True, slots=True)
class LoadScenario:
    """One application with one load."""

    name: str
    spec: ApplicationSpec
    service_ms: Mapping[str, float]
    """How long each service itself works on a request."""
    entry: str
    curve: Curve
    lasts_s: float
    surge_at_s: float | None = None
    """When a step begins, for recovery; None: the load has no single one."""
    retries: float = 0.0
    """Requests that are slower than the objective are sent again so often, on average."""
    site: Site = Site()

    @property
    def objective_ms(self) -> float:
        """A request that enters must be answered within this."""
        return float(self.spec.service(self.entry).slow_threshold_ms)

    def oracle(self, at_s: float) -> int:
        """Return the instances that somebody needs who knows the load beforehand and fills each to its limit."""
        rates = propagate({self.entry: self.curve(at_s)}, self.spec)
        return sum(
            max(1, math.ceil(rates[service.name] / service.capacity.requests_per_s))
            for service in self.spec.services
            if service.capacity is not None
        )


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What one run gave. Seconds are virtual."""

    scenario: str
    policy: str
    seed: int
    recovery_s: float | None
    """From the step until the objective holds for a minute without a break; infinite: never; None: there is no step."""
    violation_s: float
    """Seconds in which requests that enter were slower than the objective."""
    waiting_most: float
    peak_instances: int
    instance_s: float
    """Instances by time, from when they hold resources."""
    oracle_instance_s: float
    host_usd: float
    """What cloud hosts cost."""
    peak_cloud_hosts: int
