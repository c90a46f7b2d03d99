"""How the Kubernetes horizontal pod autoscaler decides, by its published rules (1.36, defaults, no `behavior`).

Pure. One object a service, told its metrics every `SYNC_S`; the pods themselves are `autoscaled`'s.
"""

import math
from collections import deque
from dataclasses import dataclass, field

SYNC_S = 15.0
TOLERANCE = 0.1
DOWN_STABILISATION_S = 300.0
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class PodMetrics:
    """What is known of a service's pods when the autoscaler looks."""

    used: float
    """Sum over measured pods: of what they can do, how much they did (0 to 1 each)."""
    measured: int
    """Ready pods with a sample."""
    unready: int
    """Pods that are not ready yet, or have no sample."""


@dataclass(slots=True)
class Autoscaler:
    """The autoscaler of one service."""

    target: float
    """Utilisation to aim at, such as 0.8."""
    least: int
    most: int
    _proposals: deque[tuple[float, int]] = field(default_factory=deque)

    def decide(self, now_s: float, current: int, metrics: PodMetrics) -> int:
        """Return the number of pods from now on. Nothing measured: no change."""
        if current < self.least or current > self.most:
            return min(max(current, self.least), self.most)
        if not metrics.measured:
            return current
        self._proposals.append((now_s, self.proposal(current, metrics)))
        while self._proposals[0][0] <= now_s - DOWN_STABILISATION_S:
            self._proposals.popleft()
        stabilised = max(proposal for _, proposal in self._proposals)
        limited = min(stabilised, max(2 * current, 4))
        return min(max(limited, self.least), self.most)

    def proposal(self, current: int, metrics: PodMetrics) -> int:
        """Return what the metrics alone ask for."""
        ratio = _truncated(metrics.used / metrics.measured) / self.target
        if _tolerated(ratio):
            return current
        if not metrics.unready:
            return math.ceil(ratio * metrics.measured - ROUNDING)
        if ratio < 1:
            # Shrinking, what is not measured counts as if it did all that it was asked for.
            used, pods = metrics.used + max(1.0, self.target) * metrics.unready, metrics.measured + metrics.unready
        else:
            used, pods = metrics.used, metrics.measured + metrics.unready
        again = _truncated(used / pods) / self.target
        if _tolerated(again) or (ratio < 1) != (again < 1):
            return current
        proposed = math.ceil(again * pods - ROUNDING)
        flips = (again > 1 and proposed < current) or (again < 1 and proposed > current)
        return current if flips else proposed


def _truncated(share: float) -> float:
    """Utilisation is a whole number of percent, cut off."""
    return math.floor(share * 100 + ROUNDING) / 100


def _tolerated(ratio: float) -> bool:
    return 1 - TOLERANCE - ROUNDING <= ratio <= 1 + TOLERANCE + ROUNDING
