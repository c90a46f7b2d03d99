"""What applying a changed specification would do, line by line, before anybody says yes.

Pure. One table says for every field of a service where it stands in the Compose file and whether a change of it reaches
running instances only by replacing them. Values that look secret are never shown.
"""

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum

from dcp.kernel.units import format_bytes, format_cpu, format_duration
from dcp.orchestration.services.brakes import Brakes
from dcp.orchestration.services.container import ContainerSpec
from dcp.orchestration.services.model import ApplicationSpec, ServiceSpec
from dcp.orchestration.services.placement import PlacementRules, PlacementWishes
from dcp.orchestration.services.timetable import TimetableEntry

REDACTED = "[redacted]"
_GENERIC = "deploy.resources.reservations.generic_resources"
_SECRET_WORDS = ("PASSWORD", "PASSWD", "PWD", "TOKEN", "SECRET", "KEY", "CREDENTIAL")
_URL_PASSWORD = re.compile(r"(?<=://)([^\s/:@]*):[^\s/]+@")
_ASSIGNMENT = re.compile(r"""([\w.-]+)=("[^"]*"|'[^']*'|\S+)""")


class Effect(StrEnum):
    """What a change does to what runs."""

    CREATE = "create"  # a new service
    REMOVE = "remove"  # its instances are drained and stopped
    REPLACE = "replace"  # every running instance is replaced by a new one
    IN_PLACE = "in-place"  # running instances stay as they are


@dataclass(frozen=True, slots=True)
class Change:
    """One line of a difference: where it stands in the Compose file, before, after ("" where there is nothing)."""

    path: str
    before: str
    after: str
    effect: Effect


def difference(old: ApplicationSpec | None, new: ApplicationSpec) -> tuple[Change, ...]:
    """Return what applying `new` over `old` changes, services in the order of `new`; empty: nothing to do."""
    before = {service.name: service for service in old.services} if old else {}
    changes: list[Change] = []
    for service in new.services:
        if service.name in before:
            changes += _changes(before[service.name], service)
        else:
            changes.append(Change(f"services.{service.name}", "", _summary(service), Effect.CREATE))
    if old is not None and old.cluster != new.cluster:
        changes.append(Change("x-dcp.cluster", old.cluster, new.cluster, Effect.REPLACE))
    kept = {service.name for service in new.services}
    for name, service in before.items():
        if name not in kept:
            changes.append(Change(f"services.{name}", _summary(service), "", Effect.REMOVE))
    return tuple(changes)


def needs_replacement(old: ServiceSpec, new: ServiceSpec) -> bool:
    """Return whether an instance that runs `old` must be replaced to run `new`."""
    return any(field.lines(old) != field.lines(new) for field in _FIELDS if field.effect is Effect.REPLACE)


def shown(name: str, value: str) -> str:
    """Return `value` as it may be printed: nothing of it if `name` looks secret, no password inside a URL."""
    return REDACTED if _looks_secret(name) else _URL_PASSWORD.sub(rf"\1:{REDACTED}@", value)


def _looks_secret(name: str) -> bool:
    return any(word in name.upper() for word in _SECRET_WORDS)


@dataclass(frozen=True, slots=True)
class _Line:
    """One value of a field: what it is, which decides, and how it is printed, which does not."""

    value: object
    text: str


_Part = PlacementRules | PlacementWishes | Brakes
Lines = Mapping[str, _Line]
"""Lines by their path below the service. The order of an environment or of labels means nothing, so it is not kept."""


@dataclass(frozen=True, slots=True)
class _Field:
    """A part of ServiceSpec as lines of the file, and what a change of it does."""

    effect: Effect
    lines: Callable[[ServiceSpec], Lines]


def _changes(old: ServiceSpec, new: ServiceSpec) -> Iterator[Change]:
    nothing = _Line(None, "")
    for field in _FIELDS:
        before, after = field.lines(old), field.lines(new)
        for path in dict.fromkeys((*before, *after)):
            was, now = before.get(path, nothing), after.get(path, nothing)
            if was.value == now.value:
                continue
            texts = (was.text, now.text)
            if was.text == now.text and REDACTED not in was.text:  # rounded alike: show all digits
                texts = (str(was.value), str(now.value))
            yield Change(f"services.{new.name}.{path}", *texts, field.effect)


def _summary(service: ServiceSpec) -> str:
    size = f"{format_cpu(service.resources.cpu_millis)}, {format_bytes(service.resources.memory_bytes)}"
    count = f"{service.replicas} instance{'' if service.replicas == 1 else 's'}"
    if service.elastic:
        count += f" ({service.elastic.min_instances} to {service.elastic.max_instances})"
    port = f", port {service.published_port}" if service.published_port else ""
    return f"{count} of {size}{port}"


