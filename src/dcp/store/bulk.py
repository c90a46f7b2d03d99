"""Many rows in one statement, prepared once, without an object for each row.

Rows that differ in two columns only travel as pairs, and what they have in common is sent once: that is two to three
times as fast as sending rows on SQLite (JSON object) and several times on PostgreSQL (two arrays). A statement that
fails leaves nothing: it is part of one write, behind its own savepoint.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Table

Values = tuple[Any, ...]

_HOLDER = {"sqlite": "?", "postgresql": "%s"}
_PAIRS = {
    "sqlite": "json_each(?) AS given",
    "postgresql": "unnest(%s::text[], %s::text[]) AS given(key, value)",
}
_VERSIONS = {
    "sqlite": "json_each(?) AS given",
    "postgresql": "unnest(%s::text[], %s::int[]) AS given(key, value)",
}
_RAISE = (
    "UPDATE {table} SET version = {table}.version + 1, stamp = {stamp} FROM {given}"
    " WHERE {table}.id = given.key AND {table}.version = given.value RETURNING {table}.id"
)


def insert_rows(connection: Connection, table: Table, columns: tuple[str, ...], rows: Sequence[Values]) -> None:
    """Insert `rows`, whose values stand in the order of `columns`. A row that exists raises as any statement does."""
    if not rows:
        return
    statement = _insert(table.name, columns, _HOLDER[connection.dialect.name])
    connection.exec_driver_sql(statement, rows[0] if len(rows) == 1 else list(rows))


def insert_alike(
    connection: Connection, table: Table, pair: tuple[str, str], pairs: Mapping[str, str], same: Mapping[str, Any]
) -> None:
    """Insert a row for each of `pairs`, in order: key and value go to the columns `pair`, `same` to all others."""
    if not pairs:
        return
    dialect = connection.dialect.name
    statement = _insert_pairs(table.name, pair, tuple(same), dialect)
    connection.exec_driver_sql(statement, (*same.values(), *_given(dialect, pairs)))


def raise_versions(connection: Connection, table: Table, versions: Mapping[str, int], stamp: int) -> frozenset[str]:
    """Raise the version of every row that is still at the one given with its id; return the ids of the others.

    What is raised is marked with `stamp`; see `kept`.
    """
    if not versions:
        return frozenset()
    dialect = connection.dialect.name
    statement = _RAISE.format(table=table.name, given=_VERSIONS[dialect], stamp=_HOLDER[dialect])
    raised = connection.exec_driver_sql(statement, (stamp, *_given(dialect, versions))).scalars()
    return frozenset(versions).difference(raised)


def _given(dialect: str, pairs: Mapping[str, Any]) -> Values:
    if dialect == "postgresql":
        return list(pairs), list(pairs.values())
    return (json.dumps(dict(pairs), ensure_ascii=False),)


@cache
def _insert(table: str, columns: tuple[str, ...], holder: str) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join([holder] * len(columns))})"


@cache
def _insert_pairs(table: str, pair: tuple[str, str], same: tuple[str, ...], dialect: str) -> str:
    holders = ", ".join([_HOLDER[dialect]] * len(same))
    columns = ", ".join((*same, *pair))
    return f"INSERT INTO {table} ({columns}) SELECT {holders}, given.key, given.value FROM {_PAIRS[dialect]}"
