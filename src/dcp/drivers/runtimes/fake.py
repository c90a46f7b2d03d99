"""Runtime `fake`: instances in memory, on whatever clock it is given, misbehaving exactly as it is told.

For simulation and tests. It keeps the contract of a real runtime and outlives controllers as long as the object is
kept. What an instance does is decided when it starts and computed from the time when somebody looks, so nothing runs
in the background, and a controller that dies inside a call leaves what a real process would.
"""

import random
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from dcp.kernel.clock import Clock
from dcp.kernel.errors import DriverError, Rejected
from dcp.orchestration.services.model import Observation, ServiceKey, StartOrder
from dcp.orchestration.services.ports import RuntimeAbilities

VERBS = frozenset({"start", "stop", "observe", "list_all", "check", "logs", "forget"})
_FIRST_PORT, _LAST_PORT = 20000, 59999
_KEPT_LOGS = 100


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What the instances of a service do. The shares are drawn once for each real start."""

    healthy_after_s: tuple[float, float] = (0.0, 0.0)
    """Seconds from start until the health check passes, drawn evenly between the two."""
    never_healthy: bool = False
    start_error_share: float = 0.0
    """Starts that raise DriverError with nothing started."""
    lost_answer_share: float = 0.0
    """Starts that raise DriverError although the instance runs."""
    crash_share: float = 1.0
    """Starts that `crash_after_s` applies to."""
    crash_after_s: float | None = None
    """Ends by itself this long after its start; 0 at once."""
    crash_exit_code: int = 1
    stop_s: float = 0.0
    """Seconds from the stop signal to the end."""
    ignores_stop_signal: bool = False
    rejected: bool = False
    """The command can never run."""
    lines: tuple[str, ...] = ()
    """What it writes when it starts."""


@dataclass(slots=True)
class _Fault:
    error: DriverError
    after_effect: bool


@dataclass(slots=True)
class _Process:
    """One real start. The ends are times with exit codes; the earliest is what happened."""

    order: StartOrder
    port: int
    behaviour: Behaviour
    started_at: float
    healthy_at: float
    ends: list[tuple[float, int]] = field(default_factory=list)
    log: list[str] = field(default_factory=list)

    def end(self, now: float) -> tuple[float, int] | None:
        """Return when and how it ended, if it has."""
        past = [end for end in self.ends if end[0] <= now]
        return min(past) if past else None


class FakeRuntime:
    """`services` scripts services by name or by `application/name`; everything else follows `default`.

    `latency_s` is drawn evenly for every call and passes before its effect. `starts` counts real starts by instance
    id: above 1 the same instance was started twice; asking again for a running id does not count.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        rng: random.Random | None = None,
        default: Behaviour | None = None,
        services: Mapping[str, Behaviour] | None = None,
        latency_s: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        self._clock = clock
        self._rng = rng or random.Random(0)
        self._default = default or Behaviour()
        self._services = dict(services or {})
        self._latency_s = latency_s
        self._processes: dict[str, _Process] = {}
        self._faults: dict[str, deque[_Fault]] = {verb: deque() for verb in VERBS}
        self._lost_hosts: set[str] = set()
        self._port = _FIRST_PORT
        self._old_logs: dict[str, list[str]] = {}
        self.starts: Counter[str] = Counter()

    # What a test or a simulation does to it.

    def script(self, service: str, behaviour: Behaviour) -> None:
        """Let instances of `service` that start from now on behave so."""
        self._services[service] = behaviour

    def fail(self, verb: str, error: DriverError, *, times: int = 1, after_effect: bool = False) -> None:
        """Let the next `times` calls of `verb` raise `error`, before or after they had their effect."""
        self._faults[verb].extend(_Fault(error, after_effect) for _ in range(times))

    def lose_host(self, host_id: str) -> None:
        """Take a host away: its instances vanish, and starting there fails until `return_host`."""
        self._lost_hosts.add(host_id)
        for instance_id in [i for i, process in self._processes.items() if process.order.host_id == host_id]:
            del self._processes[instance_id]

    def return_host(self, host_id: str) -> None:
        """Let instances start there again; those that vanished stay gone."""
        self._lost_hosts.discard(host_id)

    def crash(self, instance_id: str, exit_code: int = 1) -> None:
        """End a running instance by itself, now."""
        self._processes[instance_id].ends.append((self._clock.now(), exit_code))

    def order_of(self, instance_id: str) -> StartOrder:
        """Return what the instance was really started with; KeyError if it is not there."""
        return self._processes[instance_id].order

    def start_times_s(self) -> dict[str, float]:
        """Return, by host, the seconds that the newest instance there takes from its start to its health."""
        return {one.order.host_id: one.healthy_at - one.started_at for one in self._processes.values()}

    def running(self) -> frozenset[str]:
        """Return the ids of everything that runs now."""
        now = self._clock.now()
        return frozenset(i for i, process in self._processes.items() if process.end(now) is None)

    # The contract.

    def abilities(self) -> RuntimeAbilities:
        return RuntimeAbilities(cpu_limit=False, memory_limit=False, why_not="fake instances use nothing")

    async def start(self, order: StartOrder) -> Observation:
        fault = await self._enter("start")
        if order.instance_id not in self._processes:
            self._start(order)
        self._leave(fault)
        return self._observation(order.instance_id)

    async def stop(self, instance_id: str, grace_s: float) -> None:
        fault = await self._enter("stop")
        process = self._processes.get(instance_id)
        now = self._clock.now()
        if process is not None and process.end(now) is None:
            end_at = now + process.behaviour.stop_s
            process.log.append(f"received {process.order.stop_signal}")
            if not process.behaviour.ignores_stop_signal:
                process.ends.append((end_at, 0))
            if process.behaviour.ignores_stop_signal or end_at > now + grace_s:
                await self._clock.sleep(grace_s)
                process.ends.append((self._clock.now(), 137))
            else:
                await self._clock.sleep(process.behaviour.stop_s)
        self._leave(fault)

    async def observe(self, instance_id: str) -> Observation | None:
        fault = await self._enter("observe")
        self._leave(fault)
        return self._observation(instance_id) if instance_id in self._processes else None

    async def list_all(self) -> tuple[Observation, ...]:
        fault = await self._enter("list_all")
        self._leave(fault)
        return tuple(self._observation(instance_id) for instance_id in self._processes)

    async def check(self, instance_id: str) -> str:
        fault = await self._enter("check")
        self._leave(fault)
        process = self._processes.get(instance_id)
        now = self._clock.now()
        if process is None:
            return "never started here"
        if process.end(now) is not None:
            return "has ended"
        if process.order.health is None:
            return ""
        if process.behaviour.never_healthy:
            return "never answers"
        return "" if now >= process.healthy_at else f"answers in {process.healthy_at - now:.3f} s"

    async def logs(self, instance_id: str, tail_lines: int) -> tuple[str, ...]:
        fault = await self._enter("logs")
        self._leave(fault)
        process = self._processes.get(instance_id)
        log = process.log if process is not None else self._old_logs.get(instance_id, [])
        return tuple(log[-tail_lines:]) if tail_lines > 0 else ()

    async def forget(self, instance_id: str) -> None:
        fault = await self._enter("forget")
        process = self._processes.get(instance_id)
        if process is not None:
            if process.end(self._clock.now()) is None:
                raise DriverError(f"{instance_id}: still runs", hint="stop it first")
            self._old_logs[instance_id] = process.log
            if len(self._old_logs) > _KEPT_LOGS:
                del self._old_logs[next(iter(self._old_logs))]
            del self._processes[instance_id]
        self._leave(fault)

    async def aclose(self) -> None:
        """Nothing is held open."""

    def _start(self, order: StartOrder) -> None:
        behaviour = self._behaviour(order.service)
        if behaviour.rejected or not order.command:
            raise Rejected(f"{order.instance_id}: command {order.command[:1]} cannot be run")
        if order.host_id in self._lost_hosts:
            raise DriverError(f"{order.instance_id}: host {order.host_id} does not answer")
        if self._rng.random() < behaviour.start_error_share:
            raise DriverError(f"{order.instance_id}: start failed")
        now = self._clock.now()
        healthy_at = now + self._rng.uniform(*behaviour.healthy_after_s)
        process = _Process(order, self._next_port(), behaviour, now, healthy_at)
        if behaviour.crash_after_s is not None and self._rng.random() < behaviour.crash_share:
            process.ends.append((now + behaviour.crash_after_s, behaviour.crash_exit_code))
        process.log += (f"started on port {process.port}", *behaviour.lines)
        self._processes[order.instance_id] = process
        self.starts[order.instance_id] += 1
        if self._rng.random() < behaviour.lost_answer_share:
            raise DriverError(f"{order.instance_id}: no answer from {order.host_id}")

    def _behaviour(self, service: ServiceKey) -> Behaviour:
        return self._services.get(str(service)) or self._services.get(service.name) or self._default

    def _next_port(self) -> int:
        """Ports are given in turn, so that one that was just freed is not used again at once."""
        taken = {process.port for process in self._processes.values() if not process.ends}
        while True:
            port = self._port
            self._port = port + 1 if port < _LAST_PORT else _FIRST_PORT
            if port not in taken:
                return port

    def _observation(self, instance_id: str) -> Observation:
        process = self._processes[instance_id]
        end = process.end(self._clock.now())
        return Observation(
            instance_id=instance_id,
            running=end is None,
            port=process.port,
            exit_code=None if end is None else end[1],
            labels=(("host", process.order.host_id), ("service", str(process.order.service))),
        )

    async def _enter(self, verb: str) -> _Fault | None:
        """Let the latency pass, then raise a fault meant for before the effect or return one for after it."""
        await self._clock.sleep(self._rng.uniform(*self._latency_s))
        fault = self._faults[verb].popleft() if self._faults[verb] else None
        if fault is not None and not fault.after_effect:
            raise fault.error
        return fault

    def _leave(self, fault: _Fault | None) -> None:
        if fault is not None:
            raise fault.error
