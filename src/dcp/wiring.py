"""The only place that joins drivers, store and layers.

Names of drivers map to modules that are loaded when a configuration asks for them, so that a driver's own libraries
cost nothing where it is not used, and one that cannot be loaded is reported by name.
"""

from collections.abc import Mapping
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from dcp.engine.context import Context
from dcp.engine.images.sites import ImageSites, SiteRegistry
from dcp.engine.registry.configuration import upload_secret
from dcp.engine.registry.tokens import TokenServer
from dcp.engine.warming.parts import WarmingParts
from dcp.hosts.adding.decide import default_reach
from dcp.hosts.adding.ports import AddingParts
from dcp.hosts.ports import HostSource, Initialiser
from dcp.images.access.model import AccountKind
from dcp.kernel.clock import Clock
from dcp.kernel.errors import InvalidInput, Problem, Unavailable
from dcp.orchestration.capacity.ports import Metrics
from dcp.orchestration.services.ports import OneRuntime, Runtimes
from dcp.orchestration.traffic.ports import Balancer
from dcp.settings.clouds import ACCOUNT_KINDS
from dcp.settings.initialise import OWN_KEY
from dcp.settings.model import (
    CloudSource,
    EnginesSourceSettings,
    FakeCloudSource,
    MetricsSettings,
    PrivateSource,
    RegistrySettings,
    Settings,
    SiteSettings,
    Source,
    StaticSource,
)
from dcp.store.database import Database
from dcp.store.edge import StoredEdge
from dcp.store.machines import StoredMachines, aside_of

DRIVERS = {
    "balancer/envoy": "dcp.drivers.balancers.envoy",
    "balancer/haproxy": "dcp.drivers.balancers.haproxy",
    "registry/distribution": "dcp.drivers.registries.distribution",
    "registry/harbor": "dcp.drivers.registries.harbor",
    "features/http": "dcp.drivers.features.http",
    "metrics/prometheus": "dcp.drivers.metrics.prometheus",
    "runtime/docker": "dcp.drivers.runtimes.docker",
    "runtime/process": "dcp.drivers.runtimes.process",
    "tokens": "dcp.drivers.tokens",
    "source/engines": "dcp.drivers.clouds.engines",
    "mirrors": "dcp.drivers.mirrors.http",
    "initialiser/ansible": "dcp.drivers.initialisers.ansible",
    "source/static": "dcp.drivers.clouds.static",
    "source/added": "dcp.drivers.clouds.added",
    "ssh": "dcp.drivers.ssh",
    "source/lent": "dcp.drivers.clouds.lent",
    "source/private": "dcp.drivers.clouds.private",
    "source/fake-cloud": "dcp.drivers.clouds.fake",
    "source/ec2": "dcp.drivers.clouds.ec2",
    "source/aliyun": "dcp.drivers.clouds.aliyun",
    "source/libcloud": "dcp.drivers.clouds.libcloud",
    "source/openstack": "dcp.drivers.clouds.openstack",
}

EXTRAS = ACCOUNT_KINDS
"""Drivers whose libraries come with an extra of the same name."""


@runtime_checkable
class Closable(Protocol):
    """A driver that holds sessions of its own in this process."""

    async def aclose(self) -> None:
        """Let go of them; what the driver started runs on."""
        ...


def load(name: str, drivers: Mapping[str, str] = DRIVERS) -> Any:
    """Return the module of a driver. Raises Unavailable, with the cause, if it cannot be loaded."""
    try:
        return import_module(drivers[name])
    except ImportError as error:
        kind = name.partition("/")[2]
        hint = "is dcp installed with everything that this driver needs?"
        if kind in EXTRAS:
            hint = f"install it with pip install 'dcp[{kind}]'"
        raise Unavailable(f"driver {name} cannot be loaded: {error}", hint=hint) from error


def wire(settings: Settings, state: Path, database: Database, clock: Clock, controller_id: str) -> Context:
    """Return a controller's context: its drivers keep what outlives it below `state`.

    Raises Unavailable for a driver that cannot be loaded.
    """
    token_server = make_token_server(settings, state, database, clock)
    initialiser = make_initialiser(settings, state, clock, database)
    adding = make_adding(settings, state) if initialiser is not None and settings.takes_machines else None
    sources = tuple(make_source(source, settings, state, clock, database) for source in settings.sources)
    if adding is not None:
        sources = (*sources, make_added(adding, database, clock))
    return Context(
        controller_id=controller_id,
        clock=clock,
        database=database,
        runtimes=make_runtimes(settings, state, clock),
        balancer=make_balancer(settings, state, clock, database),
        sources=sources,
        settings=settings.engine,
        token_server=token_server,
        images=make_image_sites(settings.registry, clock, token_server),
        warming=make_warming(settings, token_server),
        metrics=make_metrics(settings.metrics),
        features=load("features/http").HttpFeatureSwitches(),
        initialiser=initialiser,
        initialise_limits=settings.initialise_limits,
        adding=adding,
        spares=settings.spares,
    )


