"""What dcp asks of a balancer."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from dcp.orchestration.services.model import ServiceKey
from dcp.orchestration.traffic.edge import EdgeState
from dcp.orchestration.traffic.model import Endpoint, EndpointStatus, Route, Traffic


class Balancer(Protocol):
    """Spreads the requests of each service over its endpoints. Every call may raise DriverError.

    The proxy outlives the controller and keeps serving while no controller runs.
    """

    async def ensure_running(self) -> None:
        """Start the proxy if it does not run, adopt it if it does. Routes and endpoints set before are kept."""
        ...

    async def set_routes(self, routes: tuple[Route, ...]) -> None:
        """Make the routes exactly these, without touching connections of routes that stay. Idempotent.

        Returns when the proxy listens on every one. Unavailable: a listen port is taken by somebody else.
        """
        ...

    async def set_endpoints(self, service: ServiceKey, endpoints: tuple[Endpoint, ...], fence: int) -> None:
        """Make the endpoints of one service exactly these. Idempotent; returns when the proxy has acknowledged them.

        After return no new request goes to an endpoint that is draining or absent.
        `fence` is the caller's lease token: a call with a lower one than was seen before raises LeaseLost and
        changes nothing.
        """
        ...

    async def endpoints(self, service: ServiceKey) -> tuple[EndpointStatus, ...]:
        """Return what the proxy itself has for the service now, draining ones included."""
        ...

    async def traffic(self) -> Mapping[ServiceKey, Traffic]:
        """Return the counters of every route. A service that is absent was not counted."""
        ...

    async def stop(self) -> None:
        """End the proxy; open requests are cut. Absent is success."""
        ...


@runtime_checkable
class PortProbe(Protocol):
    """A balancer that can tell before it is told to listen whether it could. Not every balancer can."""

    def can_listen(self, address: str, port: int) -> bool:
        """Return whether nobody else has the port now. Returns at once; never raises."""
        ...


@runtime_checkable
class Opening(Protocol):
    """A balancer whose proxies turn to the controller by themselves: it answers them from `open` on."""

    async def open(self) -> None:
        """Begin to answer proxies. Idempotent. Unavailable: its port is taken."""
        ...


class EdgeLedger(Protocol):
    """Where a balancer with many proxies keeps what they are told, so that every controller tells them the same.

    Every call may raise Unavailable; changes by two callers are ordered one after the other.
    """

    async def revision(self) -> int:
        """Return the present revision; cheap."""
        ...

    async def counted(self) -> frozenset[str]:
        """Return the nodes that are counted on now; cheap."""
        ...

    async def load(self, known: EdgeState | None = None) -> EdgeState:
        """Return everything, as of one moment; only what changed since `known` is read."""
        ...

    async def set_routes(self, routes: tuple[Route, ...]) -> int:
        """Replace the routes and return the revision that has them; the same routes change nothing."""
        ...

    async def set_stopped(self, stopped: bool) -> int:
        """Say whether proxies may listen, and return the revision that says so."""
        ...

    async def set_endpoints(self, service: ServiceKey, endpoints: tuple[Endpoint, ...], fence: int) -> int:
        """Replace the endpoints and return their revision; the same endpoints keep theirs.

        LeaseLost: a higher fence was seen before; nothing was changed.
        """
        ...

    async def count(self, node: str, revision: int) -> bool:
        """Count on a proxy that has taken over `revision`; False, and nothing, if that is not the present one."""
        ...

    async def discount(self, node: str, words: str) -> None:
        """Count on a proxy no longer; `words` say why. Idempotent."""
        ...
