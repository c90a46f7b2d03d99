"""What `dcp.yaml` becomes: frozen values that are passed down. No global holds them."""

from dataclasses import dataclass

from dcp.engine.settings import EngineSettings
from dcp.hosts.model import HostType, SourceKind


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


Source = PrivateSource | FakeCloudSource


@dataclass(frozen=True, slots=True)
class BalancerSettings:
    """The proxy: which driver, its own port (None: a free one), and how many threads carry requests."""

    kind: str = "envoy"
    admin_port: int | None = None
    workers: int = 1


@dataclass(frozen=True, slots=True)
class RuntimeSettings:
    """The runtime: which driver, the ports that instances get (both included), and below which control group."""

    kind: str = "process"
    ports: tuple[int, int] = (20000, 29999)
    cgroup_parent: str = "dcp"


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that `dcp serve` can be told by a file."""

    engine: EngineSettings
    sources: tuple[Source, ...]
    """In the order in which they are used."""
    balancer: BalancerSettings = BalancerSettings()
    runtime: RuntimeSettings = RuntimeSettings()
