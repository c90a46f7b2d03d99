"""What drivers of cloud accounts have in common: machines are found by what they carry, never by what we remember.

Clouds without a client token can make two machines for one host (an answer was lost, two controllers asked). A listing
keeps the older one of such twins and gives the others back.
"""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import structlog

from dcp.drivers.clouds.template import MachineType, Place, Template
from dcp.hosts.model import HostOrder, Offer, SourceHost, SourceHostState, SourceKind, SourceLimits
from dcp.hosts.ports import Refusals
from dcp.kernel.errors import DriverError

log = structlog.get_logger("dcp")


@dataclass(frozen=True, slots=True)
class Found:
    """One machine of ours: as a host, by the cloud's own name, and when it was made (in text that sorts)."""

    host: SourceHost
    machine: str
    made_at: str = ""


def one_of_each(found: Iterable[Found]) -> tuple[tuple[Found, ...], tuple[Found, ...]]:
    """Return one machine for each host, and the others. The oldest is kept, unless it never ran or is leaving."""
    by_host: dict[str, list[Found]] = defaultdict(list)
    for one in found:
        by_host[one.host.host_id].append(one)
    ranked = [sorted(same, key=_rank) for same in by_host.values()]
    return tuple(same[0] for same in ranked), tuple(twin for same in ranked for twin in same[1:])


def _rank(one: Found) -> tuple[bool, bool, str, str]:
    return (one.host.state == SourceHostState.DELETING, one.host.refusal is not None, one.made_at, one.machine)


class AccountSource(ABC):
    """A source whose machines carry whose they are and which host they are."""

    kind = SourceKind.CLOUD

    def __init__(self, template: Template, limits: SourceLimits) -> None:
        self.name = template.name
        self.limits = limits
        self._template = template
        self._seen: dict[str, tuple[Found, ...]] = {}

    async def offers(self) -> tuple[Offer, ...]:
        return self._template.offers({})

    async def create(self, orders: tuple[HostOrder, ...]) -> Refusals:
        if not orders:
            return {}
        machine_type = self._template.type_named(orders[0].type_name)
        place = self._template.place_named(orders[0].variant)
        return await self._make(orders, machine_type, place)

    async def delete(self, host_ids: tuple[str, ...]) -> Refusals:
        return await self._take_back(await self._machines_of(host_ids))

    async def list_all(self) -> tuple[SourceHost, ...]:
        found = await self._look()
        kept, twins = one_of_each(found)
        leaving = [twin for twin in twins if twin.host.state != SourceHostState.DELETING]
        if leaving:
            await self._give_up(leaving)
        return tuple(one.host for one in kept)

    @abstractmethod
    async def _find(self) -> list[Found]:
        """Return every machine of ours. Complete, or an error."""

    @abstractmethod
    async def _make(self, orders: tuple[HostOrder, ...], machine_type: MachineType, place: Place) -> Refusals:
        """Ask for machines; those that are there already are left alone."""

    @abstractmethod
    async def _take_back(self, machines: list[Found]) -> Refusals:
        """Ask to delete machines. What is absent is success."""

    async def _look(self) -> list[Found]:
        found = await self._find()
        seen: dict[str, tuple[Found, ...]] = {}
        for one in found:
            seen[one.host.host_id] = (*seen.get(one.host.host_id, ()), one)
        self._seen = seen
        return found

    async def _machines_of(self, host_ids: tuple[str, ...]) -> list[Found]:
        """Return all machines of these hosts; what the last listing did not show is looked for again."""
        if any(host_id not in self._seen for host_id in host_ids):
            await self._look()
        return [one for host_id in host_ids for one in self._seen.get(host_id, ())]

    async def _give_up(self, twins: list[Found]) -> None:
        """The next listing shows what is left of them, so a refusal is no more than a delay."""
        for twin in twins:
            log.warning("second machine of one host given back", source=self.name, host=twin.host.host_id)
        try:
            refusals = await self._take_back(twins)
        except DriverError as error:
            log.warning("second machines are still there", source=self.name, error=str(error))
            return
        for host_id, refusal in refusals.items():
            log.warning("second machine is still there", source=self.name, host=host_id, error=str(refusal))
