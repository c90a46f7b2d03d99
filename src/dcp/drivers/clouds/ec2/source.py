"""Source `ec2`: many machines a call, each of which carries which host it is; repeated calls by their client token.

One call is one RunInstances with at least one and at most all machines. Its client token is made of the call's token
alone, and what it asks for of all hosts of the call, also those that are not wanted any more: so a repetition has the
same token and the same parameters, and EC2 answers it with the machines of the first, however far its listing lags.
"""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from dcp.drivers.clouds.account import AccountSource, Found
from dcp.drivers.clouds.ec2.api import Ec2, Instance, Launch
from dcp.drivers.clouds.ec2.errors import NOT_FOUND, TOKEN_USED, absent_in, code_of
from dcp.drivers.clouds.ec2.host_tags import host_tags, in_order, tagged_hosts
from dcp.drivers.clouds.ec2.notices import Notices
from dcp.drivers.clouds.ec2.prices import SpotPrices
from dcp.drivers.clouds.template import MachineType, Place, Template
from dcp.hosts.model import Billing, HostOrder, Offer, SourceHostState
from dcp.hosts.ports import Refusals
from dcp.kernel.clock import Clock
from dcp.kernel.errors import AccessDenied, DriverError, OutOfStock, Throttled

OWNER, SOURCE, CALL, TYPE = "dcp-owner", "dcp-source", "dcp-call", "dcp-type"
TOGETHER = 100
"""Machines that are ended, stopped or started in one call."""
LOOKS = 5
"""So often the machines of a used token are looked for, a second apart."""

_STATES = {
    "pending": SourceHostState.PENDING,
    "running": SourceHostState.RUNNING,
    "shutting-down": SourceHostState.DELETING,
    "stopping": SourceHostState.STOPPING,
    "stopped": SourceHostState.STOPPED,
}


