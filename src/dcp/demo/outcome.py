"""The figures of one run: what `dcp demo --json FILE` writes and the summary prints. Pure; nothing is assumed.

The generator attributes every request to the second it was scheduled in; what recovery is says
`orchestration.capacity.recovery`.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dcp.demo.recording import Decision, Recording, StateSample
from dcp.orchestration.capacity.recovery import find_recovery_s

STARVED_MS = 100.0
"""A generator that sent a request later than this has shared its processor with too much; the run says so."""


@dataclass(frozen=True, slots=True)
class Course:
    """A count before the surge, at its highest, and at the end."""

    before: int
    peak: int
    after: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run showed."""

    surge_factor: float | None
    """Offered rate in the hold over offered rate before, both counted; None if either phase saw nothing."""
    offered_requests: int
    answered_requests: int
    failed_requests: int
    slow_ratio_peak: float
    """The highest slow ratio of any second."""
    recovery_s: float | None
    """From the start of the surge; None: never."""
    instances: dict[str, Course]
    hosts: dict[str, Course]
    orphan_processes: int | None
    cost_usd: float
    policy: str
    time_scale: float
    decisions: tuple[Decision, ...]
    slow_threshold_ms: float
    slow_requests: int
    generator_late_max_ms: float
    load_complete: bool
    seed: int
    cloud: str
    hosts_are: str = ""
    """What hosts and instances were, in words."""

    @property
    def generator_starved(self) -> bool:
        return self.generator_late_max_ms > STARVED_MS

    @property
    def back_where_it_began(self) -> bool:
        """Instances and hosts are as many as before the surge."""
        courses = (*self.instances.values(), *self.hosts.values())
        return bool(courses) and all(course.before == course.after for course in courses)

    def to_json(self) -> dict[str, Any]:
        """Return the outcome as JSON values."""
        return asdict(self) | {
            "decisions": [asdict(decision) for decision in self.decisions],
            "generator_starved": self.generator_starved,
            "back_where_it_began": self.back_where_it_began,
        }


def compute_outcome(recording: Recording) -> Outcome:
    """Return the figures of a recording."""
    seconds = recording.seconds
    samples = recording.samples
    return Outcome(
        surge_factor=measure_surge_factor(recording),
        offered_requests=sum(second.offered for second in seconds),
        answered_requests=sum(second.answered for second in seconds),
        failed_requests=sum(second.failed for second in seconds),
        slow_ratio_peak=round(max((second.slow_ratio for second in seconds), default=0.0), 4),
        recovery_s=find_recovery_s(seconds, recording.profile.surge_start_s),
        instances=_courses(recording, recording.services(), _instances_of),
        hosts=_courses(recording, recording.sources(), _hosts_of),
        orphan_processes=recording.orphan_processes,
        cost_usd=samples[-1].cost_usd if samples else 0.0,
        policy=recording.policy,
        time_scale=recording.time_scale,
        decisions=recording.decisions,
        slow_threshold_ms=recording.slow_ms,
        slow_requests=sum(second.slow for second in seconds),
        generator_late_max_ms=max((second.late_max_ms for second in seconds), default=0.0),
        load_complete=recording.load_complete,
        seed=recording.seed,
        cloud=recording.cloud,
        hosts_are=recording.hosts,
    )


def measure_surge_factor(recording: Recording) -> float | None:
    """Return the mean offered rate of the hold's whole seconds over that of the whole seconds before the surge."""
    profile = recording.profile
    before = [s.offered for s in recording.seconds if s.second + 1 <= profile.surge_start_s]
    hold_start_s = profile.surge_start_s + profile.ramp_s
    hold = [s.offered for s in recording.seconds if s.second >= hold_start_s and s.second + 1 <= profile.surge_end_s]
    if not hold or not sum(before):
        return None
    return round((sum(hold) / len(hold)) / (sum(before) / len(before)), 2)


def _instances_of(sample: StateSample, service: str) -> int:
    return sum(count.total for count in sample.instances if count.service == service)


def _hosts_of(sample: StateSample, source: str) -> int:
    return sum(count.total for count in sample.hosts if count.source == source)


def _courses(
    recording: Recording, names: Sequence[str], count_of: Callable[[StateSample, str], int]
) -> dict[str, Course]:
    """Return before (the last sample ahead of the surge), peak and after (the last sample) of each name."""
    if not recording.samples:
        return {}
    ahead = [sample for sample in recording.samples if sample.at_s <= recording.profile.surge_start_s]
    before = ahead[-1] if ahead else recording.samples[0]
    return {
        name: Course(
            before=count_of(before, name),
            peak=max(count_of(sample, name) for sample in recording.samples),
            after=count_of(recording.samples[-1], name),
        )
        for name in names
    }
