"""What scaling decides from and what it decides, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from dcp.kernel.events import Number
from dcp.orchestration.ahead.model import Foretold, PlannedSurge
from dcp.orchestration.capacity.model import Sample
from dcp.orchestration.services.model import ServiceSpec


class Policy(StrEnum):
    """Three answers to how an application grows.

    `gated`: plan all services together, start them at the same time, hold a dependant's new instances back until its
    dependencies' new ones serve. `independent`: every service looks only at its own water level, no gate.
    `dependency-first`: plan together, but plan no new dependant before its dependencies' new ones serve.
    """

    GATED = "gated"
    INDEPENDENT = "independent"
    DEPENDENCY_FIRST = "dependency-first"


@dataclass(frozen=True, slots=True)
class Timing:
    """The windows of scaling, in seconds of real time, as DCP's authors published them; `scaled` shortens all alike."""

    sample_s: float = 60.0
    samples: int = 5
    agree: int = 3
    """Act when this many of the last `samples` agree."""
    growth_ratio: float = 1.3
    """Smallest growth step: +30%."""
    catch_up_s: float = 600.0
    """Growth is sized to work off the requests that wait within this time."""
    shrink_after_s: float = 3600.0
    shrink_every_s: float = 300.0
    release_shares: tuple[float, ...] = (0.1, 0.3, 0.5, 1.0)
    """Share of what was added that has been released after each shrink step."""
    host_linger_s: float = 300.0
    """An empty host is kept this long before it is given back."""
    time_scale: float = 1.0
    """By how much the windows above were divided."""

    def scaled(self, factor: float) -> "Timing":
        """Return the same windows divided by `factor`."""
        return Timing(
            sample_s=self.sample_s / factor,
            samples=self.samples,
            agree=self.agree,
            growth_ratio=self.growth_ratio,
            catch_up_s=self.catch_up_s / factor,
            shrink_after_s=self.shrink_after_s / factor,
            shrink_every_s=self.shrink_every_s / factor,
            release_shares=self.release_shares,
            host_linger_s=self.host_linger_s / factor,
            time_scale=self.time_scale * factor,
        )


@dataclass(frozen=True, slots=True)
class BrakeMemory:
    """What the brakes of one service remember between decisions. Times are seconds since the epoch."""

    grown_at: float = 0.0
    shrunk_at: float = 0.0
    lows: tuple[tuple[float, int], ...] = ()
    """(until when it counts, target before a growth), oldest first: the rate of growth is measured from the lowest."""
    regrets: tuple[float, ...] = ()
    """When growth followed closely on giving back: scaling went to and fro."""
    steps: int = 0
    """Growths in a row, each after all of the one before served, without more requests being answered."""
    answered_requests_per_s: float = 0.0
    """Requests answered when the first of those steps was taken."""
    steps_from: int = 0
    """The target then."""
    confirmed_to: int = 0
    """A person allows targets up to this one,"""
    confirmed_until: float = 0.0
    """until then."""


@dataclass(frozen=True, slots=True)
class SwitchMemory:
    """How many of a service's features are off, in their order. Times are seconds since the epoch."""

    off: int = 0
    changed_at: float = 0.0
    short_since: float | None = None
    """Since when it is too small."""
    roomy_since: float | None = None
    """Since when it has room enough."""


@dataclass(frozen=True, slots=True)
class ScalingState:
    """What scaling remembers of one service between decisions."""

    target: int
    grown_at: float = 0.0
    """When the target last rose."""
    above_safe_since: float | None = None
    release_from: int | None = None
    """The target when the present shrink began; None: not shrinking."""
    release_step: int = 0
    """Steps of `Timing.release_shares` taken in the present shrink."""
    released_at: float = 0.0
    brakes: BrakeMemory = BrakeMemory()
    switches: SwitchMemory = SwitchMemory()


@dataclass(frozen=True, slots=True)
class ServiceView:
    """One service as scaling sees it."""

    spec: ServiceSpec
    state: ScalingState
    serving: int
    """Instances in the balancer."""
    coming: int
    """Instances planned or started that do not serve yet."""
    leaving: int
    """Instances that drain or stop."""
    settled_since: float | None
    """Since when all wanted instances serve and none leaves; None: something is under way."""
    samples: tuple[Sample | None, ...]
    """Newest last, one a window, at most `Timing.samples`; None where the metrics were missing."""
    signals: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)
    """Figures of its signals, likewise."""
    foretold: Foretold | None = None
    """What its forecast expects."""


@dataclass(frozen=True, slots=True)
class ApplicationView:
    """Everything `decide_targets` looks at."""

    name: str
    now: float
    policy: Policy
    timing: Timing
    services: tuple[ServiceView, ...]
    surges: tuple[PlannedSurge, ...] = ()
    """What people planned for it."""


class Direction(StrEnum):
    """What a decision does to a target."""

    GROW = "grow"
    HOLD = "hold"
    SHRINK = "shrink"


@dataclass(frozen=True, slots=True)
class Braked:
    """A brake that kept a target from moving as far as scaling wanted. `reason` is one of `brakes.REASONS`."""

    reason: str
    words: str
    numbers: Mapping[str, Number] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TargetDecision:
    """The target of one service from now on, why, and what to remember.

    `reason` is a stable code: `steady`, `below-fatal`, `load-of-callers`, `still-below-fatal`, `coming`,
    `catching-up`, `above-safe`, `release-step`, `waits-for-dependants`, `waits-for-dependencies`,
    `metrics-missing`, `at-maximum`, `not-elastic`, `bounds-changed`, `planned-surge`, `signal`,
    `frozen`, `asked-for`, or where nothing moves because of it a brake: one of `brakes.REASONS`.
    """

    service: str
    direction: Direction
    target: int
    reason: str
    words: str
    numbers: Mapping[str, Number] = field(default_factory=dict)
    state: ScalingState = ScalingState(target=0)
    braked: tuple[Braked, ...] = ()
    """Every brake that held something back."""
