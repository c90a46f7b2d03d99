"""What makes an application specification impossible, whoever wrote it: a Compose file or a caller of the API.

Pure. Every fault is named by its path as it would stand in the Compose file, so that both doors give the same answer.
What depends on the hosts that sources offer is apart (`unplaceable`): it may change from one minute to the next.
"""

import math
import re
import signal
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from zoneinfo import available_timezones

from dcp.hosts.model import Resources, SourceKind
from dcp.kernel.errors import Problem
from dcp.kernel.units import format_bytes, format_cpu
from dcp.orchestration.capacity.model import LATENCY_BOUNDS_MS
from dcp.orchestration.services.degrade import LONGEST_S as LONGEST_DEGRADE_S
from dcp.orchestration.services.degrade import MOST_FEATURES, Degrade
from dcp.orchestration.services.forecasting import LEAST_AHEAD_S, LONGEST_AHEAD_S, Forecasting
from dcp.orchestration.services.model import ApplicationSpec, Elastic, HealthCheck, ServiceSpec
from dcp.orchestration.services.placement_problems import problems_of_placement
from dcp.orchestration.services.quiet_hours import LONGEST_WINDOW_S, MOST_PER_CLASS, QuietHours
from dcp.orchestration.services.signals import Signal
from dcp.orchestration.services.timetable import DAY_MINUTES, EVERY_DAY, TimetableEntry

NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
NAME_LENGTH = 63
"""Names become parts of identifiers, file names and DNS labels; 63 is the limit of the last."""
MAX_INSTANCES = 1_000_000
"""Above what one controller plans for; a larger figure is a slip of the keyboard."""
PORTS = range(1, 65536)
CONSTRAINT = re.compile(r"node\.(id|source|labels\.[A-Za-z0-9][\w./-]*)(==|!=)([\w./:-]+)", re.ASCII)
CONSTRAINT_HINT = "write node.labels.KEY==VALUE, node.id==ID or node.source==private, each also with !="
LONGEST_LEAD_S = 86400.0
FEATURE = re.compile(r"[A-Za-z0-9][\w-]{0,62}", re.ASCII)
LONGEST_BRAKE_S = 86400.0
_CYCLES_NAMED = 20


def problems_of(spec: ApplicationSpec) -> tuple[Problem, ...]:
    """Return every fault of `spec` that shows without looking at hosts; empty if it can be applied."""
    problems = list(_name_problems("name", spec.name, "application"))
    if not spec.services:
        problems.append(Problem("services", "there are no services", "state at least one service"))
    for service in spec.services:
        problems += _service_problems(service)
    problems += _problems_between(spec)
    return tuple(dict.fromkeys(problems))


def unplaceable(spec: ApplicationSpec, largest: tuple[Resources, ...]) -> tuple[Problem, ...]:
    """Return a problem for each service of which no instance fits on any host type offered.

    `largest` holds the size of every host type that some source offers, or at least of those that no other exceeds.
    """
    if not largest:
        return (Problem("services", "no source offers any host", "add a source of hosts, or raise its quota"),)
    return tuple(_too_large(service, largest) for service in spec.services if not _fits_any(service, largest))


def slow_threshold_hint() -> str:
    """Return the thresholds that can be chosen, in words."""
    return "choose one of " + ", ".join(f"{bound}ms" for bound in LATENCY_BOUNDS_MS)


def _name_problems(path: str, name: str, noun: str) -> Iterator[Problem]:
    if not NAME.fullmatch(name):
        hint = "use lower-case letters, digits, - and _, and begin with a letter or a digit"
        yield Problem(path, f"{name!r} is not a name for {_a(noun)}", hint)
    elif len(name) > NAME_LENGTH:
        yield Problem(path, f"the name has {len(name)} characters", f"use at most {NAME_LENGTH}")


