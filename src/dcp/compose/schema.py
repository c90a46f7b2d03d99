"""The honoured part of a service in a Compose file, as Pydantic models.

What the table of keys does not honour was dealt with before and is not looked at here. A key that may hold text, a list
or a mapping is read by the shape of its value, so that a fault is named where it stands and not once for every form.
"""

import re
import shlex
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag

from dcp.compose.scalars import (
    Bytes,
    Clock,
    CpuMillis,
    Decimal,
    DurationS,
    Flag,
    Port,
    Scalar,
    Text,
    TimeZone,
    Whole,
    fault,
    one_of,
)
from dcp.orchestration.services.forecasting import ForecastMode
from dcp.orchestration.services.placement import LEANINGS, STRATEGIES
from dcp.orchestration.services.timetable import DAYS

TEXT, LIST, MAP = "<text>", "<list>", "<map>"
SHAPES = frozenset({TEXT, LIST, MAP})
"""Steps that Pydantic puts into the place of an error and that are no part of the file."""


def _shape(value: Any) -> str | None:
    if isinstance(value, dict):
        return MAP
    if isinstance(value, list):
        return LIST
    return None if value is None else TEXT


def _shaped(*shapes: str, wanted: str, hint: str) -> BeforeValidator:
    """Return a validator that says what is `wanted` where the value has none of `shapes`."""

    def check(value: Any) -> Any:
        if _shape(value) not in shapes:
            raise fault(f"must be {wanted}", hint)
        return value

    return BeforeValidator(check)


def _words(value: Any) -> Any:
    """Split text as a shell would; what is a list stays as it is."""
    if isinstance(value, list):
        return value
    if not isinstance(value, str):
        raise fault("must be text or a list of text", 'such as ["serve", "--port", "80"]')
    try:
        return shlex.split(value)
    except ValueError as error:
        words = str(error).lower()
        raise fault(f"cannot be split into words: {words}", "close the quote, or write a list") from None


def _short_env_file(value: Any) -> Any:
    if isinstance(value, str):
        return {"path": value}
    if isinstance(value, dict):
        return value
    raise fault("must be a path, or a mapping with path", "such as ./app.env")


def _env_files(value: Any) -> Any:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return value
    raise fault("must be a path or a list of paths", "such as ./app.env")


def _short_port(value: Any) -> Any:
    """Read `[[ADDRESS:]PUBLISHED:]TARGET[/PROTOCOL]` into the long form."""
    if isinstance(value, dict):
        return value
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise fault("must be a port", 'such as "8080:80"')
    text, slash, protocol = str(value).partition("/")
    address, published, target = ("", "", *text.rsplit(":", 2))[-3:]
    long = {"target": target, "protocol": protocol} if slash else {"target": target}
    if address:
        long["host_ip"] = address.removeprefix("[").removesuffix("]")
    return long | ({"published": published} if published else {})


def _short_volume(value: Any) -> Any:
    """Read `[SOURCE:]TARGET[:MODE]` into the long form."""
    if not isinstance(value, str):
        return value
    source, target, mode = (*(["", *value.split(":")] if ":" not in value else value.split(":")), "")[:3]
    if mode not in ("", "ro", "rw"):
        raise fault(f"{mode!r} is not an access mode", "use ro, or nothing")
    long = {"target": target, "read_only": mode == "ro"}
    return long | ({"source": source} if source else {})


def _short_secret(value: Any) -> Any:
    return {"source": value} if isinstance(value, str) else value


