"""The plots of the report, each made from a recording."""

import math
from collections.abc import Callable, Sequence

from dcp.demo.outcome import Outcome
from dcp.demo.recording import HostCount, InstanceCount, LiveSecond, Recording, StateSample
from dcp.demo.report_svg import Axis, Plot, Point, linear_axis
from dcp.orchestration.capacity.recovery import SLOW_RATIO_LIMIT

SERVICE_COLOURS = ("blue", "orange", "purple", "teal", "red")
INSTANCE_LAYERS = (
    ("serving", "serving", "green"),
    ("held", "held at the gate", "amber"),
    ("starting", "starting", "sky"),
    ("leaving", "draining, stopping", "pink"),
)
HOST_LAYERS = (
    ("ready", "ready", "green"),
    ("coming", "coming", "sky"),
    ("leaving", "leaving", "pink"),
)
LEVEL_LOW, LEVEL_HIGH = 0.25, 16.0
MARKED_KINDS = ("service", "application")
"""Subjects whose decisions are marked on the plots; hosts would hide them."""


def draw_plots(recording: Recording, outcome: Outcome) -> list[Plot]:
    """Return every plot that the recording has data for, in reading order."""
    plots = [_load(recording), _waiting(recording), _latency(recording), _slow_ratio(recording)]
    if recording.samples:
        plots.append(_water_level(recording))
        plots += [_instances(recording, service) for service in recording.services()]
        plots += [_hosts(recording, source) for source in recording.sources()]
    for number, plot in enumerate(plots):
        _annotate(plot, recording, outcome, named=number == 0)
    return plots


def decision_address(index: int) -> str:
    """Return the anchor of a decision in the page."""
    return f"decision-{index}"


def _new(recording: Recording, title: str, unit: str, axis: Axis, height: int = 200) -> Plot:
    until_s = recording.profile.duration_s
    if recording.samples:
        until_s = max(until_s, recording.samples[-1].at_s)
    plot = Plot(title, unit, until_s, axis, height)
    for phase in recording.timeline:
        if phase.name in ("rise", "surge", "fall"):
            label = "surge" if phase.name == "surge" and title == "Load" else ""
            plot.band(phase.start_s, phase.end_s, label, f"phase-{phase.name}")
    return plot


def _annotate(plot: Plot, recording: Recording, outcome: Outcome, *, named: bool) -> None:
    if outcome.recovery_s:
        at_s = recording.profile.surge_start_s + outcome.recovery_s
        plot.moment(at_s, f"recovered after {outcome.recovery_s:g} s" if named else "")
    plot.marks(
        [
            (
                decision.at_s,
                "mark",
                f"{decision.at_s:.1f} s · {decision.subject}: {decision.words}",
                decision_address(index),
            )
            for index, decision in enumerate(recording.decisions)
            if decision.subject.split("/", 1)[0] in MARKED_KINDS and 0 <= decision.at_s <= plot.until_s
        ]
    )


def _load(recording: Recording) -> Plot:
    # Rates need whole seconds; the last line of a run covers what was left of one.
    live = [
        second for second, before in zip(recording.live[1:], recording.live, strict=False) if _whole(before, second)
    ]
    highest = max((max(second.offered, second.answered) for second in live), default=1)
    plot = _new(recording, "Load", "requests per second", linear_axis(highest), height=230)
    plot.area("blue-soft", [(second.at_s, float(second.offered)) for second in live])
    plot.line("offered", "blue", [(second.at_s, float(second.offered)) for second in live])
    plot.line("answered", "green", [(second.at_s, float(second.answered)) for second in live])
    plot.line("failed", "red", [(second.at_s, float(second.failed)) for second in live])
    return plot


def _whole(before: LiveSecond, second: LiveSecond) -> bool:
    return second.at_s - before.at_s > 0.9


def _waiting(recording: Recording) -> Plot:
    points: list[Point] = [(second.at_s, float(second.in_flight)) for second in recording.live]
    highest = max((second.in_flight for second in recording.live), default=1)
    plot = _new(recording, "Requests under way", "sent and not yet answered", linear_axis(highest), height=150)
    plot.area("amber-soft", points)
    plot.line("under way", "amber", points)
    return plot


