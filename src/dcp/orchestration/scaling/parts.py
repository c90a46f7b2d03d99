"""A plan as it reaches the store: in parts that are short to write, without what others were first to take.

A part is a plan of its own, written in one transaction; a crash between two of them leaves what the next decision
completes. The first one carries the targets and the hosts that are asked for, taken over or claimed, the last one what
leaves and moves, so that nothing goes before what comes. Instances that differ in nothing but id and host are one
**batch**.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, fields, replace
from itertools import groupby
from operator import attrgetter

from dcp.orchestration.scaling.plan import ApplicationPlan, PlannedInstance
from dcp.orchestration.services.model import Instance

_alike = attrgetter(*(field.name for field in fields(Instance) if field.name not in ("id", "host_id")))


@dataclass(frozen=True, slots=True)
class Batch:
    """Planned instances as columns: what stands at one place of `ids`, `host_ids` and `whys` is one instance."""

    like: Instance
    """The first of them: the others are as it is in all but id and host."""
    ids: tuple[str, ...]
    host_ids: tuple[str, ...]
    whys: tuple[str, ...]


def in_parts(plan: ApplicationPlan, limit: int) -> tuple[ApplicationPlan, ...]:
    """Return the plan in parts of up to `limit` instances; every part can tell the targets."""
    if len(plan.instances) <= limit:
        return (plan,)
    slices = [plan.instances[first : first + limit] for first in range(0, len(plan.instances), limit)]
    bare = replace(
        plan,
        hosts=(),
        take_overs=(),
        claims=(),
        removals=(),
        rebinds=(),
        holds=(),
        unplaced=(),
        warming=(),
        prices=(),
    )
    between = replace(bare, price_change_usd_per_hour=0.0)
    first = replace(plan, instances=slices[0], removals=(), rebinds=())
    last = replace(between, instances=slices[-1], removals=plan.removals, rebinds=plan.rebinds)
    return (first, *(replace(between, instances=some) for some in slices[1:-1]), last)


def without(plan: ApplicationPlan, lost: Collection[str]) -> ApplicationPlan:
    """Return the plan without what it puts on the hosts `lost`."""
    if not lost:
        return plan
    return replace(
        plan,
        instances=tuple(one for one in plan.instances if one.instance.host_id not in lost),
        rebinds=tuple(one for one in plan.rebinds if one.host_id not in lost),
    )


def in_batches(planned: Iterable[PlannedInstance], plan_id: str, last_instance: int) -> tuple[Batch, ...]:
    """Return planned instances as batches of plan `plan_id`, in order, their ids numbered after `last_instance`."""
    found: list[Batch] = []
    for _, group in groupby(planned, key=lambda one: _alike(one.instance)):
        some = tuple(group)
        first = some[0].instance
        numbers = range(last_instance + 1, last_instance + 1 + len(some))
        ids = tuple(f"{first.service}-{number}" for number in numbers)
        like = replace(first, id=ids[0], plan_id=plan_id)
        found.append(Batch(like, ids, tuple(one.instance.host_id for one in some), tuple(one.why for one in some)))
        last_instance += len(some)
    return tuple(found)


def one_by_one(batches: Iterable[Batch]) -> tuple[PlannedInstance, ...]:
    """Return the planned instances of batches."""
    return tuple(
        PlannedInstance(replace(batch.like, id=own, host_id=host_id), why)
        for batch in batches
        for own, host_id, why in zip(batch.ids, batch.host_ids, batch.whys, strict=True)
    )
