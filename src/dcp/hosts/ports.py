"""What dcp asks of a source of hosts."""

from typing import Protocol

from dcp.hosts.model import Offer, SourceHost, SourceKind


class HostSource(Protocol):
    """A place that gives hosts: the private pool, a cloud account, the fake cloud.

    Every call may raise DriverError (or OutOfStock, Throttled, Rejected) and returns within 30 s.
    """

    name: str
    kind: SourceKind

    async def offers(self) -> tuple[Offer, ...]:
        """Return what could be created now, in the source's own order of preference."""
        ...

    async def create(self, host_id: str, type_name: str) -> None:
        """Ask for one host that carries our id. Asking again for the same id changes nothing, whatever its state.

        Returning means that the request was accepted, not that the host runs; see `list_all`.
        An error may leave the host created or not: the caller lists, and asks again with the same id.
        """
        ...

    async def delete(self, host_id: str) -> None:
        """Ask to take the host back. What is absent is success. It is gone when `list_all` no longer shows it."""
        ...

    async def list_all(self) -> tuple[SourceHost, ...]:
        """Return every host of ours that this source has. Complete, or an error."""
        ...
