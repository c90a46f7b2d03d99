"""Addresses of the sites' own networks for one service's instances, written before the starts that use them."""

from collections.abc import Mapping

from sqlalchemy import Connection

from dcp.engine.context import Context
from dcp.hosts.model import Host
from dcp.orchestration.services.addresses import range_of
from dcp.orchestration.services.model import Instance
from dcp.store import addresses
from dcp.store.leases import Lease


class UnderlayAddresses:
    """What was given, as far as it is asked for; the rows are the truth."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._given: dict[str, str] = {}

    def of(self, instance_id: str) -> str:
        """Return the address of an instance; empty if it has none."""
        return self._given.get(instance_id, "")

    def forget(self, instance_id: str) -> None:
        """Drop what is known of an ended instance."""
        self._given.pop(instance_id, None)

    async def give(self, lease: Lease, asking: tuple[Instance, ...], hosts: Mapping[str, Host]) -> None:
        """Give each instance an address of its host's site; one for which none is free has none, and asks again."""
        without = [instance for instance in asking if instance.id not in self._given]
        if not without:
            return
        now, ranges = self._context.clock.now(), self._context.settings.underlay

        def work(connection: Connection) -> dict[str, str]:
            given: dict[str, str] = {}
            for instance in without:
                host = hosts.get(instance.host_id)
                chosen = range_of(host.site if host else "", ranges)
                address = addresses.give(connection, instance, chosen, now) if chosen else None
                if address is not None:
                    given[instance.id] = address
            return given

        self._given |= await self._context.write_under(lease, work)
