"""Source `openstack`: servers of one project, several a call, each known again by its name and metadata.

Nova has no client token: before a call its servers are looked for by name. Nova accepts what it finds no room for and
says so later, on the server itself (state ERROR): a call waits for the scheduler a while, and gives such servers back
as refused; what turns up later the listing shows with its refusal. The scheduler places all servers of a call or none,
so a call that finds no room is halved until it does.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from dcp.drivers.clouds.account import AccountSource, Found
from dcp.drivers.clouds.openstack.api import Nova, Server
from dcp.drivers.clouds.openstack.servers import host_of, is_ours, is_placed, metadata, refusal_of, show
from dcp.drivers.clouds.template import MachineType, Place, Template
from dcp.hosts.model import HostOrder, Offer, SourceHostState
from dcp.hosts.ports import Refusals
from dcp.kernel.clock import Clock
from dcp.kernel.errors import DriverError, OutOfStock, QuotaReached

PLACED_WITHIN_S = 8.0
"""The scheduler is waited for so long. It needs a second or two; what it refuses later the listing shows."""
LOOK_EVERY_S = 1.0
CREATE_LIMIT_S = 25.0
"""No further part of a call is begun after this time; what is left is asked for by the next call."""
LIMITS_KEPT_S = 5.0


class OpenStackSource(AccountSource):
    """One project in one region."""

    def __init__(self, template: Template, nova: Nova, clock: Clock) -> None:
        super().__init__(template, template.limits())
        self._nova = nova
        self._clock = clock
        self._limits_seen: tuple[float, Mapping[str, int]] = (float("-inf"), {})

    async def aclose(self) -> None:
        self._nova.close()

    async def offers(self) -> tuple[Offer, ...]:
        """Return what the project's quota leaves; whether there is room for it Nova tells nobody."""
        seen_at, limits = self._limits_seen
        if self._clock.now() - seen_at >= LIMITS_KEPT_S:
            limits = await self._nova.limits()
            self._limits_seen = (self._clock.now(), limits)
        left: dict[str, int | None] = {}
        for one in self._template.types:
            flavor = await self._nova.flavor(one.machine)
            left[one.host_type.name] = _left(limits, flavor.vcpus, flavor.ram_mib)
        return self._template.offers(left)

    async def _find(self) -> list[Found]:
        return [self._found(one) for one in await self._nova.servers() if is_ours(one, self._template)]

    async def _make(self, orders: tuple[HostOrder, ...], machine_type: MachineType, place: Place) -> Refusals:
        call = orders[0].token or orders[0].host_id
        flavor = await self._nova.flavor(machine_type.machine)
        names = [order.host_id for order in orders if not order.carried]
        before = await self._of_call(call)
        refused = await _give_back_refused(self._nova, before, self.name)
        there = {host_of(one) for one in before}
        creation = _Creation(self._nova, self._clock, self._template, call, machine_type, place, flavor.id)
        wanted = [name for name in names if name not in there]
        refused.update(await creation.ask(wanted))
        # Another controller, or an earlier call that was not waited for, may have got it meanwhile.
        there = {host_of(one) for one in await self._of_call(call) if not refusal_of(one, "")} if refused else set()
        return {name: error for name, error in refused.items() if name in names and name not in there}

    async def _take_back(self, machines: list[Found]) -> Refusals:
        errors = await asyncio.gather(*(_attempt(self._nova.delete, one.machine) for one in machines))
        pairs = zip(machines, errors, strict=True)
        return {one.host.host_id: error for one, error in pairs if error is not None}

    async def _of_call(self, call: str) -> list[Server]:
        found = await self._nova.servers(name=f"^{call}(-[0-9]+)?$")
        return [one for one in found if is_ours(one, self._template)]

    def _found(self, server: Server) -> Found:
        return Found(show(server, self._template), str(server["id"]), str(server.get("created", "")))


