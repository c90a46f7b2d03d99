"""When a surge is over for those who ask: the first second from which on hardly any request is slow.

A second counts as recovered if its own slow ratio is under 1%, and the slow requests of it and the four seconds after
it together are too: one late answer among 40 is 2.5% of its second and no relapse, ten in a row are. Recovery is the
first second from which on *every* second is recovered in the pooled sense; a relapse during the shrink counts against
it.
"""

from collections.abc import Sequence
from typing import Protocol

SLOW_RATIO_LIMIT = 0.01
"""The share of slow requests at which DCP's authors call a service overloaded."""
POOL_S = 5
"""Seconds whose requests are judged together."""


class Counted(Protocol):
    """What became of the requests that were scheduled in one second."""

    @property
    def second(self) -> int: ...

    @property
    def offered(self) -> int: ...

    @property
    def slow(self) -> int: ...


def find_recovery_s(seconds: Sequence[Counted], surge_start_s: float) -> float | None:
    """Return how long after the surge's start the slow ratio stays under its limit; None if it never does.

    0 means that it was never over it. Nothing shorter than POOL_S seconds at the run's end proves a recovery.
    """
    surge = [second for second in seconds if second.second + 1 > surge_start_s]
    recovered: Counted | None = None
    for index in range(len(surge) - POOL_S, -1, -1):
        if slow_ratio_of(surge[index : index + POOL_S]) >= SLOW_RATIO_LIMIT:
            break
        if slow_ratio_of(surge[index : index + 1]) < SLOW_RATIO_LIMIT:
            recovered = surge[index]
    return None if recovered is None else max(0.0, round(recovered.second - surge_start_s, 3))


def slow_ratio_of(seconds: Sequence[Counted]) -> float:
    """Return the share of slow requests of all that were offered; 0 if none was."""
    offered = sum(second.offered for second in seconds)
    return sum(second.slow for second in seconds) / offered if offered else 0.0
