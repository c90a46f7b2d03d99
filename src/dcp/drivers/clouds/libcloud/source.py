"""Source `libcloud`: machines of any provider that Apache Libcloud knows, known again by their names.

The least that clouds have in common: one machine a call, no client token, no notices. A machine is called
`OWNER.SOURCE.HOST`, and all machines whose names begin so are ours. None of the three has a point in it, so that no
owner's machines can be taken for another's.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from libcloud.compute.base import Node, NodeDriver, NodeImage, NodeLocation, NodeSize
from libcloud.compute.providers import get_driver
from libcloud.compute.types import NodeState

from dcp.drivers.clouds.account import AccountSource, Found
from dcp.drivers.clouds.accounts import LibcloudAccount
from dcp.drivers.clouds.blocking import BlockingCalls
from dcp.drivers.clouds.credentials import read_credentials
from dcp.drivers.clouds.libcloud.errors import is_absent, translate
from dcp.drivers.clouds.template import MachineType, Place, Template
from dcp.hosts.model import HostOrder, SourceHostState
from dcp.hosts.ports import Refusals
from dcp.kernel.errors import DriverError

REQUEST_LIMIT_S = 20.0
"""One HTTP request of Libcloud's."""
THREADS = 16
ONE_PAGE = 100
"""A listing that may have taken several pages is repeated until two agree: a deletion in between moves a machine
from a page that is still to come to one that was read."""
LISTINGS = 4

_STATES = {
    NodeState.RUNNING: SourceHostState.RUNNING,
    NodeState.NORMAL: SourceHostState.RUNNING,
    NodeState.REBOOTING: SourceHostState.RUNNING,
    NodeState.RECONFIGURING: SourceHostState.RUNNING,
    NodeState.MIGRATING: SourceHostState.RUNNING,
    NodeState.UPDATING: SourceHostState.RUNNING,
    NodeState.STOPPING: SourceHostState.STOPPING,
    NodeState.STOPPED: SourceHostState.STOPPED,
    NodeState.SUSPENDED: SourceHostState.STOPPED,
    NodeState.PAUSED: SourceHostState.STOPPED,
    NodeState.TERMINATED: SourceHostState.DELETING,
}
"""All others: not running yet."""


class LibcloudSource(AccountSource):
    """One account at one provider."""

    def __init__(self, template: Template, account: LibcloudAccount) -> None:
        super().__init__(template, template.limits())
        self._account = account
        own = read_credentials(account.credentials_file, template.name) if account.credentials_file else {}
        secret_options = own.pop("create", {})
        self._options = {**account.options, **(secret_options if isinstance(secret_options, dict) else {})}
        self._arguments = {**account.arguments, **own}
        self._prefix = f"{template.owner}.{template.name}."
        self._calls: BlockingCalls[NodeDriver] = BlockingCalls(
            template.name,
            self._connect,
            lambda error: translate(error, asked=template.name),
            threads=min(THREADS, template.in_flight),
        )

    async def aclose(self) -> None:
        self._calls.close()

    async def _find(self) -> list[Found]:
        nodes = await self._calls.run(_list_nodes)
        for _ in range(LISTINGS):
            if len(nodes) < ONE_PAGE:
                break
            before, nodes = nodes, await self._calls.run(_list_nodes)
            if _ids(before) == _ids(nodes):
                break
        else:
            raise DriverError(f"{self.name}: no two of {LISTINGS} listings agree, machines come and go too fast")
        ours = [node for node in nodes if str(node.name).startswith(self._prefix)]
        return [self._found(node) for node in ours]

    async def _make(self, orders: tuple[HostOrder, ...], machine_type: MachineType, place: Place) -> Refusals:
        there = {one.host.host_id for one in await self._look()}
        wanted = [order.host_id for order in orders if not order.carried and order.host_id not in there]
        refused = await self._each(wanted, lambda name: self._calls.run(self._creation(name, machine_type, place)))
        if not refused:
            return refused
        # Another controller, or an earlier call that was not waited for, may have got it meanwhile.
        there = {one.host.host_id for one in await self._look()}
        return {host_id: error for host_id, error in refused.items() if host_id not in there}

    async def _take_back(self, machines: list[Found]) -> Refusals:
        by_host = {one.host.host_id: one for one in machines}

        async def destroy(host_id: str) -> None:
            for one in machines:
                if one.host.host_id == host_id:
                    await self._destroy(one)

        return await self._each(list(by_host), destroy)

    async def _destroy(self, one: Found) -> None:
        try:
            size = next(
                (kind.machine for kind in self._template.types if kind.host_type.name == one.host.type_name), ""
            )
            if not await self._calls.run(lambda driver: driver.destroy_node(_node(one.machine, size, driver))):
                raise DriverError(f"{self.name}: did not delete {one.host.host_id}")
        except DriverError as error:
            if not is_absent(error):
                raise

    async def _each(self, host_ids: list[str], work: Callable[[str], Any]) -> Refusals:
        results = await asyncio.gather(*(work(host_id) for host_id in host_ids), return_exceptions=True)
        refused: dict[str, DriverError] = {}
        for host_id, result in zip(host_ids, results, strict=True):
            if isinstance(result, DriverError):
                refused[host_id] = result
            elif isinstance(result, BaseException):
                raise result
        return refused

    def _connect(self) -> NodeDriver:
        driver: NodeDriver = get_driver(self._account.provider)(**self._arguments)
        connection: Any = driver.connection
        connection.timeout = REQUEST_LIMIT_S
        connection.connect()
        return driver

    def _creation(self, host_id: str, machine_type: MachineType, place: Place) -> Callable[[NodeDriver], Any]:
        def create(driver: NodeDriver) -> Any:
            options = dict(self._options)
            if place.zone:
                options["location"] = NodeLocation(place.zone, place.zone, "", driver)
            size = NodeSize(machine_type.machine, machine_type.machine, 0, 0, 0, 0.0, driver)
            image = NodeImage(self._template.image, self._template.image, driver)
            return driver.create_node(name=self._prefix + host_id, size=size, image=image, **options)

        return create

    def _found(self, node: Node) -> Found:
        state = _STATES.get(node.state, SourceHostState.PENDING)
        public, private = list(node.public_ips or ()), list(node.private_ips or ())
        addresses = [*public, *private] if self._template.public_address else [*private, *public]
        running = state == SourceHostState.RUNNING
        address = next((one for one in addresses if one and ":" not in one), "") if running else ""
        host_id = str(node.name).removeprefix(self._prefix)
        type_name = self._type_name(node)
        return Found(self._template.show(host_id, state, type_name, address), str(node.id), str(node.created_at or ""))

    def _type_name(self, node: Node) -> str:
        """Libcloud has no one place for a machine's size: it is looked for in what providers are known to tell."""
        size: Any = node.size
        told = {size} if isinstance(size, str) else {getattr(size, "id", None), getattr(size, "name", None)}
        told.update(str(node.extra.get(key, "")) for key in ("size_slug", "plan", "type", "instance_type"))
        return next((one.host_type.name for one in self._template.types if one.machine in told), "")


def _list_nodes(driver: NodeDriver) -> list[Node]:
    return driver.list_nodes()


def _ids(nodes: list[Node]) -> set[str]:
    return {str(node.id) for node in nodes}


def _node(machine: str, size: Any, driver: NodeDriver) -> Node:
    return Node(machine, machine, NodeState.UNKNOWN, [], [], driver, size=size)
