"""`dcp forecast`: what is expected, how wrong forecasts were, and what following them would have changed."""

from typing import Annotated, Any

import typer
from rich.text import Text

from dcp.cli.options import AsJson, Server, State, Token, client
from dcp.cli.output import out, print_json, print_result, table
from dcp.kernel.units import format_duration

FIGURES = ("EXPECTED/S", "INSTANCES", "ERROR", "IF IT STAYED", "BIAS", "SHORT", "OVER")


def forecast(
    application: Annotated[str | None, typer.Argument(help="The application; the only one if not stated.")] = None,
    json: AsJson = False,
    state: State = None,
    server: Server = None,
    token: Token = None,
) -> None:
    """Show what load is expected, and how good such forecasts were over the last week.

    SHORT and OVER: instance-hours that were missing or too many, by reacting alone and with the forecast.
    """
    with client(state, server, token) as api:
        found = api.forecasts(application or api.only_application())
    if json:
        print_json(found)
        return
    rows = table("SERVICE", "MODE", "AHEAD", "KNOWN", *FIGURES, "SEASON", numbers=FIGURES)
    for one in found["services"]:
        rows.add_row(*_row(one))
    print_result(rows if found["services"] else "no service has x-dcp.forecast")
    if any(one["judged"] is None for one in found["services"]):
        out().print(Text("nothing is foretold before two days are known", style="yellow"))


def _row(one: dict[str, Any]) -> list[str]:
    judged, expected = one["judged"], one["expected_requests_per_s"]
    figures = ["-"] * 5
    if judged is not None:
        figures = [
            f"{judged['error']:.0%}",
            f"{judged['last_error']:.0%}",
            f"{judged['bias']:+.0%}",
            f"{one['short_reacting']:,.1f} → {one['short_with_forecast']:,.1f}",
            f"{one['over_reacting']:,.1f} → {one['over_with_forecast']:,.1f}",
        ]
    return [
        one["service"],
        one["mode"],
        format_duration(one["ahead_s"]),
        f"{one['known_days']:g} days",
        "-" if expected is None else f"{expected:,.1f}",
        "-" if expected is None else f"{one['expected_instances']:,}",
        *figures,
        one["season"],
    ]
