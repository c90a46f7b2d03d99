"""So many instances of a service, because a person asks for them now; or what that would be, without writing anything.

What is shown is the plan that the application's worker decides from the same state and the same targets, so it is what
is then applied unless something changed in between. From then on scaling decides again.
"""

from collections.abc import Mapping
from dataclasses import replace

from sqlalchemy import Connection

from dcp.engine.application import Loaded, load
from dcp.engine.context import Context
from dcp.kernel.errors import InvalidInput, NotFound, Problem
from dcp.kernel.events import Event
from dcp.orchestration.scaling.decide import ApplicationSnapshot, ServiceSnapshot, decide_application
from dcp.orchestration.scaling.model import Direction, ScalingState, TargetDecision
from dcp.orchestration.scaling.plan import ApplicationPlan
from dcp.orchestration.services.model import ServiceSpec
from dcp.orchestration.services.validate import MAX_INSTANCES
from dcp.store import applications, events

REASON = "asked-for"


async def place(context: Context, name: str, counts: Mapping[str, int], *, dry_run: bool) -> ApplicationPlan:
    """Let services have so many instances; return the plan for that. With `dry_run` only return it.

    Raises NotFound, InvalidInput with every problem, or Stale where a target was changed meanwhile. Asking for what
    there is changes nothing.
    """
    loaded = await load(context, name)
    if loaded is None:
        raise NotFound(f"there is no application {name}", hint="see `dcp status`")
    if problems := _problems(loaded, counts, dry_run=dry_run):
        raise InvalidInput(problems, subject="place")
    if not dry_run:
        await context.database.write(lambda connection: _write(connection, loaded, counts, context.clock.now()))
        context.wakes.wake(f"application/{name}")
    return decide_application(_with_targets(loaded.snapshot, counts))


def _with_targets(snapshot: ApplicationSnapshot, counts: Mapping[str, int]) -> ApplicationSnapshot:
    services = tuple(
        _aimed(one, counts[one.spec.name], snapshot.now) if one.spec.name in counts else one
        for one in snapshot.services
    )
    specs = {one.spec.name: one.spec for one in services}
    spec = replace(snapshot.spec, services=tuple(specs[one.name] for one in snapshot.spec.services))
    return replace(snapshot, services=services, spec=spec)


def _aimed(service: ServiceSnapshot, count: int, now: float) -> ServiceSnapshot:
    spec = service.spec if service.spec.elastic else replace(service.spec, replicas=count)
    return replace(service, spec=spec, scaling=_state(service.scaling, count, now))


def _state(before: ScalingState, count: int, now: float) -> ScalingState:
    grown_at = now if count > before.target else before.grown_at
    return replace(before, target=count, grown_at=grown_at, above_safe_since=None, release_from=None, release_step=0)


def _write(connection: Connection, loaded: Loaded, counts: Mapping[str, int], now: float) -> None:
    for name, count in counts.items():
        row = loaded.rows[name]
        before = row.scaling.target
        if count == before:
            continue
        words = f"a person asked for {count:,} instances instead of {before:,}"
        direction = Direction.GROW if count > before else Direction.SHRINK
        state = _state(row.scaling, count, now)
        decision = TargetDecision(name, direction, count, REASON, words, {"target_before": before}, state)
        applications.decide_service(connection, row, decision, 0)
        told = Event(f"service/{row.key}", REASON, words, before=str(before), after=str(count))
        events.append(connection, now, [told])


def _problems(loaded: Loaded, counts: Mapping[str, int], *, dry_run: bool) -> tuple[Problem, ...]:
    if not counts:
        return (Problem("counts", "names no service", "such as feed=12"),)
    specs = {one.name: one for one in loaded.application.spec.services}
    found = ((name, _fault(specs.get(name), count, dry_run)) for name, count in counts.items())
    problems = [Problem(f"counts.{name}", *fault) for name, fault in found if fault is not None]
    if loaded.application.removing:
        problems.append(Problem("application", "is being removed", "apply it again first"))
    elif loaded.application.frozen and not dry_run:
        problems.append(Problem("application", f"is frozen ({loaded.application.frozen})", "see `dcp thaw`"))
    return tuple(problems)


def _fault(spec: ServiceSpec | None, count: int, dry_run: bool) -> tuple[str, str] | None:
    """Return what is wrong and a hint."""
    if spec is None:
        return "is not a service of the application", "see `dcp services`"
    if not 0 <= count <= MAX_INSTANCES:
        return f"{count} is no number of instances", f"from 0 to {MAX_INSTANCES:,}"
    if spec.elastic is None:
        return None if dry_run else ("its number stands in the Compose file", "change deploy.replicas and apply it")
    if not spec.min_instances <= count <= spec.max_instances:
        return f"{count} is outside its bounds", f"x-dcp.elastic allows {spec.min_instances} to {spec.max_instances}"
    return None
