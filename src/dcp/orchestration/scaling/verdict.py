"""A verdict: what growth or shrinking says of one service, before it becomes a `TargetDecision`; and its wording."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from dcp.kernel.events import Number
from dcp.orchestration.scaling.model import ScalingState
from dcp.orchestration.scaling.reading import Reading


@dataclass(frozen=True, slots=True)
class Verdict:
    """The state to remember (it holds the target), a reason code, words, and numbers beyond the measured ones."""

    state: ScalingState
    reason: str
    words: str
    numbers: Mapping[str, Number] = field(default_factory=dict)

    @property
    def target(self) -> int:
        return self.state.target


def without_release(state: ScalingState, target: int) -> ScalingState:
    """Return the state at `target` with nothing remembered of a shrink."""
    return replace(state, target=target, above_safe_since=None, release_from=None, release_step=0, released_at=0.0)


def count_of(number: int, noun: str = "instance") -> str:
    """Return `1 instance`, `1,200 instances`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def rate_of(requests_per_s: float) -> str:
    """Return a request rate in words."""
    digits = 0 if requests_per_s >= 10 else 1
    return f"{requests_per_s:,.{digits}f} requests/s"


def level_of(level: float | None) -> str:
    """Return a water level in words."""
    return "no load" if level is None else f"{level:.2f}"


def lowest_level(reading: Reading) -> float | None:
    """Return the lowest level of the windows; None if there was no load in any."""
    return min((level for level in reading.levels if level is not None), default=None)


def span_of(seconds: float) -> str:
    """Return a length of time in words, in the unit that suits its size."""
    if seconds >= 5400:
        return f"{seconds / 3600:.1f} h"
    if seconds >= 120:
        return f"{seconds / 60:.0f} min"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
