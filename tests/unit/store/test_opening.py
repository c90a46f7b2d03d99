"""Opening a SQLite database: URLs, files that are something else, and how much is done when nothing has to be."""

import subprocess
import sys
from pathlib import Path

import pytest

from dcp.kernel.errors import InvalidInput, Unavailable
from dcp.store import schema
from dcp.store.database import open_database
from dcp.store.migrations import upgrade


def test_the_head_is_the_newest_revision() -> None:
    assert upgrade.head() == schema.HEAD


@pytest.mark.parametrize(
    "url", ["", "nonsense", "mysql://root:secret@host/dcp", "postgresql+asyncpg://root:secret@host/dcp", "foo://secret"]
)
def test_a_url_that_is_none_of_ours_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        open_database(url)
    assert "sqlite:///" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(Unavailable, match=r"dcp\[postgresql\]"):
        open_database("postgresql://host/dcp")


def test_an_up_to_date_database_opens_without_the_machinery_of_migrations(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/dcp.db"
    open_database(url).close()
    program = (
        "import sys; from dcp.store.database import open_database\n"
        "open_database(sys.argv[1]).close()\n"
        "assert 'alembic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program, url], check=True)


def test_a_directory_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="directory must exist"):
        open_database(f"sqlite:///{tmp_path}/missing/dcp.db")


def test_a_file_that_is_something_else_is_unavailable_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "dcp.db"
    path.write_text("Dear diary, " * 100)
    with pytest.raises(Unavailable, match="something else"):
        open_database(f"sqlite:///{path}")
    assert path.read_text() == "Dear diary, " * 100
