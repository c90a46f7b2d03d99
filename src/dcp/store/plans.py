"""Plans that changed something, as they were applied. What they placed is kept in batches: columns, not objects."""

from dataclasses import dataclass, replace

from sqlalchemy import Connection, func, insert, select

from dcp.orchestration.scaling.parts import Batch, one_by_one
from dcp.orchestration.scaling.plan import ApplicationPlan
from dcp.store.codec import from_json, to_json
from dcp.store.tables import plans


@dataclass(frozen=True, slots=True)
class _Body:
    plan: ApplicationPlan
    """Without its instances."""
    placed: tuple[Batch, ...]


def add(connection: Connection, plan: ApplicationPlan, placed: tuple[Batch, ...]) -> None:
    """Store an applied plan, with `placed` as its instances; an id that exists raises Stale through its constraint."""
    body = to_json(_Body, _Body(replace(plan, instances=()), placed))
    connection.execute(insert(plans).values(id=plan.id, application=plan.application, at=plan.at, body=body))


def find(connection: Connection, plan_id: str) -> ApplicationPlan | None:
    """Return one plan."""
    text = connection.execute(select(plans.c.body).where(plans.c.id == plan_id)).scalar_one_or_none()
    return _plan(text) if text is not None else None


def newest(connection: Connection, application: str, limit: int) -> tuple[ApplicationPlan, ...]:
    """Return the last `limit` plans of an application, oldest first."""
    # Ids end in a number: of two plans made at the same moment the longer or greater id is the later one.
    order = (plans.c.at.desc(), func.length(plans.c.id).desc(), plans.c.id.desc())
    query = select(plans.c.body).where(plans.c.application == application).order_by(*order).limit(limit)
    return tuple(_plan(text) for text in reversed(connection.execute(query).scalars().all()))


def _plan(text: str) -> ApplicationPlan:
    body: _Body = from_json(_Body, text)
    return replace(body.plan, instances=one_by_one(body.placed))