def _latency(recording: Recording) -> Plot:
    low, high = 10.0, 100.0
    slowest = max((second.p99_ms or 0.0 for second in recording.seconds), default=0.0)
    while high < max(slowest, recording.slow_ms * 1.5):
        high *= 10
    ticks = tuple(10.0**power for power in range(1, round(math.log10(high)) + 1))
    axis = Axis(low, high, ticks, lambda ms: f"{ms:g} ms" if ms < 1000 else f"{ms / 1000:g} s", logarithmic=True)
    plot = _new(recording, "Latency", "from the scheduled instant, by the second it was scheduled in", axis)
    plot.level(recording.slow_ms, f"slow above {recording.slow_ms:g} ms", "limit")
    plot.line("99 of 100 within", "orange", [(second.second + 0.5, second.p99_ms) for second in recording.seconds])
    plot.line("half within", "blue", [(second.second + 0.5, second.p50_ms) for second in recording.seconds])
    return plot


def _slow_ratio(recording: Recording) -> Plot:
    axis = Axis(0.0, 1.0, (0.0, 0.25, 0.5, 0.75, 1.0), "{:.0%}".format)
    points: list[Point] = [(second.second + 0.5, second.slow_ratio) for second in recording.seconds]
    title = "share of requests slow or failed, by the second they were scheduled in"
    plot = _new(recording, "Slow ratio", title, axis, height=170)
    plot.level(SLOW_RATIO_LIMIT, "limit 1%", "limit")
    plot.area("red-soft", points)
    plot.line("slow ratio", "red", points)
    return plot


def _water_level(recording: Recording) -> Plot:
    ticks = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
    axis = Axis(LEVEL_LOW, LEVEL_HIGH, ticks, lambda level: f"{level:g}×", logarithmic=True)
    plot = _new(recording, "Water level", "maximum capacity / live load, as the controller sees it", axis)
    lines = recording.lines.get(recording.entry)
    if lines:
        plot.zone(LEVEL_LOW, lines.fatal, "zone-fatal")
        plot.level(lines.fatal, f"fatal line {lines.fatal:g}", "limit")
        plot.level(lines.safe, f"safe line {lines.safe:g}", "limit-safe")
    for index, service in enumerate(recording.services()):
        points = [
            (sample.at_s, next((lv.water_level for lv in sample.levels if lv.service == service), None))
            for sample in recording.samples
        ]
        plot.line(service, SERVICE_COLOURS[index % len(SERVICE_COLOURS)], points)
    return plot


def _instances(recording: Recording, service: str) -> Plot:
    def count(sample: StateSample) -> InstanceCount:
        return next((c for c in sample.instances if c.service == service), InstanceCount(service))

    targets: list[Point] = [
        (sample.at_s, next((float(lv.target) for lv in sample.levels if lv.service == service), None))
        for sample in recording.samples
    ]
    tallest = max(
        [1.0, *(float(count(sample).total) for sample in recording.samples), *(target or 0.0 for _, target in targets)]
    )
    axis = linear_axis(tallest, whole=True)
    plot = _new(recording, f"Instances of {service}", "by state", axis, height=165 if tallest > 6 else 135)
    plot.stack(_layers(recording.samples, count, INSTANCE_LAYERS))
    plot.line("wanted", "ink", targets, steps=True)
    return plot


def _hosts(recording: Recording, source: str) -> Plot:
    def count(sample: StateSample) -> HostCount:
        return next((c for c in sample.hosts if c.source == source), HostCount(source, ""))

    kind = next(c.kind for sample in recording.samples for c in sample.hosts if c.source == source)
    words = f"by state; cloud: {recording.cloud}" if kind == "cloud" else "by state"
    tallest = max(1, *(count(sample).total for sample in recording.samples), 1)
    plot = _new(recording, f"Hosts from {source}", words, linear_axis(tallest, whole=True), height=130)
    plot.stack(_layers(recording.samples, count, HOST_LAYERS))
    return plot


def _layers(
    samples: Sequence[StateSample],
    count: Callable[[StateSample], InstanceCount | HostCount],
    layers: Sequence[tuple[str, str, str]],
) -> list[tuple[str, str, list[tuple[float, float]]]]:
    return [
        (name, colour, [(sample.at_s, float(getattr(count(sample), field))) for sample in samples])
        for field, name, colour in layers
    ]
