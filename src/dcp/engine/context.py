"""What every worker of one controller shares: clock, store, drivers, settings."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import structlog
from sqlalchemy import Connection

from dcp.engine.images.sites import ImageSites
from dcp.engine.registry.tokens import TokenServer
from dcp.engine.settings import EngineSettings
from dcp.engine.sources.fleet import Fleets
from dcp.engine.wakes import Wakes
from dcp.engine.warming.parts import WarmingParts
from dcp.hosts.adding.ports import AddingParts
from dcp.hosts.boots import SpareSettings
from dcp.hosts.initialising import InitialiseLimits
from dcp.hosts.ports import HostSource, Initialiser
from dcp.kernel.clock import Clock
from dcp.orchestration.capacity.ports import Metrics
from dcp.orchestration.services.ports import FeatureSwitches, Runtimes
from dcp.orchestration.traffic.ports import Balancer
from dcp.store import leases
from dcp.store.database import Database
from dcp.store.leases import Lease

T = TypeVar("T")
log = structlog.get_logger("dcp")


@dataclass(slots=True)
class Context:
    """One controller's connections to everything outside itself."""

    controller_id: str
    clock: Clock
    database: Database
    runtimes: Runtimes
    balancer: Balancer
    sources: tuple[HostSource, ...]
    """In the order in which they are used: private ones first."""
    settings: EngineSettings
    token_server: TokenServer | None = None
    """None where nobody asks for tokens: in simulation."""
    images: ImageSites | None = None
    """The registries of the sites; None: no registry is configured."""
    warming: WarmingParts | None = None
    """None where instances have no images: nothing waits for any."""
    metrics: Metrics | None = None
    """None: no metrics server is configured, and no service may have signals."""
    features: FeatureSwitches | None = None
    """None: nobody tells instances what is off: in simulation."""
    initialiser: Initialiser | None = None
    """None where no source has bare hosts."""
    initialise_limits: InitialiseLimits = InitialiseLimits()
    adding: AddingParts | None = None
    """None where no machines can be added: instances run on this machine only."""
    spares: SpareSettings | None = None
    """Hosts beyond those wanted, because some fail and some are late; None: each instance waits for its own host."""
    wakes: Wakes = field(default_factory=Wakes)
    fleets: Fleets = field(default_factory=Fleets)
    unexpected: deque[Exception] = field(default_factory=lambda: deque(maxlen=100))
    """Errors of workers that are no DcpError: faults in our code, newest last."""

    def source(self, name: str) -> HostSource | None:
        """Return the source called `name`, if it is configured."""
        return next((source for source in self.sources if source.name == name), None)

    async def write_under(self, lease: Lease, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction that first checks that the lease is still ours. Raises LeaseLost."""

        def guarded(connection: Connection) -> T:
            leases.check(connection, lease, self.clock.now())
            return work(connection)

        return await self.database.write(guarded)
