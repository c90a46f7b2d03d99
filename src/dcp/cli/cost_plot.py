"""Draws what hosts cost over time: what fell due in each period, stacked, and what was held for it."""

from collections import defaultdict
from datetime import UTC, datetime
from html import escape
from itertools import accumulate
from typing import Any

from dcp.demo.report_page import figure, page, style, swatch
from dcp.demo.report_svg import LEFT, WIDTH, Plot, linear_axis
from dcp.hosts.cost.period import PERIODS

COLOURS = ("blue", "amber", "green", "pink", "purple", "sky", "teal", "red")
IDLE, OTHERS = "idle", "others"
MOST_LABELS = 12
HEAD = 46
"""Height of title and legend above a plot that stands alone."""
Found = dict[str, Any]


def cost_page(found: Found) -> str:
    """Return a page: both plots, and the table below them."""
    plots, total = (_charged(found), _running(found)), found["total"]
    head = (
        f"<header><h1>What hosts cost</h1><p>{_span(found)}. Charged: <b>${total['charged_usd']:,.4f}</b>, "
        f"amortised: <b>${total['amortised_usd']:,.4f}</b>, {total['host_hours']:,.2f} hours of hosts. "
        "Charged is what fell due by the contract: begun hours, months and years in full. "
        "Amortised is in proportion to the time held.</p></header>"
    )
    return page("dcp cost", (head, *(figure(plot) for plot in plots), _table(found)))


def cost_svg(found: Found) -> str:
    """Return the first plot as a file of its own."""
    plot = _charged(found)
    keys, x = [], LEFT + 0.0
    for css, name in plot.legend:
        label = f'<text class="tick" x="24" y="9">{escape(name)}</text>'
        keys.append(f'<g transform="translate({x:.0f} 28)">{swatch(css)}{label}</g>')
        x += 44 + 7.0 * len(name)
    inner = plot.svg().removeprefix('<svg class="plot"')
    height = plot.height + HEAD
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="plot" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}">'
        f"<style>{style()}</style>"
        f'<rect width="{WIDTH}" height="{height}" style="fill: var(--sheet)"/>'
        f'<text class="tick" x="{LEFT}" y="18">{escape(plot.title)}: {escape(plot.unit)}. {escape(_span(found))}</text>'
        f"{''.join(keys)}"
        f'<svg class="plot" y="{HEAD}" width="{WIDTH}" height="{plot.height}"{inner}</svg>\n'
    )


def _charged(found: Found) -> Plot:
    layers, amortised, starts = _series(found)
    highest = max([sum(values) for values in zip(*layers.values(), strict=True)] + amortised, default=0.0)
    period = next(word for word in found["by"] if word in PERIODS)
    plot = _plot(found, starts, "Charged", f"USD by {period}", highest)
    ends = [*starts, found["until"] - found["since"]]
    plot.stack([(name, colour, _steps(ends, layers[name])) for name, colour in _coloured(layers)])
    plot.line("amortised", "ink", _steps(ends, amortised), steps=True)
    return plot


def _running(found: Found) -> Plot:
    layers, _, starts = _series(found)
    totals = {name: list(accumulate(values)) for name, values in layers.items()}
    highest = max((sum(values) for values in zip(*totals.values(), strict=True)), default=0.0)
    plot = _plot(found, starts, "Running total", "USD charged since the beginning", highest)
    ends = [*starts, found["until"] - found["since"]]
    plot.stack([(name, colour, _steps(ends, totals[name])) for name, colour in _coloured(totals)])
    return plot


def _plot(found: Found, starts: list[float], title: str, unit: str, highest: float) -> Plot:
    plot = Plot(title, unit, max(1.0, found["until"] - found["since"]), linear_axis(highest, _dollars), height=260)
    index = next(number for number, word in enumerate(found["by"]) if word in PERIODS)
    names = {row["since"] - found["since"]: row["key"][index] for row in found["rows"]}
    every = max(1, -(-len(starts) // MOST_LABELS))
    plot.instants = [(at, _short(names[at])) for at in starts[::every] if at in names]
    return plot


def _series(found: Found) -> tuple[dict[str, list[float]], list[float], list[float]]:
    """Return charged dollars of each layer and amortised ones of all, by period, and when periods begin."""
    edges = {row[name] for row in found["rows"] for name in ("since", "until")}
    starts = sorted(edges - {found["until"]}) or [found["since"]]
    place = {at: number for number, at in enumerate(starts)}
    layers: dict[str, list[float]] = defaultdict(lambda: [0.0] * len(starts))
    amortised = [0.0] * len(starts)
    for row in found["rows"]:
        name = _name(found, row)
        layers[name][place[row["since"]]] += row["charged_usd"]
        amortised[place[row["since"]]] += row["amortised_usd"]
    order = sorted(layers, key=lambda name: (-sum(layers[name]), name))
    shown = {name: layers[name] for name in order[: len(COLOURS)]}
    if rest := [layers[name] for name in order[len(COLOURS) :]]:
        shown[OTHERS] = [sum(values) for values in zip(*rest, strict=True)]
    return shown, amortised, [at - found["since"] for at in starts]


def _coloured(layers: dict[str, list[float]]) -> list[tuple[str, str]]:
    colours = iter(COLOURS)
    return [(name, "dim" if name in (IDLE, OTHERS) else next(colours)) for name in layers]


def _steps(ends: list[float], values: list[float]) -> list[tuple[float, float]]:
    return list(zip(ends, [*values, values[-1]], strict=True))


def _name(found: Found, row: Found) -> str:
    parts = [part or "–" for word, part in zip(found["by"], row["key"], strict=True) if word not in PERIODS]
    if parts == ["–"] and "service" in found["by"]:
        return IDLE
    return " ".join(parts) or "all"


def _table(found: Found) -> str:
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    for row in found["rows"]:
        for number, field in enumerate(("charged_usd", "amortised_usd", "host_hours")):
            sums[_name(found, row)][number] += row[field]
    total = found["total"]
    lines = [*sorted(sums.items(), key=lambda item: -item[1][0])]
    lines.append(("all", [total["charged_usd"], total["amortised_usd"], total["host_hours"]]))
    head = " ".join(word for word in found["by"] if word not in PERIODS) or ""
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{charged:,.4f}</td><td>{amortised:,.4f}</td><td>{hours:,.2f}</td></tr>"
        for name, (charged, amortised, hours) in lines
    )
    columns = f"<tr><th>{escape(head)}</th><th>charged USD</th><th>amortised USD</th><th>host hours</th></tr>"
    return f'<table class="numbers">{columns}{rows}</table>'


def _span(found: Found) -> str:
    begin, end = (datetime.fromtimestamp(found[name], UTC).strftime("%Y-%m-%d %H:%M") for name in ("since", "until"))
    days = "" if found["timezone"] == "UTC" else f", periods of {found['timezone']}"
    return f"From {begin} to {end} UTC{days}"


def _dollars(value: float) -> str:
    return f"${value:,.10g}" if value < 1e6 else f"${value / 1e6:,g}M"


def _short(name: str) -> str:
    """Return an hour as month, day and hour; days and months as they are."""
    return f"{name[5:10]} {name[11:16]}" if "T" in name else name
