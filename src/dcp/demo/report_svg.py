"""A small plot: linear or logarithmic value axis over seconds, as inline SVG.

Written here rather than taken from a plotting library because the report must open offline as one file and follow the
reader's light or dark setting: matplotlib gives SVG without either theme, the JavaScript libraries weigh megabytes.
Colours are CSS classes (`s-NAME` strokes, `f-NAME` fills) that the page defines once for both themes.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape

WIDTH = 1180
LEFT, RIGHT, TOP, BOTTOM = 62, 16, 22, 30
Point = tuple[float, float | None]
"""Seconds and a value; None leaves a gap."""


@dataclass(frozen=True, slots=True)
class Axis:
    """The value axis from `low` to `high`. Values outside are drawn at its border."""

    low: float
    high: float
    ticks: tuple[float, ...]
    form: Callable[[float], str]
    logarithmic: bool = False

    def share(self, value: float) -> float:
        """Return where on the axis a value lies, 0 at the bottom to 1 at the top."""
        value = min(self.high, max(self.low, value))
        if self.logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def linear_axis(highest: float, form: Callable[[float], str] = "{:g}".format, *, whole: bool = False) -> Axis:
    """Return an axis from 0 to a round number of at least `highest`, with four to seven ticks."""
    highest = max(highest, 1e-9)
    step = 10 ** math.floor(math.log10(highest / 4))
    step = next(step * factor for factor in (1, 2, 2.5, 5, 10) if highest / (step * factor) <= 6)
    step = max(1.0, math.ceil(step)) if whole else step
    count = max(1, math.ceil(highest / step - 1e-9))
    return Axis(0.0, count * step, tuple(number * step for number in range(count + 1)), form)


@dataclass
class Plot:
    """One plot under construction; the parts appear in the order they are added."""

    title: str
    unit: str
    until_s: float
    axis: Axis
    height: int = 210
    parts: list[str] = field(default_factory=list)
    legend: list[tuple[str, str]] = field(default_factory=list)
    """Pairs of CSS class and name."""
    readings: list[tuple[str, Sequence[Point]]] = field(default_factory=list)
    """What the page shows under the pointer: name and values."""
    instants: Sequence[tuple[float, str]] = ()
    """Marks of the time axis and their names; none: seconds."""

    def x(self, at_s: float) -> float:
        share = min(1.0, max(0.0, at_s / self.until_s))
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        return round(TOP + (1 - self.axis.share(value)) * (self.height - TOP - BOTTOM), 1)

    def band(self, start_s: float, end_s: float, label: str, css: str) -> None:
        """Shade a span of time."""
        x, width = self.x(start_s), max(0.0, self.x(end_s) - self.x(start_s))
        self.parts.append(
            f'<rect class="{css}" x="{x}" y="{TOP}" width="{width:.1f}" height="{self.height - TOP - BOTTOM}"/>'
        )
        if label:
            middle = x + width / 2
            self.parts.append(
                f'<text class="band-label" x="{middle:.1f}" y="{TOP + 13}" text-anchor="middle">{escape(label)}</text>'
            )

    def zone(self, low: float, high: float, css: str) -> None:
        """Shade a range of values."""
        top, bottom = self.y(high), self.y(low)
        self.parts.append(
            f'<rect class="{css}" x="{LEFT}" y="{top}" width="{WIDTH - LEFT - RIGHT}" height="{bottom - top:.1f}"/>'
        )

    def level(self, value: float, label: str, css: str) -> None:
        """Draw a horizontal line; its name stands in the legend."""
        y = self.y(value)
        self.parts.append(f'<line class="{css}" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        self.legend.append((f"line {css}", label))
        self.readings.append((label, ((0.0, value),)))

    def line(self, name: str, css: str, points: Sequence[Point], *, steps: bool = False) -> None:
        """Draw a series."""
        path = ""
        previous: float | None = None
        for at_s, value in points:
            if value is None:
                previous = None
                continue
            x, y = self.x(at_s), self.y(value)
            if previous is None:
                path += f"M{x} {y}"
            else:
                path += f"H{x}V{y}" if steps else f"L{x} {y}"
            previous = y
        self.parts.append(f'<path class="line s-{css}" d="{path}"/>')
        self.legend.append((f"line s-{css}", name))
        self.readings.append((name, points))

    def area(self, css: str, points: Sequence[Point]) -> None:
        """Fill the area under a series that has no gaps."""
        drawn = [(self.x(at_s), self.y(value)) for at_s, value in points if value is not None]
        if not drawn:
            return
        floor = self.y(self.axis.low)
        path = f"M{drawn[0][0]} {floor}" + "".join(f"L{x} {y}" for x, y in drawn) + f"L{drawn[-1][0]} {floor}Z"
        self.parts.append(f'<path class="f-{css}" d="{path}"/>')

    def stack(self, layers: Sequence[tuple[str, str, Sequence[tuple[float, float]]]]) -> None:
        """Fill series (name, CSS name, points at the same instants) on top of one another, in steps."""
        if not layers or not layers[0][2]:
            return
        instants = [at_s for at_s, _ in layers[0][2]]
        base = [0.0] * len(instants)
        for name, css, points in layers:
            top = [low + value for low, (_, value) in zip(base, points, strict=True)]
            if any(value for _, value in points):
                path = self._steps(instants, top, "M") + self._steps_back(instants, base) + "Z"
                self.parts.append(f'<path class="f-{css}" d="{path}"/>')
            self.legend.append((f"box f-{css}", name))
            self.readings.append((name, points))
            base = top

    def _steps(self, instants: Sequence[float], values: Sequence[float], first: str) -> str:
        path = f"{first}{self.x(instants[0])} {self.y(values[0])}"
        for at_s, value in zip(instants[1:], values[1:], strict=True):
            path += f"H{self.x(at_s)}V{self.y(value)}"
        return path

    def _steps_back(self, instants: Sequence[float], values: Sequence[float]) -> str:
        path = f"L{self.x(instants[-1])} {self.y(values[-1])}"
        for index in range(len(instants) - 1, 0, -1):
            path += f"V{self.y(values[index - 1])}" if values[index - 1] != values[index] else ""
            path += f"H{self.x(instants[index - 1])}"
        return path

    def marks(self, marks: Sequence[tuple[float, str, str, str]]) -> None:
        """Draw small pointers at the top: instant, CSS name, tooltip, address in the page."""
        for at_s, css, words, address in marks:
            x = self.x(at_s)
            self.parts.append(
                f'<a href="#{address}"><path class="mark f-{css}" d="M{x - 5} {TOP - 10}h10l-5 9z"/>'
                f'<line class="mark-line s-{css}" x1="{x}" x2="{x}" y1="{TOP}" y2="{self.height - BOTTOM}"/>'
                f"<title>{escape(words)}</title></a>"
            )

    def moment(self, at_s: float, label: str = "") -> None:
        """Draw a vertical line, with its name if there is one."""
        x = self.x(at_s)
        self.parts.append(f'<line class="moment" x1="{x}" x2="{x}" y1="{TOP}" y2="{self.height - BOTTOM}"/>')
        if label:
            self.parts.append(f'<text class="moment-label" x="{x + 5}" y="{TOP + 30}">{escape(label)}</text>')

    def svg(self) -> str:
        """Return the plot as an SVG element."""
        inner = "".join((*self._grid(), *self.parts, *self._time_axis()))
        return (
            f'<svg class="plot" viewBox="0 0 {WIDTH} {self.height}" role="img" '
            f'aria-label="{escape(self.title)}, {escape(self.unit)}">{inner}'
            f'<line class="cursor" x1="0" x2="0" y1="{TOP}" y2="{self.height - BOTTOM}"/></svg>'
        )

    def _grid(self) -> list[str]:
        parts = []
        for tick in self.axis.ticks:
            y = self.y(tick)
            parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
            label = escape(self.axis.form(tick))
            parts.append(f'<text class="tick" x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{label}</text>')
        return parts

    def _time_axis(self) -> list[str]:
        floor = self.height - BOTTOM
        parts = [f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{floor}" y2="{floor}"/>']
        if self.instants:
            return [*parts, *(part for at_s, label in self.instants for part in self._instant(at_s, label))]
        step = next((step for step in (1, 2, 5, 10, 20, 30, 60, 120) if self.until_s / step <= 16), 300)
        for number in range(int(self.until_s // step) + 1):
            parts += self._instant(number * step, f"{number * step} s")
        return parts

    def _instant(self, at_s: float, label: str) -> list[str]:
        x, floor = self.x(at_s), self.height - BOTTOM
        return [
            f'<line class="axis" x1="{x}" x2="{x}" y1="{floor}" y2="{floor + 4}"/>',
            f'<text class="tick" x="{x}" y="{floor + 17}" text-anchor="middle">{escape(label)}</text>',
        ]
