"""Calls per request learned from rates: what is right, what drifted, what cannot be known."""

import random
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcp.hosts.model import Resources
from dcp.orchestration.capacity.calls import CallEstimate, CallVerdict, estimate_calls, merge, with_learned
from dcp.orchestration.capacity.model import LATENCY_BOUNDS_MS, Sample
from dcp.orchestration.services.model import ApplicationSpec, Call, Dependency, ServiceSpec


def service(name: str, calls: dict[str, float] | None = None, needs: tuple[str, ...] = (), port: int | None = None):
    return ServiceSpec(
        name,
        ("serve",),
        Resources(100, 1 << 20),
        calls=tuple(Call(one, rate) for one, rate in (calls or {}).items()),
        depends_on=tuple(Dependency(one) for one in needs),
        published_port=port,
    )


def sample(requests: float) -> Sample:
    count = round(requests * 60)
    return Sample(0.0, 60.0, count, count, 0, 0, (count,) * (len(LATENCY_BOUNDS_MS) + 1))


def windows(count: int, factors: Mapping[tuple[str, str], float], entries: tuple[str, ...], noise: float = 0.02):
    """Entries vary each by itself; what is called gets the sum over its callers, with some noise."""
    rng = random.Random(5)
    found = []
    for _ in range(count):
        rates = {name: rng.uniform(20, 200) for name in entries}
        for (caller, callee), factor in factors.items():
            rates[callee] = rates.get(callee, 0.0) + rates[caller] * factor * rng.gauss(1, noise)
        found.append({name: sample(rate) for name, rate in rates.items()})
    return found


def by_edge(found: tuple[CallEstimate, ...]) -> dict[tuple[str, str], CallEstimate]:
    return {(one.caller, one.callee): one for one in found}


FEED, APP = service("feed", {"user": 0.4}, port=80), service("app", {"user": 2.0}, port=81)
SHOP = ApplicationSpec("shop", (FEED, APP, service("user")))
TRUE = {("feed", "user"): 0.4, ("app", "user"): 2.0}


def test_two_callers_of_one_service_are_told_apart():
    found = by_edge(estimate_calls(SHOP, windows(60, TRUE, ("feed", "app"))))
    assert {edge: one.verdict for edge, one in found.items()} == dict.fromkeys(TRUE, CallVerdict.AGREES)
    for edge, factor in TRUE.items():
        assert found[edge].learned == pytest.approx(factor, rel=0.1)
        assert found[edge].low <= found[edge].learned <= found[edge].high


def test_what_was_declared_wrongly_or_changed_since_is_named():
    found = by_edge(estimate_calls(SHOP, windows(60, {**TRUE, ("feed", "user"): 0.9}, ("feed", "app"))))
    assert found["feed", "user"].verdict is CallVerdict.DRIFTED
    assert found["feed", "user"].learned == pytest.approx(0.9, rel=0.1)
    assert found["app", "user"].verdict is CallVerdict.AGREES


def test_a_call_that_is_never_made_is_unseen():
    found = by_edge(estimate_calls(SHOP, windows(60, {("app", "user"): 2.0}, ("feed", "app"))))
    assert found["feed", "user"].verdict is CallVerdict.UNSEEN


def test_what_was_not_declared_is_learned_along_depends_on():
    spec = ApplicationSpec("shop", (service("feed", needs=("user",), port=80), service("user")))
    (one,) = estimate_calls(spec, windows(30, {("feed", "user"): 0.7}, ("feed",)))
    assert (one.declared, one.verdict) == (None, CallVerdict.LEARNED)
    assert one.learned == pytest.approx(0.7, rel=0.05)


def test_what_comes_from_outside_is_not_taken_for_calls():
    spec = ApplicationSpec("shop", (service("feed", {"user": 0.5}, port=80), service("user", port=82)))
    seen = [
        {"feed": one["feed"], "user": sample(one["user"].arrived / 60 + 40)}
        for one in windows(60, {("feed", "user"): 0.5}, ("feed",))
    ]
    (estimate,) = estimate_calls(spec, seen)
    assert estimate.verdict is CallVerdict.AGREES
    assert estimate.learned == pytest.approx(0.5, rel=0.1)