def _service_problems(service: ServiceSpec) -> Iterator[Problem]:
    at = f"services.{service.name}"
    yield from _name_problems(at, service.name, "service")
    yield from _count_problems(service, at)
    yield from _measure_problems(service, at)
    yield from _process_problems(service, at)
    yield from _placement_problems(service, at)
    if (health := service.health) is not None:
        yield from _health_problems(health, f"{at}.x-dcp.health" if health.http_path else f"{at}.healthcheck")
    for port, name in ((service.published_port, "published"), (service.target_port, "target")):
        if port is not None and port not in PORTS:
            yield Problem(f"{at}.ports", f"the {name} port {port} is out of range", "use 1 to 65535")


def _count_problems(service: ServiceSpec, at: str) -> Iterator[Problem]:
    if service.replicas < 0:
        yield Problem(f"{at}.deploy.replicas", f"{service.replicas} is negative", "use 0 to switch the service off")
    if service.replicas > MAX_INSTANCES:
        yield Problem(f"{at}.deploy.replicas", f"{service.replicas} is too many", f"use at most {MAX_INSTANCES}")
    if service.elastic is not None:
        yield from _elastic_problems(service.elastic, service.replicas, at)
    for one in service.signals:
        yield from _signal_problems(service, one, f"{at}.x-dcp.signals.{one.name}")
    for number, entry in enumerate(service.timetable):
        yield from _timetable_problems(service, entry, f"{at}.x-dcp.timetable.{number}")
    if service.quiet_hours is not None:
        yield from _quiet_problems(service.quiet_hours, f"{at}.x-dcp.quiet_hours")
    if service.forecast is not None:
        yield from _forecast_problems(service, service.forecast, f"{at}.x-dcp.forecast")
    yield from _brake_problems(service, f"{at}.x-dcp.brakes")
    if service.degrade is not None:
        yield from _degrade_problems(service, service.degrade, f"{at}.x-dcp.degrade")
    if service.update.parallelism < 1:
        yield Problem(f"{at}.deploy.update_config.parallelism", "must be 1 or more", "such as 1")


def _signal_problems(service: ServiceSpec, asked: Signal, at: str) -> Iterator[Problem]:
    if service.elastic is None:
        yield Problem(at, "needs x-dcp.elastic", "without it the service is not scaled")
    if not asked.query.strip():
        yield Problem(f"{at}.query", "is empty", 'such as sum(queue_length{service="feed"})')
    if not 0 < asked.per_instance < math.inf:
        yield Problem(f"{at}.per_instance", f"{asked.per_instance:g} is not above 0", "what one instance carries")


def _brake_problems(service: ServiceSpec, at: str) -> Iterator[Problem]:
    brakes = service.brakes
    bounds = (brakes.growth, brakes.confirm_above, brakes.grow_cooldown_s or None, brakes.shrink_cooldown_s or None)
    if service.elastic is None and any(one is not None for one in bounds):
        yield Problem(at, "bounds scaling, and the service is not scaled", "state x-dcp.elastic, or remove it")
    if brakes.growth is not None and not 1 < brakes.growth < math.inf:
        yield Problem(f"{at}.growth", f"{brakes.growth:g} times is no growth", "above 1, such as 2")
    if brakes.blast_radius is not None and not 0 < brakes.blast_radius <= 1:
        yield Problem(f"{at}.blast_radius", f"{brakes.blast_radius:g} is no share", "above 0 and up to 1, such as 0.2")
    if not 0 < brakes.growth_within_s <= LONGEST_BRAKE_S:
        yield Problem(f"{at}.growth_within", "must be above 0, and a day at most", "such as 1m")
    for name, value_s in (("grow_cooldown", brakes.grow_cooldown_s), ("shrink_cooldown", brakes.shrink_cooldown_s)):
        if not 0 <= value_s <= LONGEST_BRAKE_S:
            yield Problem(f"{at}.{name}", "must be a day at most", "such as 5m")


