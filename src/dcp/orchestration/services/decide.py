"""The next step of every instance of one service: start, hold at the gate, serve, drain, stop.

Pure: from what the ledger, the runtime, the health checks and the balancer say, to a flat tuple of steps. Whoever
applies them writes each one under the instance's version before it touches a driver, so that a crash in between is
mended by deciding again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from dcp.hosts.states import HostState
from dcp.kernel.events import Number
from dcp.orchestration.services.model import Instance, Observation, ServiceSpec
from dcp.orchestration.services.states import InstanceState
from dcp.orchestration.traffic.gate import gate_open

START_FAILURES = frozenset({"start-rejected", "start-failed"})
FAILURES = frozenset({"exited", "completed", "never-healthy", "unhealthy"}) | START_FAILURES
"""Reasons that make an ended instance a failed one, which the restart policy counts."""

HOST_GONE = frozenset({HostState.LOST, HostState.FAILED, HostState.RELEASING, HostState.RELEASED})

HEALTH_CAP = 0.2
"""Share of a service's serving instances that may be out for failing checks at once (at least one)."""


@dataclass(frozen=True, slots=True)
class Health:
    """What the checks of one instance said last."""

    healthy: bool
    failures: int = 0
    """Failed checks in a row that count."""
    words: str = ""


@dataclass(frozen=True, slots=True)
class InstanceView:
    """One instance with all that was observed of it."""

    instance: Instance
    spec: ServiceSpec
    host_state: HostState
    observation: Observation | None
    """None: its runtime never started it."""
    health: Health | None
    """None: not checked yet."""
    active_requests: int | None
    """Requests under way according to the proxy; None unless it acknowledged that the instance drains."""
    reachable: bool = True
    """False: its host's engine does not answer, so nothing is known of it now."""
    published: bool = False
    """Clients of discovery can see it, or could a moment ago; they are told in steps that it goes."""
    image_missing: str = ""
    """What its host still lacks, in words; empty: its image is there, or it needs none."""


@dataclass(frozen=True, slots=True)
class ServiceLife:
    """Everything `decide_service` looks at."""

    now: float
    drain_limit_s: float
    instances: tuple[InstanceView, ...]
    serving: Mapping[str, int]
    """Serving instances of every service of the application."""
    targets: Mapping[str, int]
    attainable: Mapping[str, int]
    """Instances of every service that there is room for."""
    steady: int = 0
    """Further instances of this service that serve, look well and are to stay (`rest.is_steady`)."""


@dataclass(frozen=True, slots=True)
class Step:
    """Move `instance` to `after`."""

    instance: Instance
    after: InstanceState
    reason: str
    words: str
    numbers: Mapping[str, Number] = field(default_factory=dict)


def decide_service(life: ServiceLife) -> tuple[Step, ...]:
    """Return at most one step for each instance."""
    withdrawable = _withdrawable(life)
    steps: list[Step] = []
    for view in life.instances:
        if view.host_state in HOST_GONE:
            step = _left_its_host(view, life)
        elif view.reachable:
            step = _ended_by_itself(view) or _next(view, life, withdrawable)
        else:
            step = None
        if step is not None:
            steps.append(step)
    return tuple(steps)


def _withdrawable(life: ServiceLife) -> frozenset[str]:
    """Serving instances that may leave because their checks fail: few at once, and none when most seem to fail."""
    serving = [view for view in life.instances if view.instance.state == InstanceState.SERVING]
    out = sum(1 for view in life.instances if view.instance.reason == "unhealthy")
    unhealthy = [view for view in serving if _failing(view)]
    total = len(serving) + life.steady
    if total >= 3 and len(unhealthy) * 2 > total:
        return frozenset()
    cap = max(1, int(HEALTH_CAP * (total + out))) - out
    return frozenset(view.instance.id for view in unhealthy[: max(0, cap)])


def _failing(view: InstanceView) -> bool:
    retries = view.spec.health.retries if view.spec.health else 1
    return view.health is not None and not view.health.healthy and view.health.failures >= retries


def _left_its_host(view: InstanceView, life: ServiceLife) -> Step | None:
    """What still answers on a lost host serves on until others do, because its requests have nowhere else to go."""
    instance = view.instance
    lost = Step(instance, InstanceState.LOST, "host-gone", f"its host {instance.host_id} is {view.host_state}")
    if view.host_state != HostState.LOST or view.health is None or not view.health.healthy:
        return lost
    if instance.state == InstanceState.SERVING:
        others = _serving_elsewhere(life)
        wanted = min(life.targets.get(instance.service, 0), life.attainable.get(instance.service, 0))
        if others < wanted:
            return None
        words = f"its host {instance.host_id} is lost, and {others} others serve: leaves the balancer"
        return Step(instance, InstanceState.DRAINING, "host-gone", words)
    if instance.state == InstanceState.DRAINING and not view.published:
        waited_s = life.now - instance.changed_at
        over = view.active_requests is not None and waited_s > life.drain_limit_s
        return lost if view.active_requests == 0 or over else None
    return None if instance.state == InstanceState.DRAINING else lost


