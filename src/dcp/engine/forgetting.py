"""Forgets history that is old enough, a few rows in each transaction: other writers wait for every one of them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from dcp.engine.context import Context
from dcp.store import events, history
from dcp.store.leases import Lease

AT_ONCE = 1000
"""Rows dropped in one transaction: some ten milliseconds."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How many rows were dropped."""

    instances: int
    plans: int
    events: int


async def forget_history(context: Context, lease: Lease) -> Forgotten:
    """Drop ended instances and plans that are older than the settings keep them, and all but the last events."""
    settings = context.settings
    before = context.clock.now() - settings.keep_history_s
    ended = await _all(context, lease, lambda c: history.forget_instances(c, before, AT_ONCE))
    old = await context.database.read(lambda c: history.plans_over(c, before))
    planned = 0
    for first in range(0, len(old), AT_ONCE):
        some = old[first : first + AT_ONCE]
        planned += await context.write_under(lease, partial(history.forget_plans, ids=some))
    last = await context.database.read(lambda c: events.last_before(c, settings.keep_events))
    told = await _all(context, lease, lambda c: events.prune(c, last, AT_ONCE)) if last is not None else 0
    return Forgotten(ended, planned, told)


async def _all(context: Context, lease: Lease, forget_some: Callable[[Connection], int]) -> int:
    """Forget some again and again until there are fewer."""
    total = 0
    while True:
        dropped = await context.write_under(lease, forget_some)
        total += dropped
        if dropped < AT_ONCE:
            return total