def _forecast_problems(service: ServiceSpec, part: Forecasting, at: str) -> Iterator[Problem]:
    if service.elastic is None:
        yield Problem(at, "is for services that are scaled", "state x-dcp.elastic, or remove it")
    if not LEAST_AHEAD_S <= part.ahead_s <= LONGEST_AHEAD_S:
        yield Problem(f"{at}.ahead", "must be from 1 minute to 6 hours", "such as 30m")


def _degrade_problems(service: ServiceSpec, part: Degrade, at: str) -> Iterator[Problem]:
    if service.elastic is None:
        yield Problem(at, "is for services that are scaled", "state x-dcp.elastic, or remove it")
    if not 0 < len(part.features) <= MOST_FEATURES or not all(FEATURE.fullmatch(name) for name in part.features):
        yield Problem(f"{at}.features", "must be 1 to 20 names of letters, digits, - and _", "such as [comments]")
    for name in _twice(part.features):
        yield Problem(f"{at}.features", f"{name} is given twice", "give it once")
    if not part.path.startswith("/") or not part.path.isascii() or not part.path.isprintable() or " " in part.path:
        yield Problem(f"{at}.path", f"{part.path!r} is no path", "such as /switches")
    for name, value_s in (("after", part.after_s), ("every", part.every_s)):
        if not 0 <= value_s <= LONGEST_DEGRADE_S:
            yield Problem(f"{at}.{name}", "must be a day at most", "such as 60s")


def _timetable_problems(service: ServiceSpec, entry: TimetableEntry, at: str) -> Iterator[Problem]:
    if service.elastic is None or service.capacity is None:
        yield Problem(at, "needs x-dcp.elastic and x-dcp.capacity", "without them the service is not scaled")
    yield from _hours_problems(entry, at)
    if (entry.requests_per_s > 0) == (entry.instances > 0) or not math.isfinite(entry.requests_per_s):
        yield Problem(at, "must state requests_per_s or instances, above 0", "one of the two")
    if not 0 <= entry.lead_s <= LONGEST_LEAD_S:
        yield Problem(f"{at}.lead", f"{entry.lead_s:g} s is no time to get ready in", "from 0 to 24 hours")


def _quiet_problems(hours: QuietHours, at: str) -> Iterator[Problem]:
    yield from _hours_problems(hours.when, at)
    if not 0 < hours.window_s <= LONGEST_WINDOW_S:
        yield Problem(f"{at}.window", "must be above 0, and an hour at most", "such as 60s")
    if not hours.window_s <= hours.every_s < math.inf:
        yield Problem(f"{at}.every", "is shorter than a step of a test", "such as 7d")
    if not 1 <= hours.per_class <= MOST_PER_CLASS:
        yield Problem(f"{at}.instances", f"{hours.per_class} is not from 1 to {MOST_PER_CLASS}", "such as 3")


def _hours_problems(entry: TimetableEntry, at: str) -> Iterator[Problem]:
    if not entry.days or not set(entry.days) <= set(EVERY_DAY):
        yield Problem(f"{at}.days", "names no day of the week", "leave it out for every day")
    if not 0 <= entry.from_minute < DAY_MINUTES or not 0 <= entry.until_minute <= DAY_MINUTES:
        yield Problem(f"{at}.from", "is no time of day", "from 00:00 to 23:59, until 24:00 at most")
    elif entry.from_minute == entry.until_minute:
        yield Problem(f"{at}.until", "the hours are empty", "such as from 19:00 until 23:00")
    if entry.timezone not in available_timezones():
        yield Problem(f"{at}.timezone", f"{entry.timezone!r} is no time zone", "such as Asia/Shanghai")


