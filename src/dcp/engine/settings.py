"""Everything the engine can be told, frozen. The file `dcp.yaml` is read elsewhere and becomes this."""

from dataclasses import dataclass

from dcp.hosts.clusters import Cluster, SourceAccess
from dcp.hosts.loans import Loan
from dcp.orchestration.discovery.model import Limits
from dcp.orchestration.scaling.model import Policy, Timing
from dcp.orchestration.services.addresses import AddressRange


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Limits and periods of one controller, in seconds of real time."""

    policy: Policy = Policy.GATED
    timing: Timing = Timing()
    lease_ttl_s: float = 6.0
    """A controller that does not renew for this long loses its subjects."""
    poll_s: float = 1.0
    """A worker looks at least this often, also when nothing woke it."""
    busy_poll_s: float = 0.2
    """A worker with work under way looks this often."""
    drain_limit_s: float = 30.0
    """Requests in flight at a leaving instance are waited for this long at most."""
    boot_limit_s: float = 900.0
    """A host that does not run after this time is given up and replaced."""
    lost_after_s: float = 10.0
    """A host that its source does not show for this long is lost."""
    unreachable_after_s: float = 5.0
    """An engine that is silent for this long makes its host unreachable."""
    engine_lost_after_s: float = 300.0
    """A host whose engine is silent for this long is lost; its instances are replaced elsewhere."""
    stock_memory_s: float = 120.0
    """A source that was out of a host type in one place is not asked for it there again for this long."""
    quota_memory_s: float = 300.0
    """A source whose quota of a host type was used up is not asked for it again for this long."""
    denied_memory_s: float = 3600.0
    """A source that denied us something is not asked for hosts again for this long."""
    shown_within_s: float = 120.0
    """A host that its source accepted and does not show for this long is given up."""
    delete_again_s: float = 10.0
    """A host that its source still shows is given back again after this long."""
    leak_grace_s: float = 60.0
    """A machine of ours that the ledger does not know is reported at once and taken back after this long."""
    initialise_limit_s: float = 1800.0
    """A host that is not ready this long after it ran is given up."""
    suspect_for_s: float = 300.0
    """Failures of instances on a host count against it for this long."""
    listen_ports: tuple[int, int] = (18000, 18999)
    """Range of ports for services that publish none."""
    listen_address: str = "127.0.0.1"
    advertise_address: str = ""
    """Where instances on other hosts reach the balancer; empty: at `listen_address`."""
    site_addresses: tuple[tuple[str, str], ...] = ()
    """The same for each site that has a balancer of its own: (site, address)."""
    underlay: tuple[AddressRange, ...] = ()
    """Addresses of each site's network for instances with network mode `underlay`; empty: there is none."""
    discovery: Limits | None = None
    """How fast published entries may be taken away; None: nothing is published."""
    keep_history_s: float = 7 * 86400.0
    """Ended instances and old plans are kept this long."""
    keep_events: int = 200_000
    """The last so many events are kept."""
    keep_samples_s: float = 7200.0
    cost_every_s: float = 60.0
    """What hosts cost is entered this often."""
    cost_lag_s: float = 5.0
    """Up to this long ago: what began later may not be written yet."""
    seed: int = 0
    """Breaks ties between equal hosts."""
    placements_at_once: int = 2000
    """Instances placed in one transaction at most; a plan with more is written in parts."""
    moves_at_once: int = 10
    """Instances of an application that go home from cloud hosts at the same time, at most."""
    parallel_calls: int = 32
    """Driver calls that one worker has under way at most."""

    clusters: tuple[Cluster, ...] = ()
    """Bounds of clusters; one that is not named has none."""
    access: tuple[SourceAccess, ...] = ()
    """Which clusters may use which source, and how much; a source that is not named is open to all."""
    loans: tuple[tuple[str, Loan], ...] = ()
    """Hours at which hosts of a source are ours."""

    def cluster(self, name: str) -> Cluster | None:
        """Return the bounds of a cluster, if it has any."""
        return next((cluster for cluster in self.clusters if cluster.name == name), None)

    def service_address(self, site: str = "") -> str:
        """Return where an instance of `site` reaches every service."""
        here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.listen_address, self.listen_address)
        return dict(self.site_addresses).get(site) or self.advertise_address or here
