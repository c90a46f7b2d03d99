"""What adding machines asks of the outside: a look over SSH, and the rows of machines."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Protocol

from dcp.hosts.adding.model import AddedMachine, MachineLook, Reach


class MachineLooker(Protocol):
    """Looks at machines over SSH. Nothing changes there, and nothing is remembered here but by `remember`."""

    async def look(self, reach: Reach, *, new_host_key: bool = False) -> MachineLook:
        """Return what was found, within 20 s; whatever is wrong there is a fault of the answer.

        A host key that was never seen is taken if the settings allow that; another one than remembered is a fault,
        unless `new_host_key`. Raises DriverError where the controller itself cannot look.
        """
        ...

    async def remember(self, reach: Reach, look: MachineLook, *, new_host_key: bool = False) -> None:
        """Keep the host keys that the look has seen, with `new_host_key` in the place of others. Raises DriverError."""
        ...

    async def forget(self, reach: Reach) -> None:
        """Drop the host keys of a machine. Raises DriverError."""
        ...


class MachineRows(Protocol):
    """The added machines, for the source that lends them."""

    async def every(self) -> tuple[AddedMachine, ...]:
        """Return all, in order of address."""
        ...

    async def aside(self) -> frozenset[str]:
        """Return the addresses that are set aside."""
        ...

    async def take(self, host_id: str, type_name: str, answering: Iterable[str]) -> bool:
        """Lend the first free machine of `answering` that has this type; True also where the host has one already."""
        ...

    async def give_back(self, host_ids: Collection[str]) -> tuple[AddedMachine, ...]:
        """Free the machines of hosts; those that were removed by a person are forgotten and returned."""
        ...


@dataclass(frozen=True, slots=True)
class AddingParts:
    """What adding machines needs beside the store."""

    looker: MachineLooker
    default: Reach
    """How a machine is reached where nothing is asked."""
    key_names: tuple[str, ...] = ()
    named: tuple[tuple[str, str], ...] = ()
    """Addresses that stand in `dcp.yaml`, each with the name of its source."""
