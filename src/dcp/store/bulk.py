"""Many rows in one statement: plain tuples in the order of columns, prepared once, no object for each row.

SQLite takes them through one prepared statement. PostgreSQL takes a few the same way and many through COPY, which
spares it a message for each row. A batch that fails leaves nothing: it is one write, behind its own savepoint.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.exc import DBAPIError

Values = tuple[Any, ...]
COPY_FROM = 20
"""Rows from which on COPY is the faster way."""

_RAISE = (
    "UPDATE {table} SET version = {table}.version + 1, stamp = {stamp} FROM {given}"
    " WHERE {table}.id = given.id AND {table}.version = given.version RETURNING {table}.id"
)
_GIVEN = {
    "sqlite": "(SELECT key AS id, value AS version FROM json_each(?)) AS given",
    "postgresql": "unnest(%s::text[], %s::int[]) AS given(id, version)",
}


def insert_rows(
    connection: Connection, table: Table, columns: tuple[str, ...], rows: Sequence[tuple[Any, ...]]
) -> None:
    """Insert `rows`, whose values stand in the order of `columns`. A row that exists raises as any statement does."""
    if not rows:
        return
    if connection.dialect.name == "postgresql" and len(rows) >= COPY_FROM:
        _copy(connection, f"COPY {table.name} ({', '.join(columns)}) FROM STDIN", rows)
        return
    statement = _insert(table.name, columns, connection.dialect.name)
    connection.exec_driver_sql(statement, rows[0] if len(rows) == 1 else list(rows))


def raise_versions(connection: Connection, table: Table, versions: Mapping[str, int], stamp: int) -> frozenset[str]:
    """Raise the version of every row that is still at the one given with its id; return the ids of the others.

    What is raised is marked with `stamp`; see `kept`.
    """
    if not versions:
        return frozenset()
    dialect = connection.dialect.name
    statement = _RAISE.format(table=table.name, given=_GIVEN[dialect], stamp=int(stamp))
    values: Values = (json.dumps(dict(versions)),)
    if dialect == "postgresql":
        values = (list(versions), list(versions.values()))
    return frozenset(versions) - {row[0] for row in connection.exec_driver_sql(statement, values)}


@cache
def _insert(table: str, columns: tuple[str, ...], dialect: str) -> str:
    holders = ", ".join(["?" if dialect == "sqlite" else "%s"] * len(columns))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({holders})"


def _copy(connection: Connection, statement: str, rows: Sequence[Values]) -> None:
    """COPY on the driver's own connection, because SQLAlchemy has no word for it; errors are wrapped as it does."""
    driver: Any = connection.connection.driver_connection
    fault: Any = connection.dialect.loaded_dbapi.Error
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)
    except fault as error:
        lost = connection.dialect.is_disconnect(error, driver, None)
        raise DBAPIError.instance(statement, None, error, fault, connection_invalidated=lost) from error
