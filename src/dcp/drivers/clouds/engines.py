"""Source `engines`: hosts that run a container engine already, named one by one in `dcp.yaml`.

Taking one is free and immediate; what is taken is remembered, so that a restarted controller cannot take it twice.
Only a host whose engine answers is offered or taken, so that one that was just lost is not chosen again at once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from dcp.drivers.clouds.machines import Machine, Machines, MachineStore
from dcp.drivers.clouds.one_by_one import each
from dcp.hosts.model import HostOrder, HostType, Offer, SourceHost, SourceHostState, SourceKind, SourceLimits
from dcp.hosts.ports import Refusals
from dcp.kernel.clock import Clock
from dcp.kernel.errors import OutOfStock, Rejected

PROBE_KEPT_S = 5.0
"""An engine is asked again after this long."""

Probe = Callable[[str], Awaitable[bool]]
"""Returns whether the engine at a URL answers, within 3 s; never raises."""
Aside = Callable[[], Awaitable[frozenset[str]]]
"""Returns the addresses of hosts that are not to be offered now."""


@dataclass(frozen=True, slots=True)
class EngineHost:
    """One host: `engine` is the URL of its engine, `address` where its instances are reached."""

    name: str
    engine: str
    address: str
    host_type: HostType


class EnginesSource:
    """Lends the named hosts, each to one taker; with a `path` they stay lent over restarts."""

    limits = SourceLimits(in_flight=10_000)

    def __init__(
        self,
        name: str,
        kind: SourceKind,
        path: Path | None,
        hosts: Iterable[EngineHost],
        *,
        probe: Probe,
        clock: Clock,
        aside: Aside | None = None,
    ) -> None:
        self.name = name
        self.kind = kind
        self._hosts = {host.engine: host for host in hosts}
        self._types = {host.host_type.name: host.host_type for host in self._hosts.values()}
        self._store = MachineStore(path)
        self._probe = probe
        self._clock = clock
        self._aside = aside or _nothing_aside
        self._answers: dict[str, tuple[float, bool]] = {}
        self._back_at: dict[str, float] = {}
        """When machines were given back: one that was given up is not the first to be taken again."""

    async def offers(self) -> tuple[Offer, ...]:
        free = await self._free(await self._store.change(_taken))
        counts = dict.fromkeys(self._types, 0)
        for host in free:
            counts[host.host_type.name] += 1
        return tuple(Offer(self.name, self.kind, self._types[name], count) for name, count in counts.items())

    async def create(self, orders: tuple[HostOrder, ...]) -> Refusals:
        return await each(orders, lambda order: self._create(order.host_id, order.type_name))

    async def delete(self, host_ids: tuple[str, ...]) -> Refusals:
        return await each(host_ids, self._delete)

    async def list_all(self) -> tuple[SourceHost, ...]:
        """Return every host that is taken. One that was since removed from the configuration is still listed."""
        return await self._store.change(lambda machines: tuple(map(_show, machines.values())))

    async def _create(self, host_id: str, type_name: str) -> None:
        if type_name not in self._types:
            raise Rejected(f"{self.name}: no host type {type_name!r}", hint=f"it has {', '.join(self._types)}")
        free = [host for host in await self._free(frozenset()) if host.host_type.name == type_name]

        def take(machines: Machines) -> None:
            if host_id in machines:
                return
            chosen = next((host for host in free if host.engine not in _taken(machines)), None)
            if chosen is None:
                raise OutOfStock(f"{self.name}: no host of type {type_name} is free and answers")
            machines[host_id] = Machine(host_id, type_name, address=chosen.address, engine=chosen.engine)

        await self._store.change(take)

    async def _delete(self, host_id: str) -> None:
        gone = await self._store.change(lambda machines: machines.pop(host_id, None))
        if gone is not None:
            self._back_at[gone.engine] = self._clock.now()

    async def _free(self, taken: frozenset[str]) -> list[EngineHost]:
        """Return the hosts that nobody has and whose engine answers, as configured, those given back last."""
        aside = await self._aside()
        free = [host for host in self._hosts.values() if host.engine not in taken and host.address not in aside]
        free.sort(key=lambda host: self._back_at.get(host.engine, 0.0))
        answers = await asyncio.gather(*(self._engine_answers(host.engine) for host in free))
        return [host for host, answered in zip(free, answers, strict=True) if answered]

    async def _engine_answers(self, engine: str) -> bool:
        asked_at, answered = self._answers.get(engine, (float("-inf"), False))
        if self._clock.now() - asked_at >= PROBE_KEPT_S:
            answered = await self._probe(engine)
            self._answers[engine] = (self._clock.now(), answered)
        return answered


async def _nothing_aside() -> frozenset[str]:
    return frozenset()


def _taken(machines: Machines) -> frozenset[str]:
    return frozenset(machine.engine for machine in machines.values())


def _show(machine: Machine) -> SourceHost:
    return SourceHost(
        host_id=machine.host_id,
        state=SourceHostState.RUNNING,
        type_name=machine.type_name,
        address=machine.address,
        engine=machine.engine,
    )
