"""`dcp serve`: the only verb that is the server."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dcp.api.server import ServeOptions
from dcp.api.server import serve as run
from dcp.api.state_directory import Listening, default_state
from dcp.cli.options import AsJson, State
from dcp.cli.output import print_json


class Level(StrEnum):
    """What is worth a line in the log."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def serve(
    config: Annotated[Path | None, typer.Option(envvar="DCP_CONFIG", help="dcp.yaml; see docs/dcp.yaml.")] = None,
    database: Annotated[
        str | None, typer.Option(envvar="DCP_DATABASE", help="Store for several controllers: postgresql://…")
    ] = None,
    host: Annotated[str, typer.Option(help="Where the API listens.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8700,
    log_level: Annotated[Level, typer.Option(help="From which level on to log.")] = Level.INFO,
    json: AsJson = False,
    state: State = None,
) -> None:
    """Run a controller: API, engine and store in one process.

    Logs to stderr. Ends at SIGTERM or Ctrl-C; services and the proxy keep running, and the next controller takes them
    up. With --json one line of JSON says where it listens.
    """
    folder = (state or default_state()).absolute()

    def listening(here: Listening) -> None:
        if json:
            print_json({"url": here.url, "pid": here.pid, "state": str(folder)})

    options = ServeOptions(folder, config, database, host, port, log_level.value)
    run(options, listening)
