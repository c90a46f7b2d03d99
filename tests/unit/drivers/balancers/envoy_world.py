"""Balancers `envoy` for tests, each as a controller would make it over a directory and the store beside it."""

from pathlib import Path

from dcp.drivers.balancers.envoy import EnvoyBalancer, EnvoyOptions
from dcp.kernel.clock import SystemClock
from dcp.store.database import ThreadedDatabase, open_database
from dcp.store.edge import StoredEdge


class World:
    """Makes balancers and closes what they hold in this process; the proxy is ended by whoever asks for it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._made: list[tuple[EnvoyBalancer, ThreadedDatabase]] = []

    def controller(self, options: EnvoyOptions | None = None) -> EnvoyBalancer:
        clock = SystemClock()
        database = open_database(f"sqlite:///{self.directory}/store.sqlite")
        made = EnvoyBalancer(self.directory, clock, StoredEdge(database, clock), options)
        self._made.append((made, database))
        return made

    async def close(self) -> None:
        for balancer, database in self._made:
            await balancer.aclose()
            database.close()
