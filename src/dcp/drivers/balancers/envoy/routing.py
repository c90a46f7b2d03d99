"""How the routes change: clusters first, then listeners, then the clusters that nobody needs any more.

A listener whose cluster is unknown would be refused, and a cluster that goes while its listener is there would fail
requests. Envoy applies what it can of a file of listeners: one taken port leaves the other routes alone.
"""

import socket
from collections.abc import Mapping, Sequence

from dcp.drivers.balancers.envoy import documents, watches
from dcp.drivers.balancers.envoy.admin import Admin, wait_until
from dcp.drivers.balancers.envoy.counters import read_refusals
from dcp.drivers.balancers.envoy.directory import BalancerDirectory
from dcp.drivers.balancers.envoy.documents import Document
from dcp.kernel.clock import Clock
from dcp.kernel.errors import DriverError, Rejected, Unavailable
from dcp.orchestration.traffic.model import Route

ACKNOWLEDGE_BOUND_S = 5.0
_LISTENERS, _CLUSTERS = "listener_manager.lds", "cluster_manager.cds"


class Routing:
    """Applies routes to the directory's files and waits for the proxy. The caller has routes.lock."""

    def __init__(self, directory: BalancerDirectory, admin: Admin, clock: Clock) -> None:
        self._directory = directory
        self._admin = admin
        self._clock = clock

    async def apply(self, routes: Sequence[Route]) -> None:
        """Make the routes exactly these; raises what `Balancer.set_routes` does."""
        check_distinct(routes)
        listeners = [documents.listener(route) for route in routes]
        services = sorted({route.service for route in routes}, key=str)
        clusters = [documents.cluster(service, self._directory.endpoints_path(service)) for service in services]
        if await self._told_already(listeners, clusters):
            return
        for service in services:
            self._directory.prepare_endpoints(service)
        await self._apply_clusters([*clusters, *self._leaving(clusters)])
        try:
            await self._apply_listeners(listeners, routes)
        finally:
            await self._apply_clusters(clusters)

    async def settle(self) -> None:
        """Ask again for listeners that the proxy could not open when it was started."""
        version, listeners = self._directory.resources(self._directory.listeners)
        if await self._admin.version(_LISTENERS) != str(version):
            await self._apply_listeners(listeners, self._directory.routes())

    async def in_force(self) -> bool:
        """Return whether the proxy listens on all routes that were set last."""
        version, _ = self._directory.resources(self._directory.listeners)
        return await self._admin.version(_LISTENERS) == str(version)

    async def _told_already(self, listeners: list[Document], clusters: list[Document]) -> bool:
        for path, wanted, subject in (
            (self._directory.listeners, listeners, _LISTENERS),
            (self._directory.clusters, clusters, _CLUSTERS),
        ):
            version, stored = self._directory.resources(path)
            if stored != wanted or await self._admin.version(subject) != str(version):
                return False
        return True

    def _leaving(self, clusters: list[Document]) -> list[Document]:
        """Return the clusters that the proxy has and that no route needs any more."""
        staying = {cluster["name"] for cluster in clusters}
        return [old for old in self._directory.resources(self._directory.clusters)[1] if old["name"] not in staying]

    async def _apply_clusters(self, clusters: list[Document]) -> None:
        version, stored = self._directory.resources(self._directory.clusters)
        if stored != clusters:
            watches.check_room(len({c["name"] for c in clusters} - {c["name"] for c in stored}))
            version = self._directory.write_resources(self._directory.clusters, clusters)
        if not await self._taken_over(_CLUSTERS, version):
            refused = read_refusals(await self._admin.json("/config_dump", resource="dynamic_active_clusters"))
            raise DriverError(f"the proxy did not take over its clusters: {_listed(refused) or 'no answer'}")

    async def _apply_listeners(self, listeners: list[Document], routes: Sequence[Route]) -> None:
        if self._directory.resources(self._directory.listeners)[1] == listeners:
            # Told before and refused. Trying again is of no use while the port is taken, and fills the proxy's log.
            _raise_unbound({name: why for name, why in (await self._refused()).items() if not is_free(name)}, routes)
        rejected = f"{_LISTENERS}.update_rejected"
        pattern = "^" + rejected.replace(".", "[.]") + "$"
        before = (await self._admin.numbers(pattern)).get(rejected, 0)
        version = self._directory.write_resources(self._directory.listeners, listeners)

        async def decided() -> bool:
            if await self._admin.version(_LISTENERS) == str(version):
                return True
            return (await self._admin.numbers(pattern)).get(rejected, 0) > before

        if not await wait_until(self._clock, decided, ACKNOWLEDGE_BOUND_S):
            raise DriverError(f"the proxy has not taken over its routes in {ACKNOWLEDGE_BOUND_S:g} s")
        if await self._admin.version(_LISTENERS) != str(version):
            refused = await self._refused()
            _raise_unbound(refused, routes)
            raise DriverError(f"the proxy refused its routes: {_listed(refused)}")

    async def _refused(self) -> dict[str, str]:
        return read_refusals(await self._admin.json("/config_dump", resource="dynamic_listeners"))

    async def _taken_over(self, subject: str, version: int) -> bool:
        async def taken_over() -> bool:
            return await self._admin.version(subject) == str(version)

        return await wait_until(self._clock, taken_over, ACKNOWLEDGE_BOUND_S)


def check_distinct(routes: Sequence[Route]) -> None:
    """Raise Rejected if two routes have the same address or the same service."""
    for words, keys in (
        ("address", [documents.address_text(route.listen_address, route.listen_port) for route in routes]),
        ("service", [str(route.service) for route in routes]),
    ):
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise Rejected(f"two routes have the same {words}: {', '.join(twice)}")


def _raise_unbound(refused: Mapping[str, str], routes: Sequence[Route]) -> None:
    """Raise Unavailable if a listener was refused because its address cannot be had."""
    words, hint = [], ""
    for route in routes:
        why = refused.get(documents.address_text(route.listen_address, route.listen_port), "")
        if "cannot bind" in why:
            reason = why.rpartition(": ")[2]
            words.append(f"port {route.listen_port} on {route.listen_address} for {route.service}: {reason}")
            hint = f"find what listens there with: ss -ltnp 'sport = :{route.listen_port}', or choose another port"
    if words:
        raise Unavailable("the proxy cannot listen on " + "; ".join(words), hint=hint)


def is_free(address: str) -> bool:
    """Return whether `address:port` could be bound now."""
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    try:
        with socket.socket(family) as attempt:
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            attempt.bind((host.strip("[]"), int(port)))
    except OSError:
        return False
    return True


def _listed(refused: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {why}" for name, why in sorted(refused.items()))
