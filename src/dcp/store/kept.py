"""Rows that every look needs, kept between looks: what has not changed is neither read nor decoded again.

Each change of such a table raises its **stamp**, a number in `counters`, in the same transaction. A reader with the
stamp it saw last has all rows already; otherwise it asks for identifiers and versions, and reads the rows whose version
it does not have. Kept apart for each engine. A transaction that writes reads afresh, because it may see what is then
rolled back.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, Row, Select, bindparam, insert, select, update

from dcp.store.tables import counters

_AT_ONCE = 500
"""Identifiers in one question: databases bound how many there may be."""
_READ_ALL_SHARE = 0.3
"""When more than this share of the rows has changed, all are read in one go."""

_STAMP = select(counters.c.value).where(counters.c.name == bindparam("table"))
_RAISE = update(counters).where(counters.c.name == bindparam("table")).values(value=counters.c.value + 1)


class Versioned(Protocol):
    """A row as a value."""

    @property
    def id(self) -> str: ...

    @property
    def version(self) -> int: ...


T = TypeVar("T", bound=Versioned)


@dataclass(frozen=True, slots=True)
class _Kept(Generic[T]):
    stamp: int = -1
    rows: tuple[T, ...] = ()
    by_id: dict[str, T] = field(default_factory=dict)


class KeptRows(Generic[T]):
    """The rows of one question about one table. `query` selects whole rows in order, from a table with id, version."""

    def __init__(self, table: str, query: Select[Any], decode: Callable[[Row[Any]], T]) -> None:
        self._name = f"changes/{table}"
        self._query = query
        self._decode = decode
        columns = query.selected_columns
        self._versions = query.with_only_columns(columns.id, columns.version)
        self._some = query.where(columns.id.in_(bindparam("some", expanding=True)))
        self._kept: WeakKeyDictionary[Engine, _Kept[T]] = WeakKeyDictionary()

    def changed(self, connection: Connection) -> None:
        """Say that a row was added or changed; in the transaction that does it."""
        if connection.execute(_RAISE, {"table": self._name}).rowcount == 0:
            connection.execute(insert(counters).values(name=self._name, value=1))

    def read(self, connection: Connection) -> tuple[T, ...]:
        """Return the rows as they are now; the same objects where they have not changed."""
        if connection.get_execution_options().get("dcp_write", False):
            return self._read_all(connection)
        stamp = int(connection.execute(_STAMP, {"table": self._name}).scalar_one_or_none() or 0)
        nothing: _Kept[T] = _Kept()
        kept = self._kept.get(connection.engine, nothing)
        if kept.stamp == stamp:
            return kept.rows
        rows = self._refreshed(connection, kept)
        self._kept[connection.engine] = _Kept(stamp, rows, {row.id: row for row in rows})
        return rows

    def _refreshed(self, connection: Connection, kept: _Kept[T]) -> tuple[T, ...]:
        versions = connection.execute(self._versions).all()
        before = kept.by_id
        missing = [i for i, version in versions if (row := before.get(i)) is None or row.version != version]
        if len(missing) > _READ_ALL_SHARE * len(versions):
            return self._read_all(connection)
        fresh = self._among(connection, missing)
        return tuple(fresh.get(i) or before[i] for i, _ in versions)

    def _read_all(self, connection: Connection) -> tuple[T, ...]:
        return tuple(self._decode(row) for row in connection.execute(self._query).all())

    def _among(self, connection: Connection, ids: Collection[str]) -> dict[str, T]:
        wanted, found = list(ids), dict[str, T]()
        for first in range(0, len(wanted), _AT_ONCE):
            for row in connection.execute(self._some, {"some": wanted[first : first + _AT_ONCE]}).all():
                found[row.id] = self._decode(row)
        return found
