"""What `dcp.yaml` becomes: frozen values that are passed down. No global holds them."""

from dataclasses import dataclass

from dcp.drivers.clouds.accounts import Account
from dcp.drivers.clouds.template import Template
from dcp.drivers.initialisers.ansible.playbook import AnsibleChoice
from dcp.engine.registry.settings import AccessSettings
from dcp.engine.settings import EngineSettings
from dcp.hosts.boots import SpareSettings
from dcp.hosts.initialising import InitialiseLimits
from dcp.hosts.loans import Loan
from dcp.hosts.model import HostType, SourceKind
from dcp.images.model import Site
from dcp.images.replication.model import ImageLimits
from dcp.images.warming.model import WarmingSettings


@dataclass(frozen=True, slots=True)
class PrivateSource:
    """`hosts` hosts of one type that are ours anyway."""

    name: str
    host_type: HostType
    hosts: int
    kind = SourceKind.PRIVATE


@dataclass(frozen=True, slots=True)
class FakeCloudSource:
    """A cloud that exists only here. `stock`: hosts at once by type name; a type that is not named has no bound."""

    name: str
    types: tuple[HostType, ...]
    stock: tuple[tuple[str, int], ...] = ()
    kind = SourceKind.CLOUD


@dataclass(frozen=True, slots=True)
class EngineHostSettings:
    """A host that runs a container engine: the engine's URL, and where its instances are reached."""

    name: str
    engine: str
    address: str
    host_type: HostType


@dataclass(frozen=True, slots=True)
class EnginesSourceSettings:
    """Hosts with container engines. `kind` says whether they are ours or rented: rented ones are used last."""

    name: str
    hosts: tuple[EngineHostSettings, ...]
    kind: SourceKind = SourceKind.PRIVATE


@dataclass(frozen=True, slots=True)
class StaticSource:
    """Machines that are there, come bare, and answer over SSH at `port`."""

    name: str
    hosts: tuple[EngineHostSettings, ...]
    port: int = 22
    kind = SourceKind.PRIVATE


@dataclass(frozen=True, slots=True)
class CloudSource:
    """A cloud account: which driver, which machines where, and what that kind of account is told."""

    driver: str
    template: Template
    account: Account
    kind = SourceKind.CLOUD

    @property
    def name(self) -> str:
        return self.template.name


Source = PrivateSource | FakeCloudSource | EnginesSourceSettings | StaticSource | CloudSource


@dataclass(frozen=True, slots=True)
class EdgeProxySettings:
    """A proxy that an operator runs: where it listens for all services, and where controllers ask it."""

    name: str
    listen_address: str
    status: tuple[str, int]
    workers: int = 1


@dataclass(frozen=True, slots=True)
class XdsSettings:
    """Where controllers answer proxies, where those find them, and who signs the certificates of both.

    `authority`: files of certificate and key; None: made in the state directory.
    """

    listen: tuple[str, int] = ("0.0.0.0", 18600)
    addresses: tuple[tuple[str, int], ...] = ()
    authority: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class ListenerTlsSettings:
    """PEM files for the service that listens on `port`."""

    port: int
    cert: str
    key: str


@dataclass(frozen=True, slots=True)
class BalancerSettings:
    """The proxy: which driver, its own port (None: a free one), and how many threads carry requests.

    For `haproxy`: the program (None: the installed one), and how long a replaced process may finish what it has.
    """

    kind: str = "envoy"
    admin_port: int | None = None
    workers: int = 1
    binary: str | None = None
    hard_stop_after_s: float = 300.0
    embedded: bool = True
    """Whether a proxy runs beside the controller."""
    proxies: tuple[EdgeProxySettings, ...] = ()
    """Proxies that run elsewhere."""
    xds: XdsSettings = XdsSettings()
    proxy_away_after_s: float = 10.0
    tls: tuple[ListenerTlsSettings, ...] = ()


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: who signed the other side's certificate, our certificate, and its key."""

    ca: str
    cert: str
    key: str


@dataclass(frozen=True, slots=True)
class UnderlaySettings:
    """The site's own network for instances with network mode `underlay`."""

    driver: str
    """`macvlan` or `ipvlan`."""
    parent: str
    """The host's interface on that network."""
    subnets: tuple[tuple[str, str, str], ...]
    """For each site: (site, network as CIDR, gateway). The site "" is for hosts without one."""


@dataclass(frozen=True, slots=True)
class RuntimeSettings:
    """The runtime: which driver, the ports that instances get (both included), and below which control group."""

    kind: str = "process"
    ports: tuple[int, int] = (20000, 29999)
    cgroup_parent: str = "dcp"
    owner: str = ""
    """Containers carry it as a label, and those that carry it are ours; empty: made up once and kept with the state."""
    calls_per_host: int = 8
    tls: TlsFiles | None = None
    """For engines over TCP; None: those refuse unless they are open to everybody."""
    underlay: UnderlaySettings | None = None


@dataclass(frozen=True, slots=True)
class SiteSettings:
    """One site's registry: which driver, and who dcp is to it. The password stays in its file until it is used."""

    site: Site
    kind: str = "distribution"
    username: str = ""
    password_file: str = ""
    ca: str = ""


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """The one registry name and the sites that answer to it; without a name there is no registry."""

    name: str = ""
    sites: tuple[SiteSettings, ...] = ()
    limits: ImageLimits = ImageLimits()


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """The server that is asked for signals."""

    url: str = ""
    """Empty: there is none."""
    token_file: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that `dcp serve` can be told by a file."""

    engine: EngineSettings
    sources: tuple[Source, ...]
    """In the order in which they are used."""
    loans: tuple[tuple[str, Loan], ...] = ()
    """Sources whose hosts are ours only at certain hours, by name."""
    balancer: BalancerSettings = BalancerSettings()
    runtime: RuntimeSettings = RuntimeSettings()
    registry: RegistrySettings = RegistrySettings()
    access: AccessSettings = AccessSettings()
    discovery_token_file: str = ""
    """Holds a token that opens nothing but discovery; empty: there is none."""
    warming: WarmingSettings = WarmingSettings()
    mirror_command: tuple[str, ...] = ("dcp", "mirror")
    """What is run in the mirror image."""
    initialise: AnsibleChoice = AnsibleChoice()
    initialise_limits: InitialiseLimits = InitialiseLimits()
    metrics: MetricsSettings = MetricsSettings()
    spares: SpareSettings | None = None
    """None: hosts beyond those wanted are never asked for."""

    @property
    def takes_machines(self) -> bool:
        """Whether people may add machines: what runs there are containers."""
        return self.runtime.kind == "docker"

    @property
    def named_addresses(self) -> tuple[tuple[str, str], ...]:
        """Return the addresses of machines that the file names, each with the name of its source."""
        return tuple(
            (host.address, source.name)
            for source in self.sources
            if isinstance(source, StaticSource | EnginesSourceSettings)
            for host in source.hosts
        )

    @property
    def has_bare_hosts(self) -> bool:
        """Whether some source gives hosts that have to be initialised."""
        return any(
            isinstance(one, StaticSource)
            or (isinstance(one, CloudSource) and any(machine.host_type.initialise for machine in one.template.types))
            for one in self.sources
        )
