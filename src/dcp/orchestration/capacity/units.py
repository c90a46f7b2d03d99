"""Load in capacity units: requests weighted by the latency band in which they completed.

A plain request count hides trouble: an instance that answers the same number of requests ten times slower is closer to
its limit. The weights make that visible, so one number says how much a service is doing (see BANDS_MS).
"""

from dcp.orchestration.capacity.model import BANDS_MS, LATENCY_BOUNDS_MS, Sample
from dcp.orchestration.traffic.model import Traffic

HEAVIEST_WEIGHT = BANDS_MS[-1][1]
_ALL = len(LATENCY_BOUNDS_MS)
# Where each band's upper bound stands in `by_latency`; the open band ends at the count of all.
_BAND_ENDS = tuple(_ALL if bound == float("inf") else LATENCY_BOUNDS_MS.index(int(bound)) for bound, _ in BANDS_MS)


def units_of_bands(counts: tuple[int, ...]) -> int:
    """Return the weight of requests counted per band of BANDS_MS, fastest band first."""
    return sum(count * weight for count, (_, weight) in zip(counts, BANDS_MS, strict=True))


def counts_per_band(by_latency: tuple[int, ...]) -> tuple[int, ...]:
    """Return requests per band of BANDS_MS from cumulative counts (each bound of LATENCY_BOUNDS_MS, then all)."""
    ends = [by_latency[position] for position in _BAND_ENDS]
    return tuple(end - start for start, end in zip([0, *ends[:-1]], ends, strict=True))


def weighted_units(by_latency: tuple[int, ...]) -> int:
    """Return the weight of all completed requests in cumulative counts."""
    return units_of_bands(counts_per_band(by_latency))


def slow_ratio(sample: Sample, threshold_ms: int) -> float | None:
    """Return the share (0 to 1) of completed requests slower than `threshold_ms`, one of LATENCY_BOUNDS_MS.

    None when nothing completed. ValueError when the threshold is not a bound at which requests are counted.
    """
    if threshold_ms not in LATENCY_BOUNDS_MS:
        raise ValueError(f"{threshold_ms} ms is not one of the counted bounds {LATENCY_BOUNDS_MS}")
    completed = sample.by_latency[_ALL]
    if completed == 0:
        return None
    return 1 - sample.by_latency[LATENCY_BOUNDS_MS.index(threshold_ms)] / completed


def sample_between(before: Traffic, after: Traffic, at: float, window_s: float) -> Sample | None:
    """Return what happened between two readings of a service's counters; `at` is the time of the second.

    None, that is missing, when the difference would mislead: a counter went backwards (the balancer was replaced), or
    the counters look frozen (nothing arrived and nothing completed, while requests wait in both readings).
    """
    arrived = after.arrived - before.arrived
    answered = after.answered - before.answered
    failed = after.failed - before.failed
    if window_s <= 0 or len(before.by_latency) != len(after.by_latency):
        return None
    by_latency = tuple(b - a for a, b in zip(before.by_latency, after.by_latency, strict=True))
    if min(arrived, answered, failed, *by_latency) < 0:
        return None
    if arrived == answered == failed == 0 and before.waiting > 0 and after.waiting > 0:
        return None
    return Sample(at, window_s, arrived, answered, failed, after.waiting, by_latency)
