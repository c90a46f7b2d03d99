"""How an instance goes away, all of it: asked first, killed after the grace, and collected when it ended by itself.

An instance is gone when neither its leader, nor its group, nor its control group, nor any process with its variables in
its environment runs any more. Whoever takes it there holds the instance's lock, so that nobody who merely looks kills
processes that still finish their work inside somebody's grace.
"""

import asyncio
import signal
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dcp.drivers.runtimes.process.cgroups import Cgroups
from dcp.drivers.runtimes.process.directory import Ended, Lock, StateDirectory
from dcp.drivers.runtimes.process.launch import stop_signal
from dcp.drivers.runtimes.process.port_range import PortRange
from dcp.drivers.runtimes.process.processes import (
    Kin,
    Leader,
    Stat,
    find_kin,
    find_leader,
    read_stat,
    reap,
    send_group_signal,
    send_signal,
)
from dcp.kernel.clock import Clock
from dcp.kernel.errors import DriverError

KILL_BOUND_S = 10.0
"""A process in an uninterruptible wait outlives SIGKILL; after this long the caller of `stop` is told."""
COLLECT_BOUND_S = 1.0
"""Whoever merely looks does not wait long for such a process: it is reported as running."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.005, 0.05


@dataclass(slots=True)
class _Target:
    """An instance on its way out. `pinned`: its leader's number has not been given to anybody else.

    `leader` None: nobody wrote down who it is; its processes are found by control group and environment.
    """

    instance_id: str
    leader: Leader | None
    pinned: bool = False

    def look(self, boot: str) -> Stat | None:
        """Return the leader's entry if it is still there, and keep `pinned` true to the facts.

        While members of the group live, the kernel gives the number to nobody; once we have seen the leader, an
        absent number still is the group's, and a present one with another start time is not.
        """
        if self.leader is None:
            return None
        stat = find_leader(self.leader, boot)
        self.pinned = stat is not None or (self.pinned and read_stat(self.leader.pid) is None)
        return stat

    def has_in_group(self, process: Stat) -> bool:
        return self.leader is not None and process.group == self.leader.pid

    @property
    def kin(self) -> Kin:
        return Kin(self.instance_id, self.leader if self.pinned else None)


class Ending:
    """Ends instances and writes down that they ended."""

    def __init__(
        self, directory: StateDirectory, cgroups: Cgroups, ports: PortRange, *, clock: Clock, boot: str
    ) -> None:
        self._directory = directory
        self._cgroups = cgroups
        self._ports = ports
        self._clock = clock
        self._boot = boot
        self._search = _Search(directory.owner)

    async def stop(self, instance_id: str, grace_s: float) -> None:
        """Ask the group, wait, kill; return when nothing of it runs. DriverError: it survives SIGKILL."""
        deadline = self._clock.now() + grace_s
        lock = await self._lock(instance_id, deadline)
        if lock is None and not self._is_over(instance_id):
            # Somebody else is ending it with a longer grace than ours: cut that short.
            await self._kill([_Target(instance_id, self._directory.leader(instance_id))])
            lock = await self._lock(instance_id, self._clock.now() + KILL_BOUND_S)
        if lock is None:
            if self._is_over(instance_id):
                return
            raise DriverError(f"{instance_id}: another controller keeps it locked")
        with lock:
            if not self._is_over(instance_id):
                await self._stop_locked(instance_id, deadline)

    async def collect(self, instance_ids: Iterable[str]) -> None:
        """Kill what ended leaders left behind and write down their ends. Leaves alone what somebody else is ending."""
        locks: list[Lock] = []
        try:
            targets = []
            for instance_id in instance_ids:
                lock = self._directory.try_lock(instance_id)
                if lock is None:
                    continue
                locks.append(lock)
                leader = self._directory.leader(instance_id)
                if leader is not None and not self._is_over(instance_id):
                    targets.append(_Target(instance_id, leader))
            survivors = await self._kill(targets, COLLECT_BOUND_S)
            for target in targets:
                if target.instance_id not in survivors:
                    self._finish(target)
        finally:
            for lock in locks:
                lock.release()

    def discard(self, instance_id: str) -> None:
        """Drop an instance that never came to be, or has ended; the caller holds its lock."""
        spec = self._directory.spec(instance_id)
        if spec is not None:
            self._ports.release(spec.port, instance_id)
        self._cgroups.remove(instance_id)
        self._directory.remove(instance_id)

    async def _stop_locked(self, instance_id: str, deadline: float) -> None:
        spec = self._directory.spec(instance_id)
        target = _Target(instance_id, self._directory.leader(instance_id))
        stat = target.look(self._boot)
        if stat is not None and not stat.ended and spec is not None:
            send_group_signal(stat, stop_signal(spec.order))
            await self._wait(target, deadline)
        if await self._kill([target]):
            raise DriverError(f"{instance_id}: still there {KILL_BOUND_S:g} s after SIGKILL")
        if target.leader is None:
            self.discard(instance_id)
        else:
            self._finish(target)

    async def _wait(self, target: _Target, deadline: float) -> None:
        """Wait for leader and group until the deadline. Who left the group was not asked and is not waited for."""
        pause_s = _FIRST_PAUSE_S
        while self._clock.now() < deadline:
            stat = target.look(self._boot)
            if stat is None or stat.ended:
                rest = await self._rest(target)
                if not any(target.has_in_group(process) for process in rest):
                    return
            await self._clock.sleep(min(pause_s, max(0.0, deadline - self._clock.now())))
            pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)

    async def _kill(self, targets: Sequence[_Target], bound_s: float = KILL_BOUND_S) -> set[str]:
        """Send SIGKILL to everything until nothing is left; return the ids of those that survive even that."""
        left = {target.instance_id: target for target in targets}
        give_up_at = self._clock.now() + bound_s
        while left:
            for target in left.values():
                stat = target.look(self._boot)
                if stat is not None:
                    send_group_signal(stat, signal.SIGKILL)
            found = await asyncio.gather(*(self._rest(target) for target in left.values()))
            left = {t.instance_id: t for t, rest in zip(left.values(), found, strict=True) if rest}
            for rest in found:
                for stat in rest:
                    send_signal(stat, signal.SIGKILL)
            if self._clock.now() > give_up_at:
                break
            if left:
                await self._clock.sleep(_FIRST_PAUSE_S)
        return set(left)

    async def _rest(self, target: _Target) -> list[Stat]:
        """Return every process of the instance that still runs."""
        target.look(self._boot)
        in_groups = (read_stat(pid) for pid in self._cgroups.members(target.instance_id))
        rest = [stat for stat in in_groups if stat is not None and not stat.ended]
        return rest or await self._search.find(target.kin)

    def _finish(self, target: _Target) -> None:
        stat = target.look(self._boot)
        exit_code = reap(stat) if stat is not None else None
        self._directory.write_ended(target.instance_id, Ended(exit_code))
        self._cgroups.remove(target.instance_id)
        spec = self._directory.spec(target.instance_id)
        if spec is not None:
            self._ports.release(spec.port, target.instance_id)

    def _is_over(self, instance_id: str) -> bool:
        return self._directory.spec(instance_id) is None or self._directory.ended(instance_id) is not None

    async def _lock(self, instance_id: str, deadline: float) -> Lock | None:
        """Return the lock, or None if it is still taken at the deadline or the instance is over."""
        while not self._is_over(instance_id):
            lock = self._directory.try_lock(instance_id)
            if lock is not None:
                return lock
            if self._clock.now() >= deadline:
                return None
            await self._clock.sleep(_LONGEST_PAUSE_S)
        return None


class _Search:
    """Looks through /proc for many instances at once: whoever asks during a pass shares the next one."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._waiting: list[tuple[Kin, asyncio.Future[list[Stat]]]] = []
        self._pass: asyncio.Task[None] | None = None

    async def find(self, kin: Kin) -> list[Stat]:
        """Return the running processes of one instance, seen after this call."""
        future: asyncio.Future[list[Stat]] = asyncio.get_running_loop().create_future()
        self._waiting.append((kin, future))
        if self._pass is None:
            self._pass = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                try:
                    found = await asyncio.to_thread(find_kin, self._owner, [kin for kin, _ in batch])
                except Exception as error:  # Whoever waits must hear of it, whatever it is.
                    for _, future in batch:
                        if not future.done():
                            future.set_exception(error)
                    continue
                for kin, future in batch:
                    if not future.done():
                        future.set_result(found[kin.instance_id])
        finally:
            self._pass = None
