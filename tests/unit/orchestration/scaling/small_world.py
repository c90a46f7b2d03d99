"""A small world for decisions: queues, starts that take time, gates, and metrics that come window by window.

Each service answers at most `requests_per_s x headroom` an instance and queues the rest; the calls of a service arrive
at its dependencies when it answers. Latency grows with utilisation and with the queue. One tick is one window.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from scaling_builders import NOW, TIMING

from dcp.orchestration.capacity.model import LATENCY_BOUNDS_MS, Sample
from dcp.orchestration.scaling.graph import call_order
from dcp.orchestration.scaling.model import (
    ApplicationView,
    Policy,
    ScalingState,
    ServiceView,
    TargetDecision,
)
from dcp.orchestration.scaling.targets import decide_targets
from dcp.orchestration.services.model import ApplicationSpec, GateCondition, ServiceSpec
from dcp.orchestration.traffic.gate import gate_for, gate_open

HEADROOM = 1.25
"""An instance answers this much more than its measured capacity before it saturates."""


@dataclass
class Pending:
    """Instances that start, then wait at their gate."""

    count: int
    ready_at: int
    gate: tuple[GateCondition, ...]


@dataclass
class Running:
    """One service in the world."""

    spec: ServiceSpec
    state: ScalingState
    serving: int
    queue: float = 0.0
    leaving: int = 0
    pending: list[Pending] = field(default_factory=list)
    samples: list[Sample | None] = field(default_factory=list)
    settled_since: float | None = NOW - 600

    @property
    def coming(self) -> int:
        return sum(one.count for one in self.pending)


class SmallWorld:
    """Runs `decide_targets` against queues, one window after the other."""

    def __init__(
        self, *specs: ServiceSpec, policy: Policy = Policy.GATED, seed: int | None = None, starts_in: int = 2
    ) -> None:
        self.services = {s.name: Running(s, ScalingState(s.min_instances), s.min_instances) for s in specs}
        self.spec = ApplicationSpec("shop", specs)
        self.policy = policy
        self.tick = 0
        self.starts_in = starts_in
        self.random = None if seed is None else np.random.default_rng(seed)
        self.history: list[dict[str, TargetDecision]] = []
        self.targets_seen: list[dict[str, int]] = []
        self.blind: Callable[[int, str], bool] = lambda tick, name: False

    @property
    def now(self) -> float:
        return NOW + self.tick * TIMING.sample_s

    def run(self, ticks: int, entry: Mapping[str, float] | Callable[[int], Mapping[str, float]]) -> None:
        for _ in range(ticks):
            self.tick += 1
            self._serve(entry(self.tick) if callable(entry) else entry)
            self._advance()
            self._decide()

    def changes(self, name: str) -> list[int]:
        """The targets that the service had, without repetitions."""
        seen = [targets[name] for targets in self.targets_seen]
        return [target for i, target in enumerate(seen) if i == 0 or seen[i - 1] != target]

    def _serve(self, entry: Mapping[str, float]) -> None:
        arriving = {name: self._draw(entry.get(name, 0.0)) for name in self.services}
        for name in reversed(call_order(self.spec)):
            service = self.services[name]
            assert service.spec.capacity is not None
            limit = service.serving * service.spec.capacity.requests_per_s * HEADROOM
            answered = min(service.queue + arriving[name], limit)
            service.queue += arriving[name] - answered
            used = answered / limit if limit else 1.0
            latency_ms = 20 / max(0.02, 1 - used) + (1000 * service.queue / limit if limit else 0)
            for call in service.spec.calls:
                arriving[call.service] += self._draw(answered * call.per_request)
            service.samples.append(self._sample(name, arriving[name], answered, service, latency_ms))

    def _sample(self, name: str, arrived: float, answered: float, service: Running, latency_ms: float) -> Sample | None:
        if self.blind(self.tick, name):
            return None
        done = round(answered)
        counts = tuple(done if latency_ms <= bound else 0 for bound in (*LATENCY_BOUNDS_MS, float("inf")))
        waiting = round(service.queue + answered * min(latency_ms, 1000) / 1000)
        return Sample(self.now, TIMING.sample_s, round(arrived), done, 0, waiting, counts)

    def _draw(self, rate: float) -> float:
        return rate if self.random is None else float(self.random.poisson(rate))

    def _advance(self) -> None:
        for service in self.services.values():
            service.leaving = 0
        serving = {name: service.serving for name, service in self.services.items()}
        targets = {name: service.state.target for name, service in self.services.items()}
        for service in self.services.values():
            for one in list(service.pending):
                if one.ready_at <= self.tick and not gate_open(one.gate, serving, targets):
                    service.serving += one.count
                    service.pending.remove(one)
            settled = not service.pending and service.serving == service.state.target
            if not settled:
                service.settled_since = None
            elif service.settled_since is None:
                service.settled_since = self.now

    def view(self) -> ApplicationView:
        return ApplicationView(
            "shop",
            self.now,
            self.policy,
            TIMING,
            tuple(
                ServiceView(
                    spec=service.spec,
                    state=service.state,
                    serving=service.serving,
                    coming=service.coming,
                    leaving=service.leaving,
                    settled_since=service.settled_since,
                    samples=tuple(service.samples[-TIMING.samples :]),
                )
                for service in self.services.values()
            ),
        )

    def _decide(self) -> None:
        decisions = {decision.service: decision for decision in decide_targets(self.view())}
        serving = {name: service.serving for name, service in self.services.items()}
        targets = {name: decision.target for name, decision in decisions.items()}
        for name, service in self.services.items():
            service.state = decisions[name].state
            more = targets[name] - service.serving - service.coming
            if more > 0:
                gate = gate_for(service.spec, targets, serving, self.policy, False)
                service.pending.append(Pending(more, self.tick + self.starts_in, gate))
            elif more < 0:
                self._remove(service, -more)
        self.history.append(decisions)
        self.targets_seen.append(targets)

    def _remove(self, service: Running, count: int) -> None:
        while count and service.pending:
            last = service.pending.pop()
            cut = min(count, last.count)
            count -= cut
            if last.count > cut:
                service.pending.append(replace(last, count=last.count - cut))
        service.serving -= count
        service.leaving = count
