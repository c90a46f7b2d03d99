"""Placements reach the ledger a batch at a time: the rows of all instances in one statement, their events in another.

Each instance has an event of its own, so that whoever follows the log, reads one subject or pages through it asks as
for any other step.
"""

from collections.abc import Iterable

from sqlalchemy import Connection

from dcp.kernel.events import Event
from dcp.orchestration.scaling.parts import Batch
from dcp.store import events, instances


def add(connection: Connection, at: float, placed: Iterable[Batch]) -> None:
    """Insert the instances of all batches with their events; an id that exists raises Stale through its constraint."""
    for batch in placed:
        instances.add_alike(connection, batch.like, dict(zip(batch.ids, batch.host_ids, strict=True)))
        told = Event("", "placed", "", after=str(batch.like.state))
        words = {f"instance/{own}": why for own, why in zip(batch.ids, batch.whys, strict=True)}
        events.append_alike(connection, at, told, words)
