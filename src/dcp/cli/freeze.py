"""`dcp freeze` and `dcp thaw`: a person stops an application's scaling, and lets it go on."""

from typing import Annotated

import typer

from dcp.cli.options import AsJson, Server, State, Token, client
from dcp.cli.output import out, print_json

Name = Annotated[str | None, typer.Argument(help="The application; the only one if not stated.")]


def freeze(
    application: Name = None,
    why: Annotated[str, typer.Option(help="Said wherever somebody asks why nothing moves.")] = "by a person",
    json: AsJson = False,
    state: State = None,
    server: Server = None,
    token: Token = None,
) -> None:
    """Keep the targets of an application as they are.

    What fails is still replaced; `dcp apply` and `dcp remove` still do what they say.
    """
    with client(state, server, token) as api:
        found = api.freeze(application or api.only_application(), why)
    if json:
        print_json(found)
    else:
        out().print(f"{found['name']} is frozen ({why}); `dcp thaw {found['name']}` ends that")


def thaw(
    application: Name = None, json: AsJson = False, state: State = None, server: Server = None, token: Token = None
) -> None:
    """Let the targets of an application move again."""
    with client(state, server, token) as api:
        found = api.thaw(application or api.only_application())
    if json:
        print_json(found)
    else:
        out().print(f"{found['name']} scales again")
