"""`dcp confirm`: a person lets a service grow above the line at which one has to be asked."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from dcp.cli.options import AsJson, Server, State, Token, client
from dcp.cli.output import out, print_json
from dcp.cli.place import counts_of
from dcp.cli.surges import duration_of


def confirm(
    counts: Annotated[list[str], typer.Argument(metavar="SERVICE=COUNT...", help="Instances in all, such as feed=40.")],
    lasts: Annotated[str, typer.Option("--for", help="How long that counts, such as 2h.")] = "1h",
    application: Annotated[str | None, typer.Option(help="The application; the only one if not stated.")] = None,
    json: AsJson = False,
    state: State = None,
    server: Server = None,
    token: Token = None,
) -> None:
    """Let a service grow above the size at which a person has to be asked.

    Also lets one grow that the watchdog holds. A lower number takes a confirmation back.
    """
    asked, lasts_s = counts_of(counts, "confirm"), duration_of("--for", lasts)
    with client(state, server, token) as api:
        found = api.confirm(application or api.only_application(), asked, lasts_s)
    if json:
        print_json(found)
        return
    for one in found["confirmed"]:
        until = datetime.fromtimestamp(one["until"], UTC)
        out().print(f"{one['service']} may grow to {one['instances']:,} instances until {until:%Y-%m-%d %H:%M} UTC")
