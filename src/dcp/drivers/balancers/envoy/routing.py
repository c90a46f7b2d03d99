"""Routes in force: every proxy listens on each of them, or says which address it cannot have."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from dcp.drivers.balancers.envoy.bootstrap import OWN
from dcp.drivers.balancers.envoy.counters import read_refusals
from dcp.drivers.balancers.envoy.documents import Certificate
from dcp.drivers.balancers.envoy.fleet import Fleet
from dcp.drivers.balancers.envoy.options import EMBEDDED, EnvoyOptions, ListenerTls
from dcp.drivers.balancers.envoy.resources import routes_at
from dcp.drivers.balancers.envoy.server import Connected, XdsServer
from dcp.drivers.balancers.envoy.status import Status
from dcp.drivers.balancers.listening import address_text, is_free, listens
from dcp.drivers.balancers.waiting import wait_until
from dcp.kernel.clock import Clock
from dcp.kernel.errors import DriverError, Unavailable
from dcp.orchestration.traffic.edge import EdgeState
from dcp.orchestration.traffic.model import Route

_ROUTE_S = 0.02
"""A proxy has so much more time for each route: a thousand new ones take seconds."""
_LISTEN_S = 5.0


class Routing:
    """Waits for routes, and has proxies try again what another program was in the way of."""

    def __init__(self, server: XdsServer, fleet: Fleet, options: EnvoyOptions) -> None:
        self._server = server
        self._fleet = fleet
        self._options = options

    async def in_force(self, state: EdgeState) -> None:
        """Return when all proxies listen as the state says. Unavailable: some address cannot be had."""
        self._retry_free()
        self._server.retry_refused(lambda node: node != EMBEDDED)
        refused: dict[str, tuple[Route, str]] = {}
        more_s = _ROUTE_S * len(state.routes)
        await self._fleet.accepted(*self._conditions(state, refused), "its routes", more_s)
        _raise_unbound(refused)

    async def embedded_in_force(self, state: EdgeState) -> None:
        """Return when the embedded proxy listens as the state says, or has refused. DriverError: it does neither."""
        self._retry_free()
        if not await self._fleet.embedded_accepted(*self._conditions(state, {}), _ROUTE_S * len(state.routes)):
            raise DriverError("the proxy runs but has not taken over its routes")

    async def embedded_listens(self, state: EdgeState, clock: Clock) -> None:
        """Return when the embedded proxy takes connections on all it did not refuse. DriverError: it does not."""
        here = self._server.connected(EMBEDDED)
        refused = here.session.refusals() if here is not None else {}
        left = [route for route in self._at(EMBEDDED, state) if _address(route) not in refused]

        async def all_listen() -> bool:
            while left and await listens(left[-1].listen_address, left[-1].listen_port):
                left.pop()
            return not left

        if not await wait_until(clock, all_listen, _LISTEN_S):
            raise DriverError(f"the proxy runs but does not listen on {_address(left[-1])}")

    def _conditions(
        self, state: EdgeState, refused: dict[str, tuple[Route, str]]
    ) -> tuple[Callable[[Connected], bool], Callable[[str, Status], Awaitable[bool]]]:
        """Return when a proxy that is connected here, and one that is not, has taken over the routes."""

        def connected(here: Connected) -> bool:
            wanted = self._server.wanted(here.node)
            if wanted is None or wanted.revision < state.revision or not here.session.settled(wanted):
                return False
            self._note(refused, self._at(here.node, state), here.session.refusals(), here.node)
            return True

        async def elsewhere(node: str, status: Status) -> bool:
            listening = {name for name in await status.listeners() if not name.startswith(OWN)}
            addresses = {_address(route) for route in self._at(node, state)}
            missing = addresses - listening
            if missing:
                dump = await status.json("/config_dump", resource="dynamic_listeners")
                words = {name: why for name, why in read_refusals(dump).items() if name in missing}
                self._note(refused, self._at(node, state), words, node)
                missing -= words.keys()
            return not missing and listening <= addresses

        return connected, elsewhere

    def _retry_free(self) -> None:
        """Have the embedded proxy try again what it refused and could have now.

        Trying again is of no use while the port is taken, and fills the proxy's log.
        """
        here = self._server.connected(EMBEDDED)
        refused = here.session.refusals() if here is not None else {}
        if any(is_free(*_parts(name)) for name in refused if ":" in name):
            self._server.retry_refused(lambda node: node == EMBEDDED)

    def _at(self, node: str, state: EdgeState) -> tuple[Route, ...]:
        if state.stopped:
            return ()
        remote = self._options.remote(node)
        return routes_at(state.routes, remote.listen_address if remote is not None else None)

    def _note(
        self, refused: dict[str, tuple[Route, str]], routes: Sequence[Route], words: Mapping[str, str], node: str
    ) -> None:
        for route in routes:
            why = words.get(_address(route))
            if why is not None:
                where = "" if node == EMBEDDED else f" of proxy {node}"
                refused[_address(route)] = (route, _reason(why, _address(route)) + where)


def read_certificates(tls: Sequence[ListenerTls]) -> dict[int, Certificate]:
    """Return the certificates by listen port. Unavailable: a file cannot be read."""
    return {one.port: Certificate(_read(one.certificate), _read(one.key)) for one in tls}


def _raise_unbound(refused: Mapping[str, tuple[Route, str]]) -> None:
    if not refused:
        return
    words = [f"port {r.listen_port} on {r.listen_address} for {r.service}: {why}" for r, why in refused.values()]
    port = next(iter(refused.values()))[0].listen_port
    hint = f"find what listens there with: ss -ltnp 'sport = :{port}', or choose another port"
    raise Unavailable("the proxy cannot listen on " + "; ".join(words), hint=hint)


def _reason(words: str, name: str) -> str:
    """Return what a proxy says of one listener, of words that may speak of several."""
    own = next((part for part in words.split(", ") if name in part), words)
    return own.rpartition(": ")[2].strip() if "cannot bind" in own else own


def _parts(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _address(route: Route) -> str:
    return address_text(route.listen_address, route.listen_port)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Unavailable(f"the certificate or key {path} cannot be read: {error}", hint="see balancer.tls") from error
