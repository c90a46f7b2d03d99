"""`dcp simulate`: the engine through a surge with faults on a virtual clock; the same seed gives the same events."""

import logging
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from typing import Annotated

import structlog
import typer

from dcp.cli.output import err, out, print_json, table
from dcp.simulation.surge import SurgeResult, simulate_surge

PROGRESS_EVERY = 50


def simulate(
    seed: Annotated[int, typer.Option(help="Draws every fault and every delay.")] = 1,
    seeds: Annotated[int, typer.Option(min=1, help="Run so many seeds, from --seed on.")] = 1,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show the controller's log.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON to stdout, and nothing else there.")] = False,
) -> None:
    """Run the engine on a virtual clock, with faults, from a seed.

    A 6x surge, a host lost, metrics missing for a while, and crashes of the controller at random steps. Runtime, proxy
    and hosts are fakes; decisions, engine and store are those of production. Exit code 1 if a property did not hold.
    """
    level = logging.DEBUG if verbose else logging.CRITICAL
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(level))
    results: list[SurgeResult] = []
    for result in _results(range(seed, seed + seeds)):
        results.append(result)
        if len(results) % PROGRESS_EVERY == 0:
            err().print(f"{len(results)} of {seeds} seeds")
    broken = [result for result in results if result.violation]
    if json:
        print_json({"seeds": seeds, "broken": len(broken), "results": [asdict(result) for result in results]})
    elif seeds == 1:
        _print_one(results[0])
    else:
        out().print(f"{seeds} seeds, {len(broken)} broke a property")
        for result in broken:
            out().print(f"seed {result.seed}: {result.violation}; replay: make sim SEED={result.seed}")
    if broken:
        raise typer.Exit(1)


def _results(seeds: range) -> Iterator[SurgeResult]:
    if len(seeds) == 1:
        yield simulate_surge(seeds[0])
        return
    with ProcessPoolExecutor(max_workers=os.cpu_count(), initializer=_silence) as pool:
        yield from pool.map(simulate_surge, seeds, chunksize=4)


def _silence() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def _print_one(result: SurgeResult) -> None:
    lines = table("", "")
    lines.show_header = False
    for name, value in asdict(result).items():
        lines.add_row(name.replace("_", " "), str(value) if value != "" else "none")
    out().print(lines)
