"""The form of `dcp.yaml`: every key with its default, its unit (the end of its name) and its bounds.

`docs/dcp.yaml` is the same, for people; a test keeps the two alike.
"""

import ipaddress
import math
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from dcp.engine.registry.settings import AccessSettings
from dcp.engine.settings import EngineSettings
from dcp.hosts.adding.model import SOURCE as ADDED
from dcp.hosts.model import Billing
from dcp.orchestration.discovery.model import Limits
from dcp.orchestration.scaling.model import Policy, Timing
from dcp.settings.clouds import ACCOUNT_KINDS, AccountForm
from dcp.settings.clusters import ClusterForm
from dcp.settings.initialise import InitialiseForm, StaticForm
from dcp.settings.loans import LentForm
from dcp.settings.model import BalancerSettings, RuntimeSettings
from dcp.settings.registry import RegistryForm
from dcp.settings.spares import SparesForm
from dcp.settings.values import (
    LABEL,
    Clusters,
    Cpus,
    Labels,
    Memory,
    MinimumSeconds,
    Name,
    Price,
    Sized,
    SourceQuota,
    cpu_millis,
    memory_bytes,
    refuse_twice,
)
from dcp.settings.warming import WarmingForm

_ENGINE = EngineSettings()
_LIMITS = Limits()
_TIMING = Timing()
_ACCESS = AccessSettings()
_RUNTIME = RuntimeSettings()
_BALANCER = BalancerSettings()
_HAPROXY_THREADS = 64
_RANGE = re.compile(r"\s*(\d{1,5})\s*-\s*(\d{1,5})\s*")
ENGINE = re.compile(r"unix:///\S+|tcp://[^\s/:]+:\d{1,5}|tcp://\[[0-9a-fA-F:]+\]:\d{1,5}|ssh://\S+")


def _host_and_port(value: Any) -> Any:
    if isinstance(value, tuple):
        return value
    host, _, port = str(value).rpartition(":")
    if not (host and port.isdigit() and 1 <= int(port) <= 65534):
        raise ValueError("is not an address with a port, such as 10.1.0.21:9901")
    return host.strip("[]"), int(port)


def _port_range(value: Any) -> Any:
    if isinstance(value, tuple):
        return value
    match = _RANGE.fullmatch(value) if isinstance(value, str) else None
    if match is None or not 1 <= int(match[1]) <= int(match[2]) <= 65535:
        raise ValueError("not a range of ports such as 18000-18999")
    return int(match[1]), int(match[2])


def _rising_to_one(shares: list[float]) -> list[float]:
    if not shares or sorted(set(shares)) != shares or shares[0] <= 0 or shares[-1] != 1:
        raise ValueError("must rise from above 0 to 1")
    return shares


Seconds = Annotated[float, Field(gt=0, le=366 * 86400, allow_inf_nan=False)]
PortRange = Annotated[tuple[int, int], BeforeValidator(_port_range)]
Address = Annotated[tuple[str, int], BeforeValidator(_host_and_port)]
IpAddress = Annotated[str, AfterValidator(lambda value: str(ipaddress.ip_address(value)))]
Port = Annotated[int, Field(ge=1, le=65535)]
CpusOrAuto = Annotated[int | None, BeforeValidator(lambda value: None if value == "auto" else cpu_millis(value))]
MemoryOrAuto = Annotated[int | None, BeforeValidator(lambda value: None if value == "auto" else memory_bytes(value))]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TimingForm(_Form):
    """The windows of scaling before `time_scale` divides them."""

    sample_s: Seconds = _TIMING.sample_s
    samples: Annotated[int, Field(ge=1, le=60)] = _TIMING.samples
    agree: Annotated[int, Field(ge=1, le=60)] = _TIMING.agree
    growth_ratio: Annotated[float, Field(gt=1, le=100)] = _TIMING.growth_ratio
    catch_up_s: Seconds = _TIMING.catch_up_s
    shrink_after_s: Seconds = _TIMING.shrink_after_s
    shrink_every_s: Seconds = _TIMING.shrink_every_s
    release_shares: Annotated[list[float], AfterValidator(_rising_to_one)] = list(_TIMING.release_shares)
    host_linger_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = _TIMING.host_linger_s

    @model_validator(mode="after")
    def _agreement_is_possible(self) -> "TimingForm":
        if self.agree > self.samples:
            raise ValueError(f"agree is {self.agree}, but only {self.samples} samples are looked at")
        return self


class PrivateForm(_Form, Sized):
    """A private pool. `auto` shares this machine equally among `hosts` slices."""

    name: Name
    kind: Literal["private"]
    clusters: Clusters = Field(default_factory=list)
    quota: SourceQuota | None = None
    lent: LentForm | None = None
    hosts: Annotated[int, Field(ge=1, le=100_000)]
    cpus: CpusOrAuto = None
    memory: MemoryOrAuto = None
    price_usd_per_hour: Price = 0.0
    labels: Labels = Field(default_factory=dict)


