"""`dcp graph`: the calls of an application, declared beside learned, as a table or a drawing."""

from html import escape
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from dcp.cli.options import AsJson, Server, State, Token, client
from dcp.cli.output import err, print_json, print_result, table
from dcp.kernel.errors import InvalidInput, Problem

STYLES = {"agrees": "green", "drifted": "red", "unseen": "red", "learned": "cyan", "unsure": "dim"}
INKS = {"agrees": "#2e7d32", "drifted": "#c62828", "unseen": "#c62828", "learned": "#0277bd", "unsure": "#888888"}
BOX, GAP = (140, 40), (110, 70)
Call = dict[str, Any]


def graph(
    application: Annotated[str | None, typer.Argument(help="The application; the only one if not stated.")] = None,
    svg: Annotated[Path | None, typer.Option(help="Draw it into FILE.svg.")] = None,
    json: AsJson = False,
    state: State = None,
    server: Server = None,
    token: Token = None,
) -> None:
    """Show who calls whom how often: as declared, and as measured.

    `drifted`: the rates say another figure than was declared. `unsure`: load did not vary enough to say.
    """
    if svg is not None and svg.suffix != ".svg":
        raise InvalidInput((Problem("--svg", f"{svg} is no .svg", "such as graph.svg"),))
    with client(state, server, token) as api:
        found = api.graph(application or api.only_application())
    if svg is not None:
        svg.write_text(drawing(found["calls"]), encoding="utf-8")
        err().print(f"drawn into {svg}")
    if json:
        print_json(found)
        return
    figures = ("DECLARED", "LEARNED", "PLANNED")
    rows = table("CALLER", "CALLS", *figures, "BETWEEN", "WINDOWS", "", numbers=figures)
    for one in found["calls"]:
        between = "" if one["learned"] is None else f"{one['low']:.2f} to {one['high']:.2f}"
        verdict = Text(one["verdict"], style=STYLES[one["verdict"]])
        numbers = tuple(_figure(one[name]) for name in ("declared", "learned", "planned"))
        rows.add_row(one["caller"], one["callee"], *numbers, between, str(one["windows"]), verdict)
    print_result(rows if found["calls"] else "no service calls another")


def drawing(calls: list[Call]) -> str:
    """Return the graph as SVG: callers left of what they call, each edge with its figures."""
    columns = _columns(calls)
    places = {
        name: (column * (BOX[0] + GAP[0]) + 10, row * (BOX[1] + GAP[1]) + 10)
        for column, names in enumerate(columns)
        for row, name in enumerate(names)
    }
    width = len(columns) * (BOX[0] + GAP[0]) - GAP[0] + 20
    height = max(map(len, columns), default=0) * (BOX[1] + GAP[1]) - GAP[1] + 20
    parts = [*(_edge(one, places) for one in calls), *(_box(name, at) for name, at in places.items())]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="sans-serif" font-size="13"><rect width="{width}" height="{height}" fill="white"/>'
        f"{''.join(parts)}</svg>\n"
    )


def _columns(calls: list[Call]) -> list[list[str]]:
    """Return services by the longest way of calls that leads to them; the graph has no circle."""
    depth = {name: 0 for one in calls for name in (one["caller"], one["callee"])}
    for _ in depth:
        for one in calls:
            depth[one["callee"]] = max(depth[one["callee"]], depth[one["caller"]] + 1)
    last = max(depth.values(), default=-1)
    return [[name for name, at in depth.items() if at == column] for column in range(last + 1)]


def _box(name: str, at: tuple[int, int]) -> str:
    x, y = at
    return (
        f'<rect x="{x}" y="{y}" width="{BOX[0]}" height="{BOX[1]}" rx="6" fill="#eef3f8" stroke="#456"/>'
        f'<text x="{x + BOX[0] // 2}" y="{y + BOX[1] // 2 + 5}" text-anchor="middle">{escape(name)}</text>'
    )


def _edge(one: Call, places: dict[str, tuple[int, int]]) -> str:
    (x1, y1), (x2, y2) = places[one["caller"]], places[one["callee"]]
    x1, y1, y2, ink = x1 + BOX[0], y1 + BOX[1] // 2, y2 + BOX[1] // 2, INKS[one["verdict"]]
    words = " / ".join(filter(None, (_figure(one["declared"]), _figure(one["learned"]))))
    style = ' stroke-dasharray="5 4"' if one["verdict"] == "unsure" else ""
    middle = (x1 + x2) // 2
    return (
        f'<path d="M{x1} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}" fill="none" stroke="{ink}"{style}/>'
        f'<circle cx="{x2}" cy="{y2}" r="3" fill="{ink}"/>'
        f'<text x="{x2 - 8}" y="{y2 - 6}" text-anchor="end" fill="{ink}">{escape(words)}</text>'
    )


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
