"""From the honoured part of a service to its specification: the meaning of every key, default and short form.

A fault leaves a sound value in its place, so that the rest can still be checked; the specification is thrown away then.
"""

import os
import re
import signal
from dataclasses import replace

from dcp.compose.container import container_of
from dcp.compose.environment import Surroundings, environment_of
from dcp.compose.findings import Findings
from dcp.compose.health import health_of
from dcp.compose.placement import named_resources, rules_of, wishes_of
from dcp.compose.schema import (
    BrakesPart,
    Dcp,
    DegradePart,
    Deploy,
    ForecastPart,
    HoursPart,
    QuietHoursPart,
    SecretSource,
    Service,
    TimetablePart,
    dependencies,
    pairs,
)
from dcp.compose.yaml_text import Path
from dcp.hosts.model import Resources
from dcp.kernel.units import format_bytes, format_cpu
from dcp.orchestration.capacity.model import LATENCY_BOUNDS_MS
from dcp.orchestration.services.brakes import Brakes
from dcp.orchestration.services.degrade import Degrade
from dcp.orchestration.services.forecasting import Forecasting, ForecastMode
from dcp.orchestration.services.model import (
    Call,
    Capacity,
    Dependency,
    DependencyCondition,
    Elastic,
    RestartCondition,
    RestartPolicy,
    ServiceSpec,
    UpdatePolicy,
)
from dcp.orchestration.services.quiet_hours import QuietHours
from dcp.orchestration.services.signals import Signal
from dcp.orchestration.services.timetable import DAYS, TimetableEntry
from dcp.orchestration.services.validate import slow_threshold_hint

DEFAULT_RESOURCES = Resources(cpu_millis=250, memory_bytes=128 * 1024**2)
"""For a service that states none: small enough to start anywhere, and said in a warning."""
_RESTARTS = {
    "no": RestartCondition.NONE,
    "always": RestartCondition.ANY,
    "unless-stopped": RestartCondition.ANY,
    "on-failure": RestartCondition.ON_FAILURE,
}
_HERE = frozenset({"127.0.0.1", "::1", "localhost", "0.0.0.0", "::"})


def translate(name: str, service: Service, around: Surroundings, secrets: dict[str, SecretSource]) -> ServiceSpec:
    """Return the specification of one service; faults and warnings go to the findings."""
    at: Path = ("services", name)
    findings = around.findings
    replicas, elastic = _counts(service, at, findings)
    published, target = _ports(service, at, findings)
    return ServiceSpec(
        name=name,
        command=_command(service, at, findings),
        resources=_resources(service, at, findings),
        replicas=replicas,
        image=service.image or "",
        environment=environment_of(service, at, around),
        working_dir=os.path.normpath(around.folder / (service.working_dir or ".")),
        published_port=published,
        target_port=target,
        depends_on=_dependencies(service),
        calls=tuple(Call(callee, rate) for callee, rate in service.x_dcp.calls.items()),
        health=health_of(service, at, findings),
        elastic=elastic,
        signals=tuple(Signal(one, part.query, part.per_instance) for one, part in service.x_dcp.signals.items()),
        timetable=tuple(_entry(part) for part in service.x_dcp.timetable),
        forecast=_forecast(told) if (told := service.x_dcp.forecast) else None,
        brakes=_brakes(service.x_dcp.brakes),
        degrade=_degrade(part) if (part := service.x_dcp.degrade) else None,
        capacity=_capacity(service.x_dcp, at, findings),
        quiet_hours=_quiet_hours(hours) if (hours := service.x_dcp.quiet_hours) else None,
        slow_threshold_ms=_slow_threshold_ms(service.x_dcp, at, findings),
        max_per_host=service.deploy.placement.max_replicas_per_node or None,
        constraints=tuple(re.sub(r"\s*(==|!=)\s*", r"\1", c.strip()) for c in service.deploy.placement.constraints),
        rules=rules_of(service, at, findings),
        wishes=wishes_of(service.x_dcp.placement),
        restart=_restart(service, at, findings),
        update=_update(service.deploy, elastic.max_instances if elastic else replicas),
        stop_grace_s=10.0 if service.stop_grace_period is None else service.stop_grace_period,
        stop_signal=_stop_signal(service.stop_signal),
        labels=_labels(service, at, findings),
        container=container_of(service, secrets, at, around),
    )


def _command(service: Service, at: Path, findings: Findings) -> tuple[str, ...]:
    command = (*(service.entrypoint or ()), *(service.command or ()))
    faulty = any(findings.is_faulty(path) for path in (at, *((*at, key) for key in ("image", "command", "entrypoint"))))
    return command or (("faulty",) if faulty else ())