async def unwire(context: Context) -> None:
    """Close what the drivers and the store hold in this process. Instances, proxy and hosts stay."""
    runtimes = context.runtimes.runtime if isinstance(context.runtimes, OneRuntime) else context.runtimes
    registries = context.images.registries.values() if context.images else ()
    mirrors = (context.warming.control,) if context.warming else ()
    others = (*registries, *mirrors, context.metrics, context.features)
    for driver in (runtimes, context.balancer, *context.sources, *others):
        if isinstance(driver, Closable):
            await driver.aclose()
    context.database.close()


def make_metrics(chosen: MetricsSettings) -> Metrics | None:
    """Return the metrics server. Raises InvalidInput for a token that cannot be read."""
    if not chosen.url:
        return None
    token = ""
    if chosen.token_file:
        try:
            token = Path(chosen.token_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            problem = Problem("metrics.token_file", f"{chosen.token_file} cannot be read: {error}")
            raise InvalidInput((problem,), subject="configuration") from error
    metrics: Metrics = load("metrics/prometheus").PrometheusMetrics(chosen.url, token)
    return metrics


def make_runtimes(settings: Settings, state: Path, clock: Clock) -> Runtimes:
    """Return the runtimes of all hosts, by the driver that the settings name."""
    chosen = settings.runtime
    driver = load(f"runtime/{chosen.kind}")
    if chosen.kind == "docker":
        containers: Runtimes = driver.DockerRuntimes(chosen, state / "runtime", clock, ssh_access(settings, state))
        return containers
    return OneRuntime(
        driver.ProcessRuntime(state / "runtime", clock, port_range=chosen.ports, cgroup_parent=chosen.cgroup_parent)
    )


def make_balancer(settings: Settings, state: Path, clock: Clock, database: Database) -> Balancer:
    """Return the balancer that the settings name."""
    driver = load(f"balancer/{settings.balancer.kind}")
    chosen = settings.balancer
    balancer: Balancer
    if chosen.kind == "haproxy":
        balancer = driver.HAProxyBalancer(
            # A folder of its own: one that is found there must never be taken for an Envoy.
            state / "balancer" / "haproxy",
            clock,
            workers=chosen.workers,
            hard_stop_after_s=chosen.hard_stop_after_s,
            binary=chosen.binary,
        )
        return balancer
    balancer = driver.EnvoyBalancer(state / "balancer", clock, StoredEdge(database, clock), _envoy_options(settings))
    return balancer


def proxy_bootstrap(settings: Settings, state: Path, node: str, clock: Clock) -> Mapping[str, Any]:
    """Return what a proxy of `balancer.proxies` is started with. NotFound: there is none of that name."""
    found: Mapping[str, Any] = load("balancer/envoy").bootstrap_of(
        node, state / "balancer", _envoy_options(settings), clock
    )
    return found


def _envoy_options(settings: Settings) -> Any:
    driver, chosen = load("balancer/envoy"), settings.balancer
    authority = chosen.xds.authority
    return driver.EnvoyOptions(
        admin_port=chosen.admin_port,
        workers=chosen.workers,
        embedded=chosen.embedded,
        proxies=tuple(driver.RemoteProxy(p.name, p.listen_address, *p.status, p.workers) for p in chosen.proxies),
        listen=chosen.xds.listen,
        controllers=chosen.xds.addresses,
        authority=(Path(authority[0]), Path(authority[1])) if authority else None,
        away_after_s=chosen.proxy_away_after_s,
        tls=tuple(driver.ListenerTls(one.port, Path(one.cert), Path(one.key)) for one in chosen.tls),
    )


def make_token_server(settings: Settings, state: Path, database: Database, clock: Clock) -> TokenServer:
    """Return the token server; its secret stands in the state directory, which all controllers of a store share."""
    driver = load("tokens")
    vault = driver.FileVault(state / "registry.secret")
    return TokenServer(
        clock,
        database,
        settings.access,
        signer=driver.Es256Signer(vault),
        passwords=driver.ScryptPasswords(),
        vault=vault,
    )


def make_warming(settings: Settings, tokens: TokenServer) -> WarmingParts | None:
    """Return what brings images to hosts; None where the runtime runs no images."""
    if settings.runtime.kind != "docker":
        return None
    token = tokens.vault.derive("control of mirrors")
    control = load("mirrors").HttpMirrors(token)
    certificates = "\n".join(_certificates(one) for one in settings.registry.sites if one.ca)
    return WarmingParts(settings.warming, control, token, certificates, settings.mirror_command)


def _certificates(chosen: SiteSettings) -> str:
    try:
        return Path(chosen.ca).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        path = f"registry.sites.{chosen.site.name}.ca"
        raise InvalidInput((Problem(path, f"{chosen.ca} cannot be read", "a file of PEM certificates"),)) from error


def make_source(
    source: Source, settings: Settings, state: Path, clock: Clock, database: Database | None = None
) -> HostSource:
    """Return one source of hosts. Without a database it does not know which machines are set aside."""
    path = state / "sources" / f"{source.name}.json"
    made: HostSource
    match source:
        case PrivateSource():
            driver = load("source/private")
            made = driver.PrivatePool(source.name, path, [driver.PrivateHosts(source.host_type, source.hosts)])
        case FakeCloudSource():
            driver = load("source/fake-cloud")
            limits = driver.CloudLimits(stock=source.stock)
            made = driver.FakeCloud(source.name, clock, path, types=source.types, limits=limits)
        case EnginesSourceSettings():
            driver = load("source/engines")
            probe = load("runtime/docker").engine_probe(settings.runtime, ssh_access(settings, state))
            hosts = [driver.EngineHost(h.name, h.engine, h.address, h.host_type) for h in source.hosts]
            made = driver.EnginesSource(source.name, source.kind, path, hosts, probe=probe, clock=clock)
        case StaticSource():
            driver = load("source/static")
            engines = load("source/engines")
            machines = [engines.EngineHost(h.name, h.engine, h.address, h.host_type) for h in source.hosts]
            aside = partial(aside_of, database, source.name) if database is not None else None
            made = driver.make(source.name, path, machines, port=source.port, clock=clock, aside=aside)
        case CloudSource():
            made = load(f"source/{source.driver}").make(source.template, source.account, clock)
    loan = dict(settings.loans).get(source.name)
    return load("source/lent").LentSource(made, loan, clock) if loan else made


def make_added(adding: AddingParts, database: Database, clock: Clock) -> HostSource:
    """Return the source of machines that people add."""
    made: HostSource = load("source/added").AddedMachines(
        StoredMachines(database, clock),
        probe=load("source/static").sshd_answers,
        forget=adding.looker.forget,
        clock=clock,
    )
    return made


def make_adding(settings: Settings, state: Path) -> AddingParts:
    """Return what adding machines needs beside the store."""
    chosen = settings.initialise
    default = default_reach(chosen.user, chosen.port, OWN_KEY if chosen.key else "")
    looker = load("ssh").SshLooker(ssh_access(settings, state))
    return AddingParts(looker, default, tuple(chosen.keys), settings.named_addresses)


def ssh_access(settings: Settings, state: Path) -> Any:
    """Return how machines are reached over SSH."""
    chosen = settings.initialise
    return load("ssh").SshAccess(chosen.keys, state / "initialise" / "known_hosts", chosen.host_keys)


def make_initialiser(settings: Settings, state: Path, clock: Clock, database: Database) -> Initialiser | None:
    """Return what makes bare hosts ready; None where there are none and none can be added.

    Raises Unavailable where it is needed and Ansible is not installed.
    """
    installed = find_spec("ansible_runner") is not None
    if not settings.has_bare_hosts and not (settings.takes_machines and installed):
        return None
    if not installed:
        hint = "install dcp[ansible], or use images that bring the engine and no `initialise`"
        raise Unavailable("hosts are to be initialised, and Ansible is not installed", hint=hint)
    driver = load("initialiser/ansible")
    made: Initialiser = driver.AnsibleInitialiser(
        state / "initialise", settings.initialise, clock, StoredMachines(database, clock).reaches
    )
    return made


def make_image_sites(chosen: RegistrySettings, clock: Clock, tokens: TokenServer) -> ImageSites | None:
    """Return the sites with a driver for each registry; None where no registry is configured.

    Raises InvalidInput where a password or certificate cannot be read.
    """
    if not chosen.sites:
        return None
    return ImageSites(
        name=chosen.name,
        sites=tuple(one.site for one in chosen.sites),
        registries={one.site.name: make_registry(one, clock, tokens) for one in chosen.sites},
        limits=chosen.limits,
        accounts=frozenset(one.username for one in chosen.sites if one.username),
    )


def make_registry(chosen: SiteSettings, clock: Clock, tokens: TokenServer) -> SiteRegistry:
    """Return the driver of one site's registry. Where dcp itself gives the tokens, it needs no password of its own."""
    distribution = load("registry/distribution")

    def own(realm: str) -> Any:
        if not tokens.settings.is_realm(realm):
            return distribution.Credentials()
        found = tokens.identities.own(AccountKind.REPLICATION)
        return distribution.Credentials(found.name, found.password)

    known = chosen.username and distribution.Credentials(chosen.username, _password(chosen))
    ca = Path(chosen.ca) if chosen.ca else None
    secret = upload_secret(tokens.vault, chosen.site.name) if chosen.kind == "distribution" else ""
    address = distribution.RegistryAddress(chosen.site.registry_url, known or own, ca, secret)
    driver = load(f"registry/{chosen.kind}")
    made: SiteRegistry = getattr(driver, f"{chosen.kind.capitalize()}Registry")(address, clock)
    return made


def _password(chosen: SiteSettings) -> str:
    try:
        return Path(chosen.password_file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        path = f"registry.sites.{chosen.site.name}.password_file"
        raise InvalidInput(
            (Problem(path, f"{chosen.password_file} cannot be read", "a file with one line"),)
        ) from error
