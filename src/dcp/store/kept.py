"""Rows that every look needs, kept between looks: what has not changed is neither read nor decoded again.

Each change of such a table raises its **stamp**, a number in `counters`, and marks the rows with it, in the same
transaction. A reader with the stamp it saw last has all rows already; otherwise it reads the rows that were marked
since, and no others. As writes are serial, a reader that sees a stamp sees every row that was marked up to there.

Kept apart for each engine, and never changed in place: readers at different moments each have their own. What a
transaction sees that has changed the table itself is not kept, because it may be rolled back.
"""

from collections.abc import Callable, Hashable, Mapping
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import ColumnElement, Connection, Engine, Row, Select, Table, bindparam, select, text

from dcp.store.keeping import Identified, Rows
from dcp.store.tables import counters

_MOMENTS = 3
"""So many are kept: of readers side by side, one may have begun before the newest change."""

_STAMP = select(counters.c.value).where(counters.c.name == bindparam("name"))
_RAISE = text(
    "INSERT INTO counters (name, value) VALUES (:name, 1)"
    " ON CONFLICT (name) DO UPDATE SET value = counters.value + 1 RETURNING value"
)

T = TypeVar("T", bound=Identified)


class KeptRows(Generic[T]):
    """The rows of one table that are `current`, in the order of `order`, and by each of `groups`.

    `query` selects whole rows of a table with `id` and `stamp` in that same order, those that are not current
    included; `among` narrows it to those that are.
    """

    def __init__(
        self,
        table: Table,
        query: Select[Any],
        among: ColumnElement[bool],
        decode: Callable[[Row[Any]], T],
        *,
        current: Callable[[T], bool],
        order: Callable[[T], Any],
        groups: Mapping[str, Callable[[T], Hashable]],
    ) -> None:
        self._name = {"name": f"changes/{table.name}"}
        self._decode = decode
        self._current = current
        self._query = query.where(among)
        self._marked = query.where(table.c.stamp > bindparam("seen"))
        self._nothing: Rows[T] = Rows.of((), -1, order, groups)
        self._kept: WeakKeyDictionary[Engine, tuple[Rows[T], ...]] = WeakKeyDictionary()

    def stamp(self, connection: Connection) -> int:
        """Raise the stamp and return it; the caller marks every row with it that it changes, in this transaction."""
        return int(connection.execute(_RAISE, self._name).scalar_one())

    def read(self, connection: Connection) -> Rows[T]:
        """Return the rows as they are now; the same objects where they have not changed."""
        stamp = int(connection.execute(_STAMP, self._name).scalar_one_or_none() or 0)
        moments = self._kept.get(connection.engine, ())
        before = next((one for one in moments if one.stamp <= stamp), None)
        if before is not None and before.stamp == stamp:
            return before
        rows = self._all(connection, stamp) if before is None else self._advanced(connection, before, stamp)
        if not connection.get_execution_options().get("dcp_write", False):
            newest_first = sorted((rows, *moments), key=lambda one: -one.stamp)
            self._kept[connection.engine] = tuple(newest_first[:_MOMENTS])
        return rows

    def _all(self, connection: Connection, stamp: int) -> Rows[T]:
        return self._nothing.instead(map(self._decode, connection.execute(self._query).all()), stamp)

    def _advanced(self, connection: Connection, before: Rows[T], stamp: int) -> Rows[T]:
        marked = [self._decode(row) for row in connection.execute(self._marked, {"seen": before.stamp}).all()]
        gone = [row.id for row in marked if not self._current(row)]
        return before.after(filter(self._current, marked), gone, stamp)