def _argument(text: str, before: str) -> str:
    """Return one argument of a command as it may be printed; `before` is the argument in front of it."""
    if before.startswith("-") and "=" not in before and _looks_secret(before):
        return REDACTED
    redacted = _ASSIGNMENT.sub(lambda m: f"{m[1]}={REDACTED}" if _looks_secret(m[1]) else m[0], shown("", text))
    return shlex.quote(redacted) if REDACTED not in redacted else redacted


def _command(path: str, arguments: tuple[str, ...]) -> Lines:
    words = (_argument(text, before) for before, text in zip(("", *arguments), arguments, strict=False))
    return {path: _Line(arguments, " ".join(words))} if arguments else {}


def _text(path: str, value: object) -> Lines:
    return {} if value is None or value == "" else {path: _Line(value, str(value))}


def _number(path: str, value: float) -> Lines:
    return {path: _Line(value, f"{value:g}")}


def _duration(path: str, value_s: float) -> Lines:
    return {path: _Line(value_s, format_duration(value_s))}


def _named(path: str, values: tuple[tuple[str, str], ...]) -> Lines:
    return {f"{path}.{name}": _Line(value, shown(name, value) or '""') for name, value in values}


def _health(service: ServiceSpec) -> Lines:
    health = service.health
    if health is None:
        return {}
    return {
        **_text("x-dcp.health.http", health.http_path),
        **_command("healthcheck.test", health.command),
        **_duration("healthcheck.interval", health.interval_s),
        **_duration("healthcheck.timeout", health.timeout_s),
        **_number("healthcheck.retries", health.retries),
        **_duration("healthcheck.start_period", health.start_period_s),
    }


def _resources(service: ServiceSpec) -> Lines:
    size, disk = service.resources.memory_bytes, service.resources.disk_bytes
    return {
        **_number("deploy.resources.limits.cpus", service.resources.cpu_millis / 1000),
        "deploy.resources.limits.memory": _Line(size, format_bytes(size)),
        **({"x-dcp.placement.disk": _Line(disk, format_bytes(disk))} if disk else {}),
        **{f"{_GENERIC}.{name}": _Line(amount, str(amount)) for name, amount in service.resources.extra},
    }


def _placement(service: ServiceSpec) -> Lines:
    constraints = service.constraints
    path = "deploy.placement.constraints"
    return {
        **({path: _Line(frozenset(constraints), ", ".join(constraints))} if constraints else {}),
        **_text("deploy.placement.max_replicas_per_node", service.max_per_host),
        **_unlike_default(service.rules, PlacementRules()),
    }


def _unlike_default(part: PlacementRules | PlacementWishes, default: PlacementRules | PlacementWishes) -> Lines:
    """One line for each rule or wish that is not as it is by default."""
    return _unlike(part, default, "x-dcp.placement")


def _unlike(part: _Part, default: _Part, at: str) -> Lines:
    """One line for each field that is not as it is by default."""
    return {
        f"{at}.{field.name.removesuffix('_s')}": _Line(value, str(value))
        for field in fields(part)
        if (value := getattr(part, field.name)) != getattr(default, field.name)
    }


def _elastic(service: ServiceSpec) -> Lines:
    elastic = service.elastic
    if elastic is None:
        return {}
    return {
        **_text("x-dcp.elastic.min", elastic.min_instances),
        **_text("x-dcp.elastic.max", elastic.max_instances),
        **_number("x-dcp.elastic.safe", elastic.safe_level),
        **_number("x-dcp.elastic.fatal", elastic.fatal_level),
    }


def _signals(service: ServiceSpec) -> Lines:
    return {
        f"x-dcp.signals.{one.name}": _Line(one, f"{one.query}, {one.per_instance:g} an instance")
        for one in service.signals
    }


def _timetable(service: ServiceSpec) -> Lines:
    return {
        f"x-dcp.timetable.{number}": _Line(entry, f"{entry}: {_expected(entry)}")
        for number, entry in enumerate(service.timetable)
    }


def _expected(entry: TimetableEntry) -> str:
    return f"{entry.instances} instances" if entry.instances else f"{entry.requests_per_s:g} requests/s"


def _quiet_hours(service: ServiceSpec) -> Lines:
    hours = service.quiet_hours
    if hours is None:
        return {}
    words = f"{hours.when}: every {format_duration(hours.every_s)}, {hours.per_class} instances a type of host"
    return {"x-dcp.quiet_hours": _Line(hours, words)}


def _brakes(service: ServiceSpec) -> Lines:
    return _unlike(service.brakes, Brakes(), "x-dcp.brakes")


