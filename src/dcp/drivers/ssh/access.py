"""With which key a machine is reached, and which keys of hosts are known. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, parse_qs

USERS_OWN = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")
ACCEPT_NEW = "accept-new"


@dataclass(frozen=True, slots=True)
class SshAccess:
    """What the settings say of SSH. `keys`: files of private keys by name."""

    keys: Mapping[str, str] = field(default_factory=dict)
    known_hosts: Path | None = None
    """Where dcp keeps the host keys that it has seen; None: only the user's own count."""
    host_keys: str = ACCEPT_NEW
    """`accept-new` remembers the key of a host that is seen for the first time; `known` refuses it."""

    @property
    def accepts_new(self) -> bool:
        return self.host_keys == ACCEPT_NEW

    def key_file(self, key: str) -> str:
        """Return the file of a key that is named, or whose file is."""
        return self.keys.get(key, key)

    def identity(self, key: str) -> tuple[str, ...]:
        """Return the client's options for a key; none for the keys that it finds by itself."""
        return ("-i", self.key_file(key), "-o", "IdentitiesOnly=yes") if key else ()

    def engine_options(self, url: SplitResult) -> tuple[str, ...]:
        """Return the client's options for an engine's URL; `?key=` names a key or its file."""
        known = known_hosts_option(*USERS_OWN, str(self.known_hosts)) if self.known_hosts else ()
        return (*known, *self.identity(key_of(url)))


def key_of(url: SplitResult) -> str:
    """Return the key that an engine's URL names; empty: none."""
    return parse_qs(url.query).get("key", [""])[0]


def known_hosts_option(*files: str) -> tuple[str, ...]:
    """Return the option that names files of host keys; new ones are written to the first."""
    return ("-o", "UserKnownHostsFile=" + " ".join(f'"{file}"' for file in files))