class _Creation:
    """One call to `create`, in as many requests as it takes."""

    def __init__(
        self,
        nova: Nova,
        clock: Clock,
        template: Template,
        call: str,
        machine_type: MachineType,
        place: Place,
        flavor_id: str,
    ) -> None:
        self._nova = nova
        self._clock = clock
        self._template = template
        self._call = call
        self._type = machine_type
        self._place = place
        self._flavor_id = flavor_id
        self._until = clock.now() + CREATE_LIMIT_S

    async def ask(self, names: list[str]) -> dict[str, DriverError]:
        """Ask for all; where there is no room for so many, for half as many, and so on. Return what is refused."""
        if not names:
            return {}
        if self._clock.now() >= self._until:
            return dict.fromkeys(names, DriverError(f"{self._template.name}: not asked for yet, the scheduler is slow"))
        try:
            refused = await self._request(names)
        except DriverError as failure:
            return dict.fromkeys(names, failure)
        if len(names) == 1 or not all(type(refused.get(name)) is OutOfStock for name in names):
            return refused
        half = len(names) // 2
        first = await self.ask(names[:half])
        if set(first) >= set(names[:half]):
            return {**first, **dict.fromkeys(names[half:], first[names[0]])}
        return {**first, **await self.ask(names[half:])}

    async def _request(self, names: list[str]) -> dict[str, DriverError]:
        reservation = await self._nova.create(self._body(names))
        give_up_at = self._clock.now() + PLACED_WITHIN_S
        while True:
            servers = await self._nova.servers(reservation_id=reservation)
            if all(map(is_placed, servers)) or self._clock.now() >= give_up_at:
                break
            await self._clock.sleep(LOOK_EVERY_S)
        refused = await _give_back_refused(self._nova, servers, self._template.name)
        granted = {host_of(one) for one in servers}
        words = f"{self._template.name}: the project's quota let {len(granted)} of {len(names)} pass"
        return {**dict.fromkeys((name for name in names if name not in granted), QuotaReached(words)), **refused}

    def _body(self, names: list[str]) -> dict[str, Any]:
        template, place = self._template, self._place
        body: dict[str, Any] = {
            "name": self._call,
            "imageRef": template.image,
            "flavorRef": self._flavor_id,
            "metadata": metadata(template, self._call, self._type.host_type.name, names),
            "min_count": 1,
            "max_count": len(names),
        }
        if template.key:
            body["key_name"] = template.key
        if place.zone:
            body["availability_zone"] = place.zone
        if place.network:
            body["networks"] = [{"uuid": place.network}]
        if place.security_groups:
            body["security_groups"] = [{"name": group} for group in place.security_groups]
        return body


class OpenStackStoppingSource(OpenStackSource):
    """Also switches hosts off: by shelving, which frees their room, or by stopping, which keeps it."""

    def __init__(self, template: Template, nova: Nova, clock: Clock, switched_off: str) -> None:
        super().__init__(template, nova, clock)
        self.limits = template.limits(can_stop=True)
        self._off = "shelve" if switched_off == "shelve" else "os-stop"
        self._on = "unshelve" if switched_off == "shelve" else "os-start"

    async def stop(self, host_ids: tuple[str, ...]) -> Refusals:
        """Ask to switch hosts off and keep them. What is off is success."""
        return await self._act(host_ids, SourceHostState.RUNNING, self._off)

    async def start(self, host_ids: tuple[str, ...]) -> Refusals:
        """Ask to switch hosts on again. What runs is success. A lack of room shows only later: it stays off."""
        return await self._act(host_ids, SourceHostState.STOPPED, self._on)

    async def _act(self, host_ids: tuple[str, ...], before: SourceHostState, action: str) -> Refusals:
        await self._look()
        machines = [one for one in await self._machines_of(host_ids) if one.host.state == before]
        errors = await asyncio.gather(*(_attempt(self._nova.act, one.machine, action) for one in machines))
        pairs = zip(machines, errors, strict=True)
        return {one.host.host_id: error for one, error in pairs if error is not None}


async def _give_back_refused(nova: Nova, servers: list[Server], asked: str) -> dict[str, DriverError]:
    """Delete the servers that will never run; return why, by host. One that stays is shown by the listing."""
    refused = {host_of(one): error for one in servers if (error := refusal_of(one, asked)) is not None}
    failed = [str(one["id"]) for one in servers if refusal_of(one, asked) is not None]
    await asyncio.gather(*(_attempt(nova.delete, server_id) for server_id in failed))
    return refused


async def _attempt(verb: Callable[..., Awaitable[None]], *arguments: str) -> DriverError | None:
    try:
        await verb(*arguments)
    except DriverError as error:
        return error
    return None


def _left(limits: Mapping[str, int], vcpus: int, ram_mib: int) -> int | None:
    """Return how many more machines of a size the quota allows; None: there is no bound."""
    bounds = []
    for bound, used, each in (
        ("maxTotalInstances", "totalInstancesUsed", 1),
        ("maxTotalCores", "totalCoresUsed", vcpus),
        ("maxTotalRAMSize", "totalRAMUsed", ram_mib),
    ):
        if limits.get(bound, -1) >= 0 and each > 0:
            bounds.append(max(0, limits[bound] - limits.get(used, 0)) // each)
    return min(bounds) if bounds else None
