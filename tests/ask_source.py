"""One host at a time of a source, as errors rather than refusals: for tests."""

from dcp.hosts.model import HostOrder
from dcp.hosts.ports import HostSource


async def ask(source: HostSource, host_id: str, type_name: str, variant: str = "") -> None:
    """Ask for one host; raise what speaks against it."""
    for error in (await source.create((HostOrder(host_id, type_name, variant, host_id),))).values():
        raise error


async def give_back(source: HostSource, host_id: str) -> None:
    """Give one host back; raise what speaks against it."""
    for error in (await source.delete((host_id,))).values():
        raise error
