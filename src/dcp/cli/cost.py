"""`dcp cost`: what hosts cost, as a table, as JSON, as a plot."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from dcp.api.client import Client
from dcp.cli.cost_plot import cost_page, cost_svg
from dcp.cli.options import AsJson, Server, State, Token, client
from dcp.cli.output import number, print_json, print_result, table
from dcp.hosts.cost.period import PERIODS, read_question
from dcp.kernel.errors import InvalidInput, Problem, Unavailable

PLOTS = {".svg": cost_svg, ".html": cost_page}
EMPTY_NAMES = {"service": "(idle)", "cluster": "-"}
"""What stands in a cell that has no name: what no service held, and the one cluster there is."""
FINE = ((4 * 86400, "hour"), (120 * 86400, "day"))
"""Up to so many seconds are plotted by that period, more by month."""


def cost(
    by: Annotated[
        str, typer.Option(help="cluster, service, source, billing, state, and hour, day or month; several by commas.")
    ] = "source",
    since: Annotated[str, typer.Option("--from", help="A month, a day or a time.", show_default="the first host")] = "",
    until: Annotated[str, typer.Option("--to", help="The end, not included.", show_default="now")] = "",
    timezone: Annotated[str, typer.Option(help="Whose days and months.")] = "UTC",
    plot: Annotated[Path | None, typer.Option(help="Also draw it over time, into FILE.svg or FILE.html.")] = None,
    json: AsJson = False,
    state: State = None,
    server: Server = None,
    token: Token = None,
) -> None:
    """Show what hosts cost, by service, source, day and more."""
    question = read_question(by, since, until, timezone)
    if plot is not None and plot.suffix.lower() not in PLOTS:
        raise InvalidInput((Problem("--plot", f"{plot} is neither .svg nor .html", "such as cost.html"),))
    with client(state, server, token) as api:
        found = api.cost(",".join(question.order), since, until, timezone)
        if plot is not None:
            _write_plot(plot, PLOTS[plot.suffix.lower()](_over_time(api, found, since, until)))
    if json:
        print_json(found)
    else:
        _print(found)


def named(word: str, part: str) -> str:
    """Return how a part of a key is shown."""
    return part or EMPTY_NAMES.get(word, "-")


def _print(found: dict[str, Any]) -> None:
    numbers = ("CHARGED USD", "AMORTISED USD", "HOST HOURS")
    rows = table(*(word.upper() for word in found["by"]), *numbers, numbers=numbers)
    for row in found["rows"] if found["by"] else ():
        parts = (named(word, part) for word, part in zip(found["by"], row["key"], strict=True))
        rows.add_row(*parts, *_cells(row))
    total = [Text(cell, style="bold") for cell in _cells(found["total"])]
    rows.add_row(*(Text("all" if index == 0 else "", style="bold") for index, _ in enumerate(found["by"])), *total)
    print_result(rows if found["by"] or found["rows"] else "nothing was charged")


def _cells(amount: dict[str, Any]) -> tuple[str, str, str]:
    return number(amount["charged_usd"], 4), number(amount["amortised_usd"], 4), number(amount["host_hours"], 2)


def _over_time(api: Client, found: dict[str, Any], since: str, until: str) -> dict[str, Any]:
    """Return the same by period, where it was not asked for so."""
    if any(word in PERIODS for word in found["by"]):
        return found
    length_s = found["until"] - found["since"]
    period = next((name for limit_s, name in FINE if length_s <= limit_s), "month")
    return api.cost(",".join((period, *found["by"])), since, until, found["timezone"])


def _write_plot(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Unavailable(f"the plot cannot be written: {error}") from error
