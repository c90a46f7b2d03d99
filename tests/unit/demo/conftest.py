"""A made-up run that is shaped like a real one: a small queue model of one entry service with two dependencies.

Only a fixture: it exercises the outcome, the view and the report without a controller.
"""

import random

import pytest

from dcp.demo.load_profile import LoadProfile
from dcp.demo.recording import (
    Decision,
    HostCount,
    InstanceCount,
    LiveSecond,
    LoadSecond,
    Recording,
    ServiceLevel,
    ServiceLines,
    StateSample,
)

PROFILE = LoadProfile(base_rps=40, surge_factor=6, before_s=15, ramp_s=2, hold_s=45, fall_s=2, tail_s=90)
CAPACITY_RPS = 44.0
SHARES = {"feed": 1.0, "user": 0.4, "card": 0.3}
BEFORE = {"feed": 2, "user": 1, "card": 1}
PEAK = {"feed": 11, "user": 5, "card": 4}
GROWTH_S, HELD_S, SERVING_S = 19.0, 20.5, 22.0
SHRINKS_S = (126.0, 131.0, 136.0, 141.0)
RELEASED = (0.1, 0.3, 0.5, 1.0)


def wanted(service: str, at_s: float) -> int:
    if at_s < GROWTH_S:
        return BEFORE[service]
    share = max((r for at, r in zip(SHRINKS_S, RELEASED, strict=True) if at_s >= at), default=0.0)
    return PEAK[service] - round(share * (PEAK[service] - BEFORE[service]))


def count(service: str, at_s: float) -> InstanceCount:
    target = wanted(service, at_s)
    if GROWTH_S <= at_s < SERVING_S:
        added = target - BEFORE[service]
        held = added if service == "feed" and at_s >= HELD_S else 0
        return InstanceCount(service, starting=added - held, held=held, serving=BEFORE[service])
    leaving = wanted(service, at_s - 1.5) - target if at_s > SERVING_S + 2 else 0
    return InstanceCount(service, serving=target, leaving=leaving)


def sample(at_s: float, rate_rps: float, waiting: float) -> StateSample:
    levels = []
    for service, share in SHARES.items():
        load = rate_rps * share + (waiting / 10 if service == "feed" else 0)
        level = count(service, at_s).serving * CAPACITY_RPS / load if load else None
        levels.append(ServiceLevel(service, wanted(service, at_s), level, 0.0, rate_rps * share, "steady"))
    cloud = 3 if SERVING_S - 1 <= at_s < SHRINKS_S[2] else 0
    hosts = (
        HostCount("pool", "private", ready=4 if GROWTH_S <= at_s < SHRINKS_S[3] + 5 else 2),
        HostCount(
            "cloud",
            "cloud",
            coming=3 if GROWTH_S <= at_s < SERVING_S - 1 else 0,
            ready=cloud,
            leaving=3 if SHRINKS_S[2] <= at_s < SHRINKS_S[2] + 2 else 0,
            price_usd_per_hour=0.3,
        ),
    )
    paid = 0.3 * 3 * max(0.0, min(at_s, SHRINKS_S[2]) - GROWTH_S) / 3600
    return StateSample(at_s, tuple(levels), tuple(count(service, at_s) for service in SHARES), hosts, paid)


def decisions() -> tuple[Decision, ...]:
    grown = tuple(
        Decision(
            GROWTH_S,
            f"service/hot-event/{service}",
            "below-fatal" if service == "feed" else "load-of-callers",
            f"Water level 0.37 is below the fatal line 1.2 in 3 of the last 5 samples: {before} to {PEAK[service]}.",
            {"level": 0.3667, "target": PEAK[service], "requests_per_s": 240.0 * SHARES[service]},
        )
        for service, before in BEFORE.items()
    )
    shrunk = tuple(
        Decision(
            at, "service/hot-event/feed", "release-step", f"Releases {share:.0%} of what was added.", {"share": share}
        )
        for at, share in zip(SHRINKS_S, RELEASED, strict=True)
    )
    hosts = tuple(
        Decision(
            GROWTH_S + 0.1,
            f"host/cloud-{number}",
            "no-private-host",
            "The private pool has no free host: asks the cloud.",
        )
        for number in (1, 2, 3)
    )
    return grown + hosts + shrunk


@pytest.fixture(scope="session")
def recording() -> Recording:
    """A whole run: growth at 19 s, recovery, stepwise shrink, back where it began."""
    generator = random.Random(7)
    seconds, live, samples = [], [], []
    old_queue = 0.0
    for second in range(int(PROFILE.duration_s)):
        rate = PROFILE.rate_rps(second + 0.5)
        offered = max(0, round(generator.gauss(rate, rate**0.5)))
        capacity = BEFORE["feed"] * CAPACITY_RPS
        to_old = rate if second < SERVING_S else rate * 0.05
        before_queue = old_queue
        old_queue = max(0.0, old_queue + to_old - capacity)
        wait_ms = old_queue / capacity * 1000
        share = 1.0 if second < SERVING_S else 0.0
        slow = offered * min(1.0, wait_ms / 500) * share if wait_ms > 250 else 0
        p50 = 60 + generator.random() * 8 + wait_ms * share
        answered = offered if not (before_queue or old_queue) else round(rate - (old_queue - before_queue))
        seconds.append(LoadSecond(second, offered, offered, 0, round(slow), p50, p50 * 1.6 + 20, 2.0))
        live.append(LiveSecond(second + 1.0, offered, answered, 0, round(slow), round(old_queue + rate * 0.07), p50))
        samples.append(sample(second + 0.5, rate, old_queue))
    return Recording(
        application="hot-event",
        entry="feed",
        policy="gated",
        time_scale=60.0,
        cloud="fake (simulated provider, boot delay and price are configured)",
        started_at=1_764_000_000.0,
        profile=PROFILE,
        slow_ms=500.0,
        seed=7,
        seconds=tuple(seconds),
        live=tuple(live),
        samples=tuple(samples),
        decisions=decisions(),
        lines=dict.fromkeys(SHARES, ServiceLines(2.0, 1.2)),
        load_complete=True,
        orphan_processes=0,
    )
