"""Runs the revisions on a connection whose transaction is already under way."""

import threading
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

HERE = Path(__file__).parent
_ONE_AT_A_TIME = threading.Lock()
"""Alembic keeps the migration under way in globals of the process."""


def configuration() -> Config:
    """Return Alembic's configuration; no file of its own is needed."""
    config = Config()
    config.set_main_option("script_location", str(HERE).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def head() -> str | None:
    """Return the newest revision."""
    return ScriptDirectory.from_config(configuration()).get_current_head()


def knows(revision: str) -> bool:
    """Return whether `revision` is one of ours."""
    return any(script.revision == revision for script in ScriptDirectory.from_config(configuration()).walk_revisions())


def upgrade(connection: Connection) -> None:
    """Run every revision that is missing. What another controller has done meanwhile is seen and left out."""
    config = configuration()
    config.attributes["connection"] = connection
    with _ONE_AT_A_TIME:
        command.upgrade(config, "head")
