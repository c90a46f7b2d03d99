"""Requests as a fluid: every service is a queue before its serving instances; what it answers calls its dependencies.

Counts what the real balancer counts, so that the engine's own sampling and decisions run on it unchanged.
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field

from dcp.orchestration.capacity.model import LATENCY_BOUNDS_MS
from dcp.orchestration.scaling.graph import call_order
from dcp.orchestration.services.model import ApplicationSpec
from dcp.orchestration.traffic.model import Traffic


@dataclass(slots=True)
class Queue:
    """One service. Fractions of requests are kept inside and dropped only where they are reported."""

    service_ms: float
    requests_per_s: float
    """What one instance answers."""
    waiting: float = 0.0
    arrived: float = 0.0
    answered: float = 0.0
    latency_ms: float = 0.0
    by_latency: list[float] = field(default_factory=lambda: [0.0] * (len(LATENCY_BOUNDS_MS) + 1))

    def take(self, arriving: float, instances: int, seconds: float, beyond_ms: float) -> float:
        """Let `arriving` requests in and answer what `instances` can in `seconds`; return how many were answered."""
        possible = instances * self.requests_per_s * seconds
        done = min(self.waiting + arriving, possible)
        self.arrived += arriving
        self.waiting += arriving - done
        rate = instances * self.requests_per_s
        self.latency_ms = self.service_ms + beyond_ms + (1000.0 * self.waiting / rate if rate else 0.0)
        self.answered += done
        for place in range(bisect_left(LATENCY_BOUNDS_MS, self.latency_ms), len(self.by_latency)):
            self.by_latency[place] += done
        return done

    def counted(self) -> Traffic:
        """Return the counters as the balancer would show them."""
        counts = tuple(int(count) for count in self.by_latency)
        return Traffic(int(self.arrived), int(self.answered), 0, int(self.waiting), counts)


class Fluid:
    """All services of one application."""

    def __init__(self, spec: ApplicationSpec, service_ms: Mapping[str, float]) -> None:
        self._spec = spec
        self._callers_first = tuple(reversed(call_order(spec)))
        self.queues = {
            service.name: Queue(service_ms[service.name], service.capacity.requests_per_s if service.capacity else 1e9)
            for service in spec.services
        }

    def advance(self, entry_rates: Mapping[str, float], serving: Mapping[str, int], seconds: float) -> None:
        """Move `seconds` on with so many requests a second at each entry and so many serving instances a service."""
        arriving = {name: entry_rates.get(name, 0.0) * seconds for name in self._callers_first}
        for name in self._callers_first:
            service = self._spec.service(name)
            beyond_ms = max((self.queues[call.service].latency_ms for call in service.calls), default=0.0)
            done = self.queues[name].take(arriving[name], serving.get(name, 0), seconds, beyond_ms)
            for call in service.calls:
                arriving[call.service] += done * call.per_request

    def waiting(self) -> float:
        """Return how many requests wait in all."""
        return sum(queue.waiting for queue in self.queues.values())
