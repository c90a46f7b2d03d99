"""A cloud account that throttles, runs out by type and zone, boots by a distribution, and keeps what the best
asker would have had from it.

All draws come from streams of the seed: stock is a matter of time alone, boot times belong to the number of the
creation; so how it is asked changes neither.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from dcp.hosts.model import HostOrder, HostType, Offer, SourceHost, SourceHostState, SourceKind, SourceLimits, Variant
from dcp.hosts.ports import Refusals
from dcp.kernel.clock import Clock
from dcp.kernel.errors import DriverError, OutOfStock, QuotaReached, Throttled
from dcp.simulation.fleet.scenario import CloudScenario


@dataclass(slots=True)
class _Machine:
    type_name: str
    created_at: float
    running_at: float
    shown: SourceHost


@dataclass(slots=True)
class Counted:
    """What happened at the account."""

    calls: int = 0
    refused_calls: int = 0
    throttled: int = 0
    created: int = 0
    boots_s: dict[str, float] = field(default_factory=dict)
    """Of each creation in their order, by host; infinite where the host is never ready."""
    lost: dict[str, int] = field(default_factory=dict)
    """How many creations were refused before that of each host by places of which nobody knew that they were out."""


class Stock:
    """Whether a type is out in a zone: it comes and goes with time, out for the share that the scenario says."""

    def __init__(self, scenario: CloudScenario, rng: random.Random) -> None:
        self._rng = rng
        self._out_s = scenario.out_of_stock_s
        share = scenario.out_of_stock
        self._in_s = self._out_s * (1 - share) / share if share else float("inf")
        self._out = rng.random() < share
        self._until = 0.0
        self.times_out = int(self._out)
        """How often it went out, so far."""
        self._draw()

    def is_out(self, elapsed_s: float) -> bool:
        """Return whether it is out now; time only goes on."""
        while elapsed_s >= self._until:
            self._out = not self._out
            self.times_out += self._out
            self._draw()
        return self._out

    def _draw(self) -> None:
        mean_s = self._out_s if self._out else self._in_s
        self._until += self._rng.expovariate(1 / mean_s) if mean_s < float("inf") else mean_s


class ScenarioCloud:
    """One account as the scenario describes it."""

    kind = SourceKind.CLOUD

    def __init__(self, name: str, scenario: CloudScenario, host_types: tuple[HostType, ...], clock: Clock, seed: str):
        self.name = name
        self.limits = SourceLimits(batch=scenario.batch, in_flight=scenario.in_flight)
        self.counted = Counted()
        self._scenario = scenario
        self._types = {one.name: one for one in host_types}
        self._clock = clock
        self._began = clock.now()
        self._boots = random.Random(f"{seed}/{name}/boots")
        self._calls = random.Random(f"{seed}/{name}/calls")
        self._stock = {
            (one, zone): Stock(scenario, random.Random(f"{seed}/{name}/{one}/{zone}"))
            for one in self._types
            for zone in scenario.zones
        }
        self._machines: dict[str, _Machine] = {}
        self._met: dict[tuple[str, str, int], float] = {}
        self._lost = 0
        self._tokens = float(scenario.burst)
        self._tokens_at = self._began

    async def offers(self) -> tuple[Offer, ...]:
        room = max(0, self._scenario.hosts_per_account - len(self._machines))
        zones = tuple(Variant(zone) for zone in self._scenario.zones)
        return tuple(Offer(self.name, self.kind, one, room, zones) for one in self._types.values())

    async def create(self, orders: tuple[HostOrder, ...]) -> Refusals:
        """Throttling is said at once and for the whole call; what is out of stock only at its end."""
        self.counted.calls += 1
        new = [order for order in orders if order.host_id not in self._machines]
        self._throttle(len(new))
        began = self._clock.now()
        await self._clock.sleep(self._calls.uniform(*self._scenario.call_s))
        refusals = {order.host_id: error for order in new if (error := self._create(order)) is not None}
        self.counted.refused_calls += bool(refusals)
        out = [order for order in new if isinstance(refusals.get(order.host_id), OutOfStock)]
        self._note_unforeseen(out, began)
        return refusals

    async def delete(self, host_ids: tuple[str, ...]) -> Refusals:
        await self._clock.sleep(self._calls.uniform(*self._scenario.call_s))
        for host_id in host_ids:
            self._machines.pop(host_id, None)
        return {}

    async def list_all(self) -> tuple[SourceHost, ...]:
        now = self._clock.now()
        return tuple(self._show(machine, now) for machine in self._machines.values())

    def machines(self) -> frozenset[str]:
        """Return the ids of all machines there are."""
        return frozenset(self._machines)

    def _note_unforeseen(self, refused: Sequence[HostOrder], began: float) -> None:
        """Nobody can know that a place has run out before the first answer that says so."""
        for place in dict.fromkeys((order.type_name, order.variant) for order in refused):
            known_at = self._met.setdefault((*place, self._stock[place].times_out), self._clock.now())
            if began <= known_at:
                self._lost += sum((order.type_name, order.variant) == place for order in refused)

    def _throttle(self, count: int) -> None:
        now, per_s = self._clock.now(), self._scenario.creations_per_min / 60
        self._tokens = min(float(self._scenario.burst), self._tokens + (now - self._tokens_at) * per_s)
        self._tokens_at = now
        if self._tokens < count:
            self.counted.throttled += 1
            delay_s = (count - self._tokens) / per_s
            raise Throttled(f"{self.name}: too many creations; again in {delay_s:.1f} s", delay_s=delay_s)
        self._tokens -= count

    def _create(self, order: HostOrder) -> DriverError | None:
        now = self._clock.now()
        if order.host_id in self._machines:
            return None
        if len(self._machines) >= self._scenario.hosts_per_account:
            return QuotaReached(f"{self.name}: all {self._scenario.hosts_per_account} hosts of the account are used")
        stock = self._stock.get((order.type_name, order.variant))
        if stock is not None and stock.is_out(now - self._began):
            return OutOfStock(f"{self.name}: no {order.type_name} in {order.variant}")
        boot_s = self._scenario.boot.at(self._boots.random())
        if self._boots.random() < self._scenario.failed_initialisations:
            boot_s = float("inf")
        self.counted.created += 1
        self.counted.boots_s[order.host_id] = boot_s
        self.counted.lost[order.host_id] = self._lost
        shown = SourceHost(order.host_id, SourceHostState.PENDING, order.type_name)
        self._machines[order.host_id] = _Machine(order.type_name, now, now + boot_s, shown)
        return None

    def _show(self, machine: _Machine, now: float) -> SourceHost:
        """Return one object for the same state, so that an unchanged listing is cheap to compare."""
        shown = machine.shown
        if shown.state is SourceHostState.PENDING and now >= machine.running_at:
            machine.shown = SourceHost(shown.host_id, SourceHostState.RUNNING, shown.type_name, "10.0.0.1")
        return machine.shown
