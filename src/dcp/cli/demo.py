"""`dcp demo`: the main job on this machine, watched live, summed up at the end."""

import json as json_format
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.live import Live
from rich.table import Table

from dcp.cli.output import err, out
from dcp.demo.ground import MIN_LAB_HOSTS, DemoRuntime
from dcp.demo.load_profile import LoadProfile
from dcp.demo.outcome import Course, Outcome
from dcp.demo.report import write_html
from dcp.demo.run import DemoOptions, run_demo
from dcp.demo.view import Progress, plain_decision, plain_line, render
from dcp.orchestration.scaling.model import Policy

PLAIN_EVERY = 5
"""Without a terminal, one line for so many looks."""


def demo(
    policy: Annotated[Policy, typer.Option(help="How the application grows.")] = Policy.GATED,
    surge: Annotated[float, typer.Option(min=1.0, help="By how much the load is multiplied.")] = 6.0,
    base_rps: Annotated[float, typer.Option(min=1.0, help="Requests per second before the surge.")] = 36.0,
    hold_s: Annotated[float, typer.Option(min=5.0, help="Seconds the surge lasts.")] = 40.0,
    runtime: Annotated[DemoRuntime, typer.Option(help="Processes, or containers on real engines.")] = (
        DemoRuntime.PROCESS
    ),
    hosts: Annotated[
        int, typer.Option(min=MIN_LAB_HOSTS, max=16, help="How many engines, with --runtime docker; needs root.")
    ] = MIN_LAB_HOSTS,
    seed: Annotated[int, typer.Option(help="The same seed offers the same requests.")] = 1,
    file: Annotated[Path | None, typer.Option(help="Another Compose file whose entry is `feed`.")] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write the figures there; - for stdout.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write the report there, one HTML file.")] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Lines instead of the live view.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the run's folder: state, logs, load.")] = False,
) -> None:
    """Let an application ride out a surge on this machine.

    Starts a controller with fresh state, applies examples/hot-event, multiplies its load, waits until everything was
    given back, and leaves nothing behind. Exit code 1 if a request failed or something did not come back.
    """
    to_stdout = json is not None and str(json) == "-"
    profile = LoadProfile(base_rps=base_rps, surge_factor=surge, before_s=12.0, hold_s=hold_s, tail_s=100.0)
    options = DemoOptions(
        profile=profile, policy=policy, seed=seed, compose=file, keep=keep, runtime=runtime, hosts=hosts
    )
    with _shown(plain or to_stdout or not sys.stderr.isatty()) as show:
        recording, outcome = run_demo(options, show)
    if report is not None:
        report.write_text(write_html(recording, outcome), encoding="utf-8")
    if json is not None:
        text = json_format.dumps(outcome.to_json(), indent=1)
        print(text) if to_stdout else json.write_text(text + "\n", encoding="utf-8")
    if not to_stdout:
        out().print(_summary(outcome))
        if report is not None:
            out().print(f"report: {report} (one file, opens offline)")
    if not _held(outcome):
        raise typer.Exit(1)


def _held(outcome: Outcome) -> bool:
    return (
        outcome.load_complete
        and outcome.failed_requests == 0
        and outcome.back_where_it_began
        and outcome.orphan_processes == 0
    )


@contextmanager
def _shown(plain: bool) -> Iterator[Callable[[Progress], None]]:
    """Yield what draws a moment of the run."""
    if plain:
        yield _Lines().show
        return
    console = err()
    with Live(console=console, screen=True, auto_refresh=False) as live:
        yield lambda progress: live.update(render(progress, console.width), refresh=True)


class _Lines:
    """A line every few looks, and each decision once."""

    def __init__(self) -> None:
        self._looks = 0
        self._told = 0

    def show(self, progress: Progress) -> None:
        """Print what is new."""
        for decision in progress.decisions[self._told :]:
            print(plain_decision(decision), file=sys.stderr)
        self._told = len(progress.decisions)
        if self._looks % PLAIN_EVERY == 0:
            print(plain_line(progress), file=sys.stderr, flush=True)
        self._looks += 1


def _summary(outcome: Outcome) -> Table:
    lines = Table.grid(padding=(0, 2))
    lines.add_column(style="bold")
    lines.add_column()
    lines.add_row(
        "load", f"{outcome.offered_requests} requests offered, multiplied by {_or_never(outcome.surge_factor)}"
    )
    lines.add_row("answered", f"{outcome.answered_requests}, failed {outcome.failed_requests}")
    limit = f"answer later than {outcome.slow_threshold_ms:g} ms"
    lines.add_row("slow", f"{outcome.slow_ratio_peak:.1%} of a second's requests at worst ({limit})")
    lines.add_row(
        "recovery", f"{_or_never(outcome.recovery_s)} s from the start of the surge until under 1% slow for good"
    )
    for name, course in outcome.instances.items():
        lines.add_row(f"instances {name}", _course(course))
    for name, course in outcome.hosts.items():
        lines.add_row(f"hosts {name}", _course(course))
    lines.add_row("cost", f"{outcome.cost_usd:.6f} USD")
    lines.add_row("left behind", f"{outcome.orphan_processes} processes or containers")
    lines.add_row("policy", f"{outcome.policy}; all windows divided by {outcome.time_scale:g}")
    lines.add_row("hosts", outcome.hosts_are)
    lines.add_row("cloud", outcome.cloud)
    if outcome.generator_starved:
        lines.add_row("note", f"the generator was up to {outcome.generator_late_max_ms:.0f} ms late: a busy machine")
    return lines


def _course(course: Course) -> str:
    return f"{course.before} before, {course.peak} at the peak, {course.after} after"


def _or_never(value: float | None) -> str:
    return "never" if value is None else f"{value:g}"
