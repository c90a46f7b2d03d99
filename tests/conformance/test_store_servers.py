"""PostgreSQL when things go wrong: servers away, sessions ended, controllers that stop in the middle of a write."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

import psycopg
import pytest
from sqlalchemy import Connection, text
from stores import Latch, note, noted

from conformance.postgresql import Server
from dcp.kernel.errors import Stale, Unavailable
from dcp.store.connections import WRITERS_LOCK, Patience, open_engine, writing
from dcp.store.database import ThreadedDatabase, open_database

pytestmark = [pytest.mark.postgresql, pytest.mark.xdist_group("postgresql")]


@pytest.fixture
async def database(postgresql_url: str) -> AsyncIterator[ThreadedDatabase]:
    opened = open_database(postgresql_url)
    yield opened
    opened.close()


@pytest.fixture
def session(postgresql_server: Server, postgresql_url: str) -> Iterator[Callable[[str], None]]:
    """Another session of the same database that runs statements and keeps its transaction open."""
    with psycopg.connect(postgresql_url) as connection:

        def run(statement: str) -> None:
            connection.execute(statement)

        yield run


def end_sessions(server: Server) -> None:
    server.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'kept' AND application_name = 'dcp'"
    )


@pytest.mark.parametrize(
    "url",
    ["postgresql://dcp@127.0.0.1:9/dcp", "postgresql://dcp@/dcp?host=/nowhere", "postgres://dcp:secret@[::1]:9/dcp"],
)
def test_a_server_that_is_away_is_unavailable(url: str) -> None:
    with pytest.raises(Unavailable, match="is the server up") as caught:
        open_database(url, Patience(connect_s=2.0))
    assert "secret" not in str(caught.value)


def test_a_database_that_is_not_there_is_unavailable(postgresql_server: Server) -> None:
    with pytest.raises(Unavailable, match="does not exist"):
        open_database(postgresql_server.url("missing"))


def test_a_user_without_rights_is_unavailable(postgresql_server: Server, empty_postgresql_url: str) -> None:
    postgresql_server.execute("DROP ROLE IF EXISTS guest")
    postgresql_server.execute("CREATE ROLE guest LOGIN")
    with pytest.raises(Unavailable, match="right to make and change tables"):
        open_database(empty_postgresql_url.replace("dcp@", "guest@"))


async def test_a_session_that_the_server_ends_costs_its_writes_and_no_more(
    database: ThreadedDatabase, postgresql_server: Server
) -> None:
    latch = Latch()
    lost = asyncio.create_task(database.write(lambda connection: (latch.wait(connection), note("lost")(connection))))
    await asyncio.to_thread(latch.reached.wait)
    end_sessions(postgresql_server)
    latch.released.set()
    with pytest.raises(Unavailable):
        await lost
    await database.write(note("after"))
    assert await database.read(noted) == ["after"]


async def test_all_of_a_group_is_lost_with_its_session(database: ThreadedDatabase, postgresql_server: Server) -> None:
    latch, ready = Latch(), Latch()
    blocked = asyncio.create_task(database.write(ready.wait))
    await asyncio.to_thread(ready.reached.wait)
    works: list[Callable[[Connection], None]] = [note("before"), latch.wait, note("after"), _unlucky]
    group = [asyncio.create_task(database.write(work)) for work in works]
    await asyncio.sleep(0)
    ready.released.set()
    await blocked
    await asyncio.to_thread(latch.reached.wait)
    end_sessions(postgresql_server)
    latch.released.set()
    outcomes = await asyncio.gather(*group, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 4
    assert len({id(outcome) for outcome in outcomes}) == 4
    assert await database.read(noted) == []


def _unlucky(_: Connection) -> None:
    raise ValueError("would have failed anyway")


async def test_what_shows_only_at_the_commit_fails_the_whole_group(empty_postgresql_url: str) -> None:
    beside = open_database(empty_postgresql_url)
    await beside.write(lambda c: c.execute(text("CREATE TABLE late (n INTEGER UNIQUE DEFERRABLE INITIALLY DEFERRED)")))
    latch = Latch()
    blocked = asyncio.create_task(beside.write(latch.wait))
    await asyncio.to_thread(latch.reached.wait)
    works = [note("innocent"), *(lambda c: c.execute(text("INSERT INTO late VALUES (1)")) for _ in range(2))]
    group = [asyncio.create_task(beside.write(work)) for work in works]
    await asyncio.sleep(0)
    latch.released.set()
    await blocked
    outcomes = await asyncio.gather(*group, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Stale] * 3, "each decides again"
    assert await beside.read(noted) == []
    beside.close()


async def test_a_controller_paused_inside_a_write_holds_the_others_up_only_for_a_while(postgresql_url: str) -> None:
    paused = open_database(postgresql_url, Patience(idle_writer_s=0.5))
    other = open_database(postgresql_url)
    latch = Latch()
    late = asyncio.create_task(paused.write(lambda connection: (note("early")(connection), latch.wait(connection))))
    await asyncio.to_thread(latch.reached.wait)
    await other.write(note("other"))
    latch.released.set()
    with pytest.raises(Unavailable):
        await late
    await paused.write(note("awake"))
    assert await other.read(noted) == ["other", "awake"]
    paused.close()
    other.close()


async def test_a_writers_lock_that_somebody_keeps_is_not_waited_for_without_end(
    session: Callable[[str], None], postgresql_url: str
) -> None:
    database = open_database(postgresql_url, Patience(lock_s=0.2))
    session(f"SELECT pg_advisory_xact_lock({WRITERS_LOCK})")
    with pytest.raises(Unavailable, match="writers' lock"):
        await database.write(note("never"))
    assert await database.read(noted) == []
    session("COMMIT")
    await database.write(note("after"))
    assert await database.read(noted) == ["after"]
    database.close()


async def test_a_row_lock_that_somebody_keeps_is_not_waited_for_without_end(
    session: Callable[[str], None], postgresql_url: str
) -> None:
    """Somebody looks at a table by hand and forgets to end the transaction."""
    database = open_database(postgresql_url, Patience(lock_s=0.2))
    session("LOCK TABLE events IN EXCLUSIVE MODE")
    with pytest.raises(Unavailable):
        await database.write(note("never"))
    assert await database.write(lambda _: "other tables go on") == "other tables go on"
    session("COMMIT")
    await database.write(note("after"))
    assert await database.read(noted) == ["after"]
    database.close()


async def test_a_connection_that_was_read_from_writes_as_any_other(database: ThreadedDatabase) -> None:
    """Connections are pooled; what a read asks of one must not stay with it."""
    shown = text("SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only')")
    for _ in range(3):
        asked = [database.read(lambda c: tuple(c.execute(shown).one())) for _ in range(10)]
        assert set(await asyncio.gather(*asked)) == {("repeatable read", "on")}
        assert await database.write(lambda c: tuple(c.execute(shown).one())) == ("read committed", "off")


def test_one_writer_holds_the_lock_until_its_transaction_ends(postgresql_url: str) -> None:
    engine = open_engine(postgresql_url)
    held = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
    with writing(engine) as connection:
        assert connection.execute(held).scalar_one() == 1
    with engine.begin() as connection:
        assert connection.execute(held).scalar_one() == 0
    engine.dispose()
