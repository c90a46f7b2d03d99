"""A capacity test, step by step, against a service whose true capacity is known."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcp.hosts.model import Resources
from dcp.orchestration.capacity.measured import by_class, result_of, with_measured
from dcp.orchestration.capacity.measuring import (
    SHARE_STEP,
    CapacityTest,
    Found,
    Look,
    Outcome,
    Subject,
    decide_step,
    share_of,
    stop,
    weights_for_share,
    weights_of,
)
from dcp.orchestration.capacity.model import LATENCY_BOUNDS_MS, Sample
from dcp.orchestration.services.model import ApplicationSpec, Capacity, ServiceSpec
from dcp.orchestration.traffic.model import DEFAULT_WEIGHT, HEAVIEST

WINDOW_S = 60.0
SPEC = ServiceSpec("feed", ("feed",), Resources(100, 1 << 20), image="feed@sha256:aa", capacity=Capacity(999.0, 999.0))


def begun(instances: int = 4, subjects: int = 1, hardware: str = "small") -> CapacityTest:
    members = tuple(f"feed-{number}" for number in range(1, instances + 1))
    chosen = tuple(Subject(one, hardware) for one in members[:subjects])
    return CapacityTest("capacity-1", "shop", "feed", SPEC, members, chosen, instances, WINDOW_S, 0.0, fence=7)


def sample(arrived: float, fast: float, slow: float = 0.0, failed: int = 0) -> Sample:
    """Fast requests take 20 ms, slow ones 2 s."""
    counts = tuple(round(fast * (bound >= 25)) + round(slow * (bound >= 2000)) for bound in (*LATENCY_BOUNDS_MS, 10**9))
    return Sample(0.0, WINDOW_S, round(arrived), round(arrived), failed, 0, counts)


def answers(test: CapacityTest, load: float, true: dict[str, float]) -> Sample:
    """What the balancer counts in one window: each instance completes its share, fast up to its capacity."""
    fast = slow = 0.0
    for one in test.members:
        weights = weights_of(test, 7)
        share = weights.get(one, 1) / sum(weights.values()) if weights else 1 / len(test.members)
        come, carried = share * load * WINDOW_S, true[one] * WINDOW_S
        fast += come if come <= carried else 0
        slow += 0 if come <= carried else carried
    return sample(load * WINDOW_S, fast, slow)


def run(test: CapacityTest, load: float, true: dict[str, float]) -> tuple[CapacityTest, list[CapacityTest]]:
    steps = [test]
    while steps[-1].outcome is Outcome.RUNNING:
        assert len(steps) < 500, "it does not end"
        steps.append(decide_step(steps[-1], Look(float(len(steps)), answers(steps[-1], load, true))))
    return steps[-1], steps


def test_traffic_is_concentrated_step_by_step_until_the_line_is_reached():
    test = begun()
    ended, steps = run(test, 200.0, dict.fromkeys(test.members, 100.0))
    assert ended.outcome is Outcome.MEASURED
    (found,) = ended.found
    assert found.reached
    assert 100 / SHARE_STEP <= found.requests_per_s <= 101
    assert found.units_per_s == pytest.approx(2 * found.requests_per_s, rel=0.02), "20 ms weigh 2"
    shares = [share_of(one) for one in steps[1:-1]]
    assert shares == sorted(shares)
    assert all(after / before < 1.2 for before, after in pairwise(shares))


@given(st.floats(20, 300), st.integers(2, 30), st.floats(1.1, 1.9))
def test_what_is_found_is_near_the_truth(true: float, instances: int, spare: float):
    test = begun(instances)
    load = true * instances / spare  # below what all carry, and above what one does
    ended, _ = run(test, load, dict.fromkeys(test.members, true))
    if load < true * 1.3:
        assert ended.outcome in (Outcome.MEASURED, Outcome.TOO_LITTLE_LOAD)
        return
    assert ended.outcome is Outcome.MEASURED
    assert true / 1.25 <= ended.found[0].requests_per_s <= true * 1.1


def test_without_enough_load_nothing_is_claimed():
    test = begun()
    ended, _ = run(test, 60.0, dict.fromkeys(test.members, 100.0))
    assert ended.outcome is Outcome.TOO_LITTLE_LOAD
    assert not ended.found[0].reached
    assert result_of(ended, SPEC) is None


def test_errors_and_missing_metrics_stop_at_once_and_nobody_is_weighted_any_more():
    moved = decide_step(begun(), Look(1.0, sample(6000, 6000)))
    assert weights_of(moved, 7)["feed-1"] > weights_of(moved, 7)["feed-2"]
    for look, reason in (
        (Look(2.0, None), "metrics-missing"),
        (Look(2.0, sample(6000, 5999, failed=1)), "errors"),
        (Look(2.0, sample(6000, 6000), ("frozen", "a person froze it")), "frozen"),
    ):
        ended = decide_step(moved, look)
        assert (ended.outcome, ended.reason, ended.ended_at) == (Outcome.STOPPED, reason, 2.0)
        assert weights_of(ended, 7) == {}
        assert decide_step(ended, Look(3.0, sample(6000, 6000))) == ended
        assert stop(ended, 9.0, "again", "") == ended


def test_another_lease_weighs_nobody():
    moved = decide_step(begun(), Look(1.0, sample(6000, 6000)))
    assert weights_of(moved, 7)
    assert weights_of(moved, 8) == {}


def test_a_service_that_is_slow_or_idle_is_not_measured():
    assert decide_step(begun(), Look(1.0, sample(6000, 5900, 100))).reason == "slow-already"
    lone = replace(sample(2, 2), window_s=10 * WINDOW_S)
    assert decide_step(begun(), Look(1.0, lone)).reason == "no-load"
    short = replace(sample(200, 200), window_s=WINDOW_S / 2)
    assert decide_step(begun(), Look(1.0, short)) == begun(), "it waits"


def test_the_next_round_waits_until_the_queue_of_the_one_before_is_gone():
    test = begun(4, subjects=2)
    while not test.found:
        test = decide_step(test, Look(1.0, answers(test, 200.0, dict.fromkeys(test.members, 100.0))))
    queue = sample(12_000, 11_000, 1_000)
    rested = decide_step(test, Look(2.0, queue))
    assert (rested.outcome, rested.rests, rested.quiet) == (Outcome.RUNNING, 1, None)
    assert decide_step(rested, Look(3.0, sample(12_000, 12_000))).quiet is not None
    while test.outcome is Outcome.RUNNING:
        test = decide_step(test, Look(2.0, queue))
    assert test.reason == "slow-already"


def test_a_stall_is_the_line_although_nothing_slow_completed_yet():
    test = begun()
    for _ in range(3):
        test = decide_step(test, Look(1.0, sample(12_000, 12_000)))
    stalled = sample(12_000, 12_000 * (1 - share_of(test)))
    assert decide_step(test, Look(2.0, stalled)).outcome is Outcome.MEASURED


@given(st.integers(2, 2000), st.floats(0.001, 1.0))
def test_weights_are_legal_and_give_the_share(instances: int, share: float):
    mine, others = weights_for_share(share, instances)
    assert 1 <= others <= mine <= HEAVIEST
    given_share = mine / (mine + others * (instances - 1))
    if share <= 1 / instances:
        assert mine == others == DEFAULT_WEIGHT
    elif share < HEAVIEST / (HEAVIEST + instances - 1):
        assert given_share == pytest.approx(share, rel=0.35)


def test_shares_rise_with_every_step_for_every_size():
    for instances in (2, 3, 7, 40, 300):
        share, given_before = 1 / instances, 1 / instances
        while share < 1:
            share *= SHARE_STEP
            mine, others = weights_for_share(share, instances)
            given_now = mine / (mine + others * (instances - 1))
            assert given_now >= given_before - 1e-9
            given_before = given_now


def test_an_outlier_is_named_and_left_out():
    test = begun(6, subjects=4)
    true = dict.fromkeys(test.members, 100.0) | {"feed-2": 50.0}
    ended, _ = run(test, 220.0, true)
    result = result_of(ended, SPEC)
    assert result is not None
    assert result.outliers == ("feed-2",)
    (only,) = result.classes
    assert (only.hardware, only.instances) == ("small", 3)
    assert 80 <= result.capacity.requests_per_s <= 101
    assert only.lowest_units_per_s <= only.units_per_s <= only.highest_units_per_s


def test_classes_are_kept_apart_and_the_weakest_is_planned_with():
    found = [
        Found(f"feed-{n}", kind, rate, rate * 2, reached=True) for n, kind, rate in ((1, "a", 80.0), (2, "b", 40.0))
    ]
    classes, outliers = by_class(found)
    assert [(one.hardware, one.requests_per_s) for one in classes] == [("a", 80.0), ("b", 40.0)]
    assert outliers == ()
    ended = replace(begun(), found=tuple(found), outcome=Outcome.MEASURED, ended_at=9.0)
    result = result_of(ended, SPEC)
    assert result is not None and result.capacity == Capacity(80.0, 40.0)


def test_measured_wins_over_declared_until_the_image_changes():
    found = (Found("feed-1", "small", 40.0, 80.0, reached=True),)
    ended = replace(begun(), found=found, outcome=Outcome.MEASURED, ended_at=9.0)
    spec = ApplicationSpec("shop", (SPEC,))
    assert with_measured(spec, {"feed": ended}).service("feed").capacity == Capacity(80.0, 40.0)
    newer = ApplicationSpec("shop", (replace(SPEC, image="feed@sha256:bb"),))
    assert with_measured(newer, {"feed": ended}) == newer
    stale = result_of(ended, newer.service("feed"))
    assert stale is not None and stale.stale
