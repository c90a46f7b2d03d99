"""Options that many verbs share, and the client they lead to."""

from pathlib import Path
from typing import Annotated

import typer

from dcp.api.client import Client

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON to stdout, and nothing else there.")]
State = Annotated[
    Path | None,
    typer.Option(
        "--state", envvar="DCP_STATE", help="The controller's state directory.", show_default="~/.local/state/dcp"
    ),
]
Server = Annotated[
    str | None, typer.Option(envvar="DCP_SERVER", help="The controller's address.", show_default="from --state")
]
Token = Annotated[
    str | None,
    typer.Option(
        envvar="DCP_TOKEN",
        help="The controller's token; rather set DCP_TOKEN: arguments can be seen by others.",
        show_default="from --state",
    ),
]


def client(state: Path | None, server: str | None, token: str | None) -> Client:
    """Return a client of the controller that is meant. Raises Unavailable or Denied."""
    return Client.found(state, server=server, token=token)
