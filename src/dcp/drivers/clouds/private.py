"""The private pool: a fixed number of hosts that are ours anyway. With the `process` runtime, slices of this machine.

Taking one is free and immediate; what is taken is remembered, so that a restarted controller cannot take it twice.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dcp.drivers.clouds.machines import Machine, Machines, MachineStore
from dcp.drivers.clouds.one_by_one import each
from dcp.hosts.model import HostOrder, HostType, Offer, SourceHost, SourceHostState, SourceKind, SourceLimits
from dcp.hosts.ports import Refusals
from dcp.kernel.errors import OutOfStock, Rejected


@dataclass(frozen=True, slots=True)
class PrivateHosts:
    """`count` hosts of one type."""

    host_type: HostType
    count: int
    address: str = "127.0.0.1"


class PrivatePool:
    """Lends hosts of fixed number; with a `path` they stay lent over restarts and between controllers."""

    kind = SourceKind.PRIVATE
    limits = SourceLimits(in_flight=10_000)

    def __init__(self, name: str, path: Path | None, hosts: Iterable[PrivateHosts]) -> None:
        self.name = name
        self._hosts = {one.host_type.name: one for one in hosts}
        self._store = MachineStore(path)

    async def offers(self) -> tuple[Offer, ...]:
        taken = await self._store.change(_count_by_type)
        return tuple(
            Offer(self.name, self.kind, one.host_type, max(0, one.count - taken.get(type_name, 0)))
            for type_name, one in self._hosts.items()
        )

    async def create(self, orders: tuple[HostOrder, ...]) -> Refusals:
        return await each(orders, lambda order: self._create(order.host_id, order.type_name))

    async def delete(self, host_ids: tuple[str, ...]) -> Refusals:
        return await each(host_ids, self._delete)

    async def list_all(self) -> tuple[SourceHost, ...]:
        """Return every host that is taken. One whose type was since removed from the pool is still listed."""
        return await self._store.change(lambda machines: tuple(map(self._show, machines.values())))

    async def _create(self, host_id: str, type_name: str) -> None:
        if type_name not in self._hosts:
            raise Rejected(f"{self.name}: no host type {type_name!r}", hint=f"it has {', '.join(self._hosts)}")
        hosts = self._hosts[type_name]

        def take(machines: Machines) -> None:
            if host_id in machines:
                return
            if _count_by_type(machines).get(type_name, 0) >= hosts.count:
                raise OutOfStock(f"{self.name}: all {hosts.count} hosts of type {type_name} are taken")
            machines[host_id] = Machine(host_id, type_name, address=hosts.address)

        await self._store.change(take)

    async def _delete(self, host_id: str) -> None:
        def give_back(machines: Machines) -> None:
            machines.pop(host_id, None)

        await self._store.change(give_back)

    def _show(self, machine: Machine) -> SourceHost:
        known = self._hosts.get(machine.type_name)
        return SourceHost(
            host_id=machine.host_id,
            state=SourceHostState.RUNNING,
            type_name=machine.type_name,
            address=machine.address,
            labels=known.host_type.labels if known else (),
        )


def _count_by_type(machines: Machines) -> dict[str, int]:
    counts: dict[str, int] = {}
    for machine in machines.values():
        counts[machine.type_name] = counts.get(machine.type_name, 0) + 1
    return counts
