"""`dcp simulate`: the engine on a virtual clock, through a scenario or a surge with faults; all drawn from a seed."""

import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import structlog
import typer

from dcp.cli.output import err, out, print_json, table
from dcp.cli.simulate_plot import growth_page
from dcp.kernel.errors import InvalidInput, Problem
from dcp.simulation.fleet.file import kind_of, read_scenario
from dcp.simulation.fleet.run import FleetResult, simulate_fleet
from dcp.simulation.fleet.scenario import FleetScenario
from dcp.simulation.fleet.summary import Summary, summarise
from dcp.simulation.load.file import read_surge
from dcp.simulation.load.played import NEVER_S, PlayedSurge, SurgeSummary, play_surge, summarise_surge
from dcp.simulation.surge import SurgeResult, simulate_surge

PROGRESS_EVERY = 50
Result = TypeVar("Result")


def simulate(
    scenario: Annotated[Path | None, typer.Argument(help="A scenario file; without one, a surge with faults.")] = None,
    seed: Annotated[int, typer.Option(help="Draws every fault and every delay.")] = 1,
    seeds: Annotated[int, typer.Option(min=1, help="Run so many seeds, from --seed on.")] = 1,
    jobs: Annotated[int | None, typer.Option(min=1, help="Seeds at once; all processors if not stated.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Write a page with plots to FILE.html; for scenarios.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show the controller's log.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON to stdout, and nothing else there.")] = False,
) -> None:
    """Run the engine on a virtual clock, from a seed.

    Without a file: a 6x surge, a host lost, metrics missing for a while, and crashes of the controller at random steps.
    With one: the growth, or every request of the surge, that it describes. Runtime, proxy and hosts are fakes;
    decisions, engine and store are those of production. Exit code 1 if a property did not hold or a scenario's promise
    is not kept.
    """
    _log_at(logging.DEBUG if verbose else logging.CRITICAL)
    if plot is not None and (scenario is None or plot.suffix != ".html" or kind_of(scenario) == "surge"):
        raise InvalidInput((Problem("--plot", "needs a scenario of growth and a name that ends with .html"),))
    each = partial(_in_order, range(seed, seed + seeds), jobs or os.cpu_count() or 1)
    if scenario is None:
        holds = _surge(each, seeds, json)
    elif kind_of(scenario) == "surge":
        holds = _requests(scenario, each, json)
    else:
        holds = _grow(read_scenario(scenario), each, plot, json)
    if not holds:
        raise typer.Exit(1)


def _surge(each: Callable[..., Iterator[SurgeResult]], seeds: int, json: bool) -> bool:
    results: list[SurgeResult] = []
    for result in each(simulate_surge, chunk=4):
        results.append(result)
        if len(results) % PROGRESS_EVERY == 0:
            err().print(f"{len(results)} of {seeds} seeds")
    broken = [result for result in results if result.violation]
    if json:
        print_json({"seeds": seeds, "broken": len(broken), "results": [asdict(result) for result in results]})
    elif seeds == 1:
        _print_pairs(asdict(results[0]))
    else:
        out().print(f"{seeds} seeds, {len(broken)} broke a property")
        for result in broken:
            out().print(f"seed {result.seed}: {result.violation}; replay: make sim SEED={result.seed}")
    return not broken


def _grow(scenario: FleetScenario, each: Callable[..., Iterator[FleetResult]], plot: Path | None, json: bool) -> bool:
    results: list[FleetResult] = []
    for result in each(partial(simulate_fleet, scenario), chunk=1):
        results.append(result)
        err().print(f"seed {result.seed}: all serve after {result.serving_s:.1f} s {result.violation}".rstrip())
    summary = summarise(results, scenario.promise)
    if json:
        shown = [{name: value for name, value in asdict(one).items() if name != "over_time"} for one in results]
        print_json({"scenario": scenario.name, "holds": summary.holds, **asdict(summary), "results": shown})
    else:
        _print_summary(scenario, summary)
    if plot is not None:
        plot.write_text(growth_page(scenario, summary, results), encoding="utf-8")
        err().print(f"plots are in {plot}")
    return summary.holds


def _requests(path: Path, each: Callable[..., Iterator[PlayedSurge]], json: bool) -> bool:
    scenario = read_surge(path)
    results: list[PlayedSurge] = []
    for result in each(partial(play_surge, path), chunk=1):
        results.append(result)
        recovered = "" if result.recovery_s is None else f", {_recovered(result.recovery_s)}"
        err().print(f"seed {result.seed}: {result.slow_ratio:.1%} slow, {result.failed:,} failed{recovered}")
    summary = summarise_surge(results, scenario.promise)
    if json:
        shown = [asdict(one) for one in results]
        print_json({"scenario": scenario.name, "holds": summary.holds, **asdict(summary), "results": shown})
        return summary.holds
    lines = table("", "p50", "p99", "highest")
    for one in summary.figures:
        digits = 4 if one.name == "slow_ratio" else 2 if one.name == "cloud_usd" else 1
        figures = (one.p50, one.p99, one.highest)
        lines.add_row(one.name.replace("_", " "), *(f"{value:,.{digits}f}" for value in figures))
    out().print(lines)
    _print_promise(scenario.name, summary)
    return summary.holds


def _recovered(recovery_s: float) -> str:
    return "never recovered" if recovery_s >= NEVER_S else f"recovered after {recovery_s:.0f} s"


def _print_summary(scenario: FleetScenario, summary: Summary) -> None:
    lines = table("", "p50", "p99", "highest")
    for one in summary.figures:
        lines.add_row(one.name.replace("_", " "), *(f"{value:,.1f}" for value in (one.p50, one.p99, one.highest)))
    out().print(lines)
    for number, violation in summary.broken:
        out().print(f"seed {number} broke a property: {violation}")
    _print_promise(scenario.name, summary)


def _print_promise(name: str, summary: Summary | SurgeSummary) -> None:
    for words in summary.missed:
        out().print(f"promise not kept: {words}")
    if summary.holds:
        out().print(f"{name}: promise kept over {summary.seeds} seed{'s' if summary.seeds > 1 else ''}")


def _in_order(seeds: range, jobs: int, run: Callable[[int], Result], *, chunk: int) -> Iterator[Result]:
    """Yield the result of each seed, in their order; a single one is run in this process."""
    if len(seeds) == 1:
        yield run(seeds[0])
        return
    with ProcessPoolExecutor(max_workers=jobs, initializer=_log_at, initargs=(logging.CRITICAL,)) as pool:
        yield from pool.map(run, seeds, chunksize=chunk)


def _log_at(level: int) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(level))


def _print_pairs(pairs: dict[str, Any]) -> None:
    lines = table("", "")
    lines.show_header = False
    for name, value in pairs.items():
        lines.add_row(name.replace("_", " "), str(value) if value != "" else "none")
    out().print(lines)
