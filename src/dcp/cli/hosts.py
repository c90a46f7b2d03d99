"""`dcp hosts`: which there are and what runs on them; add and remove machines; cordon, drain and take back hosts."""

from typing import Annotated

import typer

from dcp.api.client import Json
from dcp.cli import machines
from dcp.cli.options import AsJson, Server, State, Token, client
from dcp.cli.output import names, number, out, print_json, print_result, table
from dcp.cli.output import state as in_colour
from dcp.kernel.errors import InvalidInput, Problem
from dcp.kernel.units import format_duration, parse_duration_s

app = typer.Typer(add_completion=False)
for verb in (machines.add, machines.remove, machines.machines, machines.retry):
    app.command()(verb)
HostId = Annotated[str, typer.Argument(metavar="HOST", help="The host's id, as `dcp hosts` shows it.")]


@app.callback(invoke_without_command=True)
def hosts(
    context: typer.Context, json: AsJson = False, state: State = None, server: Server = None, token: Token = None
) -> None:
    """List hosts; add and remove machines; cordon, drain and take back single hosts."""
    if context.invoked_subcommand is not None:
        return
    with client(state, server, token) as api:
        found = api.hosts()
        if json:
            print_json(found)
            return
        now = api.status()["now"]
    rows = table("HOST", "SOURCE", "KIND", "SITE", "TYPE", "STATE", "LEAVES", "USD/H", "INSTANCES", numbers=("USD/H",))
    for one in found["hosts"]:
        rows.add_row(
            one["id"],
            one["source"],
            one["kind"],
            one["site"] or "-",
            one["type"],
            in_colour(one["state"]),
            _leaves(one, now),
            number(one["price_usd_per_hour"], 3),
            names(one["instances"]),
        )
    print_result(rows if found["hosts"] else "no hosts in use")


@app.command()
def cordon(host: HostId, json: AsJson = False, state: State = None, server: Server = None, token: Token = None) -> None:
    """Place nothing new on a host; what runs there stays."""
    with client(state, server, token) as api:
        _say(api.cordon_host(host), "takes nothing new; `dcp hosts uncordon` ends that", json=json)


@app.command()
def uncordon(
    host: HostId, json: AsJson = False, state: State = None, server: Server = None, token: Token = None
) -> None:
    """Use a host again, also if it was to leave."""
    with client(state, server, token) as api:
        _say(api.uncordon_host(host), "is used again", json=json)


@app.command()
def drain(
    host: HostId,
    within: Annotated[str, typer.Option(help="By when it shall be empty.")] = "10m",
    json: AsJson = False,
    state: State = None,
    server: Server = None,
    token: Token = None,
) -> None:
    """Have what runs on a host replaced elsewhere, the new one first; then give the host back."""
    try:
        within_s = parse_duration_s(within)
    except ValueError as error:
        raise InvalidInput((Problem("--within", str(error), "such as 90s or 10m"),)) from error
    with client(state, server, token) as api:
        _say(api.drain_host(host, within_s), f"is emptied within {format_duration(within_s)}", json=json)


@app.command()
def log(host: HostId, json: AsJson = False, state: State = None, server: Server = None, token: Token = None) -> None:
    """Print what was said in tries to initialise a host that failed."""
    with client(state, server, token) as api:
        found = api.host_log(host)
    if json:
        print_json(found)
        return
    for one in found["tries"]:
        out().print(f"try {one['attempt']}: {one['words']}", markup=False, style="bold")
        out().print(one["text"], markup=False, highlight=False)
    if not found["tries"]:
        print_result(f"no try to initialise {host} failed")


def _say(found: Json, words: str, *, json: bool) -> None:
    if json:
        print_json(found)
        return
    out().print(f"{found['id']} is {found['state']}: {words}")


def _leaves(host: Json, now: float) -> str:
    if host["leave_by"] is None:
        return ""
    left_s = host["leave_by"] - now
    return f"in {format_duration(left_s)}" if left_s > 0 else "now"
