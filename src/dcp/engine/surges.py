"""What people plan ahead: surges, with a rehearsal of what each would take if it began now.

Acknowledged once committed; the worker of the application does the rest when the time has come.
"""

from dataclasses import dataclass, replace

from sqlalchemy import Connection

from dcp.engine.application import Loaded, load
from dcp.engine.context import Context
from dcp.kernel.errors import InvalidInput, NotFound, Problem
from dcp.kernel.events import Event
from dcp.orchestration.ahead.model import Expected, PlannedSurge
from dcp.orchestration.scaling.decide import ServiceSnapshot, decide_application
from dcp.orchestration.scaling.plan import ApplicationPlan
from dcp.orchestration.services.validate import LONGEST_LEAD_S
from dcp.store import counters, events, surges

LONGEST_S = 90 * 86400.0
MOST_TIMES = 1000.0
COUNTER = "surge"


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody says of one service: one of the three is above 0."""

    service: str
    times: float = 0.0
    """So many times what arrives there now."""
    requests_per_s: float = 0.0
    instances: int = 0

    def __str__(self) -> str:
        if self.times:
            return f"{self.service}={self.times:g}x"
        return (
            f"{self.service}={self.requests_per_s:g}/s" if self.requests_per_s else f"{self.service}={self.instances}"
        )


@dataclass(frozen=True, slots=True)
class SurgeAsked:
    """A surge as it was asked for. `begins_at` None: now."""

    application: str
    services: tuple[Asked, ...]
    lasts_s: float
    begins_at: float | None = None
    lead_s: float = 600.0


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """The surge, and the plan that it would need if it began now."""

    surge: PlannedSurge
    plan: ApplicationPlan


async def plan_surge(context: Context, asked: SurgeAsked, *, dry_run: bool = False) -> Rehearsed:
    """Keep an application large enough for what is expected; with `dry_run` only rehearse it.

    Raises NotFound, or InvalidInput with every problem.
    """
    loaded = await load(context, asked.application)
    if loaded is None:
        raise NotFound(f"there is no application {asked.application}", hint="see `dcp status`")
    now = context.clock.now()
    problems = _problems(asked, loaded, now)
    if problems:
        raise InvalidInput(problems, subject="surge")
    surge = _surge(asked, loaded, now)
    if not dry_run:
        surge = await context.database.write(lambda connection: _add(connection, context, surge))
        context.wakes.wake(f"application/{asked.application}")
    return Rehearsed(surge, rehearse(loaded, surge, now))


async def cancel_surge(context: Context, surge_id: str) -> PlannedSurge:
    """Plan with it no more; what was added for it is given back as after any load. Doing it again changes nothing."""
    now = context.clock.now()

    def work(connection: Connection) -> PlannedSurge:
        surge = surges.find(connection, surge_id)
        if surge is None:
            raise NotFound(f"there is no planned surge {surge_id}", hint="see `dcp surges`")
        if surges.cancel(connection, surge_id, now):
            told = Event(f"application/{surge.application}", "surge-cancelled", f"{surge_id} ({surge.asked})")
            events.append(connection, now, [told])
        return replace(surge, cancelled_at=now if surge.cancelled_at is None else surge.cancelled_at)

    surge = await context.database.write(work)
    context.wakes.wake(f"application/{surge.application}")
    return surge


def rehearse(loaded: Loaded, surge: PlannedSurge, now: float) -> ApplicationPlan:
    """Return the plan for the present state if the surge began now."""
    begun = replace(surge, begins_at=now, ends_at=now + max(1.0, surge.ends_at - surge.begins_at))
    return decide_application(replace(loaded.snapshot, surges=(*loaded.snapshot.surges, begun)))


def _add(connection: Connection, context: Context, surge: PlannedSurge) -> PlannedSurge:
    last = counters.peek(connection, COUNTER)
    counters.take(connection, COUNTER, last, 1)
    surge = replace(surge, id=f"surge-{last + 1}")
    surges.prune(connection, surge.planned_at - context.settings.keep_history_s)
    surges.add(connection, surge)
    words = f"{surge.id}: {surge.asked} expected, ready {surge.lead_s:g} s before"
    told = Event(f"application/{surge.application}", "surge-planned", words, after=surge.id)
    events.append(connection, surge.planned_at, [told])
    return surge


def _surge(asked: SurgeAsked, loaded: Loaded, now: float) -> PlannedSurge:
    begins_at = now if asked.begins_at is None else asked.begins_at
    services = {one.spec.name: one for one in loaded.snapshot.services}
    return PlannedSurge(
        id="surge-0",
        application=asked.application,
        expected=tuple(_expected(one, services[one.service]) for one in asked.services),
        begins_at=begins_at,
        ends_at=begins_at + asked.lasts_s,
        lead_s=asked.lead_s,
        asked=" ".join(str(one) for one in asked.services),
        planned_at=now,
    )


def _expected(asked: Asked, service: ServiceSnapshot) -> Expected:
    rate = asked.times * arriving_requests_per_s(service) if asked.times else asked.requests_per_s
    return Expected(asked.service, rate, asked.instances)


def arriving_requests_per_s(service: ServiceSnapshot) -> float:
    """Return the highest rate in the windows that are looked at; 0 if nothing was measured."""
    return max((one.arrived / one.window_s for one in service.samples if one is not None), default=0.0)


def _problems(asked: SurgeAsked, loaded: Loaded, now: float) -> tuple[Problem, ...]:
    found: list[Problem] = []
    if not asked.services:
        found.append(Problem("services", "names no service", "such as feed=6x"))
    names = [one.service for one in asked.services]
    found += [Problem(f"services.{name}", "is named twice") for name in sorted(set(names)) if names.count(name) > 1]
    services = {one.spec.name: one for one in loaded.snapshot.services}
    for one in asked.services:
        words = _fault(one, services.get(one.service))
        if words:
            found.append(Problem(f"services.{one.service}", *words))
    if not 0 < asked.lasts_s <= LONGEST_S:
        found.append(Problem("lasts_s", f"{asked.lasts_s:g} s is no length of a surge", "above 0, at most 90 days"))
    if not 0 <= asked.lead_s <= LONGEST_LEAD_S:
        found.append(Problem("lead_s", f"{asked.lead_s:g} s is no time to get ready in", "from 0 to 24 hours"))
    if asked.begins_at is not None and asked.begins_at + asked.lasts_s <= now:
        found.append(Problem("begins_at", "the surge would be over already"))
    return tuple(found)


def _fault(asked: Asked, service: ServiceSnapshot | None) -> tuple[str, str] | None:
    """Return what is wrong and a hint."""
    if service is None:
        return "is not a service of the application", "see `dcp services`"
    if service.spec.elastic is None:
        return "is not elastic", "give it x-dcp.elastic in the Compose file"
    if service.spec.capacity is None:
        return "its capacity is not known", "give it x-dcp.capacity in the Compose file"
    said = [value for value in (asked.times, asked.requests_per_s, asked.instances) if value]
    if len(said) != 1 or not 0 < said[0] < float("inf"):
        return "says no load", "such as feed=6x, feed=600/s or feed=20"
    if asked.times > MOST_TIMES:
        return f"{asked.times:g} times is above {MOST_TIMES:g}", "say requests/s instead"
    if asked.times and not arriving_requests_per_s(service):
        return "nothing arrives there now to be multiplied", f"say requests/s, such as {asked.service}=600/s"
    return None
