"""What dcp asks of a source of hosts."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from dcp.hosts.model import Host, HostOrder, Offer, SourceHost, SourceKind, SourceLimits
from dcp.kernel.errors import DriverError

Refusals = Mapping[str, DriverError]
"""By host id: what the source did not do, and why. A host that is not in it was accepted."""


class HostSource(Protocol):
    """A place that gives hosts: the private pool, a cloud account, the fake cloud.

    Every call may raise DriverError (or OutOfStock, QuotaReached, Throttled, Rejected, AccessDenied), which then holds
    for every host of the call, and returns within 60 s.
    """

    name: str
    kind: SourceKind
    limits: SourceLimits

    async def offers(self) -> tuple[Offer, ...]:
        """Return what could be created now, in the source's own order of preference."""
        ...

    async def create(self, orders: tuple[HostOrder, ...]) -> Refusals:
        """Ask for hosts that carry our ids: `limits.batch` at most, all of one type, variant and token.

        Accepted means that the request was, not that the host runs; see `list_all`. Part of them may be refused.
        Asking again for the same id changes nothing, whatever its state. After an error other than OutOfStock,
        Throttled and Rejected hosts may have been created or not: the caller lists, and repeats the call with the same
        orders, of which those that are `carried` are not to be made now.
        """
        ...

    async def delete(self, host_ids: tuple[str, ...]) -> Refusals:
        """Ask to take hosts back. What is absent is success. It is gone when `list_all` no longer shows it."""
        ...

    async def list_all(self) -> tuple[SourceHost, ...]:
        """Return every host of ours that this source has. Complete, or an error."""
        ...


@runtime_checkable
class StoppingSource(Protocol):
    """A source with `limits.can_stop`."""

    async def stop(self, host_ids: tuple[str, ...]) -> Refusals:
        """Ask to switch hosts off and keep them. What is off is success."""
        ...

    async def start(self, host_ids: tuple[str, ...]) -> Refusals:
        """Ask to switch hosts on again. What runs is success; OutOfStock where the source has no room for it now."""
        ...


@dataclass(frozen=True, slots=True)
class InitNews:
    """What a run says about one of its hosts."""

    host_id: str
    phase: str
    """In which it is, or ended."""
    ended: bool = False
    failed_words: str = ""
    """Why it failed; empty: it did not."""
    log: str = ""
    """Of one that failed: the end of what was said."""
    changed: int = 0
    """Of one that ended well: how many steps changed something."""
    note: str = ""
    """Of one that ended well: what else should be told."""


class Initialiser(Protocol):
    """Makes bare hosts ready for containers."""

    def run(self, batch: tuple[Host, ...]) -> AsyncIterator[InitNews]:
        """Apply everything to the hosts, side by side, and tell news as it comes; one `ended` for each host.

        What is applied already changes nothing. Each phase of a host is bounded in time. Raises DriverError where the
        run as a whole failed: the hosts that did not end by then failed with its words. A caller that stops iterating
        or is cancelled ends the run; what it began on a host may be half done.
        """
        ...
