"""A PostgreSQL server for tests: from the machine's own binaries, in a directory of its own, gone afterwards.

It listens on a Unix socket in that directory and nowhere else, so it needs no free port and nobody else can reach it.
Its language sorts as people do ("a" before "B"), to show where the store relies on code points.
"""

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from dcp.store.database import open_database
from dcp.store.tables import metadata

USER = "dcp"
START_LIMIT_S = 60.0
SETTINGS = {
    "listen_addresses": "",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "log_min_messages": "warning",
}
IN_A_HURRY = {"fsync": "off", "full_page_writes": "off"}
KEPT = "kept"


def find_binaries() -> Path | None:
    """Return the directory that holds `initdb` and `postgres`; the newest version where there are several."""
    debian = sorted(
        Path("/usr/lib/postgresql").glob("[0-9]*/bin"), key=lambda path: float(path.parent.name), reverse=True
    )
    asked = []
    if shutil.which("pg_config"):
        run = subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=False)
        asked = [run.stdout.strip()] if run.returncode == 0 else []
    for directory in (*debian, *asked, *os.environ.get("PATH", "").split(os.pathsep)):
        if directory and all((Path(directory) / name).is_file() for name in ("initdb", "postgres")):
            return Path(directory)
    return None


class Server:
    """One server with one database that is emptied between tests, which takes less time than a new one."""

    def __init__(self, binaries: Path, *, durable: bool = False) -> None:
        """`durable` waits for the disk as a real server does, which tests need not."""
        self._binaries = binaries
        self._settings = {**SETTINGS, **({} if durable else IN_A_HURRY)}
        self._numbers = itertools.count(1)
        self.directory = Path(tempfile.mkdtemp(prefix="dcp-pg-", dir="/tmp"))
        self._prefix, user = _as_nobody_special()
        if user is not None:
            os.chown(self.directory, user.pw_uid, user.pw_gid)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Make the cluster and wait until it answers."""
        self._initialise()
        options = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        with (self.directory / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [*self._prefix, self._binaries / "postgres", "-D", self._data, "-k", self.directory, *options],
                cwd=self.directory,
                stdout=log,
                stderr=log,
            )
        self._wait()
        self.execute(f"CREATE DATABASE {KEPT}")
        open_database(self.url(KEPT)).close()

    def stop(self) -> None:
        """End the server by its process id and remove what it wrote."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)  # "fast": ends sessions, then itself
            try:
                self._process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def url(self, database: str) -> str:
        """Return the URL of one of its databases."""
        return f"postgresql://{USER}@/{database}?host={self.directory}"

    def emptied(self) -> str:
        """Return the URL of the kept database, with up-to-date tables and no rows."""
        self.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{KEPT}'")
        self.execute(f"TRUNCATE {', '.join(metadata.tables)} RESTART IDENTITY", database=KEPT)
        return self.url(KEPT)

    def fresh(self) -> str:
        """Make a database without tables and return its name."""
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        return name

    def drop(self, name: str) -> None:
        """Drop a database, whoever is still connected."""
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def execute(self, statement: str, database: str = "postgres") -> None:
        """Run one statement, not through the store."""
        with psycopg.connect(dbname=database, user=USER, host=str(self.directory), autocommit=True) as connection:
            connection.execute(statement)

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def _initialise(self) -> None:
        language = ["--locale-provider=icu", "--icu-locale=en"]
        command = [*self._prefix, self._binaries / "initdb", "-D", self._data, "-U", USER, "-A", "trust", "-N"]
        run = None
        for extra in (language, []):  # ICU is there from version 15 on
            run = subprocess.run(
                [*command, "--encoding=UTF8", "--locale=C", *extra],
                cwd=self.directory,
                capture_output=True,
                check=False,
            )
            if run.returncode == 0:
                return
            shutil.rmtree(self._data, ignore_errors=True)
        assert run is not None
        raise RuntimeError(f"initdb failed: {run.stderr.decode(errors='replace')}")

    def _wait(self) -> None:
        assert self._process is not None
        give_up_at = time.monotonic() + START_LIMIT_S
        while True:
            try:
                self.execute("SELECT 1")
                return
            except psycopg.OperationalError as error:
                said = (self.directory / "log").read_text(errors="replace")
                if self._process.poll() is not None or time.monotonic() > give_up_at:
                    raise RuntimeError(f"the server did not start: {error}; it said: {said}") from error
            time.sleep(0.05)


def _as_nobody_special() -> tuple[list[str], pwd.struct_passwd | None]:
    """Return what to put before a command so that it runs without root's rights, and as whom.

    The server refuses to run as root. It is also told to end when we are killed before we can stop it.
    """
    setpriv = shutil.which("setpriv")
    end_with_us = [setpriv, "--pdeathsig", "INT"] if setpriv else []
    if os.geteuid() != 0:
        return end_with_us, None
    names = {user.pw_name: user for user in pwd.getpwall()}
    user = names.get("postgres") or names["nobody"]
    if setpriv:
        return [*end_with_us, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"], user
    return ["runuser", "-u", user.pw_name, "--"], user


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Server]:
    """A running server; skipped where there are no binaries, failed where every change is checked."""
    binaries = find_binaries()
    if binaries is None:
        why = "no PostgreSQL server on this machine: apt-get install postgresql"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(why)
        pytest.skip(why)
    server = Server(binaries)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def postgresql_url(postgresql_server: Server) -> str:
    """The URL of a database with up-to-date tables and no rows."""
    return postgresql_server.emptied()


@pytest.fixture
def empty_postgresql_url(postgresql_server: Server) -> Iterator[str]:
    """The URL of a fresh database without tables."""
    name = postgresql_server.fresh()
    yield postgresql_server.url(name)
    postgresql_server.drop(name)
