"""A capacity test: the balancer gives one instance of a service an ever greater share of its live requests.

Pure. A test takes its instances in turn, one **round** each. A round begins with equal shares, raises the share of its
instance by SHARE_STEP, one window a step, and ends where the instance's slow ratio reaches the line, or where it has
all that there is. Everything that could hurt a request, or make a figure mean something else, ends the test, and a test
that has ended weighs nobody. What the balancer counts is a whole service's, so an instance's figures are what is left
after the others' share, which had their quiet figures in the first window.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from dcp.orchestration.capacity.model import LATENCY_BOUNDS_MS, Sample
from dcp.orchestration.capacity.units import weighted_units
from dcp.orchestration.services.model import ServiceSpec
from dcp.orchestration.traffic.model import DEFAULT_WEIGHT, HEAVIEST

SHARE_STEP = 1.15
"""What one instance gets rises by this much a step: the error of the result is of that size."""
SLOW_LINE = 0.01
"""The published line: 1% of the requests are slow."""
FEWEST_REQUESTS = 30
"""A window in which the instance completed fewer says nothing yet."""
FEWEST_SLOW = 3
"""So many slow requests at least: one or two may be anybody's."""
QUEUE_SHARE = 0.2
"""An instance that leaves so much of what comes to it waiting is past its line, whatever it completed in time."""
LONGEST_WINDOWS = 10
"""A window of too few requests is lengthened up to so many times, then what is there counts; a rest is no longer."""


class Outcome(StrEnum):
    """How a test ended; RUNNING: it has not."""

    RUNNING = "running"
    MEASURED = "measured"
    TOO_LITTLE_LOAD = "too-little-load"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Subject:
    """An instance that is measured and the type of its host."""

    instance_id: str
    hardware: str


@dataclass(frozen=True, slots=True)
class Found:
    """What one instance carried. `reached` False: there was no more load, so it carries at least this."""

    instance_id: str
    hardware: str
    requests_per_s: float
    units_per_s: float
    reached: bool


@dataclass(frozen=True, slots=True)
class Quiet:
    """Figures of a request at equal shares."""

    units_per_request: float
    slow_ratio: float


@dataclass(frozen=True, slots=True)
class CapacityTest:
    """A test, kept so that whoever comes after a crash knows of it. `fence`: its worker's lease; 0: none yet.

    `share` is that of the present round's instance; 0: all equal.
    """

    id: str
    application: str
    service: str
    spec: ServiceSpec
    members: tuple[str, ...]
    """All instances that served when it began; any other set ends it."""
    subjects: tuple[Subject, ...]
    target: int
    window_s: float
    asked_at: float
    fence: int = 0
    share: float = 0.0
    quiet: Quiet | None = None
    rests: int = 0
    """Windows waited before this round until what waited in the one before was answered."""
    below: Found | None = None
    """Of the present round: the newest window below the line."""
    found: tuple[Found, ...] = ()
    outcome: Outcome = Outcome.RUNNING
    ended_at: float | None = None
    reason: str = ""
    words: str = ""
    version: int = 0

    @property
    def subject(self) -> Subject:
        """The instance of the present round."""
        return self.subjects[len(self.found)]


@dataclass(frozen=True, slots=True)
class Look:
    """What is known at one moment.

    `sample` is of this service, since the balancer took the present share over; None: the metrics are missing.
    """

    now: float
    sample: Sample | None
    trouble: tuple[str, str] | None = None
    """What else forbids to go on: a stable code and words."""


def weights_of(test: CapacityTest | None, fence: int) -> Mapping[str, int]:
    """Return the weights of the instances; those that are not named weigh DEFAULT_WEIGHT.

    Only whoever runs the test under `fence` weighs anybody, so a lease that changes hands restores first.
    """
    if test is None or test.outcome is not Outcome.RUNNING or test.fence != fence or not test.share:
        return {}
    mine, others = weights_for_share(test.share, len(test.members))
    return {one: mine if one == test.subject.instance_id else others for one in test.members}


def weights_for_share(share: float, instances: int) -> tuple[int, int]:
    """Return the weight of one instance and that of each other so that it gets about `share` of the requests."""
    if instances < 2 or share <= 1 / instances:
        return DEFAULT_WEIGHT, DEFAULT_WEIGHT
    ratio = share * (instances - 1) / (1 - share) if share < 1 else math.inf
    if ratio >= HEAVIEST:
        return HEAVIEST, 1
    others = max(1, math.floor(HEAVIEST / ratio))
    return min(HEAVIEST, max(1, round(ratio * others))), others


def share_of(test: CapacityTest) -> float:
    """Return what the weights really give to the round's instance."""
    count = len(test.members)
    mine, others = weights_for_share(test.share or 1 / count, count)
    return mine / (mine + others * (count - 1))


