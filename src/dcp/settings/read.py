"""Reads `dcp.yaml`: every fault by its path and line, all at once; nothing unknown is passed over."""

import hashlib
from dataclasses import replace
from pathlib import Path

from dcp.drivers.initialisers.ansible.playbook import OWN_PHASE, AnsibleChoice
from dcp.engine.registry.settings import AccessSettings
from dcp.engine.settings import EngineSettings
from dcp.hosts.clusters import SourceAccess
from dcp.hosts.model import HostType, Resources, SourceKind
from dcp.orchestration.discovery.model import Limits
from dcp.orchestration.scaling.model import Timing
from dcp.orchestration.services.addresses import AddressRange
from dcp.settings.clouds import AccountForm
from dcp.settings.forms import parse_form, read_text
from dcp.settings.initialise import OWN_KEY, InitialiseForm, StaticForm
from dcp.settings.machine import Machine, slice_of, this_machine
from dcp.settings.model import (
    BalancerSettings,
    CloudSource,
    EdgeProxySettings,
    EngineHostSettings,
    EnginesSourceSettings,
    FakeCloudSource,
    ListenerTlsSettings,
    MetricsSettings,
    PrivateSource,
    RegistrySettings,
    RuntimeSettings,
    Settings,
    SiteSettings,
    Source,
    StaticSource,
    TlsFiles,
    UnderlaySettings,
    XdsSettings,
)
from dcp.settings.registry import RegistryForm, site_of
from dcp.settings.schema import (
    SOURCE_KINDS,
    BalancerForm,
    EnginesForm,
    FakeCloudForm,
    PrivateForm,
    RuntimeForm,
    SettingsForm,
)


def read_settings(path: Path | None, machine: Machine | None = None) -> Settings:
    """Return the settings of a file, or the defaults; `machine` (default: this one) is what `auto` shares.

    Raises InvalidInput with every problem.
    """
    if path is None:
        return parse_settings("", "dcp.yaml", machine)
    text = read_text(path, "configuration")
    return parse_settings(text, str(path), machine)


def parse_settings(text: str, name: str, machine: Machine | None = None) -> Settings:
    """Return the settings in `text`; `name` is what problems call the file. Raises InvalidInput."""
    form = parse_form(text, name, SettingsForm, "configuration", hidden=SOURCE_KINDS, hint="such as policy: gated")
    return _settings(form, machine or this_machine())


def _settings(form: SettingsForm, machine: Machine) -> Settings:
    timing = form.timing
    windows = Timing(**{**timing.model_dump(), "release_shares": tuple(timing.release_shares)})
    engine = EngineSettings(
        policy=form.policy,
        timing=windows.scaled(form.time_scale) if form.time_scale != 1 else windows,
        listen_ports=form.balancer.internal_ports,
        listen_address=form.balancer.listen_address,
        advertise_address=form.balancer.advertise_address,
        site_addresses=tuple(sorted(form.balancer.site_addresses.items())),
        discovery=_discovery(form),
        underlay=_address_ranges(form.runtime),
        clusters=tuple(one.cluster() for one in form.clusters),
        access=tuple(
            SourceAccess(one.name, tuple(one.clusters), one.quota)
            for one in form.sources
            if one.clusters or one.quota is not None
        ),
        loans=tuple((source.name, source.lent.loan()) for source in form.sources if source.lent),
        **form.engine.model_dump(),
    )
    return Settings(
        engine=engine,
        sources=tuple(_with_key(_source(source, machine), form.initialise) for source in form.sources),
        loans=engine.loans,
        balancer=_balancer(form.balancer),
        runtime=_runtime(form.runtime),
        registry=_registry(form.registry),
        access=_access(form),
        discovery_token_file=form.discovery.token_file,
        warming=form.warming.settings(),
        mirror_command=tuple(form.warming.mirror_command),
        initialise=_initialise(form.initialise),
        initialise_limits=form.initialise.limits(),
        metrics=MetricsSettings(**form.metrics.model_dump()),
        spares=form.spares.settings() if form.spares else None,
    )


def _discovery(form: SettingsForm) -> Limits | None:
    own = form.discovery
    return Limits(own.cut_share, own.step_s, own.linger_s) if own.enabled else None


def _registry(form: RegistryForm) -> RegistrySettings:
    sites = tuple(SiteSettings(site_of(one), one.kind, one.username, one.password_file, one.ca) for one in form.sites)
    return RegistrySettings(form.name, sites, form.limits())


def _balancer(form: BalancerForm) -> BalancerSettings:
    authority = form.xds.authority
    return BalancerSettings(
        kind=form.kind,
        admin_port=form.admin_port,
        workers=form.workers,
        binary=form.binary,
        hard_stop_after_s=form.hard_stop_after_s,
        embedded=form.embedded,
        proxies=tuple(EdgeProxySettings(one.name, one.listen_address, one.status, one.workers) for one in form.proxies),
        xds=XdsSettings(
            form.xds.listen, tuple(form.xds.addresses), (authority.cert, authority.key) if authority else None
        ),
        proxy_away_after_s=form.proxy_away_after_s,
        tls=tuple(ListenerTlsSettings(one.port, one.cert, one.key) for one in form.tls),
    )