def _serving_elsewhere(life: ServiceLife) -> int:
    """Count the instances that take traffic on hosts that are not gone."""
    return life.steady + sum(
        1
        for view in life.instances
        if view.instance.state == InstanceState.SERVING
        and view.instance.serving_at is not None
        and view.host_state not in HOST_GONE
    )


def _ended_by_itself(view: InstanceView) -> Step | None:
    """A process that is gone has failed, unless it was asked to stop or never ran yet."""
    instance, seen = view.instance, view.observation
    if instance.state in (InstanceState.PLACED, InstanceState.STOPPING):
        return None
    if seen is None and instance.state == InstanceState.STARTING:
        return None
    if seen is not None and seen.running:
        return None
    code = "unknown" if seen is None or seen.exit_code is None else str(seen.exit_code)
    reason = "completed" if code == "0" else "exited"
    return Step(instance, InstanceState.FAILED, reason, f"ended by itself, exit code {code}", {"exit_code": code})


def _next(view: InstanceView, life: ServiceLife, withdrawable: frozenset[str]) -> Step | None:
    match view.instance.state:
        case InstanceState.PLACED:
            return _from_placed(view, life)
        case InstanceState.STARTING:
            return _from_starting(view)
        case InstanceState.HELD:
            return _from_held(view, life)
        case InstanceState.SERVING:
            return _from_serving(view, withdrawable)
        case InstanceState.DRAINING:
            return _from_draining(view, life)
        case InstanceState.STOPPING:
            return _from_stopping(view)
        case _:
            return None


def _from_placed(view: InstanceView, life: ServiceLife) -> Step | None:
    instance = view.instance
    if instance.leave_reason:
        return Step(instance, InstanceState.STOPPED, instance.leave_reason, "left before it was started")
    if view.host_state == HostState.CORDONED:
        return Step(instance, InstanceState.STOPPED, "host-cordoned", f"host {instance.host_id} takes nothing new")
    if view.host_state != HostState.READY or life.now < instance.not_before or view.image_missing:
        return None
    return Step(instance, InstanceState.STARTING, "start", f"host {instance.host_id} is ready")


def _from_starting(view: InstanceView) -> Step | None:
    instance = view.instance
    if instance.leave_reason:
        return Step(instance, InstanceState.STOPPING, instance.leave_reason, "left before it was healthy")
    if view.observation is None or view.health is None:
        return None
    if view.health.healthy:
        return Step(instance, InstanceState.HELD, "healthy", "its health check passes")
    if _failing(view):
        return Step(instance, InstanceState.STOPPING, "never-healthy", _check_words(view))
    return None


def _from_held(view: InstanceView, life: ServiceLife) -> Step | None:
    instance = view.instance
    if instance.leave_reason:
        return Step(instance, InstanceState.STOPPING, instance.leave_reason, "left before it took traffic")
    if _failing(view):
        return Step(instance, InstanceState.STOPPING, "unhealthy", _check_words(view))
    if gate_open(instance.gate, life.serving, life.targets, life.attainable):
        return None
    if not instance.gate:
        return Step(instance, InstanceState.SERVING, "no-gate", "healthy, nothing to wait for: takes traffic")
    passed = ", ".join(
        f"{condition.service} serves {life.serving.get(condition.service, 0)}" for condition in instance.gate
    )
    numbers: dict[str, Number] = {
        f"serving_{condition.service}": life.serving.get(condition.service, 0) for condition in instance.gate
    }
    return Step(instance, InstanceState.SERVING, "gate-open", f"gate open: {passed}", numbers)


def _from_serving(view: InstanceView, withdrawable: frozenset[str]) -> Step | None:
    instance = view.instance
    if instance.leave_reason:
        words = f"leaves the balancer ({instance.leave_reason})"
        return Step(instance, InstanceState.DRAINING, instance.leave_reason, words)
    if instance.id in withdrawable:
        return Step(instance, InstanceState.DRAINING, "unhealthy", _check_words(view))
    return None


def _from_draining(view: InstanceView, life: ServiceLife) -> Step | None:
    instance = view.instance
    if view.published:
        return None
    if view.active_requests == 0:
        return Step(instance, InstanceState.STOPPING, instance.reason, "no request in flight any more")
    waited_s = life.now - instance.changed_at
    if view.active_requests is not None and waited_s > life.drain_limit_s:
        numbers: dict[str, Number] = {"active_requests": view.active_requests, "waited_s": round(waited_s, 1)}
        words = f"{view.active_requests} requests still in flight after {waited_s:.0f} s: not waited for any longer"
        return Step(instance, InstanceState.STOPPING, instance.reason, words, numbers)
    return None


def _from_stopping(view: InstanceView) -> Step | None:
    if view.observation is not None and view.observation.running:
        return None
    ended = InstanceState.FAILED if view.instance.reason in FAILURES else InstanceState.STOPPED
    return Step(view.instance, ended, view.instance.reason, "its process is gone")


def _check_words(view: InstanceView) -> str:
    failures = view.health.failures if view.health else 0
    words = view.health.words if view.health else ""
    return f"{failures} failed health checks in a row: {words}"