def _elastic_problems(elastic: Elastic, replicas: int, at: str) -> Iterator[Problem]:
    inside = f"{at}.x-dcp.elastic"
    low, high = elastic.min_instances, elastic.max_instances
    if low < 1:
        hint = "nothing starts an instance when a request comes; to switch the service off leave elastic out"
        yield Problem(f"{inside}.min", f"{low} is less than 1", hint)
    if high > MAX_INSTANCES:
        yield Problem(f"{inside}.max", f"{high} is too many", f"use at most {MAX_INSTANCES}")
    if low > high:
        yield Problem(f"{inside}.max", f"{high} is less than min ({low})", "min ≤ replicas ≤ max")
    elif not low <= replicas <= high:
        path = f"{at}.deploy.replicas"
        yield Problem(path, f"{replicas} is not between elastic min ({low}) and max ({high})", "min ≤ replicas ≤ max")
    if not math.isfinite(elastic.fatal_level) or elastic.fatal_level < 1:
        hint = "at a water level of 1 the load is all that the service can carry"
        yield Problem(f"{inside}.fatal", f"{elastic.fatal_level:g} is less than 1", hint)
    if not math.isfinite(elastic.safe_level) or elastic.safe_level <= elastic.fatal_level:
        message = f"{elastic.safe_level:g} is not above fatal ({elastic.fatal_level:g})"
        yield Problem(f"{inside}.safe", message, "the service shrinks above safe and grows below fatal")


def _measure_problems(service: ServiceSpec, at: str) -> Iterator[Problem]:
    for call in service.calls:
        if not _positive(call.per_request):
            hint = "state how many calls one request makes, such as 0.4"
            yield Problem(f"{at}.x-dcp.calls.{call.service}", f"{call.per_request:g} is not above 0", hint)
    if service.capacity is not None:
        for key in ("units_per_s", "requests_per_s"):
            if not _positive(value := getattr(service.capacity, key)):
                yield Problem(f"{at}.x-dcp.capacity.{key}", f"{value:g} is not above 0", "state what was measured")
    if service.slow_threshold_ms not in LATENCY_BOUNDS_MS:
        message = f"{service.slow_threshold_ms}ms is not a bound at which latencies are counted"
        yield Problem(f"{at}.x-dcp.slow_threshold", message, slow_threshold_hint())
    for key, value in (("cpus", service.resources.cpu_millis), ("memory", service.resources.memory_bytes)):
        if value <= 0:
            yield Problem(f"{at}.deploy.resources.limits.{key}", "must be above 0", "such as cpus 0.25, memory 128M")


def _process_problems(service: ServiceSpec, at: str) -> Iterator[Problem]:
    if not service.command and not service.image:
        yield Problem(f"{at}.command", "there is nothing to run", "state a command, or an image")
    if any("\0" in argument for argument in service.command):
        yield Problem(f"{at}.command", "contains a NUL character, which no process can be given", "remove it")
    if service.working_dir and not service.working_dir.startswith("/"):
        yield Problem(f"{at}.working_dir", f"{service.working_dir!r} is not an absolute path", "begin with /")
    seen: set[str] = set()
    for name, value in service.environment:
        if not name or "=" in name or "\0" in name or "\0" in value:
            yield Problem(f"{at}.environment", f"{name!r} cannot be passed to a process", "no =, no NUL characters")
        if name in seen:
            yield Problem(f"{at}.environment.{name}", "is given twice", "give it once")
        seen.add(name)
    if service.stop_signal not in signal.Signals.__members__:
        yield Problem(f"{at}.stop_signal", f"{service.stop_signal!r} is not a signal", "such as SIGTERM or SIGINT")
    if not math.isfinite(service.stop_grace_s) or service.stop_grace_s < 0:
        yield Problem(f"{at}.stop_grace_period", "must be 0 or more", "such as 10s")
    restart = service.restart
    for key, number in (
        ("delay", restart.delay_s),
        ("max_attempts", restart.max_attempts),
        ("window", restart.window_s),
    ):
        if not math.isfinite(number) or number < 0:
            yield Problem(f"{at}.deploy.restart_policy.{key}", "must be 0 or more", "leave it out for the default")