class TypeForm(_Form, Sized):
    """A type of host that a cloud has."""

    name: Name
    cpus: Cpus
    memory: Memory
    price_usd_per_hour: Price = 0.0
    billing: Billing = Billing.PER_SECOND
    minimum_s: MinimumSeconds = 60.0
    boot_s: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)] = 0.0
    stock: Annotated[int, Field(ge=0)] | None = None
    labels: Labels = Field(default_factory=dict)


class FakeCloudForm(_Form):
    """A cloud that exists only here."""

    name: Name
    kind: Literal["fake-cloud"]
    clusters: Clusters = Field(default_factory=list)
    quota: SourceQuota | None = None
    lent: LentForm | None = None
    types: Annotated[list[TypeForm], Field(min_length=1)]

    @model_validator(mode="after")
    def _types_differ(self) -> "FakeCloudForm":
        refuse_twice([one.name for one in self.types], "type")
        return self


def _engine_url(value: str) -> str:
    if not ENGINE.fullmatch(value):
        raise ValueError(
            "not the URL of an engine such as unix:///run/docker.sock, tcp://10.0.0.1:2376 or ssh://root@h1"
        )
    return value


class EngineHostForm(_Form, Sized):
    """A host that runs a container engine."""

    name: Name
    engine: Annotated[str, AfterValidator(_engine_url)]
    address: Annotated[str, Field(min_length=1)]
    cpus: Cpus
    memory: Memory
    site: Annotated[str, Field(pattern=LABEL)] | None = None
    price_usd_per_hour: Price = 0.0
    labels: Labels = Field(default_factory=dict)


class EnginesForm(_Form):
    """Hosts with container engines, named one by one."""

    name: Name
    kind: Literal["engines"]
    clusters: Clusters = Field(default_factory=list)
    quota: SourceQuota | None = None
    lent: LentForm | None = None
    billing: Literal["private", "cloud"] = "private"
    hosts: Annotated[list[EngineHostForm], Field(min_length=1)]

    @model_validator(mode="after")
    def _hosts_differ(self) -> "EnginesForm":
        refuse_twice([one.name for one in self.hosts], "host")
        refuse_twice([one.engine for one in self.hosts], "engine")
        return self


SourceForm = Annotated[
    PrivateForm | FakeCloudForm | EnginesForm | StaticForm | AccountForm, Field(discriminator="kind")
]
SOURCE_KINDS = frozenset({"private", "fake-cloud", "engines", "static"}) | ACCOUNT_KINDS


class EdgeProxyForm(_Form):
    """A proxy that runs elsewhere, known by its name."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$")]
    listen_address: IpAddress
    status: Address
    workers: Annotated[int, Field(ge=1, le=256)] = 1


class AuthorityForm(_Form):
    """PEM files of who signs the certificates of controllers and proxies."""

    cert: Annotated[str, Field(min_length=1)]
    key: Annotated[str, Field(min_length=1)]


class XdsForm(_Form):
    """How proxies elsewhere and controllers meet."""

    listen: Address = _BALANCER.xds.listen
    addresses: list[Address] = Field(default_factory=list)
    authority: AuthorityForm | None = None


class ListenerTlsForm(_Form):
    """PEM files for the service that listens on a port."""

    port: Port
    cert: Annotated[str, Field(min_length=1)]
    key: Annotated[str, Field(min_length=1)]


class BalancerForm(_Form):
    """Where and how the proxy listens."""

    kind: Literal["envoy", "haproxy"] = "envoy"
    listen_address: Annotated[str, Field(min_length=1)] = _ENGINE.listen_address
    advertise_address: str = _ENGINE.advertise_address
    site_addresses: dict[Annotated[str, Field(pattern=LABEL)], str] = Field(default_factory=dict)
    internal_ports: PortRange = _ENGINE.listen_ports
    admin_port: Port | None = None
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    binary: Annotated[str, Field(min_length=1)] | None = None
    hard_stop_after_s: Annotated[float, Field(ge=1, le=86400, allow_inf_nan=False)] = _BALANCER.hard_stop_after_s
    embedded: bool = _BALANCER.embedded
    proxies: list[EdgeProxyForm] = Field(default_factory=list)
    xds: XdsForm = XdsForm()
    proxy_away_after_s: Annotated[float, Field(ge=1, le=3600, allow_inf_nan=False)] = _BALANCER.proxy_away_after_s
    tls: list[ListenerTlsForm] = Field(default_factory=list)

    @model_validator(mode="after")
    def _keys_fit_the_kind(self) -> "BalancerForm":
        if self.kind == "haproxy" and self.admin_port is not None:
            raise ValueError("haproxy has no admin_port: it answers on a socket in the state directory")
        if self.kind == "haproxy" and self.workers > _HAPROXY_THREADS:
            raise ValueError(f"haproxy can have {_HAPROXY_THREADS} workers at most")
        if self.kind == "envoy" and self.binary is not None:
            raise ValueError("binary is for kind haproxy: envoy comes with dcp")
        if self.kind == "haproxy" and (self.proxies or self.tls or not self.embedded):
            raise ValueError("proxies, tls and embedded are for kind envoy")
        return self

    @model_validator(mode="after")
    def _proxies_can_be_told(self) -> "BalancerForm":
        refuse_twice([one.name for one in self.proxies], "proxy")
        refuse_twice([f"{host}:{port}" for host, port in (one.status for one in self.proxies)], "status address")
        refuse_twice([str(one.port) for one in self.tls], "certificate for port")
        if any(one.name == "embedded" for one in self.proxies):
            raise ValueError("embedded is the name of the proxy beside the controller; choose another")
        if self.proxies and not self.xds.addresses:
            raise ValueError("xds.addresses is missing: where the proxies find a controller")
        if not (self.embedded or self.proxies):
            raise ValueError("there is no proxy: embedded is false and proxies is empty")
        return self


class TlsForm(_Form):
    """PEM files: who signed the engines' certificates, our certificate, and its key."""

    ca: Annotated[str, Field(min_length=1)]
    cert: Annotated[str, Field(min_length=1)]
    key: Annotated[str, Field(min_length=1)]


