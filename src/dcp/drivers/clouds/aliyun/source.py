"""Source `aliyun`: many machines a call, each known again by its host name, repeated calls by their client token."""

import hashlib
from collections.abc import Awaitable, Callable

from dcp.drivers.clouds.account import AccountSource, Found
from dcp.drivers.clouds.aliyun.api import PAGE, Creation, Ecs, Instance
from dcp.drivers.clouds.aliyun.errors import code_of
from dcp.drivers.clouds.template import MachineType, Place, Template
from dcp.hosts.model import HostOrder, SourceHostState
from dcp.hosts.ports import Refusals
from dcp.kernel.clock import Clock
from dcp.kernel.errors import AccessDenied, DriverError, OutOfStock, Throttled

OWNER, SOURCE, CALL, TYPE = "dcp-owner", "dcp-source", "dcp-call", "dcp-type"
NOTICE_S = 240.0
"""A spot machine goes five minutes after it is locked. The lock does not say when it was put on: a minute for that."""
LOOKS = 5
"""So often a new machine is looked for before the call counts as one with an unknown outcome, a second apart."""

_STATES = {
    "Pending": SourceHostState.PENDING,
    "Starting": SourceHostState.PENDING,
    "Running": SourceHostState.RUNNING,
    "Stopping": SourceHostState.STOPPING,
    "Stopped": SourceHostState.STOPPED,
}


class AliyunSource(AccountSource):
    """One region of one account."""

    def __init__(self, template: Template, ecs: Ecs, clock: Clock) -> None:
        super().__init__(template, template.limits())
        self._ecs = ecs
        self._clock = clock
        self._ours = {OWNER: template.owner, SOURCE: template.name}
        self._locked_since: dict[str, float] = {}

    async def aclose(self) -> None:
        self._ecs.close()

    async def _find(self) -> list[Found]:
        found = await self._ecs.list_tagged(self._ours)
        now = self._clock.now()
        locked = [one.id for one in found if "Recycling" in one.locks]
        self._locked_since = {name: self._locked_since.get(name, now) for name in locked}
        return [self._found(one) for one in found]

    async def _make(self, orders: tuple[HostOrder, ...], machine_type: MachineType, place: Place) -> Refusals:
        """Ask once for all, or for what is left of a call that was not answered: then with the same client token."""
        call = orders[0].token or orders[0].host_id
        tags = {**self._ours, CALL: call, TYPE: machine_type.host_type.name}
        names = tuple(order.host_id for order in orders)
        there = {one.host_name for one in await self._ecs.list_tagged({**self._ours, CALL: call})}
        if there.issuperset(order.host_id for order in orders if not order.carried):
            return {}
        token = _client_token(tags, place.name, names)
        made = await self._ecs.run_instances(Creation(token, names, machine_type, place, tags), self._template)
        if len(made) >= len(names):
            return {}
        there |= await self._names_of(made, all_there=not any(order.carried for order in orders))
        words = f"{self.name}: {len(made)} of {len(names)} {machine_type.machine} left in {place.name or 'the region'}"
        return {name: OutOfStock(words) for name in names if name not in there}

    async def _take_back(self, machines: list[Found]) -> Refusals:
        return await self._in_batches(machines, self._delete)

    async def _delete(self, batch: list[Found]) -> Refusals:
        try:
            await self._ecs.delete(tuple(one.machine for one in batch))
        except (Throttled, AccessDenied):
            raise
        except DriverError as error:
            if code_of(error.__cause__) == "InvalidInstanceId.NotFound" and len(batch) == 1:
                return {}
            if not code_of(error.__cause__) or len(batch) == 1:
                return dict.fromkeys((one.host.host_id for one in batch), error)
            # One that cannot be deleted now (it may still be starting) keeps the others of its call from it.
            return await self._in_batches(batch, self._delete, size=1)
        return {}

    async def _in_batches(
        self, machines: list[Found], work: Callable[[list[Found]], Awaitable[Refusals]], *, size: int = PAGE
    ) -> Refusals:
        refused: dict[str, DriverError] = {}
        for start in range(0, len(machines), size):
            batch = machines[start : start + size]
            try:
                refused.update(await work(batch))
            except DriverError as error:
                refused.update(dict.fromkeys((one.host.host_id for one in machines[start:]), error))
                break
        return refused

    async def _names_of(self, ids: tuple[str, ...], *, all_there: bool) -> set[str]:
        """Return the hosts that these machines are. Of a repeated call some may have been given back meanwhile."""
        for _ in range(LOOKS):
            names = {one.host_name for one in await self._ecs.describe(ids)}
            if len(names) >= len(ids):
                return names
            await self._clock.sleep(1.0)
        if not all_there:
            return names
        raise DriverError(f"{self.name}: made {len(ids)} machines and does not show them yet")

    def _found(self, one: Instance) -> Found:
        state = _STATES.get(one.status, SourceHostState.PENDING)
        addresses = (*one.public, *one.private) if self._template.public_address else (*one.private, *one.public)
        address = addresses[0] if addresses and state == SourceHostState.RUNNING else ""
        since = self._locked_since.get(one.id)
        host = self._template.show(
            one.host_name or one.id,
            state,
            one.tags.get(TYPE, ""),
            address,
            leave_by=None if since is None else since + NOTICE_S,
            leave_words="" if since is None else "the spot machine is locked: it is taken away within five minutes",
        )
        return Found(host, one.id, one.made_at)


class AliyunStoppingSource(AliyunSource):
    """Also switches hosts off, in economical mode: then only their disks are paid for, and no room is kept for them."""

    def __init__(self, template: Template, ecs: Ecs, clock: Clock) -> None:
        super().__init__(template, ecs, clock)
        self.limits = template.limits(can_stop=True)

    async def stop(self, host_ids: tuple[str, ...]) -> Refusals:
        """Ask to switch hosts off and keep them. What is off is success."""
        return await self._switch(host_ids, SourceHostState.RUNNING, self._ecs.stop)

    async def start(self, host_ids: tuple[str, ...]) -> Refusals:
        """Ask to switch hosts on again. What runs is success; OutOfStock where the cloud has no room for it now."""
        return await self._switch(host_ids, SourceHostState.STOPPED, self._ecs.start)

    async def _switch(
        self,
        host_ids: tuple[str, ...],
        before: SourceHostState,
        ask: Callable[[tuple[str, ...]], Awaitable[dict[str, DriverError]]],
    ) -> Refusals:
        await self._look()
        machines = [one for one in await self._machines_of(host_ids) if one.host.state == before]
        hosts = {one.machine: one.host.host_id for one in machines}

        async def switch(batch: list[Found]) -> Refusals:
            refused = await ask(tuple(one.machine for one in batch))
            return {hosts[machine]: error for machine, error in refused.items()}

        return await self._in_batches(machines, switch)


def _client_token(tags: dict[str, str], place: str, names: tuple[str, ...]) -> str:
    """Return the same for the same call and never for another: the cloud refuses a token with other parameters."""
    text = repr((sorted(tags.items()), place, names))
    return hashlib.blake2b(text.encode(), digest_size=24).hexdigest()
