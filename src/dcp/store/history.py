"""What is over and may be forgotten: ended instances, plans that nothing refers to, old events.

Hosts stay: they are the ledger of what was paid for. Nothing that lives, and no address that may still be in use, is
touched. What takes a look at a whole table is asked in a read; what is written is a few rows at a time.
"""

from collections.abc import Collection

from sqlalchemy import Connection, bindparam, delete, select

from dcp.store import spans
from dcp.store.tables import addresses, instances, plans

_OVER = (
    select(instances.c.id)
    .where(
        instances.c.ended_at < bindparam("before"),
        instances.c.id.not_in(select(addresses.c.instance_id)),
    )
    .limit(bindparam("limit"))
)
_FORGET_INSTANCES = delete(instances).where(instances.c.id.in_(_OVER))
_referred = select(instances.c.plan_id).distinct().subquery()  # joined: PostgreSQL would go through it for each plan
_UNREFERRED = (
    select(plans.c.id)
    .outerjoin(_referred, _referred.c.plan_id == plans.c.id)
    .where(plans.c.at < bindparam("before"), _referred.c.plan_id.is_(None))
)
_FORGET_PLANS = delete(plans).where(plans.c.id.in_(bindparam("some", expanding=True)))


def forget_instances(connection: Connection, before: float, limit: int) -> int:
    """Drop up to `limit` instances that ended before `before`; return how many. Fewer than `limit`: none is left.

    They stay until what their hosts cost was entered: it is shared among them.
    """
    accrued_ms = spans.accrued_until(connection)
    before = before if accrued_ms is None else min(before, accrued_ms / 1000)
    return connection.execute(_FORGET_INSTANCES, {"before": before, "limit": limit}).rowcount


def plans_over(connection: Connection, before: float) -> tuple[str, ...]:
    """Return plans from before `before` that no instance was placed by. None of them can come to have any again."""
    return tuple(connection.execute(_UNREFERRED, {"before": before}).scalars())


def forget_plans(connection: Connection, ids: Collection[str]) -> int:
    """Drop these plans; return how many there were."""
    return connection.execute(_FORGET_PLANS, {"some": list(ids)}).rowcount if ids else 0
