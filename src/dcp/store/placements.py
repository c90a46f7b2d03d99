"""Placements reach the ledger a batch at a time: the rows of all instances in one statement, their events in another.

Each instance has an event of its own, so that whoever follows the log, reads one subject or pages through it asks as
for any other step.
"""

from collections.abc import Iterable

from sqlalchemy import Connection

from dcp.orchestration.scaling.parts import Batch
from dcp.store import events, instances


def add(connection: Connection, at: float, placed: Iterable[Batch]) -> None:
    """Insert the instances of all batches with their events; an id that exists raises Stale through its constraint."""
    for batch in placed:
        instances.add_alike(connection, batch.like, batch.ids, batch.host_ids)
        subjects = [f"instance/{own}" for own in batch.ids]
        events.append_alike(connection, at, "placed", str(batch.like.state), zip(subjects, batch.whys, strict=True))
