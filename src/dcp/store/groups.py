"""A group of writes in one transaction, each behind a savepoint: one that fails undoes only itself."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, PendingRollbackError, SQLAlchemyError

from dcp.kernel.clock import stopwatch_s
from dcp.store.faults import translated

Outcome = tuple[Any, BaseException | None]
"""The result of one write, or why it failed."""

_SAVE = "SAVEPOINT one_write"
_UNDO = "ROLLBACK TO SAVEPOINT one_write"
_NEXT = {
    "sqlite": ("RELEASE SAVEPOINT one_write", _SAVE),
    "postgresql": (f"RELEASE SAVEPOINT one_write; {_SAVE}",),  # one round trip
}


def run_group(
    connection: Connection, works: Sequence[Callable[[Connection], Any]], limit_s: float = math.inf
) -> list[Outcome]:
    """Run the writes in order and return their outcomes. Raises only where the whole transaction is lost.

    After `limit_s` no further write is begun: there are as many outcomes as were run, at least one.
    """
    step = _NEXT[connection.dialect.name]
    outcomes: list[Outcome] = []
    end_at = stopwatch_s() + limit_s
    connection.exec_driver_sql(_SAVE)
    for work in works:
        if outcomes and stopwatch_s() > end_at:
            break
        try:
            result = work(connection)
        except BaseException as error:
            _undo(connection, error)  # the savepoint stays, for the next write
            outcomes.append((None, translated(error)))
        else:
            for statement in step:
                connection.exec_driver_sql(statement)
            outcomes.append((result, None))
    return outcomes


def _undo(connection: Connection, error: BaseException) -> None:
    try:
        connection.exec_driver_sql(_UNDO)
    except SQLAlchemyError as fault:
        # The server ended the session, or SQLite gave the transaction up because its disk is full.
        if isinstance(error, DBAPIError):
            raise error from fault
        raise PendingRollbackError("the transaction is lost") from fault