class Ec2Source(AccountSource):
    """One region of one account."""

    def __init__(self, template: Template, ec2: Ec2, clock: Clock, user_data: str = "") -> None:
        super().__init__(template, template.limits())
        self._ec2 = ec2
        self._clock = clock
        self._user_data = user_data
        self._notices = Notices(ec2, clock, template.name)
        self._prices = SpotPrices(ec2, clock, template)

    async def aclose(self) -> None:
        self._ec2.close()

    async def offers(self) -> tuple[Offer, ...]:
        """Return what the settings name, spot machines at what they cost now."""
        await self._prices.look()
        return tuple(map(self._prices.applied, await super().offers()))

    async def _find(self) -> list[Found]:
        """A machine with our owner and no source is shown too; one of another source is not ours."""
        every = await self._ec2.instances({OWNER: self._template.owner})
        ours = [one for one in every if one.tags.get(SOURCE, self.name) == self.name]
        await self._notices.look(ours)
        if any(one.spot for one in ours):
            await self._prices.look()
        return [self._found(one) for one in ours]

    async def _make(self, orders: tuple[HostOrder, ...], machine_type: MachineType, place: Place) -> Refusals:
        """Ask once for all; of a call that was not answered, the same again."""
        call = orders[0].token or orders[0].host_id
        wanted = {order.host_id for order in orders if not order.carried}
        there = await self._of_call(call)
        if there >= wanted:
            return {}
        names = in_order(order.host_id for order in orders)
        launch = self._launch(call, names, machine_type, place)
        try:
            made = await self._ec2.run_instances(launch)
        except DriverError as error:
            if code_of(error.__cause__) not in TOKEN_USED:
                raise
            there |= await self._of_used_token(call, wanted)
        else:
            there |= {names[one.launch_index] for one in made if one.state in _STATES}
        words = f"{self.name}: {len(there)} of {len(names)} {machine_type.machine} made in {place.name or 'the region'}"
        return {name: OutOfStock(words) for name in sorted(wanted - there)}

    async def _of_call(self, call: str) -> set[str]:
        tags = {OWNER: self._template.owner, SOURCE: self.name, CALL: call}
        return {_host_of(one) for one in await self._ec2.instances(tags)}

    async def _of_used_token(self, call: str, wanted: set[str]) -> set[str]:
        """The call was made before and cannot be made again. What it made and is still there, the listing shows."""
        for _ in range(LOOKS):
            await self._clock.sleep(1.0)
            there = await self._of_call(call)
            if there >= wanted:
                break
        return there

    def _launch(self, call: str, names: tuple[str, ...], machine_type: MachineType, place: Place) -> Launch:
        ours = {OWNER: self._template.owner, SOURCE: self.name, CALL: call, TYPE: machine_type.host_type.name}
        seed = repr((self._template.owner, self.name, call))
        token = hashlib.blake2b(seed.encode(), digest_size=24).hexdigest()
        tags = {**ours, "Name": self.name, **host_tags(names)}
        return Launch(token, len(names), self._parameters(machine_type, place), tags)

    def _parameters(self, machine_type: MachineType, place: Place) -> dict[str, Any]:
        template = self._template
        found: dict[str, Any] = {"ImageId": template.image, "InstanceType": machine_type.machine}
        if template.key:
            found["KeyName"] = template.key
        found.update(_where(place, public=template.public_address))
        if self._ec2.account.instance_profile:
            found["IamInstanceProfile"] = {"Name": self._ec2.account.instance_profile}
        if self._user_data:
            found["UserData"] = self._user_data
        if machine_type.host_type.billing == Billing.SPOT:
            spot = {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"}
            found["InstanceMarketOptions"] = {"MarketType": "spot", "SpotOptions": spot}
        return found

    async def _take_back(self, machines: list[Found]) -> Refusals:
        return await self._in_batches(machines, self._terminate)

    async def _terminate(self, batch: list[Found]) -> None:
        await self._ec2.terminate([one.machine for one in batch])

    async def _in_batches(self, machines: list[Found], ask: Callable[[list[Found]], Awaitable[None]]) -> Refusals:
        """Ask for many at once. What is not there is done; where one keeps the others from it, each is asked alone."""
        refused: dict[str, DriverError] = {}
        parts = [machines[first : first + TOGETHER] for first in range(0, len(machines), TOGETHER)]
        while parts:
            part = parts.pop(0)
            try:
                await ask(part)
            except DriverError as error:
                again, failed = _after(part, error)
                refused.update(dict.fromkeys((one.host.host_id for one in failed), error))
                parts = again + parts
        return refused

    def _found(self, one: Instance) -> Found:
        state = _STATES.get(one.state, SourceHostState.PENDING)
        address = (one.public if self._template.public_address else one.private) or one.private or one.public
        notice = self._notices.of(one)
        host = self._template.show(
            _host_of(one),
            state,
            one.tags.get(TYPE, ""),
            address if state == SourceHostState.RUNNING else "",
            leave_by=None if notice is None else notice.at,
            leave_words="" if notice is None else f"{notice.code}: {notice.words}",
        )
        price = self._prices.of(host.type_name, one) if one.spot else None
        return Found(replace(host, price_usd_per_hour=price), one.id, one.made_at)


def _after(part: list[Found], error: DriverError) -> tuple[list[list[Found]], list[Found]]:
    """Return what is asked again, in which calls, and what has failed, after a call for several failed as a whole."""
    code = code_of(error.__cause__)
    named = absent_in(error) if code == NOT_FOUND else frozenset()
    left = [one for one in part if one.machine not in named]
    if code == NOT_FOUND and (len(part) == 1 or not left):
        return [], []
    if len(left) < len(part):
        return [left], []
    if len(part) > 1 and code and not isinstance(error, Throttled | AccessDenied):
        return [[one] for one in part], []
    return [], part


def _where(place: Place, *, public: bool) -> dict[str, Any]:
    """Return what says where: a subnet stands for its zone; a public address is asked for with the network interface,
    as otherwise the subnet decides whether there is one."""
    groups = list(place.security_groups)
    if place.network and public:
        interface = {"DeviceIndex": 0, "SubnetId": place.network, "AssociatePublicIpAddress": True}
        return {"NetworkInterfaces": [{**interface, **({"Groups": groups} if groups else {})}]}
    found: dict[str, Any] = {"SecurityGroupIds": groups} if groups else {}
    if place.network:
        found["SubnetId"] = place.network
    elif place.zone:
        found["Placement"] = {"AvailabilityZone": place.zone}
    return found


def _host_of(one: Instance) -> str:
    """Return the host that a machine is; one that we cannot read is shown by its own name, as nobody's."""
    names = tagged_hosts(one.tags)
    return names[one.launch_index] if one.launch_index < len(names) else one.id
