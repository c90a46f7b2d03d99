"""What this driver reads of the settings of a runtime, so that it need not import them."""

from typing import Protocol


class TlsChoice(Protocol):
    """PEM files."""

    @property
    def ca(self) -> str: ...
    @property
    def cert(self) -> str: ...
    @property
    def key(self) -> str: ...


class UnderlayChoice(Protocol):
    """The site's own network; `subnets` are (site, network as CIDR, gateway)."""

    @property
    def driver(self) -> str: ...
    @property
    def parent(self) -> str: ...
    @property
    def subnets(self) -> tuple[tuple[str, str, str], ...]: ...


class Choices(Protocol):
    """See RuntimeSettings."""

    @property
    def ports(self) -> tuple[int, int]: ...
    @property
    def owner(self) -> str: ...
    @property
    def calls_per_host(self) -> int: ...
    @property
    def tls(self) -> TlsChoice | None: ...
    @property
    def underlay(self) -> UnderlayChoice | None: ...
