"""When a new instance may take traffic."""

import pytest

from dcp.hosts.model import Resources
from dcp.orchestration.scaling.model import Policy
from dcp.orchestration.services.model import Call, Dependency, GateCondition, ServiceSpec
from dcp.orchestration.traffic.gate import gate_for, gate_open

FEED = ServiceSpec(
    name="feed",
    command=("serve",),
    resources=Resources(100, 1 << 20),
    calls=(Call("user", 0.4), Call("card", 0.3)),
    depends_on=(Dependency("store"),),
)
SETTLED = {"feed": 2, "user": 2, "card": 2, "store": 1}
TOGETHER = [Policy.GATED, Policy.DEPENDENCY_FIRST]


@pytest.mark.parametrize("policy", TOGETHER)
def test_dependencies_that_grow_in_the_same_plan_must_serve_their_targets(policy: Policy) -> None:
    targets = SETTLED | {"feed": 12, "user": 6, "card": 5}
    assert gate_for(FEED, targets, SETTLED, policy, False) == (GateCondition("card", 5), GateCondition("user", 6))


@pytest.mark.parametrize("policy", list(Policy))
def test_nothing_is_asked_of_dependencies_that_do_not_grow(policy: Policy) -> None:
    assert gate_for(FEED, SETTLED | {"feed": 12}, SETTLED, policy, False) == ()


def test_independent_services_do_not_wait_for_growth() -> None:
    assert gate_for(FEED, SETTLED | {"feed": 12, "user": 6}, SETTLED, Policy.INDEPENDENT, False) == ()


def test_at_the_first_start_depends_on_is_honoured_by_every_policy() -> None:
    nobody: dict[str, int] = {}
    assert gate_for(FEED, SETTLED, nobody, Policy.INDEPENDENT, True) == (GateCondition("store", 1),)
    assert gate_for(FEED, SETTLED, nobody, Policy.GATED, True) == (
        GateCondition("card", 2),
        GateCondition("store", 1),
        GateCondition("user", 2),
    )
    assert gate_for(FEED, SETTLED, SETTLED, Policy.GATED, True) == (GateCondition("store", 1),)


def test_what_lies_behind_a_dependency_that_does_not_grow_can_be_named() -> None:
    targets = SETTLED | {"feed": 12, "rows": 4}
    gate = gate_for(FEED, targets, SETTLED, Policy.GATED, False, indirect=frozenset({"user", "rows"}))
    assert gate == (GateCondition("rows", 4),)


def test_a_gate_opens_when_every_condition_holds_and_says_what_is_missing_until_then() -> None:
    gate = (GateCondition("card", 5), GateCondition("user", 6))
    targets = {"card": 5, "user": 6}
    assert gate_open(gate, {"card": 5, "user": 6}, targets) == ""
    assert gate_open(gate, {"card": 5, "user": 7}, targets) == ""
    assert gate_open(gate, {"card": 5, "user": 4}, targets) == "2 more of user must serve (4 of 6 do)"
    assert gate_open(gate, {}, targets) == (
        "5 more of card must serve (0 of 5 do); 6 more of user must serve (0 of 6 do)"
    )
    assert gate_open((), {}, {}) == ""


def test_a_gate_does_not_outlive_the_target_that_set_it() -> None:
    gate = (GateCondition("user", 6),)
    assert gate_open(gate, {"user": 3}, {"user": 3}) == ""
    assert gate_open(gate, {"user": 2}, {"user": 3}) != ""
    assert gate_open(gate, {}, {}) == "", "the dependency is gone from the application"


def test_a_gate_does_not_wait_for_what_cannot_come_but_always_for_one() -> None:
    gate, targets = (GateCondition("user", 6),), {"user": 6}
    assert gate_open(gate, {"user": 4}, targets, {"user": 4}) == ""
    assert gate_open(gate, {"user": 4}, targets, {"user": 5}) == "1 more of user must serve (4 of 5 do)"
    assert gate_open(gate, {"user": 0}, targets, {"user": 0}) == "1 more of user must serve (0 of 1 do)"
