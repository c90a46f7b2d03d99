"""Everything that one run of the demo wrote down, as values: what the load met and what the controller said.

The view, the outcome and the report read nothing else. All instants are seconds since the load began.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dcp.demo.load_profile import LoadProfile, Phase
from dcp.kernel.events import Number


@dataclass(frozen=True, slots=True)
class LoadSecond:
    """What became of the requests that were scheduled in one second."""

    second: int
    offered: int
    answered: int
    failed: int
    slow: int
    p50_ms: float | None
    p99_ms: float | None
    late_max_ms: float
    """How late the generator itself sent the latest of them."""

    @property
    def slow_ratio(self) -> float:
        return self.slow / self.offered if self.offered else 0.0


@dataclass(frozen=True, slots=True)
class LiveSecond:
    """What happened at the load generator in the second that ended at `at_s`, whenever the requests were scheduled."""

    at_s: float
    offered: int
    answered: int
    failed: int
    slow: int
    in_flight: int
    p99_ms: float | None


@dataclass(frozen=True, slots=True)
class InstanceCount:
    """The instances of one service that hold resources, by what they do."""

    service: str
    starting: int = 0
    """Placed or not yet healthy."""
    held: int = 0
    """Healthy, waiting at the gate."""
    serving: int = 0
    leaving: int = 0

    @property
    def total(self) -> int:
        return self.starting + self.held + self.serving + self.leaving


@dataclass(frozen=True, slots=True)
class HostCount:
    """The hosts of one source that we have, by what they do, and what they cost together."""

    source: str
    kind: str
    coming: int = 0
    ready: int = 0
    leaving: int = 0
    price_usd_per_hour: float = 0.0

    @property
    def total(self) -> int:
        return self.coming + self.ready + self.leaving


@dataclass(frozen=True, slots=True)
class ServiceLevel:
    """What the controller says of one service. None: it does not know."""

    service: str
    target: int
    water_level: float | None
    slow_ratio: float | None
    requests_per_s: float | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class StateSample:
    """The controller's state at one instant."""

    at_s: float
    levels: tuple[ServiceLevel, ...]
    instances: tuple[InstanceCount, ...]
    hosts: tuple[HostCount, ...]
    cost_usd: float


@dataclass(frozen=True, slots=True)
class Decision:
    """One entry of the event log that says what was decided and why."""

    at_s: float
    subject: str
    reason: str
    words: str
    numbers: Mapping[str, Number] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ServiceLines:
    """The lines of water level that a service was applied with."""

    safe: float
    fatal: float


@dataclass(frozen=True, slots=True)
class Recording:
    """One run of the demo."""

    application: str
    entry: str
    """The service that the load arrives at."""
    policy: str
    time_scale: float
    cloud: str
    """What stands behind the sources of kind `cloud`, in words."""
    started_at: float
    """Seconds since the epoch at which the load began."""
    profile: LoadProfile
    slow_ms: float
    seed: int
    seconds: tuple[LoadSecond, ...] = ()
    live: tuple[LiveSecond, ...] = ()
    samples: tuple[StateSample, ...] = ()
    decisions: tuple[Decision, ...] = ()
    lines: Mapping[str, ServiceLines] = field(default_factory=dict)
    hosts: str = ""
    """What hosts and instances are, in words."""
    load_complete: bool = False
    """The generator sent the whole profile and every request ended."""
    orphan_processes: int | None = None
    """Processes of this run still alive after its end; None while it lasts."""

    @property
    def timeline(self) -> tuple[Phase, ...]:
        return self.profile.timeline()

    def services(self) -> tuple[str, ...]:
        """Return the names of all services, the entry first."""
        names = {level.service for sample in self.samples for level in sample.levels}
        names |= {count.service for sample in self.samples for count in sample.instances}
        return tuple(sorted(names, key=lambda name: (name != self.entry, name)))

    def sources(self) -> tuple[str, ...]:
        """Return the names of all sources of hosts, private ones first."""
        kinds = {count.source: count.kind for sample in self.samples for count in sample.hosts}
        return tuple(sorted(kinds, key=lambda name: (kinds[name] != "private", name)))


def read_seconds(lines: Iterable[Mapping[str, Any]]) -> tuple[LoadSecond, ...]:
    """Return the `second` lines of a generator's events file, in order."""
    return tuple(
        LoadSecond(**{name: line[name] for name in LoadSecond.__slots__}) for line in lines if line["kind"] == "second"
    )


def read_live(line: Mapping[str, Any]) -> LiveSecond:
    """Return a `live` line of a generator's events file."""
    return LiveSecond(**{name: line[name] for name in LiveSecond.__slots__})