def _brakes(part: BrakesPart) -> Brakes:
    return Brakes(
        growth=part.growth,
        growth_within_s=part.growth_within,
        blast_radius=part.blast_radius,
        confirm_above=part.confirm_above,
        grow_cooldown_s=part.grow_cooldown,
        shrink_cooldown_s=part.shrink_cooldown,
        watchdog=part.watchdog,
    )


def _degrade(part: DegradePart) -> Degrade:
    return Degrade(tuple(part.features), part.path, part.after, part.every)


def _forecast(part: ForecastPart) -> Forecasting:
    return Forecasting(ForecastMode(part.mode), part.ahead)


def _counts(service: Service, at: Path, findings: Findings) -> tuple[int, Elastic | None]:
    part, stated = service.x_dcp.elastic, service.deploy.replicas
    if stated is not None and service.scale not in (None, stated):
        message = f"{service.scale} and deploy.replicas ({stated}) disagree"
        findings.error((*at, "scale"), message, "state the number once")
    stated = service.scale if stated is None else stated
    if part is None:
        return 1 if stated is None else stated, None
    fallback = 1 if stated is None else stated
    elastic = Elastic(fallback if part.min is None else part.min, part.max)
    elastic = elastic if part.safe is None else replace(elastic, safe_level=part.safe)
    elastic = elastic if part.fatal is None else replace(elastic, fatal_level=part.fatal)
    return elastic.min_instances if stated is None else stated, elastic


def _ports(service: Service, at: Path, findings: Findings) -> tuple[int | None, int | None]:
    """Return the published port and the port inside."""
    if not service.ports:
        if len(set(service.expose)) > 1:
            words = f"only {service.expose[0]} is used: a service takes requests on one port"
            findings.warn((*at, "expose"), words, "keep that one")
        return None, service.expose[0] if service.expose else None
    if len(service.ports) > 1:
        hint = "keep the one that takes requests; make another service for the rest"
        findings.error((*at, "ports", 1), "a service has one port and one listener", hint)
    port = service.ports[0]
    if port.host_ip in _HERE:
        words = f"the address {port.host_ip} is left out: the server chooses where the balancer listens"
        findings.warn((*at, "ports", 0), words, 'write only the ports, such as "8080:80"')
    elif port.host_ip is not None:
        words = f"the balancer cannot listen on {port.host_ip} for one service"
        findings.error((*at, "ports", 0), words, "remove the address")
    return (None if port.mode == "host" else port.published), port.target


def _resources(service: Service, at: Path, findings: Findings) -> Resources:
    """Return the limits, where they are silent the reservations, where both are the default."""
    limits, reserved = service.deploy.resources.limits, service.deploy.resources.reservations
    inside = (*at, "deploy", "resources")
    cpus = _once(limits.cpus, service.cpus, (*at, "cpus"), findings)
    memory = _once(limits.memory, service.mem_limit, (*at, "mem_limit"), findings)
    reserved_memory = _once(reserved.memory, service.mem_reservation, (*at, "mem_reservation"), findings)
    memory_at = (*at, "mem_reservation") if reserved.memory is None else (*inside, "reservations", "memory")
    for path, limit, reservation in (
        ((*inside, "reservations", "cpus"), cpus, reserved.cpus),
        (memory_at, memory, reserved_memory),
    ):
        if limit is not None and reservation is not None and limit != reservation:
            words = "differs from the limit: the limit is both reserved and enforced"
            findings.warn(path, words, "state one figure")
    cpus = reserved.cpus if cpus is None else cpus
    memory = reserved_memory if memory is None else memory
    unstated = [f"cpus ({format_cpu(DEFAULT_RESOURCES.cpu_millis)} is used)"] if cpus is None else []
    if memory is None:
        unstated.append(f"memory ({format_bytes(DEFAULT_RESOURCES.memory_bytes)} is used)")
    if unstated:
        words = f"does not state {' and '.join(unstated)}"
        findings.warn((*inside, "limits"), words, "state what one instance needs")
    return Resources(
        DEFAULT_RESOURCES.cpu_millis if cpus is None else cpus,
        DEFAULT_RESOURCES.memory_bytes if memory is None else memory,
        service.x_dcp.placement.disk or 0,
        named_resources(service, at, findings),
    )


