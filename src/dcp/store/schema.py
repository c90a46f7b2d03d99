"""Brings the tables of a database to the revision that this dcp works with.

Alembic takes longer to import than an up-to-date database to open, so it is loaded only when there is something to do.
"""

import importlib
from typing import Protocol, cast

from sqlalchemy import Connection, Engine, inspect, text

from dcp.kernel.errors import Unavailable
from dcp.store.connections import reading, writing
from dcp.store.tables import metadata

HEAD = "0001"
"""The newest revision in `migrations/versions`; a test compares."""
MIGRATION_WAIT_S = 60.0
"""Of several controllers that start at once one migrates; the others wait this long for it."""


class _Migrations(Protocol):
    """What `migrations.upgrade` offers."""

    def knows(self, revision: str) -> bool: ...

    def upgrade(self, connection: Connection) -> None: ...


def bring_to_head(engine: Engine) -> None:
    """Migrate to HEAD unless the database is there already; in one transaction, under the writers' lock.

    Raises Unavailable if a newer dcp has written it, or if it holds tables that are not ours.
    """
    with reading(engine) as connection:
        found = revision_of(connection)
    if found == HEAD:
        return
    migrations = cast(_Migrations, importlib.import_module("dcp.store.migrations.upgrade"))
    if found is not None and not migrations.knows(found):
        raise Unavailable(
            f"a newer dcp has written this database (revision {found}, we know up to {HEAD})",
            hint="start that version, or name another database",
        )
    with writing(engine, lock_s=MIGRATION_WAIT_S) as connection:
        _refuse_foreign_tables(connection)
        migrations.upgrade(connection)


def revision_of(connection: Connection) -> str | None:
    """Return the revision that the database is at; None if it has no tables of ours."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    return revision


def _refuse_foreign_tables(connection: Connection) -> None:
    if revision_of(connection) is not None:
        return
    foreign = sorted(set(inspect(connection).get_table_names()) & set(metadata.tables))
    if foreign:
        raise Unavailable(
            f"this database holds tables that dcp has not made: {', '.join(foreign)}",
            hint="give dcp a database of its own",
        )
