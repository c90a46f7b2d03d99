"""Latency bands, their weights, and one sample of a service's traffic."""

from dataclasses import dataclass

LATENCY_BOUNDS_MS: tuple[int, ...] = (10, 25, 50, 100, 200, 300, 500, 750, 1000, 1500, 2000, 3000, 5000, 10000)
"""Bounds at which the balancer counts completed requests. Slow thresholds are chosen from these."""

BANDS_MS: tuple[tuple[float, int], ...] = (
    (10, 1),
    (50, 2),
    (100, 4),
    (200, 8),
    (500, 16),
    (float("inf"), 32),
)
"""Upper bound of each band in ms and the weight of a request in it (published by DCP's authors)."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one service did in one window that ended at `at` (seconds since the epoch) and lasted `window_s`.

    `by_latency` holds, for each bound of LATENCY_BOUNDS_MS and then for all, the cumulative count of requests that
    completed in the window in at most that time.
    """

    at: float
    window_s: float
    arrived: int
    answered: int
    failed: int
    waiting: int
    by_latency: tuple[int, ...]
