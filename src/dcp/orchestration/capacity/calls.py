"""Who calls whom how often, learned from the services' own rates, beside what was declared.

Pure. What arrives at a service is, window by window, the sum of what its callers answered times their calls per
request, plus what comes from outside where it has a published port. Least squares over the windows gives the factors;
a caller whose factor would be negative is left out and the rest is solved again. The interval holds the factor with
about 95%; where load never varied, or callers rise and fall together, it is wide, and nothing is claimed.

Plans count on what was learned where nothing was declared, and where it is more than was declared. What is less only a
person takes over: a plan that is too large costs money, one that is too small costs requests.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from dcp.orchestration.capacity.model import Sample
from dcp.orchestration.services.model import ApplicationSpec, Call, ServiceSpec

Numbers = NDArray[np.float64]
LEAST_WINDOWS = 12
"""Fewer windows with load say nothing."""
MOST_FAILED = 0.01
"""A window in which a larger share failed says nothing: what fails is called for and not answered, or called again."""
TWO_SIGMA = 2.0
SURE_WITHIN = 0.25
"""An interval wider than this share of the factor, each way, is no knowledge."""
LEAST_FACTOR = 0.01
"""A learned factor below it is noise."""
DRIFT_ABOVE = 0.1
"""A declared figure that is off by less is right, however narrow the interval."""


class CallVerdict(StrEnum):
    """What the rates say of one edge of the graph."""

    AGREES = "agrees"  # with what was declared
    DRIFTED = "drifted"  # they say another figure than was declared
    LEARNED = "learned"  # nothing was declared
    UNSURE = "unsure"  # too few windows, or too little variation
    UNSEEN = "unseen"  # declared, and hardly any such call is made


@dataclass(frozen=True, slots=True)
class CallEstimate:
    """One edge. Factors are calls per request of the caller; None: not known."""

    caller: str
    callee: str
    declared: float | None
    learned: float | None
    low: float | None
    high: float | None
    windows: int
    verdict: CallVerdict

    @property
    def planned(self) -> float | None:
        """Return what plans count on; None: that no call is made."""
        if self.verdict is CallVerdict.LEARNED and self.learned is not None:
            return self.learned if self.learned >= LEAST_FACTOR else None
        if self.verdict is CallVerdict.DRIFTED and self.learned is not None and self.declared is not None:
            return max(self.declared, self.learned)
        return self.declared


def estimate_calls(spec: ApplicationSpec, windows: Sequence[Mapping[str, Sample | None]]) -> tuple[CallEstimate, ...]:
    """Return an estimate for every edge that `calls` or `depends_on` names, callers in the order of `spec`.

    `windows`, oldest first: the samples of all services that ended at the same moment.
    """
    declared = {(one.name, call.service): call.per_request for one in spec.services for call in one.calls}
    edges = {(one.name, other) for one in spec.services for other in one.dependencies()}
    found: dict[tuple[str, str], CallEstimate] = {}
    for callee in spec.services:
        callers = [one.name for one in spec.services if (one.name, callee.name) in edges]
        if callers:
            for caller, fitted in zip(callers, _fit(callee, callers, windows), strict=True):
                edge = (caller, callee.name)
                found[edge] = _estimate(edge, declared.get(edge), *fitted)
    order = {one.name: number for number, one in enumerate(spec.services)}
    return tuple(found[edge] for edge in sorted(found, key=lambda edge: (order[edge[0]], order[edge[1]])))


def merge(known: Sequence[CallEstimate], found: Sequence[CallEstimate]) -> tuple[CallEstimate, ...]:
    """Return `found`, with what was known where that is still good: nothing sure came, or hardly another figure.

    So plans do not move with the noise of estimates, and a quiet night forgets nothing.
    """
    before = {(one.caller, one.callee): one for one in known}
    return tuple(_newer(before.get((one.caller, one.callee)), one) for one in found)


def _newer(before: CallEstimate | None, after: CallEstimate) -> CallEstimate:
    if before is None or before.learned is None or before.declared != after.declared:
        return after
    if after.learned is None or abs(after.learned - before.learned) <= DRIFT_ABOVE * before.learned:
        return before
    return after


def with_learned(spec: ApplicationSpec, estimates: Sequence[CallEstimate]) -> ApplicationSpec:
    """Return `spec` with the calls that plans count on."""
    if not estimates:
        return spec
    planned = {(one.caller, one.callee): one for one in estimates}
    services = tuple(replace(one, calls=_planned(one, planned)) for one in spec.services)
    return spec if services == spec.services else replace(spec, services=services)


def _planned(service: ServiceSpec, estimates: Mapping[tuple[str, str], CallEstimate]) -> tuple[Call, ...]:
    declared = {call.service: call.per_request for call in service.calls}
    found = []
    for callee in (*declared, *(name for name in service.dependencies() if name not in declared)):
        estimate = estimates.get((service.name, callee))
        fits = estimate is not None and estimate.declared == declared.get(callee)
        factor = estimate.planned if estimate is not None and fits else declared.get(callee)
        if factor is not None:
            found.append(Call(callee, factor))
    return tuple(found)


def _fit(
    callee: ServiceSpec, callers: list[str], windows: Sequence[Mapping[str, Sample | None]]
) -> list[tuple[float, float, int]]:
    """Return, for each caller, its factor, the half width of the interval (infinite: nothing is known), and windows."""
    rows = [row for window in windows if (row := _row(callee.name, callers, window)) is not None]
    if len(rows) < LEAST_WINDOWS:
        return [(0.0, math.inf, len(rows))] * len(callers)
    table = np.array(rows, dtype=np.float64)
    arrived, answered = table[:, 0], table[:, 1:]
    if callee.published_port is not None:
        answered = np.column_stack((answered, np.ones(len(rows))))
    factors, halves = _non_negative(answered, arrived)
    return [(float(factors[i]), float(halves[i]), len(rows)) for i in range(len(callers))]


def _row(callee: str, callers: list[str], window: Mapping[str, Sample | None]) -> list[float] | None:
    """Return requests/s that arrived at the callee, then those that each caller answered; None: it says nothing."""
    there = [window.get(name) for name in (callee, *callers)]
    samples = [one for one in there if one is not None]
    if len(samples) < len(there) or not any(one.answered for one in samples[1:]):
        return None
    if any(one.failed > MOST_FAILED * one.arrived for one in samples):
        return None
    return [samples[0].arrived / samples[0].window_s, *(one.answered / one.window_s for one in samples[1:])]


def _non_negative(columns: Numbers, values: Numbers) -> tuple[Numbers, Numbers]:
    """Return least-squares factors without negative ones, and twice their standard errors."""
    kept = list(range(columns.shape[1]))
    factors, halves = np.zeros(columns.shape[1]), np.full(columns.shape[1], math.inf)
    while kept:
        chosen = columns[:, kept]
        solved, _, rank, _ = np.linalg.lstsq(chosen, values, rcond=1e-6)
        if rank < len(kept):
            return factors, halves
        if solved.min() < 0:
            halves[kept[int(solved.argmin())]] = 0.0
            del kept[int(solved.argmin())]
            continue
        spare = max(1, len(values) - len(kept))
        variance = float(((values - chosen @ solved) ** 2).sum()) / spare
        errors = np.sqrt(np.maximum(0.0, np.diag(np.linalg.inv(chosen.T @ chosen)) * variance))
        factors[kept], halves[kept] = solved, TWO_SIGMA * errors
        return factors, halves
    return factors, halves


def _estimate(edge: tuple[str, str], declared: float | None, factor: float, half: float, windows: int) -> CallEstimate:
    caller, callee = edge
    if not math.isfinite(half) or half > SURE_WITHIN * max(factor, declared or 0.0):
        return CallEstimate(caller, callee, declared, None, None, None, windows, CallVerdict.UNSURE)
    low, high = max(0.0, factor - half), factor + half
    return CallEstimate(caller, callee, declared, factor, low, high, windows, _verdict(declared, factor, low, high))


def _verdict(declared: float | None, factor: float, low: float, high: float) -> CallVerdict:
    if declared is None:
        return CallVerdict.LEARNED
    if abs(declared - factor) <= DRIFT_ABOVE * declared or low <= declared <= high:
        return CallVerdict.AGREES
    return CallVerdict.UNSEEN if high < DRIFT_ABOVE * declared else CallVerdict.DRIFTED