def _degrade(service: ServiceSpec) -> Lines:
    part = service.degrade
    if part is None:
        return {}
    words = f"{', '.join(part.features)} by PUT {part.path}, after {format_duration(part.after_s)}"
    return {"x-dcp.degrade": _Line(part, words)}


def _forecast(service: ServiceSpec) -> Lines:
    part = service.forecast
    if part is None:
        return {}
    return {"x-dcp.forecast": _Line(part, f"{part.mode}, {format_duration(part.ahead_s)} ahead")}


def _dependencies(service: ServiceSpec) -> Lines:
    return {f"depends_on.{d.service}": _Line(d.condition, d.condition.value) for d in service.depends_on}


def _traffic(service: ServiceSpec) -> Lines:
    lines = {f"x-dcp.calls.{c.service}": _Line(c.per_request, f"{c.per_request:g}") for c in service.calls}
    lines |= _text("x-dcp.slow_threshold", f"{service.slow_threshold_ms}ms")
    if service.capacity is not None:
        lines |= _number("x-dcp.capacity.units_per_s", service.capacity.units_per_s)
        lines |= _number("x-dcp.capacity.requests_per_s", service.capacity.requests_per_s)
    return lines


def _policies(service: ServiceSpec) -> Lines:
    restart, update = service.restart, service.update
    return {
        **_text("deploy.restart_policy.condition", restart.condition.value),
        **_duration("deploy.restart_policy.delay", restart.delay_s),
        **_text("deploy.restart_policy.max_attempts", restart.max_attempts),
        **_duration("deploy.restart_policy.window", restart.window_s),
        **_text("deploy.update_config.parallelism", update.parallelism),
        **_text("deploy.update_config.order", "start-first" if update.start_first else "stop-first"),
    }


def _container(service: ServiceSpec) -> Lines:
    """One line for each part of the container that is not as it is by default."""
    untouched = ContainerSpec()
    return {
        _CONTAINER_PATHS[part.name]: _Line(value, str(value))
        for part in fields(ContainerSpec)
        if (value := getattr(service.container, part.name)) != getattr(untouched, part.name)
    }


_CONTAINER_PATHS = {
    "network": "network_mode",
    "host_port": "ports.published (mode host)",
    "entrypoint": "entrypoint",
    "working_dir": "working_dir (in the container)",
    "user": "user",
    "read_only": "read_only",
    "cap_add": "cap_add",
    "init": "init",
    "pids_limit": "pids_limit",
    "mounts": "volumes",
    "secrets": "secrets",
    "logs": "logging",
    "extra_hosts": "extra_hosts",
}
"""Where each part of a container stands in the Compose file."""

_FIELDS: tuple[_Field, ...] = (
    _Field(Effect.REPLACE, lambda s: _text("image", s.image)),
    _Field(Effect.REPLACE, lambda s: _command("command", s.command)),
    _Field(Effect.REPLACE, lambda s: _named("environment", s.environment)),
    _Field(Effect.REPLACE, lambda s: _text("working_dir", s.working_dir)),
    _Field(Effect.REPLACE, _container),
    _Field(Effect.REPLACE, _resources),
    _Field(Effect.REPLACE, _health),
    _Field(Effect.REPLACE, lambda s: _text("ports.target", s.target_port)),
    _Field(Effect.REPLACE, lambda s: _text("stop_signal", s.stop_signal)),
    _Field(Effect.REPLACE, lambda s: _duration("stop_grace_period", s.stop_grace_s)),
    # Where an instance may stand is decided once, when it is placed: a new rule is met by placing anew.
    _Field(Effect.REPLACE, _placement),
    _Field(Effect.IN_PLACE, lambda s: _text("deploy.replicas", s.replicas)),
    _Field(Effect.IN_PLACE, lambda s: _unlike_default(s.wishes, PlacementWishes())),
    _Field(Effect.IN_PLACE, _elastic),
    _Field(Effect.IN_PLACE, _signals),
    _Field(Effect.IN_PLACE, _timetable),
    _Field(Effect.IN_PLACE, _quiet_hours),
    _Field(Effect.IN_PLACE, _forecast),
    _Field(Effect.IN_PLACE, _brakes),
    _Field(Effect.IN_PLACE, _degrade),
    _Field(Effect.IN_PLACE, _traffic),
    _Field(Effect.IN_PLACE, _dependencies),
    _Field(Effect.IN_PLACE, lambda s: _text("ports.published", s.published_port)),
    _Field(Effect.IN_PLACE, _policies),
    _Field(Effect.IN_PLACE, lambda s: _named("labels", s.labels)),
)
