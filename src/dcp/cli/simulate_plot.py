"""Draws what the seeds of a scenario of growth gave: when all served, and how hosts came in one seed."""

from collections.abc import Sequence
from html import escape

from dcp.demo.report_page import figure, page
from dcp.demo.report_svg import Plot, linear_axis
from dcp.simulation.fleet.run import FleetResult
from dcp.simulation.fleet.scenario import FleetScenario
from dcp.simulation.fleet.summary import Summary, quantile

COLOURS = {
    "ready": "green",
    "booting": "amber",
    "creating": "sky",
    "requested": "blue",
    "initialising": "teal",
    "failed": "red",
    "draining": "pink",
    "releasing": "purple",
}
OTHERS = "others"


def growth_page(scenario: FleetScenario, summary: Summary, results: Sequence[FleetResult]) -> str:
    """Return a page: hosts over time in the seed at the median, when all served over all seeds, and the figures."""
    middle = quantile([one.serving_s for one in results], 0.5)
    shown = next(one for one in results if one.serving_s == middle)
    verdict = "kept" if summary.holds else f"not kept: {'; '.join((*summary.missed, *map(str, summary.broken)))}"
    head = (
        f"<header><h1>{escape(scenario.name)}</h1><p>{scenario.nodes:,} more nodes, {summary.seeds} seeds. "
        f"Promised: p{scenario.promise.quantile * 100:g} within {scenario.promise.serving_s:g} s; {escape(verdict)}. "
        "Clouds and instances are fakes as the scenario describes them; decisions, engine and store are those of "
        "production.</p></header>"
    )
    return page(
        f"dcp simulate {scenario.name}", (head, figure(_hosts(shown)), *_seeds(scenario, results), _table(summary))
    )


def _hosts(shown: FleetResult) -> Plot:
    last_s = max(1.0, shown.over_time[-1][0])
    highest = max(sum(count for name, count in states if name != "serving") for _, states in shown.over_time)
    plot = Plot(
        f"Hosts by state, seed {shown.seed}", "hosts", last_s, linear_axis(highest, "{:,.0f}".format), height=320
    )
    layers: dict[str, list[tuple[float, float]]] = {name: [] for name in (*COLOURS, OTHERS)}
    for at_s, states in shown.over_time:
        counted = dict(states)
        for name in COLOURS:
            layers[name].append((at_s, counted.get(name, 0)))
        rest = sum(count for name, count in states if name not in COLOURS and name not in ("serving", "released"))
        layers[OTHERS].append((at_s, rest))
    seen = {name: points for name, points in layers.items() if any(count for _, count in points)}
    plot.stack([(name, COLOURS.get(name, "dim"), points) for name, points in seen.items()])
    plot.line(
        "instances that serve", "ink", [(at_s, dict(states)["serving"]) for at_s, states in shown.over_time], steps=True
    )
    return plot


def _seeds(scenario: FleetScenario, results: Sequence[FleetResult]) -> tuple[str, ...]:
    """Return the share of seeds in which all served by each second; nothing for a single seed."""
    if len(results) < 2:
        return ()
    until_s = (
        max(scenario.promise.serving_s, *(one.serving_s for one in results if one.serving_s < float("inf"))) * 1.05
    )
    plot = Plot("Seeds in which all serve", "% of seeds", until_s, linear_axis(100.0, "{:g}%".format), height=240)
    for name, css in (("serving_s", "green"), ("bound_s", "sky")):
        times = sorted(getattr(one, name) for one in results)
        rising = [(at_s, 100.0 * number / len(times)) for number, at_s in enumerate(times, 1) if at_s <= until_s]
        label = "with dcp" if name == "serving_s" else "bound: an asker who knows the stock"
        plot.line(label, css, [(0.0, 0.0), *rising], steps=True)
    plot.moment(scenario.promise.serving_s, "promise")
    return (figure(plot),)


def _table(summary: Summary) -> str:
    rows = "".join(
        f"<tr><td>{escape(one.name.replace('_', ' '))}</td><td>{one.p50:,.1f}</td><td>{one.p99:,.1f}</td>"
        f"<td>{one.highest:,.1f}</td></tr>"
        for one in summary.figures
    )
    return f'<table class="numbers"><tr><th></th><th>p50</th><th>p99</th><th>highest</th></tr>{rows}</table>'