class UnderlayNetworkForm(_Form):
    """The network of one site and the addresses of it that dcp may give to instances."""

    site: str = ""
    subnet: Annotated[str, Field(min_length=1)]
    gateway: str = ""
    first: Annotated[str, Field(min_length=1)]
    last: Annotated[str, Field(min_length=1)]

    @model_validator(mode="after")
    def _addresses_lie_in_the_subnet(self) -> "UnderlayNetworkForm":
        subnet = ipaddress.ip_network(self.subnet)
        first, last = ipaddress.ip_address(self.first), ipaddress.ip_address(self.last)
        if first not in subnet or last not in subnet or int(first) > int(last):
            raise ValueError(f"{self.first} to {self.last} is not a range of addresses in {self.subnet}")
        return self


class UnderlayForm(_Form):
    """The sites' own networks, for instances with network mode `underlay`."""

    driver: Literal["macvlan", "ipvlan"] = "macvlan"
    parent: Annotated[str, Field(min_length=1)]
    networks: Annotated[list[UnderlayNetworkForm], Field(min_length=1)]


class RuntimeForm(_Form):
    """What instances run in."""

    kind: Literal["process", "docker"] = "process"
    owner: Annotated[str, Field(pattern=r"^[a-z0-9-]{0,40}$")] = _RUNTIME.owner
    calls_per_host: Annotated[int, Field(ge=1, le=64)] = _RUNTIME.calls_per_host
    tls: TlsForm | None = None
    underlay: UnderlayForm | None = None
    ports: PortRange = _RUNTIME.ports
    cgroup_parent: Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*$")] = _RUNTIME.cgroup_parent


def _url(value: str) -> str:
    if value and not re.fullmatch(r"https?://[^\s/]+(/\S*)?", value):
        raise ValueError("not an address such as https://dcp.example.com")
    return value.rstrip("/")


class AccessForm(_Form):
    """dcp as the token server of the sites' registries."""

    url: Annotated[str, AfterValidator(_url)] = _ACCESS.url
    service: Annotated[str, Field(min_length=1, max_length=200)] = _ACCESS.service
    issuer: Annotated[str, Field(min_length=1, max_length=200)] = _ACCESS.issuer
    token_ttl_s: Annotated[float, Field(ge=60, le=86400)] = _ACCESS.token_ttl_s
    refresh_ttl_s: Annotated[float, Field(ge=60, le=366 * 86400)] = _ACCESS.refresh_ttl_s
    failures: Annotated[int, Field(ge=1, le=1000)] = _ACCESS.failures
    failures_window_s: Seconds = _ACCESS.failures_window_s
    keep_history_s: Seconds = _ACCESS.keep_history_s


class MetricsForm(_Form):
    """The server that is asked for signals; an empty URL: there is none."""

    url: Annotated[str, AfterValidator(_url)] = ""
    token_file: str = ""

    @model_validator(mode="after")
    def _token_has_a_use(self) -> "MetricsForm":
        if self.token_file and not self.url:
            raise ValueError("token_file is for a server: url is missing")
        return self


