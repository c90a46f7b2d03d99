"""A looker that finds what it is told; for tests."""

from collections.abc import Mapping

from dcp.hosts.adding.model import MachineLook, Reach

NOBODY = MachineLook(fault="does not answer at port 22: Connection refused", hint="is it on?")


class FakeLooker:
    """`machines` are what answers, by address. Counts looks, and what was remembered and forgotten."""

    def __init__(self, machines: Mapping[str, MachineLook]) -> None:
        self.machines = dict(machines)
        self.looked: list[Reach] = []
        self.remembered: list[str] = []
        self.forgotten: list[str] = []

    async def look(self, reach: Reach, *, new_host_key: bool = False) -> MachineLook:
        """See `MachineLooker`."""
        self.looked.append(reach)
        return self.machines.get(reach.address, NOBODY)

    async def remember(self, reach: Reach, look: MachineLook, *, new_host_key: bool = False) -> None:
        """See `MachineLooker`."""
        self.remembered.append(reach.address)

    async def forget(self, reach: Reach) -> None:
        """See `MachineLooker`."""
        self.forgotten.append(reach.address)
