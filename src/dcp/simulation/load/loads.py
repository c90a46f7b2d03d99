"""Loads: a step, and traces from files, each as a curve over the seconds of a run."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from dcp.kernel.errors import InvalidInput, Problem
from dcp.simulation.load.model import Curve


@dataclass(frozen=True, slots=True)
class Step:
    """A curve of two levels; a value, so that other processes can be given it."""

    base: float
    times: float
    at_s: float
    until_s: float

    def __call__(self, second: float) -> float:
        return self.base * self.times if self.at_s <= second < self.until_s else self.base


def step(base: float, times: float, at_s: float, until_s: float = float("inf")) -> Curve:
    """Return `base` requests/s, and `times` as many from `at_s` to `until_s`."""
    return Step(base, times, at_s, until_s)


def trace(values: Sequence[float], every_s: float, mean: float) -> Curve:
    """Return a curve through `values`, one each `every_s` seconds, scaled to a mean of `mean` requests/s.

    Straight in between; the last value holds.
    """
    factor = mean / (sum(values) / len(values))
    scaled = [value * factor for value in values]

    def at(second: float) -> float:
        place = second / every_s
        index = min(int(place), len(scaled) - 1)
        later = min(index + 1, len(scaled) - 1)
        return scaled[index] + (scaled[later] - scaled[index]) * min(1.0, place - index)

    return at


def busiest(values: Sequence[float], length: int) -> Sequence[float]:
    """Return the `length` values around the sharpest rise, which stands at two fifths of them."""
    rises = [later - now for now, later in pairwise(values)]
    sharpest = rises.index(max(rises))
    first = max(0, min(sharpest - 2 * length // 5, len(values) - length))
    return values[first : first + length]


def read_values(path: Path, column: str = "") -> list[float]:
    """Return the numbers of a file: of a CSV's column, or one in each line. Raises InvalidInput."""
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            rows = [row[column] for row in csv.DictReader(lines)] if column else lines.read().split()
        values = [float(row) for row in rows]
    except OSError as error:
        raise InvalidInput((Problem(str(path), f"cannot be read: {error.strerror}"),), subject="trace") from error
    except KeyError as error:
        raise InvalidInput((Problem(str(path), f"has no column {column}"),), subject="trace") from error
    except ValueError as error:
        raise InvalidInput((Problem(str(path), f"holds what is no number: {error}"),), subject="trace") from error
    if len(values) < 2 or sum(values) <= 0:
        raise InvalidInput((Problem(str(path), "holds no load"),), subject="trace")
    return values
