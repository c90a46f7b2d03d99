"""The run while it happens: a live terminal view, or a line every few seconds where there is no terminal.

Both are pure functions of one `Progress` value; only `run` decides when to draw.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.layout import Layout
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from dcp.demo.load_profile import LoadProfile
from dcp.demo.recording import Decision, LiveSecond, ServiceLines, StateSample
from dcp.orchestration.capacity.recovery import SLOW_RATIO_LIMIT

BLOCKS = " ▁▂▃▄▅▆▇█"
SHOWN_DECISIONS = 9
MARKS = {"serving": ("█", "green"), "held": ("▓", "yellow"), "starting": ("▒", "cyan"), "leaving": ("░", "magenta")}
HOST_MARKS = {"ready": ("■", "green"), "coming": ("□", "cyan"), "leaving": ("▫", "magenta")}


@dataclass(frozen=True, slots=True)
class Progress:
    """What is known at one moment of a run."""

    at_s: float
    profile: LoadProfile
    policy: str
    time_scale: float
    cloud: str
    phase: str
    """In words: what the run is doing now."""
    live: Sequence[LiveSecond]
    sample: StateSample | None
    decisions: Sequence[Decision]
    lines: dict[str, ServiceLines]
    hosts: str = ""
    """What hosts and instances are, in words."""


def render(progress: Progress, width: int = 120) -> RenderableType:
    """Return the whole live view."""
    layout = Layout()
    layout.split_column(
        Layout(_header(progress), name="header", size=5),
        Layout(_load(progress, width), name="load", size=7),
        Layout(name="middle", size=_middle_height(progress)),
        Layout(_decisions(progress), name="decisions", ratio=1, minimum_size=5),
    )
    layout["middle"].split_row(
        Layout(_services(progress), name="services", ratio=3), Layout(_hosts(progress), name="hosts", ratio=2)
    )
    return layout


def plain_line(progress: Progress) -> str:
    """Return the moment in one line of plain text."""
    live = progress.live[-1] if progress.live else None
    parts = [f"{progress.at_s:6.1f} s", f"{progress.phase:<22}"]
    if live:
        parts.append(
            f"offered {live.offered:>4}/s answered {live.answered:>4}/s failed {live.failed} "
            f"waiting {live.in_flight:>4} slow {_slow_ratio(live):>6.1%}"
        )
    if progress.sample:
        parts.append(" ".join(_service_words(progress.sample, level.service) for level in progress.sample.levels))
        parts.append("hosts " + " ".join(f"{host.source} {host.ready}/{host.total}" for host in progress.sample.hosts))
    return "  ".join(parts)


def plain_decision(decision: Decision) -> str:
    """Return a decision in one line of plain text."""
    return f"{decision.at_s:6.1f} s  {decision.subject}: {decision.words} [{decision.reason}]"


def sparkline(values: Sequence[float], highest: float) -> str:
    """Return one block character a value, 0 to `highest`."""
    if highest <= 0:
        return BLOCKS[0] * len(values)
    top = len(BLOCKS) - 1
    return "".join(BLOCKS[max(1 if value > 0 else 0, min(top, round(value / highest * top)))] for value in values)


def _service_words(sample: StateSample, service: str) -> str:
    count = next((count for count in sample.instances if count.service == service), None)
    if count is None:
        return f"{service} -"
    moving = "".join(
        f"{sign}{number}" for sign, number in (("+", count.starting + count.held), ("-", count.leaving)) if number
    )
    return f"{service} {count.serving}{moving}"


def _slow_ratio(live: LiveSecond) -> float:
    ended = live.answered + live.failed
    return live.slow / ended if ended else 0.0


def _header(progress: Progress) -> Panel:
    text = Text()
    text.append(f"{progress.phase}", style="bold")
    text.append(f"   {progress.at_s:.0f} s of about {progress.profile.duration_s:.0f} s")
    text.append(f"   policy {progress.policy}   time scale {progress.time_scale:g}", style="dim")
    text.append(" (windows of hours and minutes are divided by it)\n", style="dim")
    text.append(f"hosts: {progress.hosts}\ncloud: {progress.cloud}", style="dim")
    return Panel(text, title="dcp demo: a hot event", border_style="blue")


def _load(progress: Progress, width: int) -> Panel:
    shown = list(progress.live)[-max(10, width - 44) :]
    peak_rps = progress.profile.base_rps * progress.profile.surge_factor
    rows = Table.grid(padding=(0, 1))
    rows.add_column(justify="right", width=10)
    rows.add_column(no_wrap=True)
    rows.add_column(no_wrap=True)
    latest = shown[-1] if shown else None
    highest = max([peak_rps, *(second.answered for second in shown)])
    waiting_peak = max([1, *(second.in_flight for second in shown)])
    rows.add_row(
        "offered",
        Text(sparkline([s.offered for s in shown], highest), style="blue"),
        f"{latest.offered if latest else 0} requests/s",
    )
    rows.add_row(
        "answered",
        Text(sparkline([s.answered for s in shown], highest), style="green"),
        f"{latest.answered if latest else 0} requests/s",
    )
    rows.add_row(
        "under way",
        Text(sparkline([s.in_flight for s in shown], waiting_peak), style="yellow"),
        f"{latest.in_flight if latest else 0} requests",
    )
    ratio = _slow_ratio(latest) if latest else 0.0
    rows.add_row(
        "slow",
        Text(sparkline([_slow_ratio(s) for s in shown], 1.0), style="red"),
        Text(f"{ratio:.1%} of answers", style="red" if ratio >= SLOW_RATIO_LIMIT else "green"),
    )
    failed = sum(second.failed for second in progress.live)
    rows.add_row("failed", Text(f"{failed} requests", style="bold red" if failed else "green"), "")
    return Panel(rows, title="load", border_style="blue")


def _middle_height(progress: Progress) -> int:
    rows = max(len(progress.sample.levels), len(progress.sample.hosts) + 1) if progress.sample else 3
    return rows + 4


def _services(progress: Progress) -> Panel:
    table = Table(box=None, padding=(0, 1), expand=True)
    table.add_column("service", no_wrap=True)
    table.add_column("level", justify="right", no_wrap=True)
    table.add_column("req/s", justify="right", no_wrap=True)
    table.add_column("wanted", justify="right", no_wrap=True)
    table.add_column("instances", no_wrap=True, ratio=1)
    if progress.sample:
        for level in progress.sample.levels:
            count = next((c for c in progress.sample.instances if c.service == level.service), None)
            bar = Text()
            for name, (mark, style) in MARKS.items():
                bar.append(mark * (getattr(count, name) if count else 0), style=style)
            rate = "-" if level.requests_per_s is None else f"{level.requests_per_s:.0f}"
            water = _water(level.water_level, progress.lines.get(level.service))
            table.add_row(level.service, water, rate, str(level.target), bar)
    return Panel(Group(table, _legend(MARKS)), title="services (level = capacity / load)", border_style="blue")


def _water(level: float | None, lines: ServiceLines | None) -> Text:
    if level is None:
        return Text("-", style="dim")
    if lines is None:
        return Text(f"{level:.1f}")
    style = "bold red" if level < lines.fatal else "green" if level >= lines.safe else "yellow"
    return Text(f"{level:.1f}" if level < 100 else ">99", style=style)


def _hosts(progress: Progress) -> Panel:
    table = Table(box=None, padding=(0, 1), expand=True)
    table.add_column("source", no_wrap=True)
    table.add_column("$/h", justify="right", no_wrap=True)
    table.add_column("hosts", no_wrap=True, ratio=1)
    cost = Text("")
    if progress.sample:
        for host in progress.sample.hosts:
            bar = Text()
            for name, (mark, style) in HOST_MARKS.items():
                bar.append(mark * getattr(host, name), style=style)
            table.add_row(host.source, f"{host.price_usd_per_hour:.3f}", bar)
        cost = Text(f"paid so far: ${progress.sample.cost_usd:.4f}", style="dim")
    return Panel(Group(table, _legend(HOST_MARKS), cost), title="hosts by source", border_style="blue")


def _legend(marks: dict[str, tuple[str, str]]) -> Text:
    text = Text()
    for name, (mark, style) in marks.items():
        text.append(f"{mark} ", style=style)
        text.append(f"{name}  ", style="dim")
    return text


def _decisions(progress: Progress) -> Panel:
    table = Table(box=None, padding=(0, 1), expand=True, show_header=False)
    table.add_column(justify="right", width=7, no_wrap=True)
    table.add_column(no_wrap=True, max_width=24)
    table.add_column(ratio=1)
    for decision in list(progress.decisions)[: -SHOWN_DECISIONS - 1 : -1]:
        words = Text(decision.words)
        words.append(f"  {decision.reason}", style="dim")
        table.add_row(f"{decision.at_s:.1f} s", Text(decision.subject, style="bold"), words)
    return Panel(table, title="last decisions, newest first", border_style="blue")
