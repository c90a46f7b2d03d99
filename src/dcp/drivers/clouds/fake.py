"""A cloud that exists only here: it boots, bills, runs out, throttles and lies as real ones do.

For the demo (with a file: its machines outlive the controller) and for simulation (in memory). All states are computed
from the clock when somebody asks. Every fault is one that real clouds show. Like them it knows a call again by its
token: the same call gives the same answer and makes nothing, another call with that token is refused.
"""

import random
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from dcp.drivers.clouds.fake_limits import CloudFaults, CloudLimits, Place
from dcp.drivers.clouds.machines import Machine, Machines, MachineStore
from dcp.drivers.clouds.one_by_one import each
from dcp.hosts.model import ANYWHERE, HostOrder, HostType, Offer, SourceHost, SourceHostState, SourceKind, SourceLimits
from dcp.hosts.ports import Refusals
from dcp.kernel.clock import Clock
from dcp.kernel.errors import DriverError, OutOfStock, QuotaReached, Rejected, Throttled

__all__ = ["CloudFaults", "CloudLimits", "FakeCloud", "Place"]

VERBS = ("offers", "create", "delete", "list_all", "stop", "start")


class FakeCloud:
    """One cloud account. `creations` counts by host id how often a machine was really made: above 1, we paid twice."""

    kind = SourceKind.CLOUD

    def __init__(
        self,
        name: str,
        clock: Clock,
        path: Path | None = None,
        *,
        types: Iterable[HostType],
        limits: CloudLimits | None = None,
        asked: SourceLimits | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.name = name
        self.limits = asked or SourceLimits()
        self.faults = CloudFaults()
        self.creations: Counter[str] = Counter()
        self.misused_tokens: list[str] = []
        """Tokens that came again with other hosts."""
        self.hopeless: set[str] = set()
        """Machines that can never be initialised."""
        self._clock = clock
        self._types = {host_type.name: host_type for host_type in types}
        self._limits = limits or CloudLimits()
        self._stock = dict(self._limits.stock)
        self._places = {name: self._places_of(name) for name in self._types}
        self._rng = rng or random.Random(0)
        self._store = MachineStore(path)
        self._errors: dict[str, deque[DriverError]] = {verb: deque() for verb in VERBS}
        self._tokens: dict[str, tuple[tuple[str, ...], dict[str, DriverError]]] = {}

    # What a test or a simulation does to it.

    def fail(self, verb: str, error: DriverError, *, times: int = 1) -> None:
        """Let the next `times` calls of `verb` raise `error` without effect: Throttled, or anything else."""
        self._errors[verb].extend([error] * times)

    async def lose(self, host_id: str) -> None:
        """Let a machine vanish, as when its hardware fails. What is absent is success."""
        await self._store.change(lambda machines: machines.pop(host_id, None))

    async def give_notice(self, host_id: str, within_s: float, words: str = "spot") -> None:
        """Announce that a machine is taken away, which then happens; 0 s: there was no notice to speak of."""
        leave_by = self._clock.now() + within_s

        def announce(machines: Machines) -> None:
            if host_id in machines:
                machines[host_id].leave_by, machines[host_id].leave_words = leave_by, words

        await self._store.change(announce)

    async def withdraw_notice(self, host_id: str) -> None:
        """Leave a machine to us after all."""

        def withdraw(machines: Machines) -> None:
            if host_id in machines:
                machines[host_id].leave_by, machines[host_id].leave_words = None, ""

        await self._store.change(withdraw)

    def set_price(self, type_name: str, price_usd_per_hour: float, variant: str | None = None) -> None:
        """Change the price of a type, or of one of its places, for offers and for machines that run."""
        if variant is not None:
            place = self._places[type_name][variant]
            priced = replace(place.variant, price_usd_per_hour=price_usd_per_hour)
            self._places[type_name][variant] = replace(place, variant=priced)
            return
        self._types[type_name] = replace(self._types[type_name], price_usd_per_hour=price_usd_per_hour)

    def set_stock(self, type_name: str, variant: str, stock: int | None) -> None:
        """Change what a place has at once."""
        self._places[type_name][variant] = replace(self._places[type_name][variant], stock=stock)

    async def really_there(self) -> tuple[str, ...]:
        """Return the ids of all machines that there are, whatever listings show."""
        return tuple(machine.host_id for machine in await self._machines())

    # The contract.

    async def offers(self) -> tuple[Offer, ...]:
        await self._enter("offers")
        machines = await self._machines()
        used = Counter((machine.type_name, machine.variant) for machine in machines)
        return tuple(self._offer(host_type, used, len(machines)) for host_type in self._types.values())

    async def create(self, orders: tuple[HostOrder, ...]) -> Refusals:
        await self._enter("create")
        if self.faults.lost_calls > 0:
            self.faults.lost_calls -= 1
            raise DriverError(f"{self.name}: no answer to a creation")
        self._check_known(orders[0])
        orders = tuple(replace(order, variant=self._variant_of(order)) for order in orders)
        first = orders[0]
        named = tuple(order.host_id for order in orders)
        if first.token in self._tokens:
            return self._repeat(first.token, named)
        now = self._clock.now()
        made, refused = await self._store.change(lambda machines: self._make(machines, orders, now))
        self.creations.update(made)
        if made:
            self._tokens[first.token] = (named, refused)
            if self.faults.created_but_timed_out > 0:
                self.faults.created_but_timed_out -= 1
                raise DriverError(f"{self.name}: no answer to the creation of {', '.join(made)}")
        return refused

    async def delete(self, host_ids: tuple[str, ...]) -> Refusals:
        return await each(host_ids, self._delete)

    async def list_all(self) -> tuple[SourceHost, ...]:
        await self._enter("list_all")
        now, faults = self._clock.now(), self.faults
        shown_before = now - faults.hide_new_s
        machines = await self._store.change(lambda machines: list(self._known(machines, now).values()))
        return tuple(
            self._show(machine, now)
            for machine in machines
            if machine.created_at <= shown_before and machine.host_id not in faults.omit
        )

    async def stop(self, host_ids: tuple[str, ...]) -> Refusals:
        def off(machine: Machine, now: float) -> None:
            if machine.off_at is None:
                machine.off_at = now + self._limits.stop_s

        return await each(host_ids, lambda host_id: self._switch("stop", host_id, off))

    async def start(self, host_ids: tuple[str, ...]) -> Refusals:
        def on(machine: Machine, now: float) -> None:
            if machine.off_at is None:
                return
            if (machine.type_name, machine.variant) in self.faults.sold_out_places:
                raise OutOfStock(f"{self.name}: no room for {machine.host_id} now")
            machine.off_at, machine.running_at = None, now + self._limits.start_s

        return await each(host_ids, lambda host_id: self._switch("start", host_id, on))

    # Below.

    def _places_of(self, type_name: str) -> dict[str, Place]:
        found = {place.variant.key: place for place in self._limits.places if place.type_name == type_name}
        return found or {variant.key: Place(type_name, variant) for variant in ANYWHERE}

    def _offer(self, host_type: HostType, used: Counter[tuple[str, str]], all_machines: int) -> Offer:
        places = self._places[host_type.name]
        here = sum(used[host_type.name, key] for key in places)
        bounds = []
        if self._limits.max_hosts is not None:
            bounds.append(self._limits.max_hosts - all_machines)
        if host_type.name in self._stock:
            bounds.append(self._stock[host_type.name] - here)
        if all(place.stock is not None for place in places.values()):
            left = (max(0, (place.stock or 0) - used[host_type.name, key]) for key, place in places.items())
            bounds.append(sum(left))
        available = max(0, min(bounds)) if bounds else None
        variants = tuple(place.variant for place in places.values())
        return Offer(self.name, self.kind, host_type, available, variants)

    def _variant_of(self, order: HostOrder) -> str:
        """Whoever does not say where gets the first place."""
        return order.variant or next(iter(self._places[order.type_name]))

    def _check_known(self, order: HostOrder) -> None:
        if order.type_name not in self._types:
            raise Rejected(f"{self.name}: no host type {order.type_name!r}", hint=f"it has {', '.join(self._types)}")
        if self._variant_of(order) not in self._places[order.type_name]:
            raise Rejected(f"{self.name}: {order.type_name} cannot be had in {order.variant!r}")

    def _repeat(self, token: str, named: tuple[str, ...]) -> Refusals:
        known, refused = self._tokens[token]
        if set(known) != set(named):
            self.misused_tokens.append(token)
            raise Rejected(f"{self.name}: token {token} was used for other hosts")
        return refused

    def _make(
        self, machines: Machines, orders: tuple[HostOrder, ...], now: float
    ) -> tuple[list[str], dict[str, DriverError]]:
        """Return the ids of the machines that were made; an id that has one already, whatever its state, gets none."""
        there = {host_id for host_id, machine in self._known(machines, now).items() if _is_alive(machine, now)}
        used = Counter((machines[host_id].type_name, machines[host_id].variant) for host_id in there)
        recent = sorted(at for i in there if (at := machines[i].created_at) > now - self._limits.window_s)
        made: list[str] = []
        refused: dict[str, DriverError] = {}
        for order in orders:
            if order.carried or (order.host_id in there and self._limits.knows_ids):
                continue
            error = self._refusal(order, used, len(there) + len(made), [*recent, *([now] * len(made))], now)
            if error is not None:
                refused[order.host_id] = error
                continue
            made.append(order.host_id)
            used[order.type_name, order.variant] += 1
            machines[order.host_id] = self._machine(order, now)
        return made, refused

    def _refusal(
        self, order: HostOrder, used: Counter[tuple[str, str]], all_machines: int, recent: list[float], now: float
    ) -> DriverError | None:
        name, place, faults = order.type_name, self._places[order.type_name][order.variant], self.faults
        where = f" in {order.variant}" if order.variant else ""
        out = OutOfStock(f"{self.name}: no {name} left{where}")
        if name in faults.sold_out or (name, order.variant) in faults.sold_out_places:
            return out
        if place.stock is not None and used[name, order.variant] >= place.stock:
            return out
        if name in self._stock and sum(used[name, key] for key in self._places[name]) >= self._stock[name]:
            return out
        if self._limits.max_hosts is not None and all_machines >= self._limits.max_hosts:
            return QuotaReached(f"{self.name}: quota of {self._limits.max_hosts} hosts is used up")
        most = self._limits.max_creates
        if most is None or len(recent) < most:
            return None
        delay_s = recent[-most] + self._limits.window_s - now
        throttled = Throttled(f"{self.name}: too many creations; again in {delay_s:.1f} s", delay_s=delay_s)
        return out if faults.throttles_as_stock_out else throttled

    def _machine(self, order: HostOrder, now: float) -> Machine:
        limits = self._limits
        boot_s = self._types[order.type_name].boot_s * self._rng.uniform(1 - limits.boot_spread, 1 + limits.boot_spread)
        if limits.boot_tail_share and self._rng.random() < limits.boot_tail_share:
            boot_s = self._rng.uniform(*limits.boot_tail_s)
        if limits.never_initialised_share and self._rng.random() < limits.never_initialised_share:
            self.hopeless.add(order.host_id)
        running_at = float("inf") if self.faults.never_boots else now + boot_s
        return Machine(order.host_id, order.type_name, created_at=now, running_at=running_at, variant=order.variant)

    async def _delete(self, host_id: str) -> None:
        await self._enter("delete")
        now = self._clock.now()

        def mark(machines: Machines) -> None:
            machine = self._known(machines, now).get(host_id)
            if machine is None or machine.gone_at is not None:
                return
            if machine.ignored_deletes < self.faults.ignored_deletes:
                machine.ignored_deletes += 1
                return
            machine.gone_at = now + self._limits.delete_s

        await self._store.change(mark)

    async def _switch(self, verb: str, host_id: str, change: Callable[[Machine, float], None]) -> None:
        await self._enter(verb)
        now = self._clock.now()

        def switch(machines: Machines) -> None:
            machine = self._known(machines, now).get(host_id)
            if machine is None or machine.gone_at is not None:
                raise Rejected(f"{self.name}: there is no {host_id}")
            change(machine, now)

        await self._store.change(switch)

    async def _machines(self) -> list[Machine]:
        """Return what is there and counts."""
        now = self._clock.now()
        known = await self._store.change(lambda machines: list(self._known(machines, now).values()))
        return [machine for machine in known if _is_alive(machine, now)]

    def _known(self, machines: Machines, now: float) -> Machines:
        """Drop what is gone and not shown any more, and return the rest."""
        for machine in list(machines.values()):
            if machine.leave_by is not None and machine.leave_by <= now and machine.gone_at is None:
                machine.gone_at = machine.leave_by
            if machine.gone_at is not None and machine.gone_at + self.faults.show_deleted_s <= now:
                del machines[machine.host_id]
        return machines

    def _show(self, machine: Machine, now: float) -> SourceHost:
        known = self._types.get(machine.type_name)
        state = _state(machine, now)
        price = known.price_usd_per_hour if known else None
        place = self._places.get(machine.type_name, {}).get(machine.variant)
        if place is not None and place.variant.price_usd_per_hour is not None:
            price = place.variant.price_usd_per_hour
        return SourceHost(
            host_id=machine.host_id,
            state=state,
            type_name=machine.type_name,
            address=machine.address if state == SourceHostState.RUNNING else "",
            labels=known.labels if known else (),
            leave_by=machine.leave_by,
            leave_words=machine.leave_words,
            price_usd_per_hour=price,
        )

    async def _enter(self, verb: str) -> None:
        await self._clock.sleep(self._rng.uniform(*self._limits.latency_s))
        if self.faults.region_gone:
            raise DriverError(f"{self.name}: the region does not answer")
        if self._errors[verb]:
            raise self._errors[verb].popleft()


def _is_alive(machine: Machine, now: float) -> bool:
    return machine.gone_at is None or machine.gone_at > now


def _state(machine: Machine, now: float) -> SourceHostState:
    if machine.gone_at is not None:
        return SourceHostState.DELETING
    if machine.off_at is not None:
        return SourceHostState.STOPPED if machine.off_at <= now else SourceHostState.STOPPING
    return SourceHostState.RUNNING if machine.running_at <= now else SourceHostState.PENDING