def _health_problems(health: HealthCheck, at: str) -> Iterator[Problem]:
    if bool(health.command) == bool(health.http_path):
        found = "both are" if health.command else "neither is"
        hint = "state either healthcheck.test or x-dcp.health.http"
        yield Problem(at, f"a health check is a command or an HTTP path; {found} stated", hint)
    if health.http_path and not re.fullmatch(r"/[^\s#]*", health.http_path):
        message = f"{health.http_path!r} is not a path on the instance itself"
        yield Problem(f"{at}.http", message, "such as /healthz")
    if any("\0" in argument for argument in health.command):
        yield Problem(f"{at}.test", "contains a NUL character, which no process can be given", "remove it")
    for key, number in (("interval", health.interval_s), ("timeout", health.timeout_s)):
        if not _positive(number):
            yield Problem(f"{at}.{key}", "must be above 0", "such as 1s")
    if health.retries < 1:
        yield Problem(f"{at}.retries", "must be 1 or more", "such as 3")
    if not math.isfinite(health.start_period_s) or health.start_period_s < 0:
        yield Problem(f"{at}.start_period", "must be 0 or more", "such as 30s")


def _placement_problems(service: ServiceSpec, at: str) -> Iterator[Problem]:
    if service.max_per_host is not None and service.max_per_host < 1:
        yield Problem(f"{at}.deploy.placement.max_replicas_per_node", "must be 1 or more", "such as 2")
    kinds = [kind.value for kind in SourceKind]
    for position, text in enumerate(service.constraints):
        path = f"{at}.deploy.placement.constraints.{position}"
        match = CONSTRAINT.fullmatch(text)
        if match is None:
            yield Problem(path, f"{text!r} is not a constraint that dcp knows", CONSTRAINT_HINT)
        elif match[1] == "source" and match[3] not in kinds:
            yield Problem(path, f"{match[3]!r} is not a kind of source", f"use {' or '.join(kinds)}")
    yield from problems_of_placement(service.rules, service.wishes, f"{at}.x-dcp.placement")


def _problems_between(spec: ApplicationSpec) -> Iterator[Problem]:
    by_name = {service.name: service for service in spec.services}
    yield from _shared(spec)
    for service in by_name.values():
        for path, needed in _edges(service):
            yield from _edge_problems(service, path, by_name.get(needed), needed)
        yield from _unknown_neighbours(service, by_name)
        for key, names in (("depends_on", service.depends_on), ("x-dcp.calls", service.calls)):
            for name in _twice(item.service for item in names):
                yield Problem(f"services.{service.name}.{key}.{name}", "is given twice", "give it once")
    yield from _cycles(by_name)


def _unknown_neighbours(service: ServiceSpec, by_name: Mapping[str, ServiceSpec]) -> Iterator[Problem]:
    for side, some in (("beside", service.rules.beside), ("apart", service.rules.apart)):
        for position, one in enumerate(some):
            path = f"services.{service.name}.x-dcp.placement.{side}.{position}"
            if "/" not in one.service and one.service not in by_name:
                yield Problem(path, f"there is no service {one.service!r}", "of another file: application/name")
            if side == "beside" and one.service == service.name:
                yield Problem(path, "a service cannot wait for itself", "remove it")
            if side == "apart" and one.service == service.name and one.preferred:
                yield Problem(path, "it is rather apart from itself anyway", "use spread, or leave out preferred")


def _shared(spec: ApplicationSpec) -> Iterator[Problem]:
    """Yield a problem for each name or port that two services share."""
    names: dict[str, str] = {}
    publishers: dict[int, str] = {}
    for service in spec.services:
        path, port = f"services.{service.name}", service.published_port
        # A dependency's address is passed in a variable, in which - and _ look the same.
        other = names.setdefault(service.name.replace("-", "_"), service.name)
        if other != service.name:
            yield Problem(path, f"the name differs from {other} only in - and _", "rename one")
        if port is not None and port in publishers:
            message = f"port {port} is already published by {publishers[port]}"
            yield Problem(f"{path}.ports", message, "give each service a port of its own")
        if port is not None:
            publishers.setdefault(port, service.name)
    for name in _twice(service.name for service in spec.services):
        yield Problem(f"services.{name}", "there are two services of this name", "rename one")