@pytest.mark.parametrize("count", [0, 1, 11])
def test_a_few_windows_say_nothing(count: int):
    for one in estimate_calls(SHOP, windows(count, TRUE, ("feed", "app"))):
        assert (one.verdict, one.learned, one.windows) == (CallVerdict.UNSURE, None, count)


def test_callers_that_rise_and_fall_together_cannot_be_told_apart():
    together = [{"feed": sample(rate), "app": sample(2 * rate), "user": sample(rate * 4.4)} for rate in range(20, 80)]
    assert {one.verdict for one in estimate_calls(SHOP, together)} == {CallVerdict.UNSURE}


def test_windows_with_missing_metrics_are_left_out():
    seen = windows(40, TRUE, ("feed", "app"))
    holes = [{**one, "user": None} if number % 2 else one for number, one in enumerate(seen)]
    assert {one.windows for one in estimate_calls(SHOP, holes)} == {20}


@given(st.floats(0.05, 5), st.floats(0.05, 5), st.integers(0, 1000))
def test_estimates_are_near_the_truth_or_unsure(first: float, second: float, seed: int):
    rng = random.Random(seed)
    seen = []
    for _ in range(40):
        feed, app = rng.uniform(50, 500), rng.uniform(50, 500)
        seen.append({"feed": sample(feed), "app": sample(app), "user": sample(first * feed + second * app)})
    for one, truth in zip(estimate_calls(SHOP, seen), (first, second), strict=True):
        assert one.learned is None or one.learned == pytest.approx(truth, rel=0.15, abs=0.02)


def estimate(declared: float | None, learned: float | None, verdict: CallVerdict) -> CallEstimate:
    return CallEstimate("feed", "user", declared, learned, learned, learned, 60, verdict)


@pytest.mark.parametrize(
    ("declared", "learned", "verdict", "planned"),
    [
        (0.4, 0.41, CallVerdict.AGREES, 0.4),
        (0.4, 0.9, CallVerdict.DRIFTED, 0.9),
        (0.4, 0.2, CallVerdict.DRIFTED, 0.4),
        (0.4, 0.0, CallVerdict.UNSEEN, 0.4),
        (0.4, None, CallVerdict.UNSURE, 0.4),
        (None, 1.5, CallVerdict.LEARNED, 1.5),
        (None, 0.001, CallVerdict.LEARNED, None),
        (None, None, CallVerdict.UNSURE, None),
    ],
)
def test_plans_count_on_the_learned_figure_where_it_is_more_or_the_only_one(declared, learned, verdict, planned):
    known = estimate(declared, learned, verdict)
    assert known.planned == planned
    feed = service("feed", {"user": declared} if declared else {}, needs=("user",))
    spec = ApplicationSpec("shop", (feed, service("user")))
    calls = {call.service: call.per_request for call in with_learned(spec, (known,)).service("feed").calls}
    assert calls == ({} if planned is None else {"user": planned})


def test_what_was_learned_of_another_declaration_counts_no_more():
    spec = ApplicationSpec("shop", (service("feed", {"user": 0.5}), service("user")))
    assert with_learned(spec, (estimate(0.4, 0.9, CallVerdict.DRIFTED),)) == spec
    assert with_learned(spec, ()) is spec


def test_a_figure_stays_until_another_one_is_surely_different():
    known = estimate(0.4, 0.9, CallVerdict.DRIFTED)
    for after, kept in (
        (estimate(0.4, None, CallVerdict.UNSURE), known),
        (estimate(0.4, 0.95, CallVerdict.DRIFTED), known),
        (estimate(0.4, 1.2, CallVerdict.DRIFTED), None),
        (estimate(0.8, None, CallVerdict.UNSURE), None),
    ):
        assert merge((known,), (after,)) == (kept or after,)
    assert merge((known,), ()) == ()


def test_windows_with_failures_teach_nothing():
    good = windows(60, {("feed", "user"): 0.4}, ("feed",))
    storm = [
        {"feed": replace(one["feed"], answered=1, failed=one["feed"].arrived - 1), "user": one["feed"]} for one in good
    ]
    spec = ApplicationSpec("shop", (FEED, service("user")))
    (calm,) = estimate_calls(spec, good)
    assert estimate_calls(spec, good + storm) == (calm,)
    (only_storm,) = estimate_calls(spec, storm)
    assert (only_storm.verdict, only_storm.windows) == (CallVerdict.UNSURE, 0)
