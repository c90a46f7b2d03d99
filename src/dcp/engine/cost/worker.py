"""The worker that enters what hosts cost since the last time.

What is entered and how far that goes is one transaction: after a crash it was done, or it was not. A controller that
was away enters what it missed, some hours at a time.
"""

from dataclasses import dataclass

from sqlalchemy import Connection

from dcp.engine.context import Context
from dcp.hosts.cost.accrue import accrue
from dcp.hosts.cost.model import BUCKET_S, Amount, Entry, to_ms
from dcp.store import costs, spans
from dcp.store.leases import Lease

SUBJECT = "cost"
PIECES_AT_ONCE = 40_000
"""Spans times quarters of an hour entered in one step at most, so that a step takes about a second."""


@dataclass(frozen=True, slots=True)
class _Due:
    entries: dict[Entry, Amount]
    since_ms: int
    until_ms: int
    changes: tuple[int, int]


class CostWorker:
    """Enters costs."""

    def __init__(self, context: Context) -> None:
        self.subject = SUBJECT
        self._context = context

    async def step(self, lease: Lease) -> float:
        """Read, compute, enter once; return seconds until the next time."""
        settings = self._context.settings
        now_ms = to_ms(self._context.clock.now() - settings.cost_lag_s)
        due = await self._context.database.read(lambda connection: _due(connection, now_ms))
        if due is None:
            return settings.cost_every_s
        await self._context.write_under(
            lease,
            lambda connection: costs.enter(connection, due.entries, due.since_ms, due.until_ms, due.changes),
        )
        return settings.cost_every_s if due.until_ms == now_ms else 0.0


def _due(connection: Connection, now_ms: int) -> _Due | None:
    since_ms = spans.accrued_until(connection)
    if since_ms is None or now_ms <= since_ms:
        return None
    quarters = max(1, PIECES_AT_ONCE // max(1, spans.count(connection, since_ms)))
    until_ms = min(now_ms, since_ms + quarters * BUCKET_S * 1000)
    found = spans.within(connection, since_ms, until_ms)
    entries = accrue(found, spans.holdings(connection, since_ms, until_ms), since_ms, until_ms)
    return _Due(entries, since_ms, until_ms, spans.changes(connection, since_ms, until_ms))
