"""Opening a database on both kinds of server: migrations, many starters at once, tables that are not ours."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine, text

from dcp.kernel.errors import Unavailable
from dcp.store import events, schema
from dcp.store.connections import open_engine, reading, writing
from dcp.store.database import open_database
from dcp.store.tables import metadata

POSTGRESQL = pytest.param("postgresql", marks=[pytest.mark.postgresql, pytest.mark.xdist_group("postgresql")])
STARTERS = 6

ON_SQLITE = "SELECT type, name, sql FROM sqlite_master WHERE name NOT IN ('alembic_version') AND sql IS NOT NULL"
ON_POSTGRESQL = (
    "SELECT table_name, column_name, ordinal_position, data_type, collation_name, is_nullable, column_default"
    " FROM information_schema.columns WHERE table_schema = 'public'",
    "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
    " WHERE connamespace = 'public'::regnamespace",
)


@pytest.fixture(params=["sqlite", POSTGRESQL])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/dcp.db"
    url: str = request.getfixturevalue("empty_postgresql_url")
    return url


@pytest.fixture
def engine(empty_url: str) -> Iterator[Engine]:
    """An engine that looks at the database beside the store."""
    opened = open_engine(empty_url)
    yield opened
    opened.dispose()


def described(connection: Connection) -> list[tuple[object, ...]]:
    """Return the tables as the database itself describes them."""
    queries = (ON_SQLITE,) if connection.dialect.name == "sqlite" else ON_POSTGRESQL
    rows = [tuple(row) for query in queries for row in connection.execute(text(query))]
    ours = [row for row in rows if "alembic_version" not in row]
    return sorted(tuple(" ".join(str(value).split()) for value in row) for row in ours)


def test_migrations_build_what_the_tables_say(empty_url: str, engine: Engine) -> None:
    open_database(empty_url).close()
    with reading(engine) as connection:
        migrated = described(connection)
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    with writing(engine) as connection:
        metadata.drop_all(connection)
        metadata.create_all(connection)
    with reading(engine) as connection:
        assert described(connection) == migrated
    assert len(migrated) > len(metadata.tables)


async def test_starters_at_the_same_time_do_not_collide(empty_url: str) -> None:
    with ThreadPoolExecutor(STARTERS) as pool:
        databases = list(pool.map(open_database, [empty_url] * STARTERS))
    for database in databases:
        assert await database.read(events.count) == 0
        assert await database.read(schema.revision_of) == schema.HEAD
        database.close()


def test_opening_again_changes_nothing(empty_url: str, engine: Engine) -> None:
    open_database(empty_url).close()
    with reading(engine) as connection:
        before = described(connection)
    open_database(empty_url).close()
    with reading(engine) as connection:
        assert described(connection) == before


def test_tables_of_a_newer_dcp_are_refused_and_left_alone(empty_url: str, engine: Engine) -> None:
    open_database(empty_url).close()
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Unavailable, match=r"newer dcp.*9999"):
        open_database(empty_url)
    with reading(engine) as connection:
        assert schema.revision_of(connection) == "9999"


def test_tables_of_another_program_are_refused_and_left_alone(empty_url: str, engine: Engine) -> None:
    with writing(engine) as connection:
        connection.execute(text("CREATE TABLE hosts (mine TEXT)"))
        before = described(connection)
    with pytest.raises(Unavailable, match="dcp has not made: hosts"):
        open_database(empty_url)
    with reading(engine) as connection:
        assert described(connection) == before
        assert schema.revision_of(connection) is None


def test_a_migration_that_fails_leaves_nothing_behind(empty_url: str, engine: Engine) -> None:
    """The whole way to the head is one transaction, on both."""
    with writing(engine) as connection:
        connection.execute(text("CREATE TABLE other (mine TEXT)"))
        connection.execute(text("CREATE INDEX leases_by_owner ON other (mine)"))  # the name of one of ours, late
        before = described(connection)
    with pytest.raises(Exception, match="leases_by_owner"):
        open_database(empty_url)
    with reading(engine) as connection:
        assert described(connection) == before