def decide_step(test: CapacityTest, look: Look) -> CapacityTest:
    """Return the test after one look: unchanged (wait), with another share, or ended."""
    if test.outcome is not Outcome.RUNNING:
        return test
    trouble = look.trouble or _trouble(look.sample)
    if trouble is not None:
        return stop(test, look.now, *trouble)
    sample = look.sample
    assert sample is not None
    share = share_of(test)
    if test.quiet is None:
        return _quiet(test, sample, look.now) if _is_whole(test, sample, sample.by_latency[-1]) else test
    completed, slow, units = _own(test, test.quiet, sample, share)
    left_waiting = share * sample.arrived - completed
    past_line = slow >= max(FEWEST_SLOW, SLOW_LINE * completed) and share * sample.arrived >= FEWEST_REQUESTS
    whole = _is_whole(test, sample, completed)
    queues = sample.window_s >= test.window_s and left_waiting > max(
        FEWEST_REQUESTS, QUEUE_SHARE * share * sample.arrived
    )
    rate = completed / sample.window_s
    if past_line or queues:
        return _reached(test, rate, look.now)
    if not whole:
        return test
    here = Found(test.subject.instance_id, test.subject.hardware, rate, units / sample.window_s, reached=False)
    following = share * SHARE_STEP
    if share >= _greatest(len(test.members)):
        return _next_round(test, here, look.now)
    return replace(test, below=here, share=following)


def stop(test: CapacityTest, now: float, reason: str, words: str) -> CapacityTest:
    """Return the test as ended before its time. Ended tests stay as they are."""
    if test.outcome is not Outcome.RUNNING:
        return test
    return replace(test, outcome=Outcome.STOPPED, ended_at=now, reason=reason, words=words, share=0.0)


def _trouble(sample: Sample | None) -> tuple[str, str] | None:
    if sample is None:
        return "metrics-missing", "the balancer's counters are missing"
    if sample.failed:
        return "errors", f"{sample.failed} of {sample.arrived} requests failed"
    return None


def _is_whole(test: CapacityTest, sample: Sample, completed: float) -> bool:
    enough = completed >= FEWEST_REQUESTS or sample.window_s >= LONGEST_WINDOWS * test.window_s
    return sample.window_s >= test.window_s and enough


def _quiet(test: CapacityTest, sample: Sample, now: float) -> CapacityTest:
    completed = sample.by_latency[-1]
    if completed < FEWEST_REQUESTS:
        return stop(test, now, "no-load", f"only {completed} requests in {sample.window_s:.0f} s")
    slow = _slow(test, sample) / completed
    if slow >= SLOW_LINE and test.found and test.rests < LONGEST_WINDOWS:
        # What waited at the instance of the round before is answered late.
        return replace(test, rests=test.rests + 1)
    if slow >= SLOW_LINE:
        return stop(test, now, "slow-already", f"{slow:.1%} of the requests are slow before anything was moved")
    units = weighted_units(sample.by_latency)
    instances, subject = len(test.members), test.subject
    rates = (completed / sample.window_s / instances, units / sample.window_s / instances)
    below = Found(subject.instance_id, subject.hardware, *rates, reached=False)
    return replace(test, quiet=Quiet(units / completed, slow), below=below, share=SHARE_STEP / instances)


def _own(test: CapacityTest, quiet: Quiet, sample: Sample, share: float) -> tuple[float, float, float]:
    """Return requests completed, slow ones and units of the round's instance: all less the others' quiet share."""
    others = (1 - share) * sample.arrived
    completed = max(0.0, sample.by_latency[-1] - others)
    slow = max(0.0, _slow(test, sample) - quiet.slow_ratio * others)
    units = max(completed, weighted_units(sample.by_latency) - quiet.units_per_request * others)
    return completed, slow, units


def _slow(test: CapacityTest, sample: Sample) -> int:
    in_time = sample.by_latency[LATENCY_BOUNDS_MS.index(test.spec.slow_threshold_ms)]
    return sample.by_latency[-1] - in_time


def _greatest(instances: int) -> float:
    return HEAVIEST / (HEAVIEST + instances - 1)


def _reached(test: CapacityTest, rate: float, now: float) -> CapacityTest:
    """Take the requests completed at the line, each at its weight just below it.

    At the line itself a queue may make every request weigh 32: units taken there would promise what nobody carries.
    """
    below = test.below
    assert below is not None, "the quiet window set it"
    requests = max(rate, below.requests_per_s) if rate <= below.requests_per_s * SHARE_STEP**2 else below.requests_per_s
    units = below.units_per_s / below.requests_per_s * requests
    return _next_round(test, replace(below, requests_per_s=requests, units_per_s=units, reached=True), now)


def _next_round(test: CapacityTest, found: Found, now: float) -> CapacityTest:
    after = replace(test, found=(*test.found, found), below=None, quiet=None, share=0.0, rests=0)
    if len(after.found) < len(after.subjects):
        return after
    if any(one.reached for one in after.found):
        words = f"{sum(one.reached for one in after.found)} of {len(after.found)} instances reached their line"
        return replace(after, outcome=Outcome.MEASURED, ended_at=now, reason="measured", words=words)
    words = "no instance reached its line with all the requests there are"
    return replace(after, outcome=Outcome.TOO_LITTLE_LOAD, ended_at=now, reason="too-little-load", words=words)
