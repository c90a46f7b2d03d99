"""The verbs of the `process` runtime.

Nothing is remembered here that is not on disk or in /proc, so a runtime made anew over the same directory, or a second
one beside it, sees and does the same. Ends are noticed when somebody looks (`observe`, `list_all`, `check`): then
what an ended leader left behind is killed, its exit code is kept, and its port and control groups are given back.
"""

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

from dcp.drivers.runtimes.process.cgroups import Cgroups, find_hierarchies
from dcp.drivers.runtimes.process.directory import Ended, Spec, StateDirectory, read_owner
from dcp.drivers.runtimes.process.ending import Ending
from dcp.drivers.runtimes.process.health import HealthProbe
from dcp.drivers.runtimes.process.launch import Launch, build_environment, check_order, spawn
from dcp.drivers.runtimes.process.logs import LogFiles
from dcp.drivers.runtimes.process.port_range import PortRange
from dcp.drivers.runtimes.process.processes import boot_id, find_leader, find_owned, read_stat, reap
from dcp.kernel.clock import Clock
from dcp.kernel.errors import DriverError, Rejected
from dcp.orchestration.services.model import Observation, StartOrder
from dcp.orchestration.services.ports import RuntimeAbilities

START_BOUND_S = 2.4
"""Waiting for a lock and then for the launch stays under the 5 s that the port promises."""
_BUSY_PAUSE_S = 0.01


@dataclass(frozen=True, slots=True)
class _Seen:
    """One look at one instance, without a lock."""

    spec: Spec
    alive: bool
    ended: Ended | None