def _twice(names: Iterable[str]) -> list[str]:
    """Return the names that come more than once, sorted."""
    return sorted(name for name, count in Counter(names).items() if count > 1)


def _edges(service: ServiceSpec) -> Iterator[tuple[str, str]]:
    """Yield (path, name needed) for everything that the service needs."""
    for dependency in service.depends_on:
        yield f"services.{service.name}.depends_on.{dependency.service}", dependency.service
    for call in service.calls:
        yield f"services.{service.name}.x-dcp.calls.{call.service}", call.service


def _edge_problems(service: ServiceSpec, path: str, needed: ServiceSpec | None, name: str) -> Iterator[Problem]:
    if name == service.name:
        yield Problem(path, "the service needs itself", "remove this line")
    elif needed is None:
        yield Problem(path, f"there is no service {name!r}", "name a service of this file")
    elif needed.min_instances < 1:
        message = f"{name} has no instances, so {service.name} would wait for ever"
        yield Problem(path, message, f"give {name} at least 1 replica")


def _cycles(by_name: dict[str, ServiceSpec]) -> Iterator[Problem]:
    """Yield one problem for each cycle, taking an edge out of each that was found, until none is left."""
    needs: dict[str, dict[str, str]] = {name: {} for name in by_name}
    for name, service in by_name.items():
        for path, needed in _edges(service):
            if needed in by_name and needed != name:
                needs[name].setdefault(needed, path)
    order = list(by_name)
    for _ in range(_CYCLES_NAMED):
        try:
            TopologicalSorter(needs).prepare()
            return
        except CycleError as error:
            # graphlib lists each node before the one that needs it, and the first again at the end.
            ring = list(reversed(error.args[1][1:]))
        first = min(range(len(ring)), key=lambda position: order.index(ring[position]))
        ring = ring[first:] + ring[:first]
        words = " → ".join([*ring, ring[0]])
        hint = "dependencies and calls together must not form a circle"
        yield Problem(needs[ring[0]].pop(ring[1]), f"services need each other in a circle: {words}", hint)


def _fits_any(service: ServiceSpec, largest: tuple[Resources, ...]) -> bool:
    return any(service.resources.fits_in(offered) for offered in largest)


def _too_large(service: ServiceSpec, largest: tuple[Resources, ...]) -> Problem:
    wanted = service.resources
    path = f"services.{service.name}.deploy.resources.limits"
    cpu, memory = max(r.cpu_millis for r in largest), max(r.memory_bytes for r in largest)
    if wanted.memory_bytes > memory >= 0 and wanted.cpu_millis <= cpu:
        words, hint = f"{format_bytes(wanted.memory_bytes)} of memory", f"the most is {format_bytes(memory)}"
        return Problem(f"{path}.memory", f"no host type that is offered has {words}", hint)
    if wanted.cpu_millis > cpu and wanted.memory_bytes <= memory:
        hint = f"the most is {format_cpu(cpu)}"
        return Problem(f"{path}.cpus", f"no host type that is offered has {format_cpu(wanted.cpu_millis)}", hint)
    words = " or ".join(sorted({_size(offered) for offered in largest}))
    return Problem(path, f"no host type that is offered has {_size(wanted)}", f"there are {words}")


def _size(resources: Resources) -> str:
    more = [f"{format_bytes(resources.disk_bytes)} of disk"] if resources.disk_bytes else []
    more += [f"{amount:,} {name}" for name, amount in resources.extra]
    return " with ".join((format_cpu(resources.cpu_millis), format_bytes(resources.memory_bytes), *more))


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _positive(value: float) -> bool:
    return math.isfinite(value) and value > 0