def _once(long: int | None, short: int | None, short_at: Path, findings: Findings) -> int | None:
    """Return a figure that has two places in the file; an error if both are used and differ."""
    if long is not None and short is not None and long != short:
        findings.error(short_at, "disagrees with deploy.resources", "state the figure once")
    return short if long is None else long


def _dependencies(service: Service) -> tuple[Dependency, ...]:
    stated = dependencies(service.depends_on)
    return tuple(Dependency(name, DependencyCondition(part.condition)) for name, part in stated.items())


def _entry(part: TimetablePart) -> TimetableEntry:
    load = (part.requests_per_s, part.instances)
    return TimetableEntry(part.from_, part.until, _days(part), part.timezone, *load, part.lead)


def _quiet_hours(part: QuietHoursPart) -> QuietHours:
    when = TimetableEntry(part.from_, part.until, _days(part), part.timezone, lead_s=0.0)
    return QuietHours(when, part.every, part.window, part.instances)


def _days(part: HoursPart) -> tuple[int, ...]:
    return tuple(sorted({DAYS.index(day) for day in part.days}))


def _capacity(part: Dcp, at: Path, findings: Findings) -> Capacity | None:
    if part.capacity is not None:
        return Capacity(part.capacity.units_per_s, part.capacity.requests_per_s)
    if part.elastic is not None and not part.signals and not findings.is_faulty((*at, "x-dcp", "capacity")):
        words = "the service is not scaled: without x-dcp.capacity its water level is not known"
        findings.warn((*at, "x-dcp", "elastic"), words, "measure what one instance carries, and state it")
    return None


def _slow_threshold_ms(part: Dcp, at: Path, findings: Findings) -> int:
    if part.slow_threshold is None:
        return 1000
    milliseconds = round(part.slow_threshold * 1000, 6)
    if milliseconds not in LATENCY_BOUNDS_MS:
        words = f"{milliseconds:g}ms is not a bound at which latencies are counted"
        findings.error((*at, "x-dcp", "slow_threshold"), words, slow_threshold_hint())
        return 1000
    return int(milliseconds)


def _restart(service: Service, at: Path, findings: Findings) -> RestartPolicy:
    part, short = service.deploy.restart_policy, _short_restart(service.restart, at, findings)
    if part is None:
        return short or RestartPolicy()
    default = RestartPolicy()
    policy = RestartPolicy(
        condition=default.condition if part.condition is None else RestartCondition(part.condition),
        delay_s=default.delay_s if part.delay is None else part.delay,
        max_attempts=default.max_attempts if part.max_attempts is None else part.max_attempts,
        window_s=default.window_s if part.window is None else part.window,
    )
    if short is not None and short.condition != policy.condition:
        findings.warn((*at, "restart"), "deploy.restart_policy says otherwise, and wins", "state one of them")
    return policy


def _short_restart(text: str | None, at: Path, findings: Findings) -> RestartPolicy | None:
    if text is None:
        return None
    match = re.fullmatch(r"(no|always|unless-stopped|on-failure)(?::(\d{1,9}))?", text, re.ASCII)
    if match is None or (match[2] and match[1] != "on-failure"):
        hint = "use no, always, on-failure, on-failure:3 or unless-stopped"
        findings.error((*at, "restart"), f"{text!r} is not a restart policy", hint)
        return None
    return RestartPolicy(_RESTARTS[match[1]], max_attempts=int(match[2] or 0))


def _update(deploy: Deploy, most: int) -> UpdatePolicy:
    part, policy = deploy.update_config, UpdatePolicy()
    parallelism = policy.parallelism if part.parallelism is None else part.parallelism
    return UpdatePolicy(
        parallelism=parallelism or max(most, 1),  # 0 means all at once
        start_first=policy.start_first if part.order is None else part.order == "start-first",
    )


def _stop_signal(text: str | None) -> str:
    """Return the name of a signal as `SIGTERM`; what is none stays as it is and is refused with the specification."""
    if not text:
        return "SIGTERM"
    numbers = {str(member.value): member.name for member in signal.Signals}
    name = numbers.get(text, text.upper())
    return name if name.startswith("SIG") else f"SIG{name}"


def _labels(service: Service, at: Path, findings: Findings) -> tuple[tuple[str, str], ...]:
    own = {name: value or "" for name, value in pairs(service.labels).items()}
    deployed = {name: value or "" for name, value in pairs(service.deploy.labels).items()}
    for name in sorted(own.keys() & deployed.keys()):
        if own[name] != deployed[name]:
            findings.warn((*at, "labels", name), f"deploy.labels gives {name} another value, and wins", "state it once")
    return tuple(sorted((own | deployed).items()))
