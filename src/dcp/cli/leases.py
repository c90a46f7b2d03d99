"""`dcp leases`: who has which hosts, and what clusters lend each other."""

from collections.abc import Iterable
from typing import Annotated

import typer

from dcp.api.client import Json
from dcp.cli.options import AsJson, Server, State, Token, client
from dcp.cli.output import age, number, print_json, print_result, table
from dcp.kernel.units import format_duration


def leases(
    cluster: Annotated[str | None, typer.Option(help="Only what this cluster has, or lends.")] = None,
    json: AsJson = False,
    state: State = None,
    server: Server = None,
    token: Token = None,
) -> None:
    """Show which cluster has which hosts, from whom, since and until when.

    Also what clusters lend each other.
    """
    with client(state, server, token) as api:
        found = api.leases()
    if cluster is not None:
        found["leases"] = [one for one in found["leases"] if _concerns(one, cluster)]
        found["clusters"] = [one for one in found["clusters"] if one["cluster"] == cluster]
    if json:
        print_json({"leases": found["leases"], "clusters": found["clusters"]})
        return
    held = found["leases"]
    rows = table("CLUSTER", "HOST", "SOURCE", "KIND", "FROM", "FOR", "UNTIL", "USD/H", numbers=("FOR", "USD/H"))
    for one in held:
        rows.add_row(
            one["cluster"] or "-",
            one["id"],
            one["source"],
            one["kind"],
            one["lender"] or "-",
            age(one["since"], found["now"]),
            _until(one, found["now"]),
            number(one["price_usd_per_hour"], 3),
        )
    print_result(rows if held else "no hosts are lent")
    _print_lending(found["clusters"])


def _concerns(lease: Json, cluster: str) -> bool:
    return cluster in (lease["cluster"], lease["claimed_by"], *lease["lender"].split(" or "))


def _until(lease: Json, now: float) -> str:
    if lease["until"] is None:
        return ""
    due = f"in {format_duration(max(0.0, lease['until'] - now))}"
    return due if lease["claimed_by"] is None else f"{due}, then {lease['claimed_by'] or '-'}"


def _print_lending(clusters: Iterable[Json]) -> None:
    """Say of each cluster with hosts of its own, or of others, how many it lends and borrows."""
    numbers = ("HOSTS", "LENT", "CLAIMED", "BORROWED")
    rows = table("CLUSTER", "LENDS", *numbers, numbers=numbers)
    for one in clusters:
        counts = (str(one[key]) for key in ("owned", "lent", "claimed", "borrowed"))
        rows.add_row(one["cluster"] or "-", "yes" if one["lends"] else "no", *counts)
    if rows.row_count:
        print_result("")
        print_result(rows)
