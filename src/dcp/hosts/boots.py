"""How likely a host is ready in time: from what the ledger shows of recent hosts, and from what was said before.

Pure. What the ledger shows is estimated as waiting times usually are (Kaplan and Meier): a host that is still coming,
or was given back before it came, counts for as long as it was watched; one that failed counts as never ready.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from dcp.hosts.model import Host
from dcp.hosts.states import COMING, HostState

FAILURES = frozenset(
    {"boot-timeout", "never-shown", "initialisation-failed", "initialisation-timeout", "vanished", "out-of-stock"}
)


@dataclass(frozen=True, slots=True)
class SpareSettings:
    """When spares are asked for. Without `expected_boot` nothing is expected to be late until hosts have been."""

    deadline_s: float = 300.0
    """A host should be ready so long after its source was asked."""
    confidence: float = 0.99
    """With this probability enough hosts are."""
    max_share: float = 0.2
    """Spares at most, as a share of the hosts that are wanted; 0: none are asked for."""
    expected_boot: tuple[tuple[float, float], ...] = ()
    """(share of hosts, seconds from asking to ready), rising from share 0 to 1; empty: all are in time."""
    expected_failures: float = 0.0
    """Share of hosts that are never ready."""
    trust_hosts: float = 50.0
    """What is expected weighs as much as so many observed hosts."""


@dataclass(frozen=True, slots=True)
class Watched:
    """One host for as long as it was watched: `ready` at the end of `seconds`, or not yet."""

    seconds: float
    ready: bool


def watched(hosts: Iterable[Host], now: float) -> tuple[Watched, ...]:
    """Return what the ledger's hosts tell of how long hosts take."""
    found: list[Watched] = []
    for host in hosts:
        if host.billed_from is None:
            continue
        if host.state is HostState.READY and host.reason == "ready":
            found.append(Watched(host.changed_at - host.billed_from, ready=True))
        elif host.reason in FAILURES:
            found.append(Watched(math.inf, ready=False))
        elif host.state in COMING and host.state is not HostState.STARTING:
            found.append(Watched(now - host.billed_from, ready=False))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Chances:
    """The share of hosts that are ready within some seconds, failures included."""

    settings: SpareSettings
    steps: tuple[tuple[float, float], ...]
    """(seconds, share observed ready by then)."""
    hosts: int
    """Hosts that were observed."""

    def by(self, seconds: float) -> float:
        """Return the probability that a host is ready so long after it was asked for."""
        expected = self._expected(seconds)
        if not self.steps:
            return expected
        place = bisect_left(self.steps, (seconds + 1e-9, 0.0))
        observed = self.steps[place - 1][1] if place else 0.0
        trust = self.settings.trust_hosts / (self.settings.trust_hosts + self.hosts)
        if seconds > self.steps[-1][0] and expected > 0:
            observed = max(observed, expected)  # nobody was watched for longer: that says nothing of later
        return trust * expected + (1 - trust) * observed

    def in_time(self, age_s: float) -> float:
        """Return the probability that a host of this age is ready by the deadline, given that it is not yet."""
        deadline_s = self.settings.deadline_s
        if age_s >= deadline_s:
            return 0.0
        before = self.by(age_s)
        return min(1.0, max(0.0, (self.by(deadline_s) - before) / (1 - before))) if before < 1 else 1.0

    def _expected(self, seconds: float) -> float:
        points = self.settings.expected_boot
        works = 1 - self.settings.expected_failures
        if not points:
            return works
        if seconds <= points[0][1]:
            return 0.0
        for (low, low_s), (high, high_s) in pairwise(points):
            if seconds < high_s:
                return works * (low + (high - low) * (seconds - low_s) / (high_s - low_s))
        return works


def chances(seen: Sequence[Watched], settings: SpareSettings) -> Chances:
    """Return what to expect."""
    at_risk, missing = len(seen), 1.0
    steps: list[tuple[float, float]] = []
    for one in sorted(seen, key=lambda one: (one.seconds, not one.ready)):
        if one.ready:
            missing *= 1 - 1 / at_risk
            steps.append((one.seconds, 1 - missing))
        at_risk -= 1
    observed = sum(1 for one in seen if one.ready or math.isinf(one.seconds))
    return Chances(settings, tuple(steps), observed)


def more_needed(wanted: int, there: Sequence[float], each: float, confidence: float, most: int) -> int:
    """Return how many more hosts, ready with probability `each`, make `wanted` ready with `confidence`; at most `most`.

    `there` are the probabilities of the hosts that are coming. The number that is ready is taken as normal, which
    with the correction by half is close to the sum of unequal coins from about ten hosts on.
    """
    mean, variance = sum(there), sum(p * (1 - p) for p in there)
    for more in range(most):
        if _enough(wanted, mean + more * each, variance + more * each * (1 - each)) >= confidence:
            return more
    return most


def _enough(wanted: int, mean: float, variance: float) -> float:
    if variance < 1e-9:
        return 1.0 if mean >= wanted - 1e-9 else 0.0
    return 0.5 * math.erfc((wanted - 0.5 - mean) / math.sqrt(2 * variance))
