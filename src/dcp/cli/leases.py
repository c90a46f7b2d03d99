"""`dcp leases`: who has which hosts."""

from typing import Annotated

import typer

from dcp.cli.options import AsJson, Server, State, Token, client
from dcp.cli.output import age, number, print_json, print_result, table
from dcp.kernel.units import format_duration


def leases(
    cluster: Annotated[str | None, typer.Option(help="Only of this cluster.")] = None,
    json: AsJson = False,
    state: State = None,
    server: Server = None,
    token: Token = None,
) -> None:
    """Show which cluster has which hosts, since when, until when, at what price."""
    with client(state, server, token) as api:
        held = [one for one in api.hosts()["hosts"] if cluster is None or one["cluster"] == cluster]
        now = api.status()["now"]
    held.sort(key=lambda one: (one["cluster"], one["since"]))
    if json:
        keys = ("cluster", "id", "source", "kind", "state", "since", "leave_by", "price_usd_per_hour")
        print_json({"leases": [{key: one[key] for key in keys} for one in held]})
        return
    rows = table("CLUSTER", "HOST", "SOURCE", "KIND", "FOR", "UNTIL", "USD/H", numbers=("FOR", "USD/H"))
    for one in held:
        until = "" if one["leave_by"] is None else f"in {format_duration(max(0.0, one['leave_by'] - now))}"
        price = number(one["price_usd_per_hour"], 3)
        rows.add_row(one["cluster"] or "-", one["id"], one["source"], one["kind"], age(one["since"], now), until, price)
    print_result(rows if held else "no hosts are lent")
