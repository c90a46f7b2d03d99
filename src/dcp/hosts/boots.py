"""How likely a host is ready in time: from what the ledger shows of recent hosts, and from what was said before.

Pure. What the ledger shows is estimated as waiting times usually are (Kaplan and Meier): a host that is still coming,
or was given back before it came, counts for as long as it was watched; one that failed counts as never ready.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dcp.hosts.model import Host
from dcp.hosts.states import COMING, HostState

Numbers = NDArray[np.float64]
FAILURES = frozenset({"boot-timeout", "never-shown", "initialisation-failed", "initialisation-timeout", "vanished"})

WATCHED_STATES = COMING - {HostState.STARTING}


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
        began, state = host.billed_from, host.state
        if began is None:
            continue
        if state in WATCHED_STATES:
            found.append(Watched(now - began, ready=False))
        elif host.reason in FAILURES:
            found.append(Watched(math.inf, ready=False))
        elif state is HostState.READY and host.reason == "ready":
            found.append(Watched(host.changed_at - began, ready=True))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Chances:
    """The share of hosts that are ready within some seconds, failures included."""

    settings: SpareSettings
    times_s: Numbers
    """Of hosts that were seen to become ready, rising."""
    shares: Numbers
    """Share observed ready by each of them."""
    hosts: int
    """Hosts that were observed."""

    def by(self, seconds: float) -> float:
        """Return the probability that a host is ready so long after it was asked for."""
        return float(self._by(np.array([seconds]))[0])

    def in_time(self, age_s: float) -> float:
        """Return the probability that a host of this age is ready by the deadline, given that it is not yet."""
        return float(self.all_in_time((age_s,))[0])

    def all_in_time(self, ages_s: Sequence[float]) -> Numbers:
        """Return the same for many hosts."""
        ages, deadline_s = np.array(ages_s, dtype=np.float64), self.settings.deadline_s
        before = self._by(ages)
        with np.errstate(divide="ignore", invalid="ignore"):
            found = np.clip((self.by(deadline_s) - before) / (1 - before), 0.0, 1.0)
        found = np.where(before < 1, found, 1.0)
        return np.asarray(np.where(ages >= deadline_s, 0.0, found), dtype=np.float64)

    def _by(self, seconds: Numbers) -> Numbers:
        expected = self._expected(seconds)
        if not len(self.times_s):
            return expected
        place = np.searchsorted(self.times_s, seconds + 1e-9)
        observed = np.concatenate(([0.0], self.shares))[place]
        trust = self.settings.trust_hosts / (self.settings.trust_hosts + self.hosts)
        # Where nobody was watched for longer, that says nothing of later.
        observed = np.where(seconds > self.times_s[-1], np.maximum(observed, expected), observed)
        return np.asarray(trust * expected + (1 - trust) * observed, dtype=np.float64)

    def _expected(self, seconds: Numbers) -> Numbers:
        works = 1 - self.settings.expected_failures
        if not self.settings.expected_boot:
            return np.full(len(seconds), works)
        shares, times_s = zip(*self.settings.expected_boot, strict=True)
        return np.asarray(works * np.interp(seconds, times_s, shares, left=0.0), dtype=np.float64)


def chances(seen: Sequence[Watched], settings: SpareSettings) -> Chances:
    """Return what to expect."""
    seconds = np.array([one.seconds for one in seen], dtype=np.float64)
    ready = np.array([one.ready for one in seen], dtype=np.bool_)
    order = np.lexsort((~ready, seconds))
    came = ready[order]
    at_risk = len(seen) - np.arange(len(seen))
    missing: Numbers = np.cumprod(np.where(came, 1 - 1 / np.maximum(at_risk, 1), 1.0), dtype=np.float64)
    observed = int(ready.sum() + np.isinf(seconds).sum())
    return Chances(settings, seconds[order][came], 1 - missing[came], observed)


def more_needed(wanted: int, there: Sequence[float] | Numbers, each: float, confidence: float, most: int) -> int:
    """Return how many more hosts, ready with probability `each`, make `wanted` ready with `confidence`; at most `most`.

    `there` are the probabilities of the hosts that are coming. The number that is ready is taken as normal, which
    with the correction by half is close to the sum of unequal coins from about ten hosts on.
    """
    likely = np.asarray(there, dtype=np.float64)
    mean, variance = float(likely.sum()), float((likely * (1 - likely)).sum())
    for more in range(most):
        if _enough(wanted, mean + more * each, variance + more * each * (1 - each)) >= confidence:
            return more
    return most


def _enough(wanted: int, mean: float, variance: float) -> float:
    if variance < 1e-9:
        return 1.0 if mean >= wanted - 1e-9 else 0.0
    return 0.5 * math.erfc((wanted - 0.5 - mean) / math.sqrt(2 * variance))
