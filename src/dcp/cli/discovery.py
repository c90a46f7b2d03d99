"""`dcp discovery`: what clients find by asking, and a person's leave to take more of it away at once."""

from typing import Annotated

import typer

from dcp.cli.options import AsJson, Server, State, Token, client
from dcp.cli.output import err, names, number, out, print_json, print_result, table
from dcp.kernel.errors import InvalidInput, Problem

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.command("list")
def list_published(json: AsJson = False, state: State = None, server: Server = None, token: Token = None) -> None:
    """List what is published of every service."""
    with client(state, server, token) as api:
        found = api.published()
    if json:
        print_json(found)
        return
    if not found["enabled"]:
        err().print("discovery is off: nothing follows the services (set discovery.enabled in dcp.yaml)")
    rows = table("SERVICE", "NAME", "ENTRIES", "INDEX", "ZOMBIES REMOVED", numbers=("INDEX", "ZOMBIES REMOVED"))
    for one in found["services"]:
        rows.add_row(
            one["service"], one["name"], names(one["entries"]), number(one["index"], 0), number(one["zombies"], 0)
        )
    print_result(rows if found["services"] else "nothing is published")


@app.command()
def allow(
    service: Annotated[str, typer.Argument(help="The service, as application/service.")],
    json: AsJson = False,
    state: State = None,
    server: Server = None,
    token: Token = None,
) -> None:
    """Let the next step cut more than the usual share of a service's entries. Holds for one step."""
    application, slash, name = service.partition("/")
    if not (application and slash and name):
        raise InvalidInput((Problem("service", f"{service!r} names no service", "such as shop/feed"),))
    with client(state, server, token) as api:
        found = api.allow_cut(application, name)
    if json:
        print_json(found)
        return
    out().print(f"{found['service']}: the next step may cut as many entries as it likes")
