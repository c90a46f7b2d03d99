"""A machine that a person has added, what was asked of it, and what a look at it found."""

from dataclasses import dataclass, field, replace
from urllib.parse import quote

from dcp.hosts.model import HostType

SOURCE = "added"
"""Name of the source that lends added machines; no source of `dcp.yaml` may have it."""
SSH_PORT = 22


@dataclass(frozen=True, slots=True)
class Reach:
    """How a machine is reached over SSH. `key`: a key's name in the settings, or its file; empty: what SSH finds."""

    address: str
    user: str = "root"
    port: int = SSH_PORT
    key: str = ""


@dataclass(frozen=True, slots=True)
class AddedMachine:
    """One machine in the store. Times are seconds since the epoch."""

    reach: Reach
    engine: str
    """URL of its container engine with {address} in it; empty: over the same SSH."""
    cluster: str
    """Who may use it; empty: everybody."""
    host_type: HostType
    identity: str
    """Tells whether another address is the same machine, until it is started again."""
    added_at: float
    host_id: str = ""
    """The host that it is now; empty: it is free."""
    back_at: float = 0.0
    """When it was last given back: one that was given up is not the first to be taken again."""
    leave_by: float | None = None
    """A person has removed it: nothing new is placed there, and it is forgotten once it is empty."""
    version: int = 0

    @property
    def address(self) -> str:
        return self.reach.address

    @property
    def engine_url(self) -> str:
        """Return the URL of its engine; over SSH it also names the key."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        if self.engine:
            return self.engine.replace("{address}", host)
        port = f":{self.reach.port}" if self.reach.port != SSH_PORT else ""
        key = f"?key={quote(self.reach.key, safe='/')}" if self.reach.key else ""
        return f"ssh://{self.reach.user}@{host}{port}{key}"

    def alike(self, other: "AddedMachine") -> bool:
        """Return whether both were added the same way."""
        return self._asked() == other._asked()

    def _asked(self) -> "AddedMachine":
        return replace(self, identity="", added_at=0.0, host_id="", back_at=0.0, leave_by=None, version=0)


@dataclass(frozen=True, slots=True)
class AddAsked:
    """Machines to add, all in the same way. None and empty: see `AddedMachine`, or found by a look."""

    addresses: tuple[str, ...]
    user: str = ""
    port: int | None = None
    key: str = ""
    engine: str = ""
    cluster: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    type_name: str = ""
    cpu_millis: int | None = None
    memory_bytes: int | None = None
    new_host_key: bool = False
    """Take the host keys that the machines have now, whatever was remembered."""


@dataclass(frozen=True, slots=True)
class MachineLook:
    """What a look at a machine over SSH found; with a `fault` nothing else is known."""

    cpu_millis: int = 0
    memory_bytes: int = 0
    identity: str = ""
    system: str = ""
    """Such as `debian 12`."""
    engine: str = ""
    """Version of the container engine that it has already; empty: none answers."""
    fault: str = ""
    """Why it cannot be used, in words; empty: it can."""
    hint: str = ""
    host_keys: tuple[str, ...] = ()
    """Lines for a file of known hosts that were not known before."""


@dataclass(frozen=True, slots=True)
class SetAside:
    """A machine that could not be initialised: it is not offered until a person says so."""

    source: str
    address: str
    at: float
    words: str


@dataclass(frozen=True, slots=True)
class KnownMachines:
    """What there is already when machines are added."""

    added: tuple[AddedMachine, ...] = ()
    aside: tuple[SetAside, ...] = ()
    named: tuple[tuple[str, str], ...] = field(default=())
    """Addresses that stand in `dcp.yaml`, each with the name of its source."""
