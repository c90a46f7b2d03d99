"""What the samples of one service say: levels, votes, arrivals, queues. Facts only; decisions stand elsewhere."""

from dataclasses import dataclass
from itertools import pairwise

from dcp.orchestration.capacity.model import Sample
from dcp.orchestration.capacity.water_level import live_units_per_s, water_level
from dcp.orchestration.scaling.model import ServiceView, Timing


@dataclass(frozen=True, slots=True)
class Reading:
    """One service, measured. `present` leaves the missing windows out; `levels` belongs to it; newest last."""

    view: ServiceView
    target: int
    """The target so far, inside the present bounds."""
    scalable: bool
    """It is elastic, and its capacity is known or it has signals."""
    present: tuple[Sample, ...]
    levels: tuple[float | None, ...]
    """Water levels with the instances that serve now; None where there was no load, which is above every line."""
    missing: int
    """Windows without metrics, or 1 if none was measured at all."""
    complete: bool
    """A whole row of `Timing.samples` windows was measured."""
    below_fatal: int
    """How many of the levels are below the fatal line."""
    fires: bool
    """Enough of them, so that the service has to grow or to say why not."""

    @property
    def name(self) -> str:
        return self.view.spec.name

    @property
    def not_there_yet(self) -> int:
        """Instances that the target promises and that do not serve, planned or not."""
        return max(self.view.coming, self.target - self.view.serving, 0)

    @property
    def still_leaving(self) -> int:
        """Instances above the target that are not gone, chosen or not."""
        return max(self.view.leaving, self.view.serving + self.view.coming - self.target, 0)


def read_service(view: ServiceView, timing: Timing) -> Reading:
    """Return what the samples say."""
    spec = view.spec
    samples = view.samples[-timing.samples :]
    present = tuple(sample for sample in samples if sample is not None)
    levels = tuple(water_level(view.serving, spec.capacity, one) if spec.capacity else None for one in present)
    fatal = spec.elastic.fatal_level if spec.elastic else 0.0
    below = sum(is_below(level, fatal) for level in levels)
    scalable = spec.elastic is not None and (spec.capacity is not None or bool(spec.signals))
    return Reading(
        view=view,
        target=min(max(view.state.target, spec.min_instances), spec.max_instances),
        scalable=scalable,
        present=present,
        levels=levels,
        missing=len(samples) - len(present) if samples else 1,
        complete=len(present) == timing.samples,
        below_fatal=below,
        fires=scalable and below >= timing.agree,
    )


def is_below(level: float | None, line: float) -> bool:
    """Return whether a level is under a line; no load is above every line."""
    return level is not None and level < line


def arriving_requests_per_s(reading: Reading, newest: int) -> float:
    """Return the highest arrival rate among the `newest` measured windows; 0 if there is none."""
    return max((sample.arrived / sample.window_s for sample in reading.present[-newest:]), default=0.0)


def completed_requests_per_s(reading: Reading, newest: int) -> float:
    """Return the highest rate of completions among the `newest` measured windows."""
    return max((sample.by_latency[-1] / sample.window_s for sample in reading.present[-newest:]), default=0.0)


def highest_units_per_s(reading: Reading) -> float:
    """Return the highest live load of the windows, in capacity units."""
    return max((live_units_per_s(sample) for sample in reading.present), default=0.0)


def waiting_too_many(reading: Reading) -> float:
    """Return how many requests wait beyond what the serving instances hold in normal work.

    An instance at its measured limit answers `requests_per_s` and hardly any of them takes longer than the slow
    threshold, so it holds at most `requests_per_s` x threshold of them at a time (Little's law). Whatever waits beyond
    that waits longer than the threshold: it is a queue that has to be worked off on top of what arrives.
    """
    spec = reading.view.spec
    if spec.capacity is None or not reading.present:
        return 0.0
    held = reading.view.serving * spec.capacity.requests_per_s * spec.slow_threshold_ms / 1000
    return max(0.0, reading.present[-1].waiting - held)


def catches_up(reading: Reading, timing: Timing) -> bool:
    """Return whether the queue is being worked off, fast enough to be gone within `Timing.catch_up_s`.

    In each of the newest `Timing.agree` measured windows fewer requests waited than in the one before.
    """
    newest = reading.present[-timing.agree :]
    if len(newest) < timing.agree or any(b.waiting >= a.waiting for a, b in pairwise(newest)):
        return False
    fewer_per_s = (newest[0].waiting - newest[-1].waiting) / max(newest[-1].at - newest[0].at, timing.sample_s)
    return waiting_too_many(reading) <= fewer_per_s * timing.catch_up_s


def judged_below_fatal(reading: Reading, newest: int) -> bool | None:
    """Return whether the `newest` windows since the target came to serve are all below fatal; None: too few so far.

    Only windows count that lie wholly after all wanted instances served, and after the last growth.
    """
    view, elastic = reading.view, reading.view.spec.elastic
    if elastic is None or view.settled_since is None or view.settled_since < view.state.grown_at:
        return None
    judged = [
        level
        for sample, level in zip(reading.present, reading.levels, strict=True)
        if sample.at - sample.window_s >= view.settled_since - 1e-6
    ][-newest:]
    if len(judged) < newest:
        return None
    return all(is_below(level, elastic.fatal_level) for level in judged)
