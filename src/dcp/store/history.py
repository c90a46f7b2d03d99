"""What is over and may be forgotten: ended instances, plans that nothing refers to, old events.

Hosts stay: they are the ledger of what was paid for. Nothing that lives, and no address that may still be in use, is
touched.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, and_, delete, select

from dcp.store import events, spans
from dcp.store.tables import addresses, instances, plans


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How many rows were dropped."""

    instances: int
    plans: int
    events: int


def forget(connection: Connection, before: float, keep_events: int) -> Forgotten:
    """Drop what ended before `before`, and all but the last `keep_events` events. Doing it again drops nothing.

    Instances stay until what their hosts cost was entered: it is shared among them.
    """
    accrued_ms = spans.accrued_until(connection)
    before = before if accrued_ms is None else min(before, accrued_ms / 1000)
    holds_address = select(addresses.c.instance_id)
    ended = connection.execute(
        delete(instances).where(and_(instances.c.ended_at < before, instances.c.id.not_in(holds_address)))
    ).rowcount
    referred = select(instances.c.plan_id).distinct()
    planned = connection.execute(delete(plans).where(and_(plans.c.at < before, plans.c.id.not_in(referred)))).rowcount
    return Forgotten(ended, planned, events.prune(connection, keep_events))
