"""Names, addresses and folders of a lab, all derived from its specification and directory. Pure.

Of 10.X.0.0/16 a site S has 10.X.S.0/24: .1 the router (this machine), .2 its registry, .11 to .110 its hosts, .128 to
.254 for containers with an address of the site's own network. The default bridge of host N has 10.X.(128+N).0/24.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from dcp.lab.spec import LabSpec

ENGINE_PORT = 2376
REGISTRY_PORT = 5000
LINK = "eth0"
"""The name of every node's link inside its namespace."""
_FIRST_HOST = 11
_FIRST_BRIDGE = 128


@dataclass(frozen=True, slots=True)
class LabSite:
    """A data centre: one bridge, one subnet; `gateway` is this machine's address there."""

    number: int
    name: str
    bridge: str
    subnet: str
    gateway: str
    registry_address: str
    first_container_address: str
    last_container_address: str


@dataclass(frozen=True, slots=True)
class LabHost:
    """A container host. `namespace` names its network namespace and, on this machine, its link."""

    number: int
    name: str
    site: str
    namespace: str
    address: str
    gateway: str
    bridge_address: str
    bridge_subnet: str
    cgroup: str
    folder: Path

    @property
    def socket(self) -> Path:
        """The engine's unix socket; it answers also while the host is cut off."""
        return self.folder / "docker.sock"

    @property
    def engine_unix(self) -> str:
        """The engine's URL on this machine."""
        return f"unix://{self.socket}"

    @property
    def engine_tls(self) -> str:
        """The engine's URL over the network, with mutual TLS."""
        return f"tcp://{self.address}:{ENGINE_PORT}"

    @property
    def log(self) -> Path:
        """What the engine writes."""
        return self.folder / "engine.log"

    @property
    def data(self) -> Path:
        """The engine's data root."""
        return self.folder / "docker"


@dataclass(frozen=True, slots=True)
class LabRegistry:
    """The registry of one site."""

    site: str
    namespace: str
    address: str
    gateway: str
    cgroup: str
    folder: Path

    @property
    def url(self) -> str:
        """Where it answers; the certificate names this address and the lab's registry name."""
        return f"https://{self.address}:{REGISTRY_PORT}"


@dataclass(frozen=True, slots=True)
class Topology:
    """All of a lab."""

    name: str
    network: str
    cgroup: str
    directory: Path
    runtime: Path
    registry_name: str
    sites: tuple[LabSite, ...]
    hosts: tuple[LabHost, ...]
    registries: tuple[LabRegistry, ...]

    def site(self, name: str) -> LabSite:
        """Return the site of that name. Raises KeyError."""
        return {site.name: site for site in self.sites}[name]

    def host(self, name: str) -> LabHost:
        """Return the host of that name. Raises KeyError."""
        return {host.name: host for host in self.hosts}[name]

    def mount_file(self, host: LabHost) -> Path:
        """Where the host's mount namespace is held."""
        return self.runtime / f"{host.name}.mnt"

    def hostname_file(self, host: LabHost) -> Path:
        """Where the host's UTS namespace is held."""
        return self.runtime / f"{host.name}.uts"


def lay_out(spec: LabSpec, directory: Path) -> Topology:
    """Return the lab that `spec` asks for. Hosts fill the sites in order, evenly."""
    sites = tuple(_site(spec, number) for number in range(1, spec.sites + 1))
    hosts: list[LabHost] = []
    for index in range(spec.hosts):
        site = sites[index * spec.sites // spec.hosts]
        within = sum(host.site == site.name for host in hosts)
        hosts.append(_host(spec, directory, site, index + 1, within))
    registries = tuple(_registry(spec, directory, site) for site in sites) if spec.registries else ()
    return Topology(
        name=spec.name,
        network=f"10.{spec.octet}.0.0/16",
        cgroup=cgroup_of(spec.name),
        directory=directory,
        runtime=runtime_folder(spec.name),
        registry_name=f"registry.{spec.name}.lab:{REGISTRY_PORT}",
        sites=sites,
        hosts=tuple(hosts),
        registries=registries,
    )


RUNTIME_PARENT = Path("/run/dcp-lab")


def runtime_folder(name: str) -> Path:
    """Where the lab's namespaces are held and its directory is written down."""
    return RUNTIME_PARENT / name


def cgroup_of(name: str) -> str:
    """The control group above all of a lab's: not `/NAME`, which the `process` runtime may use."""
    return f"/lab-{name}"


def link_pattern(name: str) -> re.Pattern[str]:
    """What the lab's links and network namespaces are called."""
    return re.compile(rf"{re.escape(name)}-[shr]\d+")


def _site(spec: LabSpec, number: int) -> LabSite:
    start = f"10.{spec.octet}.{number}"
    return LabSite(
        number=number,
        name=f"s{number}",
        bridge=f"{spec.name}-s{number}",
        subnet=f"{start}.0/24",
        gateway=f"{start}.1",
        registry_address=f"{start}.2",
        first_container_address=f"{start}.128",
        last_container_address=f"{start}.254",
    )


def _host(spec: LabSpec, directory: Path, site: LabSite, number: int, within: int) -> LabHost:
    bridge = f"10.{spec.octet}.{_FIRST_BRIDGE + number}"
    return LabHost(
        number=number,
        name=f"h{number}",
        site=site.name,
        namespace=f"{spec.name}-h{number}",
        address=f"10.{spec.octet}.{site.number}.{_FIRST_HOST + within}",
        gateway=site.gateway,
        bridge_address=f"{bridge}.1/24",
        bridge_subnet=f"{bridge}.0/24",
        cgroup=f"{cgroup_of(spec.name)}/h{number}",
        folder=directory / "hosts" / f"h{number}",
    )


def _registry(spec: LabSpec, directory: Path, site: LabSite) -> LabRegistry:
    return LabRegistry(
        site=site.name,
        namespace=f"{spec.name}-r{site.number}",
        address=site.registry_address,
        gateway=site.gateway,
        cgroup=f"{cgroup_of(spec.name)}/r{site.number}",
        folder=directory / "registries" / site.name,
    )
