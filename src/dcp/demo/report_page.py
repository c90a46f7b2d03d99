"""A page with plots: one HTML file that opens offline, with its style and its short script inside."""

import json
from collections.abc import Iterable
from html import escape
from importlib.resources import files

from dcp.demo.report_svg import Plot


def page(title: str, body: Iterable[str]) -> str:
    """Return the whole page; `title` is text, `body` is HTML."""
    script = files("dcp.demo").joinpath("report.js").read_text(encoding="utf-8")
    return "\n".join(
        (
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title><style>{style()}</style></head><body><main>",
            *body,
            f"</main><script>{script}</script></body></html>",
        )
    )


def style() -> str:
    """Return the style sheet of pages and plots."""
    return files("dcp.demo").joinpath("report.css").read_text(encoding="utf-8")


def figure(plot: Plot) -> str:
    """Return a plot with its title, its legend and what the script shows under the pointer."""
    legend = "".join(
        f'<span class="key"><svg viewBox="0 0 18 10" width="18" height="10">{swatch(css)}</svg>{escape(name)}</span>'
        for css, name in plot.legend
    )
    readings = [
        [name, [[round(at_s, 2), None if value is None else round(value, 4)] for at_s, value in points]]
        for name, points in plot.readings
    ]
    data = json.dumps({"until": plot.until_s, "readings": readings}).replace("<", "\\u003c")
    return (
        f'<figure><figcaption><b>{escape(plot.title)}</b> <span class="unit">{escape(plot.unit)}</span>'
        f'<span class="legend">{legend}</span></figcaption>{plot.svg()}'
        f'<script type="application/json">{data}</script></figure>'
    )


def swatch(css: str) -> str:
    """Return the sample of a line or area that a legend shows."""
    kind, colour = css.split(" ") if " " in css else ("line", css)
    if kind == "box":
        return f'<rect class="{colour}" width="18" height="10"/>'
    return f'<path class="line {colour}" d="M0 5H18"/>'
