"""Source `added`: machines that people have taken in with `dcp hosts add`; the store has them.

Lent like machines of `dcp.yaml`: taking one is free and immediate, one whose sshd is silent is not offered, and the
one that was given back last is lent last. A machine that a person removed is shown with a time to leave by, so its
instances are replaced elsewhere first; given back, it is forgotten.
"""

import asyncio
from collections.abc import Awaitable, Callable

from dcp.drivers.clouds.engines import PROBE_KEPT_S
from dcp.drivers.clouds.one_by_one import each
from dcp.hosts.adding.model import SOURCE, AddedMachine, Reach
from dcp.hosts.adding.ports import MachineRows
from dcp.hosts.model import HostOrder, Offer, SourceHost, SourceHostState, SourceKind, SourceLimits
from dcp.hosts.ports import Refusals
from dcp.kernel.clock import Clock
from dcp.kernel.errors import OutOfStock, Rejected

LEAVE_WORDS = "a person removed its machine"
_REFUSAL = Rejected(LEAVE_WORDS)
"""One object: listings are compared."""


class AddedMachines:
    """See `HostSource`. `probe` returns whether an sshd answers; `forget` drops its host key."""

    name = SOURCE
    kind = SourceKind.PRIVATE
    limits = SourceLimits(in_flight=10_000)

    def __init__(
        self,
        rows: MachineRows,
        *,
        probe: Callable[[str, int], Awaitable[bool]],
        forget: Callable[[Reach], Awaitable[None]],
        clock: Clock,
    ) -> None:
        self._rows = rows
        self._probe = probe
        self._forget = forget
        self._clock = clock
        self._answers: dict[tuple[str, int], tuple[float, bool]] = {}

    async def offers(self) -> tuple[Offer, ...]:
        every = await self._rows.every()
        counts = {one.host_type.name: 0 for one in every}
        first = {one.host_type.name: one for one in reversed(every)}
        for one in await self._free(every):
            counts[one.host_type.name] += 1
        return tuple(
            Offer(
                self.name,
                self.kind,
                first[name].host_type,
                count,
                clusters=(first[name].cluster,) if first[name].cluster else (),
            )
            for name, count in counts.items()
        )

    async def create(self, orders: tuple[HostOrder, ...]) -> Refusals:
        return await each(orders, lambda order: self._create(order.host_id, order.type_name))

    async def delete(self, host_ids: tuple[str, ...]) -> Refusals:
        for machine in await self._rows.give_back(host_ids):
            await self._forget(machine.reach)
        return {}

    async def list_all(self) -> tuple[SourceHost, ...]:
        return tuple(_show(one) for one in await self._rows.every() if one.host_id)

    async def _create(self, host_id: str, type_name: str) -> None:
        every = await self._rows.every()
        if type_name not in {one.host_type.name for one in every}:
            raise Rejected(f"{self.name}: no machine of type {type_name!r} is there any more")
        free = [one for one in await self._free(every) if one.host_type.name == type_name]
        if not await self._rows.take(host_id, type_name, [one.address for one in free]):
            raise OutOfStock(f"{self.name}: no machine of type {type_name} is free and answers")

    async def _free(self, every: tuple[AddedMachine, ...]) -> list[AddedMachine]:
        """Return the machines that nobody has and whose sshd answers, those given back last at the end."""
        aside = await self._rows.aside()
        free = [one for one in every if not one.host_id and one.leave_by is None and one.address not in aside]
        free.sort(key=lambda one: one.back_at)
        answers = await asyncio.gather(*(self._answers_now(one.reach) for one in free))
        return [one for one, answered in zip(free, answers, strict=True) if answered]

    async def _answers_now(self, reach: Reach) -> bool:
        where = (reach.address, reach.port)
        asked_at, answered = self._answers.get(where, (float("-inf"), False))
        if self._clock.now() - asked_at >= PROBE_KEPT_S:
            answered = await self._probe(*where)
            self._answers[where] = (self._clock.now(), answered)
        return answered


def _show(machine: AddedMachine) -> SourceHost:
    leaves = machine.leave_by is not None
    return SourceHost(
        host_id=machine.host_id,
        state=SourceHostState.RUNNING,
        type_name=machine.host_type.name,
        address=machine.address,
        engine=machine.engine_url,
        labels=machine.host_type.labels,
        leave_by=machine.leave_by,
        leave_words=LEAVE_WORDS if leaves else "",
        refusal=_REFUSAL if leaves else None,
    )
