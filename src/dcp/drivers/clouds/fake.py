"""A cloud that exists only here: it boots, bills, runs out, throttles and lies as real ones do.

For the demo (with a file: its machines outlive the controller) and for simulation (in memory). All states are computed
from the clock when somebody asks. Every fault is one that real clouds show.
"""

import random
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from dcp.drivers.clouds.machines import Machine, Machines, MachineStore
from dcp.drivers.clouds.one_by_one import each
from dcp.hosts.model import HostOrder, HostType, Offer, SourceHost, SourceHostState, SourceKind, SourceLimits
from dcp.hosts.ports import Refusals
from dcp.kernel.clock import Clock
from dcp.kernel.errors import DriverError, OutOfStock, Rejected, Throttled


@dataclass(frozen=True, slots=True)
class CloudLimits:
    """What this cloud allows and how long it takes."""

    stock: tuple[tuple[str, int], ...] = ()
    """(type name, machines at once); a type that is not named has no bound."""
    max_hosts: int | None = None
    """Quota over all types."""
    max_creates: int | None = None
    """Machines that may be younger than `window_s` at once; more are throttled until the oldest is not."""
    window_s: float = 60.0
    boot_spread: float = 0.0
    """Boot takes `HostType.boot_s` times a factor drawn evenly from 1 - spread to 1 + spread."""
    delete_s: float = 0.0
    """A deleted machine is shown, and counts, for this long."""
    latency_s: tuple[float, float] = (0.0, 0.0)
    """Every call takes this long, drawn evenly between the two, before it has its effect."""


@dataclass(slots=True)
class CloudFaults:
    """What goes wrong now; a test or a simulation changes it at any time."""

    sold_out: set[str] = field(default_factory=set)
    """Types that are offered but not given."""
    created_but_timed_out: int = 0
    """So many of the next creations raise although the machine was made."""
    hide_new_s: float = 0.0
    """A listing omits machines younger than this."""
    ignored_deletes: int = 0
    """Of each machine, so many deletions are accepted and never carried out."""
    never_boots: bool = False
    """Machines created from now on stay pending."""


