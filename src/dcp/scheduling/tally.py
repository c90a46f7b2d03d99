"""How many of one thing stand on each host: kept for the hosts that have some, as two columns.

There may be far more services than a host carries, so a full column for each would be mostly noughts; it is made when
a question needs it.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
Positions = NDArray[np.intp]


def _no_positions() -> Positions:
    return np.empty(0, dtype=np.intp)


def _no_numbers() -> Numbers:
    return np.empty(0, dtype=np.int64)


@dataclass(slots=True)
class Tally:
    """Numbers by position of a host, ascending; none is nought."""

    positions: Positions = field(default_factory=_no_positions)
    counts: Numbers = field(default_factory=_no_numbers)

    def column(self, size: int) -> Numbers:
        """Return the number of each of `size` hosts, as a column of its own."""
        found = np.zeros(size, dtype=np.int64)
        found[self.positions] = self.counts
        return found

    def at(self, position: int) -> int:
        """Return the number of one host."""
        index = int(np.searchsorted(self.positions, position))
        return int(self.counts[index]) if index < len(self.positions) and self.positions[index] == position else 0

    def add(self, positions: Positions, counts: Numbers, size: int) -> None:
        """Add `counts`, which may be negative, at `positions`, which ascend."""
        if not len(self.positions):
            some = counts != 0
            self.positions, self.counts = positions[some], counts[some]
            return
        changed = self.column(size)
        changed[positions] += counts
        self.positions = np.flatnonzero(changed)
        self.counts = changed[self.positions]

    def renumber(self, new_positions: Positions) -> None:
        """Move every number to the new position of its host; -1: the host is gone. The order of hosts stays."""
        moved = new_positions[self.positions]
        there = moved >= 0
        self.positions, self.counts = moved[there], self.counts[there]

    def copy(self) -> "Tally":
        """Return one that changes apart from this one. Columns are replaced when they change, so they are shared."""
        return Tally(self.positions, self.counts)

    def total(self) -> int:
        """Return the sum over all hosts."""
        return int(self.counts.sum())
