"""How verbs print: results to stdout, everything else to stderr; colours only on a terminal.

With `--json` stdout holds JSON and nothing else.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from dcp.kernel.errors import DcpError, InvalidInput, Problem
from dcp.kernel.units import format_duration

NO_TERMINAL_WIDTH = 1000
"""Where no terminal bounds a line, none is broken: `dcp events | grep` finds what it looks for."""
STATE_STYLES = {
    "serving": "green",
    "ready": "green",
    "held": "yellow",
    "placed": "cyan",
    "starting": "cyan",
    "requested": "cyan",
    "creating": "cyan",
    "booting": "cyan",
    "draining": "magenta",
    "stopping": "magenta",
    "releasing": "magenta",
    "failed": "red",
    "lost": "red",
}


def out() -> Console:
    """Return the console for results. Made at each use, as tests and pipes replace the stream."""
    return _console(sys.stdout)


def err() -> Console:
    """Return the console for questions, progress and errors."""
    return _console(sys.stderr)


def print_json(value: object) -> None:
    """Print one JSON value on one line."""
    print(json.dumps(value, ensure_ascii=False), flush=True)


def print_error(error: DcpError) -> None:
    """Print what went wrong: the message, each problem with its path, the hint."""
    console = err()
    if isinstance(error, InvalidInput):
        console.print(Text.assemble(("error: ", "bold red"), f"{error.subject} cannot be used"))
        for problem in error.problems:
            print_problem(problem, "red")
        return
    console.print(Text.assemble(("error: ", "bold red"), error.message))
    if error.hint:
        console.print(Text.assemble(("  hint: ", "cyan"), error.hint))


def print_problem(problem: Problem, style: str) -> None:
    """Print one problem with its path and hint."""
    path = (f"{problem.path}: ", style) if problem.path else ""
    err().print(Text.assemble("  ", path, problem.message))
    if problem.hint:
        err().print(Text.assemble(("    hint: ", "cyan"), problem.hint))


def print_warnings(warnings: Iterable[Problem]) -> None:
    """Print what the writer of a file should know."""
    for warning in warnings:
        path = f"{warning.path}: " if warning.path else ""
        hint = f" ({warning.hint})" if warning.hint else ""
        err().print(Text.assemble(("warning: ", "yellow"), f"{path}{warning.message}{hint}"))


def table(*columns: str, numbers: Sequence[str] = ()) -> Table:
    """Return an empty table; columns named in `numbers` stand right. The last column takes what width is left."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in columns:
        made.add_column(
            name,
            justify="right" if name in numbers else "left",
            overflow="fold",
            no_wrap=name != columns[-1],
        )
    return made


def print_result(value: RenderableType) -> None:
    """Print a table or text to stdout; without a terminal, no line ends in blanks."""
    console = out()
    if console.is_terminal:
        console.print(value)
        return
    with console.capture() as captured:
        console.print(value)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()), flush=True)


def indented(words: str | Text) -> Padding:
    """Return text that stays indented where its lines are broken."""
    return Padding(words, (0, 0, 0, 2), expand=False)


def state(name: str) -> Text:
    """Return a state in its colour."""
    return Text(name, style=STATE_STYLES.get(name, ""))


def clock_time(at: float | None) -> str:
    """Return a time as people of this machine read it."""
    return "" if at is None else datetime.fromtimestamp(at, tz=UTC).astimezone().strftime("%H:%M:%S")


def age(since: float | None, now: float) -> str:
    """Return how long ago something was, in the two largest units."""
    if since is None:
        return ""
    seconds = max(0.0, now - since)
    return format_duration(round(seconds) if seconds < 3600 else round(seconds / 60) * 60)


def number(value: float | None, digits: int = 2, unit: str = "") -> str:
    """Return a number, or a dash where it was not measured."""
    return "-" if value is None else f"{value:,.{digits}f}{unit}"


def level(value: float | None, measured: bool, lines: tuple[float | None, float | None]) -> Text:
    """Return a water level with what it means; `lines` are safe and fatal."""
    safe, fatal = lines
    if value is None:
        return Text("no load" if measured else "-")
    words, style = "", ""
    if fatal is not None and value < fatal:
        words, style = " fatal", "red"
    elif safe is not None:
        words, style = (" safe", "green") if value >= safe else (" low", "yellow")
    return Text(f"{value:.2f}{words}", style=style)


def percent(ratio: float | None) -> str:
    """Return a ratio in percent, or a dash where it was not measured."""
    return "-" if ratio is None else f"{ratio * 100:.1f}%"


def count(amount: int, noun: str) -> str:
    """Return `1 instance`, `3 instances`."""
    return f"{amount} {noun}" if amount == 1 else f"{amount} {noun}s"


def names(values: Iterable[Any]) -> str:
    """Return values side by side, or a dash where there is none."""
    return ", ".join(str(value) for value in values) or "-"


def price_lines(prices: list[dict[str, Any]]) -> Iterable[str]:
    """Yield what hosts cost an hour: what changes by cluster and source, and the sum."""
    for one in prices:
        before, after = one["before_usd_per_hour"], one["after_usd_per_hour"]
        if before != after:
            of = f"{one['source']} for {one['cluster']}" if one["cluster"] else one["source"]
            yield f"  {of}: {before:.3f} → {after:.3f} USD per hour"
    if not prices:
        return
    before, after = (sum(one[f"{when}_usd_per_hour"] for one in prices) for when in ("before", "after"))
    yield f"  all hosts: {before:.3f} → {after:.3f} USD per hour"


def _console(stream: Any) -> Console:
    terminal = stream.isatty()
    width = None if terminal else NO_TERMINAL_WIDTH
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False, soft_wrap=False)
