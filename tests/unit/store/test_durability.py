"""What SQLite keeps when the process, the disk or the rights go."""

import asyncio
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from dcp.kernel.errors import DcpError, Unavailable
from dcp.kernel.events import Event
from dcp.store import events
from dcp.store.database import ThreadedDatabase, open_database

NOBODY = 65534

ACKNOWLEDGES = """
import asyncio, sys
from dcp.kernel.events import Event
from dcp.store import events
from dcp.store.database import open_database

async def write(database, number):
    await database.write(lambda c: events.append(c, 1.0, [Event("test", "noted", str(number), after="x" * 500)]))
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()

async def main():
    database = open_database(sys.argv[1])
    number = 0
    while True:
        await asyncio.gather(*(write(database, number + ahead) for ahead in range(5)))
        number += 5

asyncio.run(main())
"""

NEVER_CLOSES = """
import asyncio, sys, threading
from dcp.store.database import open_database

async def main():
    database = open_database(sys.argv[1])
    never = threading.Event()
    tasks = [asyncio.create_task(door(lambda _: never.wait())) for door in (database.read, database.write)]
    await asyncio.sleep(0.2)
    print("ends", flush=True)

asyncio.run(main())
"""

MEETS_A_LIMIT = """
import asyncio, resource, sys
from dcp.kernel.errors import Unavailable
from dcp.kernel.events import Event
from dcp.store import events
from dcp.store.database import open_database

def note(size):
    return lambda c: events.append(c, 1.0, [Event("test", "noted", "x" * size)])

async def main():
    database = open_database(sys.argv[1])
    await database.write(note(10))
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    outcomes = await asyncio.gather(
        database.write(note(20)), database.write(note(4 << 20)), database.write(note(30)), return_exceptions=True
    )
    assert any(isinstance(o, Unavailable) for o in outcomes), outcomes
    assert all(o is None or isinstance(o, Unavailable) for o in outcomes), outcomes
    kept = await database.read(events.count)
    assert kept == 1 + sum(o is None for o in outcomes), (kept, outcomes)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    await database.write(note(40))
    assert await database.read(events.count) == kept + 1
    database.close()
    print("usable")

asyncio.run(main())
"""


def url_of(path: Path) -> str:
    return f"sqlite:///{path}"


def noted(connection: Connection) -> list[str]:
    return [logged.event.words for logged in events.of_subject(connection, "test", 1_000_000)]


def note(words: str) -> Event:
    return Event("test", "noted", words)


async def reopened(path: Path) -> list[str]:
    """Open the file as a restarted controller does; return what it holds, after one more write has worked."""
    database = open_database(url_of(path))
    try:
        sound = await database.read(lambda c: c.exec_driver_sql("PRAGMA integrity_check").scalar_one())
        assert sound == "ok"
        found = await database.read(noted)
        await database.write(lambda c: events.append(c, 1.0, [note("again")]))
        assert await database.read(noted) == [*found, "again"]
        return found
    finally:
        database.close()


def killed_while_writing(path: Path) -> list[str]:
    """Let a process write and kill it; return what it was told to be stored."""
    child = subprocess.Popen([sys.executable, "-c", ACKNOWLEDGES, url_of(path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    acknowledged = [child.stdout.readline().strip() for _ in range(60)]
    child.send_signal(signal.SIGKILL)
    acknowledged += [line.strip() for line in child.stdout if line.endswith("\n")]
    child.stdout.close()
    assert child.wait() == -signal.SIGKILL
    return acknowledged


async def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    acknowledged = killed_while_writing(tmp_path / "dcp.db")
    found = await reopened(tmp_path / "dcp.db")
    assert set(acknowledged) <= set(found)
    assert [int(words) for words in found] == list(range(len(found))), "a prefix of what was written, in order"


async def test_a_torn_tail_of_the_log_costs_only_what_it_held(tmp_path: Path) -> None:
    path, wal = tmp_path / "dcp.db", tmp_path / "dcp.db-wal"
    database = open_database(url_of(path))
    for number in range(30):
        await database.write(lambda c, number=number: events.append(c, 1.0, [note(str(number))]))
    size = wal.stat().st_size
    kept = set()
    for cut in (1, 100, 4096, 4121, 20_000, size // 2, size - 40, size):
        copy = tmp_path / f"copy-{cut}"
        copy.mkdir()
        shutil.copy(path, copy / "dcp.db")
        torn = bytearray(wal.read_bytes()[: size - cut])
        torn += os.urandom(min(cut, 64))  # the disk may have written anything there
        (copy / "dcp.db-wal").write_bytes(torn)
        found = await reopened(copy / "dcp.db")  # without any log: an empty file, so a new database
        assert found == [str(number) for number in range(len(found))]
        kept.add(len(found))
    database.close()
    assert {0, 29} < kept


async def test_a_file_that_may_not_grow_is_unavailable_and_usable_again_later(tmp_path: Path) -> None:
    database = open_database(url_of(tmp_path / "dcp.db"))

    def too_much(connection: Connection) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        try:
            events.append(connection, 1.0, [note("x" * 100_000)])
        finally:
            connection.exec_driver_sql("PRAGMA max_page_count = 1000000")

    before, full = await asyncio.gather(
        database.write(lambda c: events.append(c, 1.0, [note("before")])),
        database.write(too_much),
        return_exceptions=True,
    )
    assert isinstance(full, Unavailable)
    assert "disk" in full.hint
    await database.write(lambda c: events.append(c, 1.0, [note("after")]))
    assert await database.read(noted) == ([] if before else ["before"]) + ["after"]
    database.close()


def test_a_disk_that_refuses_is_unavailable_and_usable_again_later(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MEETS_A_LIMIT, url_of(tmp_path / "dcp.db")]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert run.stdout == "usable\n", run.stderr


def test_a_process_that_forgets_to_close_ends_all_the_same(tmp_path: Path) -> None:
    command = [sys.executable, "-c", NEVER_CLOSES, url_of(tmp_path / "dcp.db")]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert run.stdout == "ends\n", run.stderr
    assert run.returncode == 0


@pytest.fixture
def public_directory() -> Iterator[Path]:
    """A directory that every user can read."""
    path = Path(tempfile.mkdtemp(prefix="dcp-test-"))
    path.chmod(0o755)
    yield path
    path.chmod(0o755)
    shutil.rmtree(path)


def as_a_stranger(url: str) -> DcpError | ThreadedDatabase:
    """Open the database without root's rights over files; return the error or the database."""
    outcome: list[DcpError | ThreadedDatabase] = []

    def work() -> None:
        if os.geteuid() == 0:
            ctypes.CDLL(None).setfsuid(NOBODY)  # for this thread alone
        try:
            outcome.append(open_database(url))
        except DcpError as error:
            outcome.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return outcome[0]


def test_a_directory_that_cannot_be_written_is_unavailable(public_directory: Path) -> None:
    public_directory.chmod(0o555)
    error = as_a_stranger(url_of(public_directory / "dcp.db"))
    assert isinstance(error, Unavailable)
    assert "directory" in error.hint


async def test_a_file_that_cannot_be_written_is_unavailable_and_stays_whole(public_directory: Path) -> None:
    path = public_directory / "dcp.db"
    database = open_database(url_of(path))
    await database.write(lambda c: events.append(c, 1.0, [note("kept")]))
    database.close()
    path.chmod(0o444)
    public_directory.chmod(0o555)
    error = as_a_stranger(url_of(path))
    assert isinstance(error, Unavailable)
    assert error.hint
    path.chmod(0o644)
    public_directory.chmod(0o755)
    assert await reopened(path) == ["kept"]
