"""Rows as they were at one moment, in order and in groups; the next moment is made from it and from what changed."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar


class Identified(Protocol):
    """A row as a value."""

    @property
    def id(self) -> str: ...


T = TypeVar("T", bound=Identified)


@dataclass(frozen=True, slots=True, eq=False)
class Rows(Generic[T]):
    """Never changed in place; two moments share what is the same in both."""

    stamp: int
    all: tuple[T, ...]
    by_id: Mapping[str, T]
    grouped: Mapping[str, Mapping[Any, Mapping[str, T]]]
    """By the name of a grouping, then by its key; no group is empty."""
    order: Callable[[T], Any]
    groupings: Mapping[str, Callable[[T], Hashable]]

    @classmethod
    def of(
        cls,
        rows: Iterable[T],
        stamp: int,
        order: Callable[[T], Any],
        groupings: Mapping[str, Callable[[T], Hashable]],
    ) -> "Rows[T]":
        """Return the moment at which there are `rows`, which stand in order."""
        every = tuple(rows)
        grouped = {name: _grouped(every, key_of) for name, key_of in groupings.items()}
        return cls(stamp, every, {row.id: row for row in every}, grouped, order, groupings)

    def instead(self, rows: Iterable[T], stamp: int) -> "Rows[T]":
        """Return the moment at which there are `rows` and no others; they stand in order."""
        return Rows.of(rows, stamp, self.order, self.groupings)

    def after(self, changed: Iterable[T], gone: Iterable[str], stamp: int) -> "Rows[T]":
        """Return the moment after rows were added or changed, in order, and others ceased to be current."""
        by_id = dict(self.by_id)
        new, old = list(changed), [by_id.pop(i, None) for i in gone]
        replaced = [by_id.get(row.id) for row in new]
        last = self.all[-1] if self.all else None
        by_id.update((row.id, row) for row in new)
        first_added = next((row for row, before in zip(new, replaced, strict=True) if before is None), None)
        every = tuple(by_id.values())
        if first_added is not None and last is not None and self.order(first_added) < self.order(last):
            every = tuple(sorted(every, key=self.order))
            by_id = {row.id: row for row in every}
        pairs = [*zip(replaced, new, strict=True), *((row, None) for row in old)]
        grouped = {
            name: _regrouped(self.grouped[name], pairs, key_of, self.order) for name, key_of in self.groupings.items()
        }
        return Rows(stamp, every, by_id, grouped, self.order, self.groupings)

    def group(self, name: str, key: Hashable) -> tuple[T, ...]:
        """Return the rows of one group, in order."""
        return tuple(self.grouped[name].get(key, {}).values())


def _grouped(rows: Iterable[T], key_of: Callable[[T], Hashable]) -> dict[Any, dict[str, T]]:
    found: dict[Any, dict[str, T]] = {}
    for row in rows:
        found.setdefault(key_of(row), {})[row.id] = row
    return found


def _regrouped(
    before: Mapping[Any, Mapping[str, T]],
    pairs: Iterable[tuple[T | None, T | None]],
    key_of: Callable[[T], Hashable],
    order: Callable[[T], Any],
) -> Mapping[Any, Mapping[str, T]]:
    """Return the groups after each pair's first row became its second; groups that nothing touched are shared."""
    touched: dict[Any, dict[str, T]] = {}
    added: set[Any] = set()

    def rows_of(key: Any) -> dict[str, T]:
        if key not in touched:
            touched[key] = dict(before.get(key, {}))
        return touched[key]

    for old, new in pairs:
        if old is not None and (new is None or key_of(new) != key_of(old)):
            rows_of(key_of(old)).pop(old.id, None)
        if new is not None:
            group = rows_of(key_of(new))
            if new.id not in group:
                added.add(key_of(new))
            group[new.id] = new
    for key in added:
        if len(touched[key]) > 1:
            touched[key] = {row.id: row for row in sorted(touched[key].values(), key=order)}
    after = dict(before) | touched
    for key, group in touched.items():
        if not group:
            del after[key]
    return after
