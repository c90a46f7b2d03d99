"""EC2 machines that are switched off and kept: then only their disks are paid for, and no room is kept for them."""

from dcp.drivers.clouds.account import Found
from dcp.drivers.clouds.ec2.api import Ec2
from dcp.drivers.clouds.ec2.source import Ec2Source
from dcp.drivers.clouds.template import Template
from dcp.hosts.model import SourceHostState
from dcp.hosts.ports import Refusals
from dcp.kernel.clock import Clock


class Ec2StoppingSource(Ec2Source):
    """Also switches hosts off. One-time spot machines cannot be: EC2 refuses that, and they are kept running."""

    def __init__(self, template: Template, ec2: Ec2, clock: Clock, user_data: str = "") -> None:
        super().__init__(template, ec2, clock, user_data)
        self.limits = template.limits(can_stop=True)

    async def stop(self, host_ids: tuple[str, ...]) -> Refusals:
        """Ask to switch hosts off and keep them. What is off is success."""
        return await self._in_batches(await self._in_state(host_ids, SourceHostState.RUNNING), self._stop)

    async def start(self, host_ids: tuple[str, ...]) -> Refusals:
        """Ask to switch hosts on again. What runs is success; OutOfStock where the cloud has no room for it now."""
        return await self._in_batches(await self._in_state(host_ids, SourceHostState.STOPPED), self._start)

    async def _in_state(self, host_ids: tuple[str, ...], state: SourceHostState) -> list[Found]:
        await self._look()
        return [one for one in await self._machines_of(host_ids) if one.host.state == state]

    async def _stop(self, batch: list[Found]) -> None:
        await self._ec2.stop([one.machine for one in batch])

    async def _start(self, batch: list[Found]) -> None:
        await self._ec2.start([one.machine for one in batch])
