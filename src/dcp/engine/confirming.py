"""A person lets services grow to a number above the line of `x-dcp.brakes.confirm_above`, for some time.

It also lets a service grow that the watchdog holds. A confirmation replaces the one before; a number that is not above
what needs no person takes it back.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from dcp.engine.context import Context
from dcp.kernel.errors import InvalidInput, NotFound, Problem
from dcp.kernel.events import Event
from dcp.kernel.units import format_duration
from dcp.orchestration.services.model import ServiceKey, ServiceSpec
from dcp.store import applications, events

LONGEST_S = 7 * 86400.0


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A service may grow to `instances` until `until`, seconds since the epoch."""

    service: str
    instances: int
    until: float


async def confirm(context: Context, name: str, counts: Mapping[str, int], lasts_s: float) -> tuple[Confirmation, ...]:
    """Let services grow to so many instances for so long. Raises NotFound, or InvalidInput with every problem."""
    now = context.clock.now()

    def work(connection: Connection) -> tuple[Confirmation, ...]:
        application = applications.find(connection, name)
        if application is None:
            raise NotFound(f"there is no application {name}", hint="see `dcp status`")
        specs = {one.name: one for one in application.spec.services}
        if problems := _problems(specs, counts, lasts_s):
            raise InvalidInput(problems, subject="confirm")
        rows = {row.key.name: row for row in applications.service_rows(connection, name)}
        for service, count in counts.items():
            row = rows[service]
            brakes = replace(row.scaling.brakes, confirmed_to=count, confirmed_until=now + lasts_s)
            applications.remember(connection, row, replace(row.scaling, brakes=brakes))
        words = f"a person lets it grow to {{:,}} instances within {format_duration(lasts_s)}"
        told = [
            Event(f"service/{ServiceKey(name, service)}", "confirmed", words.format(count), after=str(count))
            for service, count in counts.items()
        ]
        events.append(connection, now, told)
        return tuple(Confirmation(service, count, now + lasts_s) for service, count in counts.items())

    confirmed = await context.database.write(work)
    context.wakes.wake(f"application/{name}")
    return confirmed


def _problems(specs: Mapping[str, ServiceSpec], counts: Mapping[str, int], lasts_s: float) -> tuple[Problem, ...]:
    found = ((name, _fault(specs.get(name), count)) for name, count in counts.items())
    problems = [Problem(f"counts.{name}", *fault) for name, fault in found if fault is not None]
    if not 0 < lasts_s <= LONGEST_S:
        problems.append(Problem("lasts_s", f"{lasts_s:g} is not within a week", "such as 3600"))
    return tuple(problems)


def _fault(spec: ServiceSpec | None, count: int) -> tuple[str, str] | None:
    """Return what is wrong and a hint."""
    if spec is None:
        return "is not a service of the application", "see `dcp services`"
    if spec.elastic is None:
        return "is not scaled", "its number stands in the Compose file"
    if not 0 <= count <= spec.max_instances:
        return f"{count} is outside its bounds", f"x-dcp.elastic allows up to {spec.max_instances}"
    return None
