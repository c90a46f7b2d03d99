"""Figures of signals, one row a service, signal and window; no value where it could not be read."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, insert, select

from dcp.orchestration.services.model import ServiceKey
from dcp.store.tables import signals

_columns = signals.c
_NEWEST = (
    select(_columns.name, _columns.value, _columns.words)
    .where(_columns.service == bindparam("service"), _columns.at > bindparam("since"))
    .order_by(_columns.at)
)
_PRUNE = delete(signals).where(_columns.at < bindparam("before"))


@dataclass(frozen=True, slots=True)
class Figure:
    """What a signal of a service was; `words` say why it is not known."""

    service: ServiceKey
    name: str
    value: float | None
    words: str = ""


def add(connection: Connection, at: float, figures: Iterable[Figure]) -> None:
    """Add the figures of one window."""
    rows = [
        {"service": str(one.service), "name": one.name, "at": at, "value": one.value, "words": one.words}
        for one in figures
    ]
    if rows:
        connection.execute(insert(signals), rows)


def since(connection: Connection, key: ServiceKey, moment: float) -> Mapping[str, tuple[float | None, ...]]:
    """Return the figures of a service after a moment, by signal, oldest first."""
    found: dict[str, list[float | None]] = {}
    for row in connection.execute(_NEWEST, {"service": str(key), "since": moment}):
        found.setdefault(row.name, []).append(row.value)
    return {name: tuple(values) for name, values in found.items()}


def prune(connection: Connection, before: float) -> None:
    """Drop figures of windows that ended before a moment."""
    connection.execute(_PRUNE, {"before": before})