class FakeCloud:
    """One cloud account. `creations` counts by host id how often a machine was really made: above 1, we paid twice."""

    kind = SourceKind.CLOUD
    limits = SourceLimits()

    def __init__(
        self,
        name: str,
        clock: Clock,
        path: Path | None = None,
        *,
        types: Iterable[HostType],
        limits: CloudLimits | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.name = name
        self.faults = CloudFaults()
        self.creations: Counter[str] = Counter()
        self._clock = clock
        self._types = {host_type.name: host_type for host_type in types}
        self._limits = limits or CloudLimits()
        self._stock = dict(self._limits.stock)
        self._rng = rng or random.Random(0)
        self._store = MachineStore(path)
        self._errors: dict[str, deque[DriverError]] = {v: deque() for v in ("offers", "create", "delete", "list_all")}

    # What a test or a simulation does to it.

    def fail(self, verb: str, error: DriverError, *, times: int = 1) -> None:
        """Let the next `times` calls of `verb` raise `error` without effect: Throttled, or anything else."""
        self._errors[verb].extend([error] * times)

    async def lose(self, host_id: str) -> None:
        """Let a machine vanish, as when its hardware fails. What is absent is success."""

        def vanish(machines: Machines) -> None:
            machines.pop(host_id, None)

        await self._store.change(vanish)

    # The contract.

    async def offers(self) -> tuple[Offer, ...]:
        await self._enter("offers")
        machines = await self._machines()
        room = None if self._limits.max_hosts is None else self._limits.max_hosts - len(machines)
        offers = []
        for host_type in self._types.values():
            used = sum(1 for machine in machines if machine.type_name == host_type.name)
            stock = self._stock.get(host_type.name)
            bounds = [bound for bound in (room, None if stock is None else stock - used) if bound is not None]
            available = max(0, min(bounds)) if bounds else None
            offers.append(Offer(self.name, self.kind, host_type, available))
        return tuple(offers)

    async def create(self, orders: tuple[HostOrder, ...]) -> Refusals:
        return await each(orders, lambda order: self._order(order.host_id, order.type_name))

    async def delete(self, host_ids: tuple[str, ...]) -> Refusals:
        return await each(host_ids, self._delete)

    async def _order(self, host_id: str, type_name: str) -> None:
        await self._enter("create")
        if type_name not in self._types:
            raise Rejected(f"{self.name}: no host type {type_name!r}", hint=f"it has {', '.join(self._types)}")
        now = self._clock.now()
        is_new = await self._store.change(lambda machines: self._create(machines, host_id, self._types[type_name], now))
        if is_new:
            self.creations[host_id] += 1
            if self.faults.created_but_timed_out > 0:
                self.faults.created_but_timed_out -= 1
                raise DriverError(f"{self.name}: no answer to the creation of {host_id}")

    async def _delete(self, host_id: str) -> None:
        await self._enter("delete")
        now = self._clock.now()

        def mark(machines: Machines) -> None:
            machine = _present(machines, now).get(host_id)
            if machine is None or machine.gone_at is not None:
                return
            if machine.ignored_deletes < self.faults.ignored_deletes:
                machine.ignored_deletes += 1
                return
            machine.gone_at = now + self._limits.delete_s

        await self._store.change(mark)

    async def list_all(self) -> tuple[SourceHost, ...]:
        await self._enter("list_all")
        machines = await self._machines()
        shown_before = self._clock.now() - self.faults.hide_new_s
        return tuple(self._show(machine) for machine in machines if machine.created_at <= shown_before)

    async def _machines(self) -> list[Machine]:
        now = self._clock.now()
        return await self._store.change(lambda machines: list(_present(machines, now).values()))

    def _create(self, machines: Machines, host_id: str, host_type: HostType, now: float) -> bool:
        """Return whether a machine was made: not if this id has one already, whatever its state."""
        present = _present(machines, now)
        if host_id in present:
            return False
        same = sum(1 for machine in present.values() if machine.type_name == host_type.name)
        stock = self._stock.get(host_type.name)
        if host_type.name in self.faults.sold_out or (stock is not None and same >= stock):
            raise OutOfStock(f"{self.name}: no {host_type.name} left")
        if self._limits.max_hosts is not None and len(present) >= self._limits.max_hosts:
            raise OutOfStock(f"{self.name}: quota of {self._limits.max_hosts} hosts is used up")
        self._throttle(present, now)
        factor = self._rng.uniform(1 - self._limits.boot_spread, 1 + self._limits.boot_spread)
        boot_s = float("inf") if self.faults.never_boots else host_type.boot_s * factor
        machines[host_id] = Machine(host_id, host_type.name, created_at=now, running_at=now + boot_s)
        return True

    def _throttle(self, present: Machines, now: float) -> None:
        if self._limits.max_creates is None:
            return
        recent = sorted(m.created_at for m in present.values() if m.created_at > now - self._limits.window_s)
        if len(recent) >= self._limits.max_creates:
            delay_s = recent[-self._limits.max_creates] + self._limits.window_s - now
            raise Throttled(f"{self.name}: too many creations; again in {delay_s:.1f} s", delay_s=delay_s)

    def _show(self, machine: Machine) -> SourceHost:
        known = self._types.get(machine.type_name)
        if machine.gone_at is not None:
            state = SourceHostState.DELETING
        else:
            booted = self._clock.now() >= machine.running_at
            state = SourceHostState.RUNNING if booted else SourceHostState.PENDING
        return SourceHost(
            host_id=machine.host_id,
            state=state,
            type_name=machine.type_name,
            address=machine.address if state == SourceHostState.RUNNING else "",
            labels=known.labels if known else (),
        )

    async def _enter(self, verb: str) -> None:
        await self._clock.sleep(self._rng.uniform(*self._limits.latency_s))
        if self._errors[verb]:
            raise self._errors[verb].popleft()


def _present(machines: Machines, now: float) -> Machines:
    """Drop what is deleted by now and return the rest."""
    for machine in [m for m in machines.values() if m.gone_at is not None and m.gone_at <= now]:
        del machines[machine.host_id]
    return machines
