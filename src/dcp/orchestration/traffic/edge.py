"""What all proxies of an edge are told together, and which of them are counted on.

A **revision** numbers every change of routes or endpoints. A proxy that is **counted** has had a full state and its
acknowledgement is waited for; one that is **away** is not, until it has taken over the present state again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from dcp.orchestration.services.model import ServiceKey
from dcp.orchestration.traffic.model import Endpoint, Route


@dataclass(frozen=True, slots=True)
class Told:
    """The endpoints of one service, since which revision, and the highest lease token that set them."""

    revision: int
    fence: int
    endpoints: tuple[Endpoint, ...]


@dataclass(frozen=True, slots=True)
class EdgeProxy:
    """One proxy that runs elsewhere, as the controllers see it since `changed_at`."""

    node: str
    counted: bool
    changed_at: float
    words: str = ""


@dataclass(frozen=True, slots=True)
class EdgeState:
    """All of it at one moment. `stopped`: the proxies must not listen, whatever the routes."""

    revision: int = 0
    stopped: bool = False
    routes: tuple[Route, ...] = ()
    endpoints: Mapping[ServiceKey, Told] = field(default_factory=dict)
    proxies: tuple[EdgeProxy, ...] = ()

    def counted(self) -> frozenset[str]:
        """Return the nodes whose acknowledgement is waited for."""
        return frozenset(proxy.node for proxy in self.proxies if proxy.counted)
