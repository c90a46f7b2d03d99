"""Plans that changed something, as they were applied."""

from sqlalchemy import Connection, func, insert, select

from dcp.orchestration.scaling.plan import ApplicationPlan
from dcp.store.codec import from_json, to_json
from dcp.store.tables import plans


def add(connection: Connection, plan: ApplicationPlan) -> None:
    """Store an applied plan; an id that exists raises Stale through its constraint."""
    connection.execute(
        insert(plans).values(id=plan.id, application=plan.application, at=plan.at, body=to_json(ApplicationPlan, plan))
    )


def find(connection: Connection, plan_id: str) -> ApplicationPlan | None:
    """Return one plan."""
    text = connection.execute(select(plans.c.body).where(plans.c.id == plan_id)).scalar_one_or_none()
    return from_json(ApplicationPlan, text) if text is not None else None


def newest(connection: Connection, application: str, limit: int) -> tuple[ApplicationPlan, ...]:
    """Return the last `limit` plans of an application, oldest first."""
    # Ids end in a number: of two plans made at the same moment the longer or greater id is the later one.
    order = (plans.c.at.desc(), func.length(plans.c.id).desc(), plans.c.id.desc())
    query = select(plans.c.body).where(plans.c.application == application).order_by(*order).limit(limit)
    return tuple(from_json(ApplicationPlan, text) for text in reversed(connection.execute(query).scalars().all()))
