"""`dcp capacity`: what one instance of each service carries; measure one on its live traffic."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.text import Text

from dcp.api.client import Client
from dcp.cli.options import AsJson, Server, State, Token, client
from dcp.cli.output import err, out, print_json, print_result, table
from dcp.cli.surges import duration_of
from dcp.cli.waiting import Patience
from dcp.kernel.errors import NotFound

LOOK_EVERY_S = 1.0
WAIT_LIMIT_S = 86400.0
SHOWN = 10
RUNNING, MEASURED = "running", "measured"
INKS = {RUNNING: "cyan", MEASURED: "green"}

app = typer.Typer(add_completion=False)


@app.callback(invoke_without_command=True)
def capacity(
    context: typer.Context, json: AsJson = False, state: State = None, server: Server = None, token: Token = None
) -> None:
    """Show what one instance of each service carries, and the last tests."""
    if context.invoked_subcommand is not None:
        return
    with client(state, server, token) as api:
        found = api.capacity()
    if json:
        print_json(found)
        return
    columns = ("SERVICE", "HOSTS", "UNITS/S", "FROM", "TO", "REQUESTS/S", "BY", "")
    rows = table(*columns, numbers=("UNITS/S", "FROM", "TO", "REQUESTS/S"))
    for one in found["services"]:
        for row in _rows(one):
            rows.add_row(*row)
    print_result(rows if found["services"] else "no service says what it carries, and none was measured")
    if found["tests"]:
        out().print()
        _print_tests(found["tests"][:SHOWN])


@app.command()
def test(
    service: Annotated[str, typer.Argument(help="feed, or shop/feed where there are several applications.")],
    instances: Annotated[int, typer.Option(help="How many are measured on each type of host.")] = 3,
    window: Annotated[str | None, typer.Option(help="How long each step is watched; one sample's time.")] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for its end, and say what it does.")] = True,
    json: AsJson = False,
    state: State = None,
    server: Server = None,
    token: Token = None,
) -> None:
    """Measure a service on its live traffic: the balancer gives one instance ever more of it.

    Stops at once on errors, missing metrics and whatever changes meanwhile; then all get equal shares again.
    """
    window_s = None if window is None else duration_of("--window", window)
    application, _, name = service.rpartition("/")
    with client(state, server, token) as api:
        key = {"application": application or api.only_application(), "service": name}
        found = api.begin_capacity_test({**key, "per_class": instances, "window_s": window_s})
        if wait:
            err().print(f"{found['id']} runs; it goes on without this wait (dcp capacity cancel {found['id']})")
            found = _watch(api, found["id"])
        measured = _measured(api, found) if found["outcome"] == MEASURED else None
    if json:
        print_json({**found, "measured": measured})
    elif found["outcome"] == RUNNING:
        out().print(f"{found['id']} runs; see dcp capacity")
    else:
        _print_tests([found])
        for row in _classes(measured or {"classes": []}):
            out().print(f"  on {row[0]}: {row[4]} requests/s, {row[1]} units/s ({row[2]} to {row[3]})")
        if measured and measured["outliers"]:
            out().print(f"  left out: {', '.join(measured['outliers'])}")
    if found["outcome"] not in (RUNNING, MEASURED):
        raise typer.Exit(1)


@app.command()
def cancel(
    test: Annotated[str, typer.Argument(help="The test's id, as `dcp capacity` shows it.")],
    json: AsJson = False,
    state: State = None,
    server: Server = None,
    token: Token = None,
) -> None:
    """End a test before its time; all instances get equal shares again."""
    with client(state, server, token) as api:
        found = api.cancel_capacity_test(test)
    if json:
        print_json(found)
    else:
        out().print(f"{test} is {found['outcome']}: {found['words']}")


def _watch(api: Client, test: str) -> dict[str, Any]:
    """Say each step until the test ends; return it."""
    patience, said = Patience(WAIT_LIMIT_S), ""
    while True:
        found = _find(api, test)
        if found["outcome"] != RUNNING or patience.is_over:
            return found
        line = f"instance {found['rounds'] + 1} of {found['of']} gets {found['share']:.0%} of the requests"
        if line != said:
            err().print(line)
        said = line
        patience.wait(LOOK_EVERY_S)


def _find(api: Client, test: str) -> dict[str, Any]:
    for one in api.capacity()["tests"]:
        if one["id"] == test:
            return dict(one)
    raise NotFound(f"{test} is not among the last tests any more", hint="see `dcp capacity`")


def _measured(api: Client, test: dict[str, Any]) -> dict[str, Any] | None:
    for one in api.capacity()["services"]:
        if (one["application"], one["service"]) == (test["application"], test["service"]):
            return one["measured"] if isinstance(one["measured"], dict) else None
    return None


def _rows(one: dict[str, Any]) -> list[tuple[str | Text, ...]]:
    name = f"{one['application']}/{one['service']}"
    declared, measured = one["declared"], one["measured"]
    rows: list[tuple[str | Text, ...]] = []
    if measured is not None:
        at = datetime.fromtimestamp(measured["at"], UTC).astimezone()
        stale = Text("stale: another image or setting", style="yellow") if measured["stale"] else ""
        by = f"{measured['test']}, {at:%Y-%m-%d %H:%M}"
        rows += [(name, *row, by, stale) for row in _classes(measured)]
    if declared is not None:
        unused = measured is not None and not measured["stale"]
        figures = (f"{declared['units_per_s']:,.1f}", "", "", f"{declared['requests_per_s']:,.1f}")
        rows.append((name, "any", *figures, "the file", Text("not used", style="dim") if unused else ""))
    return rows or [(name, "any", "", "", "", "", "", Text("not known: it is not scaled by load", style="yellow"))]


def _classes(measured: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return type of host, units/s, lowest, highest, requests/s."""
    return [
        (
            f"{one['hardware']} ({one['instances']})",
            f"{one['units_per_s']:,.1f}",
            f"{one['lowest_units_per_s']:,.1f}",
            f"{one['highest_units_per_s']:,.1f}",
            f"{one['requests_per_s']:,.1f}",
        )
        for one in measured["classes"]
    ]


def _print_tests(tests: list[dict[str, Any]]) -> None:
    rows = table("TEST", "SERVICE", "OUTCOME", "MEASURED", "")
    for one in tests:
        outcome = Text(one["outcome"], style=INKS.get(one["outcome"], "yellow"))
        service = f"{one['application']}/{one['service']}"
        rows.add_row(one["id"], service, outcome, f"{one['rounds']} of {one['of']}", one["words"])
    print_result(rows)
