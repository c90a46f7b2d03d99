"""What the driver is told once, at its start."""

from dataclasses import dataclass, field
from pathlib import Path

EMBEDDED = "embedded"
"""The node of the proxy that dcp starts itself."""


@dataclass(frozen=True, slots=True)
class RemoteProxy:
    """A proxy that an operator runs. It listens for all services on `listen_address`, and answers controllers on
    `status_port` of `status_address` and the port after it."""

    node: str
    listen_address: str
    status_address: str
    status_port: int
    workers: int = 1


@dataclass(frozen=True, slots=True)
class ListenerTls:
    """PEM files for the routes that listen on `port`."""

    port: int
    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class EnvoyOptions:
    """`admin_port` None: any free port. `workers` are the threads of the embedded proxy: one carries some ten thousand
    requests a second; both count from its next start. `controllers` is where proxies elsewhere find controllers."""

    admin_port: int | None = None
    workers: int = 1
    embedded: bool = True
    proxies: tuple[RemoteProxy, ...] = ()
    listen: tuple[str, int] = ("0.0.0.0", 18600)
    controllers: tuple[tuple[str, int], ...] = ()
    authority: tuple[Path, Path] | None = None
    """Certificate and key; None: made in the state directory."""
    away_after_s: float = 10.0
    tls: tuple[ListenerTls, ...] = field(default=())

    def remote(self, node: str) -> RemoteProxy | None:
        return next((proxy for proxy in self.proxies if proxy.node == node), None)
