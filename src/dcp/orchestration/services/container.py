"""What a container is given besides its image: network, files, rights, logs. Values of the Compose file, frozen.

Only runtimes whose abilities say `containers` honour them; the others refuse a service that asks for any.
"""

from dataclasses import dataclass, field
from enum import StrEnum


class NetworkMode(StrEnum):
    """How the world reaches an instance."""

    HOST = "host"
    """The host's own network; a free port of the host is given in `PORT`. The default, as in the original DCP."""
    BRIDGE = "bridge"
    """The engine's bridge; the target port is published on a free port of the host."""
    UNDERLAY = "underlay"
    """An address of the site's own network (macvlan or ipvlan); the target port is reached on it directly."""


class VolumeKind(StrEnum):
    """Where a mount's files are."""

    VOLUME = "volume"
    """A named volume of the host's engine. It stays on that host: an instance elsewhere gets another one."""
    BIND = "bind"
    """A path of the host."""
    TMPFS = "tmpfs"
    """Memory; gone with the instance."""


@dataclass(frozen=True, slots=True)
class Mount:
    """One folder or file inside the container that comes from elsewhere."""

    kind: VolumeKind
    target: str
    source: str = ""
    """Name of the volume, or absolute path on the host; empty for `tmpfs`."""
    read_only: bool = False
    size_bytes: int = 0
    """Bound of a `tmpfs`; 0: the engine's own."""


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """A text that no log, no error and no difference shows. It is stored where the environment is stored."""

    value: str

    def __repr__(self) -> str:
        return "[redacted]"

    def __str__(self) -> str:
        return "[redacted]"


@dataclass(frozen=True, slots=True)
class SecretFile:
    """A secret as a file in the container, never in its environment, labels or configuration."""

    name: str
    value: Secret
    target: str
    """Absolute path in the container; `/run/secrets/NAME` unless the Compose file says otherwise."""
    uid: int = 0
    gid: int = 0
    mode: int = 0o444


@dataclass(frozen=True, slots=True)
class LogOptions:
    """The engine's log driver and its options; empty: the engine's own, bounded."""

    driver: str = ""
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """Everything about a container that is not its image, command, resources or health."""

    network: NetworkMode = NetworkMode.HOST
    host_port: int | None = None
    """A fixed port of the host (Compose `ports` with `mode: host`); None: any free one."""
    entrypoint: tuple[str, ...] | None = None
    """None: the image's own. Otherwise `command` of the specification begins with it."""
    working_dir: str = ""
    """Absolute path in the container; empty: the image's own."""
    user: str = ""
    read_only: bool = False
    cap_add: tuple[str, ...] = ()
    """Every capability is dropped but these."""
    init: bool = False
    pids_limit: int = 0
    """Most processes and threads; 0: the engine's own bound."""
    mounts: tuple[Mount, ...] = ()
    secrets: tuple[SecretFile, ...] = ()
    logs: LogOptions = LogOptions()
    extra_hosts: tuple[tuple[str, str], ...] = field(default=())
    """Names and their addresses for the container's hosts file."""
