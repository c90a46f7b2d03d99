"""Hosts: which there are, and what a person may ask of one."""

from typing import Annotated

from fastapi import APIRouter, Path

from dcp.api.dependencies import Controller
from dcp.api.shapes import HostList, HostShape, Shape
from dcp.engine import host_verbs, queries
from dcp.hosts.model import Host
from dcp.kernel.errors import NotFound
from dcp.store import hosts, initialisations

router = APIRouter(prefix="/hosts", tags=["hosts"])
HostId = Annotated[str, Path(description="The host's id")]


class DrainAsked(Shape):
    """By when the host shall be empty, in seconds from now."""

    within_s: float = 600.0


class HostStateShape(Shape):
    """How a host is after what was asked of it."""

    id: str
    state: str
    reason: str
    leave_by: float | None

    @classmethod
    def of(cls, host: Host) -> "HostStateShape":
        return cls(id=host.id, state=str(host.state), reason=host.reason, leave_by=host.leave_by)


class TryShape(Shape):
    """One try to initialise a host that failed, and the end of what was said."""

    attempt: int
    at: float
    words: str
    text: str


class HostLog(Shape):
    """The tries that failed, in order."""

    id: str
    tries: list[TryShape]


@router.get("")
async def list_hosts(controller: Controller) -> HostList:
    """Hosts that were not given back, in order of request."""
    found = await controller.database.read(queries.host_list)
    return HostList(hosts=[HostShape.of(summary) for summary in found])


@router.post("/{host}/cordon")
async def cordon(host: HostId, controller: Controller) -> HostStateShape:
    """Place nothing new there; what runs there stays."""
    return HostStateShape.of(await host_verbs.cordon(controller, host))


@router.post("/{host}/uncordon")
async def uncordon(host: HostId, controller: Controller) -> HostStateShape:
    """Use it again, also if it was to leave."""
    return HostStateShape.of(await host_verbs.uncordon(controller, host))


@router.post("/{host}/drain")
async def drain(host: HostId, asked: DrainAsked, controller: Controller) -> HostStateShape:
    """Have what runs there replaced elsewhere first, then give the host back."""
    return HostStateShape.of(await host_verbs.drain(controller, host, asked.within_s))


@router.get("/{host}/log")
async def log(host: HostId, controller: Controller) -> HostLog:
    """What was said in tries to initialise it that failed; also of a host that was given back since."""
    found, known = await controller.database.read(
        lambda connection: (initialisations.logs(connection, host), hosts.find(connection, host))
    )
    if not found and known is None:
        raise NotFound(f"there is no host {host}", hint="see `dcp hosts`")
    tries = [TryShape(attempt=one.attempt, at=one.at, words=one.words, text=one.text) for one in found]
    return HostLog(id=host, tries=tries)