def _address_ranges(form: RuntimeForm) -> tuple[AddressRange, ...]:
    networks = form.underlay.networks if form.underlay else []
    return tuple(AddressRange(one.site, one.first, one.last) for one in networks)


def _access(form: SettingsForm) -> AccessSettings:
    sites = tuple(site.name for site in form.registry.sites)
    return AccessSettings(registry=form.registry.name, sites=sites, **form.access.model_dump())


def _runtime(form: RuntimeForm) -> RuntimeSettings:
    underlay = form.underlay
    return RuntimeSettings(
        kind=form.kind,
        ports=form.ports,
        cgroup_parent=form.cgroup_parent,
        owner=form.owner,
        calls_per_host=form.calls_per_host,
        tls=TlsFiles(form.tls.ca, form.tls.cert, form.tls.key) if form.tls else None,
        underlay=UnderlaySettings(
            driver=underlay.driver,
            parent=underlay.parent,
            subnets=tuple((one.site, one.subnet, one.gateway) for one in underlay.networks),
        )
        if underlay
        else None,
    )


def _initialise(form: InitialiseForm) -> AnsibleChoice:
    limits_s = {name.replace("own_roles", OWN_PHASE): value for name, value in form.limits_s.model_dump().items()}
    return AnsibleChoice(
        user=form.user,
        port=form.port,
        key=form.key,
        keys=form.keys | ({OWN_KEY: form.key} if form.key else {}),
        host_keys=form.host_keys,
        roles_path=form.roles_path,
        roles=tuple(form.roles),
        vars=form.vars,
        limits_s=limits_s,
    )


def _static(form: StaticForm) -> StaticSource:
    hosts = []
    for one in form.hosts:
        labels = tuple(sorted({**one.labels, **({"site": one.site} if one.site else {})}.items()))
        resources = one.with_more(Resources(one.cpus, one.memory))
        digest = hashlib.blake2b(repr((resources, one.price_usd_per_hour, labels)).encode(), digest_size=4).hexdigest()
        host_type = HostType(
            name=f"{one.site or 'static'}-{digest}",
            resources=resources,
            price_usd_per_hour=one.price_usd_per_hour,
            labels=labels,
            initialise=True,
        )
        engine = form.engine.replace("{address}", one.address)
        hosts.append(EngineHostSettings(one.name, engine, one.address, host_type))
    return StaticSource(form.name, tuple(hosts), form.port)


def _with_key(source: Source, initialise: InitialiseForm) -> Source:
    """Return the source with engines over SSH that name the key with which their hosts are initialised."""
    if not initialise.key:
        return source
    if isinstance(source, StaticSource):
        hosts = (replace(host, engine=_naming_key(host.engine)) for host in source.hosts)
        return replace(source, hosts=tuple(hosts))
    if isinstance(source, CloudSource) and any(one.host_type.initialise for one in source.template.types):
        template = replace(source.template, engine=_naming_key(source.template.engine))
        return replace(source, template=template)
    return source


def _naming_key(engine: str) -> str:
    return f"{engine}?key={OWN_KEY}" if engine.startswith("ssh://") and "?" not in engine else engine


def _engines(form: EnginesForm) -> EnginesSourceSettings:
    hosts = []
    for one in form.hosts:
        labels = {**one.labels, **({"site": one.site} if one.site else {})}
        resources = one.with_more(Resources(one.cpus, one.memory))
        # Hosts of one type are alike in everything that placing looks at.
        alike = (resources, one.price_usd_per_hour, tuple(sorted(labels.items())))
        digest = hashlib.blake2b(repr(alike).encode(), digest_size=4).hexdigest()
        host_type = HostType(
            name=f"{one.site or 'host'}-{digest}",
            resources=resources,
            price_usd_per_hour=one.price_usd_per_hour,
            labels=tuple(sorted(labels.items())),
            minimum_s=0.0,  # it runs already
        )
        hosts.append(EngineHostSettings(one.name, one.engine, one.address, host_type))
    return EnginesSourceSettings(form.name, tuple(hosts), SourceKind(form.billing))


def _source(form: PrivateForm | FakeCloudForm | EnginesForm | StaticForm | AccountForm, machine: Machine) -> Source:
    if isinstance(form, AccountForm):
        return form.source()
    if isinstance(form, StaticForm):
        return _static(form)
    if isinstance(form, EnginesForm):
        return _engines(form)
    if isinstance(form, FakeCloudForm):
        types = tuple(
            HostType(
                name=one.name,
                resources=one.with_more(Resources(one.cpus, one.memory)),
                price_usd_per_hour=one.price_usd_per_hour,
                labels=tuple(sorted(one.labels.items())),
                boot_s=one.boot_s,
                billing=one.billing,
                minimum_s=one.minimum_s,
            )
            for one in form.types
        )
        stock = tuple((one.name, one.stock) for one in form.types if one.stock is not None)
        return FakeCloudSource(form.name, types, stock)
    share = slice_of(machine, form.hosts)
    resources = form.with_more(
        Resources(
            cpu_millis=share.cpu_millis if form.cpus is None else form.cpus,
            memory_bytes=share.memory_bytes if form.memory is None else form.memory,
        )
    )
    host_type = HostType(
        name="host",
        resources=resources,
        price_usd_per_hour=form.price_usd_per_hour,
        labels=tuple(sorted(form.labels.items())),
    )
    return PrivateSource(form.name, host_type, form.hosts)