class ProcessRuntime:
    """Runs instances as process groups of this machine; keeps everything under `directory`."""

    def __init__(
        self,
        directory: Path,
        clock: Clock,
        *,
        port_range: tuple[int, int] = (20000, 29999),
        cgroup_parent: str = "dcp",
    ) -> None:
        self._clock = clock
        self._boot = boot_id()
        self._directory = StateDirectory(directory.resolve())
        first, last = port_range
        offset = int(self._directory.owner, 16)
        self._ports = PortRange(self._directory.root / "ports", first, last, offset=offset)
        self._logs = LogFiles(self._directory.root / "logs")
        hierarchies = find_hierarchies(Path("/proc/self/mountinfo").read_text())
        self._cgroups = Cgroups(cgroup_parent, self._directory.owner, hierarchies)
        self._ports.take_back(self._has_port)
        self._cgroups.remove_others(lambda instance_id: self._directory.path(instance_id).exists())
        self._ending = Ending(self._directory, self._cgroups, self._ports, clock=clock, boot=self._boot)
        self._probe = HealthProbe()
        self._reaped: set[str] = set()

    def abilities(self) -> RuntimeAbilities:
        return self._cgroups.abilities

    async def start(self, order: StartOrder) -> Observation:
        give_up_at = self._clock.now() + START_BOUND_S
        while not await asyncio.to_thread(self._start_if_new, order):
            # Somebody else starts or ends this very instance at this moment.
            if self._clock.now() > give_up_at:
                raise DriverError(f"{order.instance_id}: still locked after {START_BOUND_S:g} s")
            await self._clock.sleep(_BUSY_PAUSE_S)
        observation = await self.observe(order.instance_id)
        if observation is None:
            raise DriverError(f"{order.instance_id}: was forgotten while it was started")
        return observation

    async def stop(self, instance_id: str, grace_s: float) -> None:
        await self._ending.stop(instance_id, grace_s)

    async def observe(self, instance_id: str) -> Observation | None:
        seen = self._look(instance_id)
        if seen is None:
            return None
        if self._logs.is_too_long(instance_id):
            await asyncio.to_thread(self._logs.trim, instance_id)
        if not seen.alive and seen.ended is None:
            await self._ending.collect([instance_id])
            seen = self._look(instance_id)
        return None if seen is None else _observation(seen)

    async def list_all(self) -> tuple[Observation, ...]:
        seen = await asyncio.to_thread(self._look_at_all)
        dead = [s.spec.order.instance_id for s in seen if not s.alive and s.ended is None]
        if dead:
            await self._ending.collect(dead)
            again = {instance_id: self._look(instance_id) for instance_id in dead}
            seen = [now for s in seen if (now := again.get(s.spec.order.instance_id, s)) is not None]
        return tuple(_observation(s) for s in seen)

    async def check(self, instance_id: str) -> str:
        observation = await self.observe(instance_id)
        spec = self._directory.spec(instance_id)
        if observation is None or spec is None:
            return "never started here"
        if not observation.running:
            code = "" if observation.exit_code is None else f" with exit code {observation.exit_code}"
            return f"has ended{code}"
        health = spec.order.health
        if health is None:
            return ""
        if health.command:
            environment = build_environment(spec.order, spec.port, self._directory.owner, os.environ)
            return await self._probe.ask_command(health, environment, spec.order.working_dir)
        return await self._probe.ask_http(health, spec.port)

    async def logs(self, instance_id: str, tail_lines: int) -> tuple[str, ...]:
        self._directory.path(instance_id)
        return await asyncio.to_thread(self._logs.tail, instance_id, tail_lines)

    async def forget(self, instance_id: str) -> None:
        """Drop the record of an ended instance; what is absent is success. DriverError: it still runs."""
        observation = await self.observe(instance_id)
        if observation is not None and observation.running:
            raise DriverError(f"{instance_id}: still runs", hint="stop it first")
        lock = self._directory.try_lock(instance_id)
        if lock is None:
            if self._directory.path(instance_id).exists():
                raise DriverError(f"{instance_id}: is being started or ended at this moment")
            return
        with lock:
            await asyncio.to_thread(self._ending.discard, instance_id)
            await asyncio.to_thread(self._logs.retire, instance_id)
        self._reaped.discard(instance_id)

    async def aclose(self) -> None:
        """Close the health checks' session; instances run on."""
        await self._probe.aclose()
        self._cgroups.close()

    def _start_if_new(self, order: StartOrder) -> bool:
        """Return whether the instance was ever started, by us just now or before; False: locked, ask again."""
        if self._directory.leader(order.instance_id) is not None:
            return True
        self._directory.path(order.instance_id)
        check_order(order, os.environ)
        lock = self._directory.try_lock(order.instance_id, create=True)
        if lock is None:
            return False
        with lock:
            if self._directory.leader(order.instance_id) is None:
                try:
                    self._start_locked(order, lock.descriptor)
                except OSError as error:
                    raise DriverError(f"{order.instance_id}: cannot start it: {error}") from error
        return True

    def _start_locked(self, order: StartOrder, lock_descriptor: int) -> None:
        instance_id = order.instance_id
        # Left by a launch that died before its command ran; nobody runs, as we hold the lock.
        self._directory.leader_path(instance_id).unlink(missing_ok=True)
        spec = self._reserve(order)
        launch = Launch(
            command=order.command,
            environment=build_environment(order, spec.port, self._directory.owner, os.environ),
            working_dir=order.working_dir,
            leader_path=self._directory.leader_path(instance_id),
            boot_id=self._boot,
            join=self._cgroups.create(instance_id, order.resources),
        )
        log_descriptor = self._logs.open(instance_id)
        try:
            pid = spawn(launch, lock_descriptor, log_descriptor)
        finally:
            os.close(log_descriptor)
        if self._directory.leader(instance_id) is None:
            self._fail_launch(instance_id, pid)

    def _reserve(self, order: StartOrder) -> Spec:
        """Give the instance a port and write its spec; a spec without a leader was left by a crash and is replaced."""
        old = self._directory.spec(order.instance_id)
        with self._ports.lock() as lock:
            if old is None:
                port = self._ports.reserve(lock, order.instance_id, self._has_port)
            else:
                port = self._ports.exchange(lock, old.port, order.instance_id, self._has_port)
            spec = Spec(order, port)
            self._directory.write_spec(spec)
        return spec

    def _has_port(self, port: int, instance_id: str) -> bool:
        spec = self._directory.spec(instance_id)
        return spec is not None and spec.port == port and self._directory.ended(instance_id) is None

    def _fail_launch(self, instance_id: str, pid: int) -> None:
        stat = read_stat(pid)
        code = reap(stat) if stat is not None and stat.ended else None
        words = " ".join(self._logs.tail(instance_id, 1))
        if code == 75:
            raise Rejected(f"{instance_id}: its working directory cannot be entered: {words}")
        raise DriverError(f"{instance_id}: did not come to be (exit code {code}): {words}")

    def _look_at_all(self) -> list[_Seen]:
        found = []
        for instance_id in self._directory.ids():
            seen = self._look(instance_id)
            if seen is not None:
                found.append(seen)
                if self._logs.is_too_long(instance_id):
                    self._logs.trim(instance_id)
        return found

    def _look(self, instance_id: str) -> _Seen | None:
        """Return what is seen; None if it never came to be."""
        spec = self._directory.spec(instance_id)
        if spec is None:
            return None
        ended = self._directory.ended(instance_id)
        leader = self._directory.leader(instance_id)
        if ended is not None:
            if leader is not None and instance_id not in self._reaped:
                # Another controller may have written this of a child of ours.
                stat = find_leader(leader, self._boot)
                if stat is not None and stat.ended:
                    reap(stat)
                self._reaped.add(instance_id)
            return _Seen(spec, alive=False, ended=ended)
        if leader is None:
            return self._look_at_launch(spec)
        stat = find_leader(leader, self._boot)
        return _Seen(spec, alive=stat is not None and not stat.ended, ended=None)

    def _look_at_launch(self, spec: Spec) -> _Seen | None:
        """Tell a launch under way (its lock is held) from one that a crash ended."""
        instance_id = spec.order.instance_id
        lock = self._directory.try_lock(instance_id)
        if lock is None:
            # Or the folder was dropped while we looked.
            exists = self._directory.path(instance_id).exists()
            return _Seen(spec, alive=True, ended=None) if exists else None
        with lock:
            if self._directory.leader(instance_id) is None:
                return None
        return _Seen(spec, alive=True, ended=None)


def orphans(directory: Path) -> tuple[int, ...]:
    """Return the pids of every running process that was started from this state directory; none if it is not one."""
    owner = read_owner(directory)
    return find_owned(owner) if owner else ()


def _observation(seen: _Seen) -> Observation:
    """An ended leader whose remains somebody still collects counts as running."""
    order = seen.spec.order
    return Observation(
        instance_id=order.instance_id,
        running=seen.ended is None,
        port=seen.spec.port,
        exit_code=None if seen.ended is None else seen.ended.exit_code,
        labels=(("host", order.host_id), ("service", str(order.service))),
    )