class DiscoveryForm(_Form):
    """What clients of discovery are told, and how fast it may be taken away."""

    enabled: bool = False
    cut_share: Annotated[float, Field(gt=0, le=1)] = _LIMITS.cut_share
    step_s: Annotated[float, Field(ge=0, le=3600)] = _LIMITS.step_s
    linger_s: Annotated[float, Field(ge=0, le=600)] = _LIMITS.linger_s
    token_file: str = ""


class EngineForm(_Form):
    """Limits and periods of the engine, in real time: `time_scale` does not touch them."""

    lease_ttl_s: Annotated[float, Field(ge=0.5, le=3600)] = _ENGINE.lease_ttl_s
    poll_s: Seconds = _ENGINE.poll_s
    busy_poll_s: Seconds = _ENGINE.busy_poll_s
    drain_limit_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = _ENGINE.drain_limit_s
    boot_limit_s: Seconds = _ENGINE.boot_limit_s
    lost_after_s: Seconds = _ENGINE.lost_after_s
    unreachable_after_s: Seconds = _ENGINE.unreachable_after_s
    engine_lost_after_s: Seconds = _ENGINE.engine_lost_after_s
    stock_memory_s: Seconds = _ENGINE.stock_memory_s
    quota_memory_s: Seconds = _ENGINE.quota_memory_s
    denied_memory_s: Seconds = _ENGINE.denied_memory_s
    shown_within_s: Seconds = _ENGINE.shown_within_s
    delete_again_s: Seconds = _ENGINE.delete_again_s
    leak_grace_s: Seconds = _ENGINE.leak_grace_s
    initialise_limit_s: Seconds = _ENGINE.initialise_limit_s
    suspect_for_s: Seconds = _ENGINE.suspect_for_s
    keep_history_s: Seconds = _ENGINE.keep_history_s
    keep_events: Annotated[int, Field(ge=1000)] = _ENGINE.keep_events
    keep_samples_s: Seconds = _ENGINE.keep_samples_s
    cost_every_s: Annotated[float, Field(ge=1, le=900)] = _ENGINE.cost_every_s
    cost_lag_s: Annotated[float, Field(ge=0, le=900)] = _ENGINE.cost_lag_s
    seed: int = _ENGINE.seed
    placements_at_once: Annotated[int, Field(ge=1, le=20_000)] = _ENGINE.placements_at_once
    moves_at_once: Annotated[int, Field(ge=1, le=10_000)] = _ENGINE.moves_at_once
    parallel_calls: Annotated[int, Field(ge=1, le=1000)] = _ENGINE.parallel_calls


def default_sources() -> list[SourceForm]:
    """Return what is used where the file names no source: this machine in eight slices, no cloud."""
    return [PrivateForm(name="local", kind="private", hosts=8)]


class SettingsForm(_Form):
    """The whole file."""

    policy: Policy = Policy.GATED
    time_scale: Annotated[float, Field(ge=1, le=10_000)] = 1.0
    timing: TimingForm = TimingForm()
    sources: Annotated[list[SourceForm], Field(min_length=1)] = Field(default_factory=default_sources)
    clusters: Annotated[list[ClusterForm], BeforeValidator(lambda value: value or [])] = Field(default_factory=list)
    balancer: BalancerForm = Field(default_factory=BalancerForm)
    runtime: RuntimeForm = RuntimeForm()
    registry: RegistryForm = RegistryForm()
    warming: WarmingForm = WarmingForm()
    access: AccessForm = AccessForm()
    engine: EngineForm = EngineForm()
    discovery: DiscoveryForm = DiscoveryForm()
    initialise: InitialiseForm = InitialiseForm()
    spares: SparesForm | None = None
    metrics: MetricsForm = MetricsForm()

    @model_validator(mode="after")
    def _parts_fit_together(self) -> "SettingsForm":
        refuse_twice([source.name for source in self.sources], "source")
        refuse_twice([cluster.name for cluster in self.clusters], "cluster")
        if any(source.name == ADDED for source in self.sources):
            raise ValueError(f"{ADDED} is the name of the source of machines that people add; choose another")
        inside, outside = self.runtime.ports, self.balancer.internal_ports
        if inside[0] <= outside[1] and outside[0] <= inside[1]:
            raise ValueError("runtime.ports and balancer.internal_ports overlap; each port can have one owner")
        looked_at_s = math.ceil(self.timing.samples * self.timing.sample_s / self.time_scale)
        if self.engine.keep_samples_s < 2 * looked_at_s:
            kept_s = self.engine.keep_samples_s
            raise ValueError(f"engine.keep_samples_s is {kept_s:g}, less than twice the {looked_at_s} s looked at")
        return self