def _one_or_more(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _octal(value: Any) -> int:
    """Compose writes a file's mode as an octal number; YAML may have read it already."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"0?o?[0-7]{3,4}", value):
        return int(value.replace("o", ""), 8)
    raise fault(f"{value!r} is not the mode of a file", 'such as "0440"')


def _short_expose(value: Any) -> Any:
    return value.removesuffix("/tcp") if isinstance(value, str) else value


def _nothing_of(kind: type) -> BeforeValidator:
    """Read a key without a value as an empty one, as Compose does."""
    return BeforeValidator(lambda value: kind() if value is None else value)


Octal = Annotated[int, BeforeValidator(_octal)]
Command = Annotated[tuple[Text, ...], BeforeValidator(_words)]
Pairs = Annotated[
    Annotated[tuple[Text, ...], Tag(LIST)] | Annotated[dict[str, Scalar | None], Tag(MAP)],
    Discriminator(_shape),
    _shaped(LIST, MAP, wanted="a mapping or a list of NAME=VALUE", hint="such as MODE: fast"),
]


def pairs(value: tuple[str, ...] | dict[str, str | None]) -> dict[str, str | None]:
    """Return names and values of either form; None where a name stands alone."""
    if isinstance(value, dict):
        return value
    split = (item.partition("=") for item in value)
    return {name: text if assigned else None for name, assigned, text in split}


class Part(BaseModel):
    """Base of all parts of a service."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=False)


class EnvFileEntry(Part):
    path: Text
    required: Flag = True
    format: Annotated[str, one_of("raw")] | None = None


class PortEntry(Part):
    target: Port
    published: Port | None = None
    protocol: Annotated[str, one_of("tcp", hints={"udp": "the balancer carries HTTP over TCP only"})] = "tcp"
    host_ip: Text | None = None
    mode: Annotated[str, one_of("ingress", "host")] = "ingress"


class DependsOn(Part):
    condition: Annotated[
        str,
        one_of(
            "service_started",
            "service_healthy",
            hints={"service_completed_successfully": "dcp runs no one-off jobs; do it before dcp apply"},
        ),
    ]
    required: Flag = True


class Healthcheck(Part):
    test: (
        Annotated[
            Annotated[Text, Tag(TEXT)] | Annotated[tuple[Text, ...], Tag(LIST)],
            Discriminator(_shape),
            _shaped(TEXT, LIST, wanted="text or a list of text", hint='such as ["CMD", "curl", "localhost"]'),
        ]
        | None
    ) = None
    interval: DurationS | None = None
    timeout: DurationS | None = None
    retries: Whole | None = None
    start_period: DurationS | None = None
    disable: Flag = False


class Discrete(Part):
    kind: Text
    value: Whole = 1


class GenericResource(Part):
    discrete_resource_spec: Discrete


class Amounts(Part):
    cpus: CpuMillis | None = None
    memory: Bytes | None = None


class Limits(Amounts):
    pids: Whole | None = None


class Reservations(Amounts):
    generic_resources: Annotated[tuple[GenericResource, ...], _nothing_of(list)] = ()


class ResourcesPart(Part):
    limits: Annotated[Limits, _nothing_of(dict)] = Limits()
    reservations: Annotated[Reservations, _nothing_of(dict)] = Reservations()


class Preference(Part):
    spread: Text


class Placement(Part):
    constraints: Annotated[tuple[Text, ...], _nothing_of(list)] = ()
    preferences: Annotated[tuple[Preference, ...], _nothing_of(list)] = ()
    max_replicas_per_node: Whole | None = None


class RestartPolicyPart(Part):
    condition: Annotated[str, one_of("none", "on-failure", "any")] | None = None
    delay: DurationS | None = None
    max_attempts: Whole | None = None
    window: DurationS | None = None


class UpdateConfig(Part):
    parallelism: Whole | None = None
    order: Annotated[str, one_of("start-first", "stop-first")] | None = None
    delay: DurationS | None = None
    failure_action: Annotated[str, one_of("continue", "pause", "rollback")] | None = None
    monitor: DurationS | None = None
    max_failure_ratio: Decimal | None = None


class Deploy(Part):
    mode: Annotated[str, one_of("replicated")] | None = None
    endpoint_mode: Annotated[str, one_of("vip")] | None = None
    replicas: Whole | None = None
    labels: Annotated[Pairs, _nothing_of(dict)] = {}
    resources: Annotated[ResourcesPart, _nothing_of(dict)] = ResourcesPart()
    placement: Annotated[Placement, _nothing_of(dict)] = Placement()
    restart_policy: RestartPolicyPart | None = None
    update_config: Annotated[UpdateConfig, _nothing_of(dict)] = UpdateConfig()
    rollback_config: Annotated[UpdateConfig, _nothing_of(dict)] = UpdateConfig()


class ElasticPart(Part):
    min: Whole | None = None
    max: Whole
    safe: Decimal | None = None
    fatal: Decimal | None = None


class SignalPart(Part):
    query: Text
    per_instance: Decimal


class HoursPart(Part):
    """Hours of the week. `from` is a word of Python, so the field has a name of its own."""

    from_: Annotated[Clock, Field(alias="from")]
    until: Clock
    days: list[Annotated[str, one_of(*DAYS)]] = list(DAYS)
    timezone: TimeZone = "UTC"


class TimetablePart(HoursPart):
    requests_per_s: Decimal = 0.0
    instances: Whole = 0
    lead: DurationS = 600.0


class QuietHoursPart(HoursPart):
    every: DurationS = 7 * 86400.0
    window: DurationS = 60.0
    instances: Whole = 3


class BrakesPart(Part):
    growth: Decimal | None = None
    growth_within: DurationS = 60.0
    blast_radius: Decimal | None = None
    confirm_above: Whole | None = None
    grow_cooldown: DurationS = 0.0
    shrink_cooldown: DurationS = 0.0
    watchdog: Flag = True


class ForecastPart(Part):
    mode: Annotated[str, one_of(*(mode.value for mode in ForecastMode))] = ForecastMode.SHADOW.value
    ahead: DurationS = 1800.0


class DegradePart(Part):
    features: list[str]
    path: str
    after: DurationS = 60.0
    every: DurationS = 60.0


class CapacityPart(Part):
    units_per_s: Decimal
    requests_per_s: Decimal


class HttpHealth(Part):
    http: Text
    interval: DurationS | None = None
    timeout: DurationS | None = None
    retries: Whole | None = None
    start_period: DurationS | None = None


def _short_neighbour(value: Any) -> Any:
    return {"service": value} if isinstance(value, str) else value


class NeighbourPart(Part):
    service: Text
    within: Text = "host"
    preferred: Flag = False


class SpreadPart(Part):
    over: Text
    max_skew: Whole | None = None


Neighbours = Annotated[tuple[Annotated[NeighbourPart, BeforeValidator(_short_neighbour)], ...], _nothing_of(list)]


class PlacementPart(Part):
    """`x-dcp.placement`."""

    sites: Annotated[tuple[Text, ...], BeforeValidator(_one_or_more), _nothing_of(list)] = ()
    hardware: Annotated[tuple[Text, ...], BeforeValidator(_one_or_more), _nothing_of(list)] = ()
    dedicated: Text | None = None
    disk: Bytes | None = None
    heavy: Text | None = None
    leans: Annotated[str, one_of(*LEANINGS)] | None = None
    empty_hosts: Flag = False
    beside: Neighbours = ()
    apart: Neighbours = ()
    spread: Annotated[tuple[SpreadPart, ...], _nothing_of(list)] = ()
    strategy: Annotated[str, one_of(*STRATEGIES)] | None = None
    weights: Annotated[dict[str, Decimal], _nothing_of(dict)] = {}
    priority: Whole = 0
    group: Text | None = None


class Dcp(Part):
    """`x-dcp` of a service."""

    calls: Annotated[dict[str, Decimal], _nothing_of(dict)] = {}
    elastic: ElasticPart | None = None
    signals: Annotated[dict[str, SignalPart], _nothing_of(dict)] = {}
    timetable: Annotated[list[TimetablePart], _nothing_of(list)] = []
    brakes: Annotated[BrakesPart, _nothing_of(dict)] = BrakesPart()
    degrade: DegradePart | None = None
    forecast: ForecastPart | None = None
    capacity: CapacityPart | None = None
    quiet_hours: QuietHoursPart | None = None
    slow_threshold: DurationS | None = None
    health: HttpHealth | None = None
    placement: Annotated[PlacementPart, _nothing_of(dict)] = PlacementPart()
    network: Annotated[str, one_of("host", "bridge", "underlay")] | None = None


class TmpfsOptions(Part):
    size: Bytes | None = None


class VolumeEntry(Part):
    target: Text
    type: Annotated[str, one_of("volume", "bind", "tmpfs")] | None = None
    source: Text | None = None
    read_only: Flag = False
    tmpfs: TmpfsOptions | None = None


class SecretUse(Part):
    source: Text
    target: Text | None = None
    uid: Whole | None = None
    gid: Whole | None = None
    mode: Octal | None = None


class SecretSource(Part):
    """One secret that the file defines."""

    file: Text | None = None
    environment: Text | None = None


class Logging(Part):
    driver: Text | None = None
    options: Annotated[dict[str, Scalar], _nothing_of(dict)] = {}


EnvFiles = Annotated[tuple[Annotated[EnvFileEntry, BeforeValidator(_short_env_file)], ...], BeforeValidator(_env_files)]
Volumes = tuple[Annotated[VolumeEntry, BeforeValidator(_short_volume)], ...]
SecretUses = tuple[Annotated[SecretUse, BeforeValidator(_short_secret)], ...]
Ports = tuple[Annotated[PortEntry, BeforeValidator(_short_port)], ...]
Dependencies = Annotated[
    Annotated[tuple[Text, ...], Tag(LIST)] | Annotated[dict[str, DependsOn], Tag(MAP)],
    Discriminator(_shape),
    _shaped(LIST, MAP, wanted="a list of services or a mapping", hint="such as [user, card]"),
]


def dependencies(value: tuple[str, ...] | dict[str, DependsOn]) -> dict[str, DependsOn]:
    """Return the dependencies of either form."""
    if isinstance(value, dict):
        return value
    return {name: DependsOn(condition="service_started") for name in value}


class Service(Part):
    """One service, as far as dcp honours it."""

    image: Text | None = None
    command: Command | None = None
    entrypoint: Command | None = None
    environment: Annotated[Pairs, _nothing_of(dict)] = {}
    env_file: Annotated[EnvFiles, _nothing_of(list)] = ()
    working_dir: Text | None = None
    ports: Annotated[Ports, _nothing_of(list)] = ()
    expose: Annotated[tuple[Annotated[Port, BeforeValidator(_short_expose)], ...], _nothing_of(list)] = ()
    depends_on: Annotated[Dependencies, _nothing_of(dict)] = {}
    healthcheck: Healthcheck | None = None
    deploy: Annotated[Deploy, _nothing_of(dict)] = Deploy()
    scale: Whole | None = None
    restart: Text | None = None
    stop_grace_period: DurationS | None = None
    stop_signal: Scalar | None = None
    labels: Annotated[Pairs, _nothing_of(dict)] = {}
    profiles: Annotated[tuple[Text, ...], _nothing_of(list)] = ()
    cpus: CpuMillis | None = None
    mem_limit: Bytes | None = None
    mem_reservation: Bytes | None = None
    user: Scalar | None = None
    read_only: Flag = False
    cap_add: Annotated[tuple[Text, ...], _nothing_of(list)] = ()
    cap_drop: Annotated[tuple[Text, ...], _nothing_of(list)] = ()
    init: Flag = False
    pids_limit: Whole | None = None
    network_mode: Text | None = None
    volumes: Annotated[Volumes, _nothing_of(list)] = ()
    tmpfs: Annotated[tuple[Text, ...], BeforeValidator(_one_or_more), _nothing_of(list)] = ()
    secrets: Annotated[SecretUses, _nothing_of(list)] = ()
    logging: Annotated[Logging, _nothing_of(dict)] = Logging()
    extra_hosts: Annotated[Pairs, _nothing_of(dict)] = {}
    x_dcp: Annotated[Dcp, _nothing_of(dict)] = Field(default=Dcp(), alias="x-dcp")
