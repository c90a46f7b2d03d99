"""What became of the offered requests, second by second.

Two views of the same requests. A *live* line says what happened in the second that just passed; it is written at once
and feeds the terminal view. A *second* line says what became of the requests that were scheduled in that second; it is
written when the last of them has ended, and recovery and slow ratios are computed from these lines only: a request
that was offered in the overload counts there, however late its answer came.

A request is slow if it failed or if its answer came later than the threshold after its scheduled instant.
"""

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

from dcp.orchestration.capacity.model import BANDS_MS

QUANTILES = {"p50_ms": 0.50, "p90_ms": 0.90, "p99_ms": 0.99, "max_ms": 1.0}
ANSWERED_BELOW = 500
"""A status from 500 on is a failure; the demo's services give nothing between 400 and 499 for a good request."""


@dataclass(slots=True)
class SecondCount:
    """The requests scheduled in one second of the run."""

    second: int
    offered: int = 0
    answered: int = 0
    slow: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    latencies_ms: list[float] = field(default_factory=list)
    units: int = 0
    """Answered requests weighted by latency band, the unit of capacity."""
    late_max_ms: float = 0.0
    late_sum_ms: float = 0.0

    @property
    def failed(self) -> int:
        return self.failures.total()

    @property
    def complete(self) -> bool:
        return self.answered + self.failed == self.offered

    def line(self) -> dict[str, Any]:
        """Return the second as it is written to the events file."""
        return {
            "kind": "second",
            "second": self.second,
            "offered": self.offered,
            "answered": self.answered,
            "failed": self.failed,
            "failures": dict(self.failures),
            "slow": self.slow,
            "units": self.units,
            **quantiles(self.latencies_ms),
            "late_max_ms": round(self.late_max_ms, 2),
            "late_mean_ms": round(self.late_sum_ms / self.offered, 2) if self.offered else 0.0,
        }


@dataclass(slots=True)
class LiveCount:
    """What happened since the last live line."""

    offered: int = 0
    answered: int = 0
    failed: int = 0
    slow: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    late_max_ms: float = 0.0


class LoadCount:
    """Counts every offered request exactly once as answered or failed."""

    def __init__(self, slow_ms: float) -> None:
        self.slow_ms = slow_ms
        self.offered = 0
        self.answered = 0
        self.slow = 0
        self.failures: Counter[str] = Counter()
        self.late_max_ms = 0.0
        self._open_seconds: deque[SecondCount] = deque()
        self._live = LiveCount()

    @property
    def failed(self) -> int:
        return self.failures.total()

    @property
    def in_flight(self) -> int:
        return self.offered - self.answered - self.failed

    def offer(self, scheduled_s: float, late_ms: float) -> SecondCount:
        """Count a request that is sent now, `late_ms` after its instant; pass the returned second to `end`."""
        second = int(scheduled_s)
        if not self._open_seconds or self._open_seconds[-1].second != second:
            self._fill(second)
        count = self._open_seconds[-1]
        count.offered += 1
        count.late_sum_ms += late_ms
        count.late_max_ms = max(count.late_max_ms, late_ms)
        self.offered += 1
        self.late_max_ms = max(self.late_max_ms, late_ms)
        self._live.offered += 1
        self._live.late_max_ms = max(self._live.late_max_ms, late_ms)
        return count

    def _fill(self, second: int) -> None:
        first = self._open_seconds[-1].second + 1 if self._open_seconds else second
        self._open_seconds.extend(SecondCount(number) for number in range(first, second + 1))

    def end(self, second: SecondCount, latency_ms: float, status: int, how: str) -> None:
        """Count how a request ended: answered, or failed as `how` or as its status."""
        failure = how or (str(status) if status >= ANSWERED_BELOW else "")
        slow = bool(failure) or latency_ms > self.slow_ms
        second.slow += slow
        self.slow += slow
        self._live.slow += slow
        if failure:
            second.failures[failure] += 1
            self.failures[failure] += 1
            self._live.failed += 1
            return
        second.answered += 1
        second.units += weight(latency_ms)
        second.latencies_ms.append(latency_ms)
        self.answered += 1
        self._live.answered += 1
        self._live.latencies_ms.append(latency_ms)

    def take_complete(self, before_second: int) -> list[dict[str, Any]]:
        """Return and forget, in order, the lines of all seconds before `before_second` whose requests have ended."""
        lines = []
        while self._open_seconds and self._open_seconds[0].second < before_second:
            if not self._open_seconds[0].complete:
                break
            lines.append(self._open_seconds.popleft().line())
        return lines

    def take_live(self, at_s: float) -> dict[str, Any]:
        """Return what happened since this was called last."""
        live, self._live = self._live, LiveCount()
        return {
            "kind": "live",
            "at_s": round(at_s, 3),
            "offered": live.offered,
            "answered": live.answered,
            "failed": live.failed,
            "slow": live.slow,
            "in_flight": self.in_flight,
            **quantiles(live.latencies_ms),
            "late_max_ms": round(live.late_max_ms, 2),
        }

    def totals(self) -> dict[str, Any]:
        """Return the closing line, without what only the process knows."""
        return {
            "kind": "end",
            "offered": self.offered,
            "answered": self.answered,
            "failed": self.failed,
            "failures": dict(self.failures),
            "slow": self.slow,
            "late_max_ms": round(self.late_max_ms, 2),
        }


def weight(latency_ms: float) -> int:
    """Return the weight of one request by the published latency bands."""
    return next(units for bound_ms, units in BANDS_MS if latency_ms <= bound_ms)


def quantiles(latencies_ms: list[float]) -> dict[str, float | None]:
    """Return the quantiles of QUANTILES by nearest rank; None where there is no latency."""
    if not latencies_ms:
        return dict.fromkeys(QUANTILES)
    ordered = sorted(latencies_ms)
    last = len(ordered) - 1
    return {name: round(ordered[min(last, int(share * len(ordered)))], 2) for name, share in QUANTILES.items()}
