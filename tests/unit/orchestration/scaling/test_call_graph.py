"""Order along dependencies, and load along calls."""

from graphlib import CycleError

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scaling_builders import service

from dcp.orchestration.scaling.graph import (
    call_order,
    closure,
    dependants_of,
    dependencies_of,
    direct_callees,
    propagate,
)
from dcp.orchestration.services.model import ApplicationSpec


def spec(*services: object) -> ApplicationSpec:
    return ApplicationSpec("shop", tuple(services))  # type: ignore[arg-type]


SHOP = spec(
    service("feed", calls={"user": 0.4, "card": 0.3}),
    service("user", calls={"rows": 2.0}),
    service("card", depends_on=["cache"]),
    service("rows"),
    service("cache"),
)


def test_dependencies_come_first() -> None:
    order = call_order(SHOP)
    assert sorted(order) == ["cache", "card", "feed", "rows", "user"]
    assert order.index("feed") > max(order.index("user"), order.index("card"))
    assert order.index("user") > order.index("rows")
    assert order.index("card") > order.index("cache")


def test_a_cycle_is_refused() -> None:
    with pytest.raises(CycleError):
        call_order(spec(service("a", calls={"b": 1.0}), service("b", calls={"a": 1.0})))


def test_both_kinds_of_edges_order_and_only_calls_carry_load() -> None:
    assert dependencies_of(SHOP, "feed") == {"user", "card", "rows", "cache"}
    assert dependants_of(SHOP, "cache") == {"card", "feed"}
    assert closure(direct_callees(SHOP))["feed"] == ("card", "rows", "user")


def test_the_published_example_ten_feed_bring_four_user_and_three_card() -> None:
    rates = propagate({"feed": 10.0}, SHOP)
    assert (rates["user"], rates["card"]) == (pytest.approx(4.0), pytest.approx(3.0))
    assert rates["rows"] == pytest.approx(8.0)
    assert rates["cache"] == 0.0


def test_load_from_outside_adds_to_load_from_callers_and_paths_add_up() -> None:
    diamond = spec(
        service("web", calls={"a": 1.0, "b": 2.0}),
        service("a", calls={"rows": 3.0}),
        service("b", calls={"rows": 0.5}),
        service("rows"),
    )
    assert propagate({"web": 10.0, "b": 4.0}, diamond)["rows"] == pytest.approx(10 * 3 + (20 + 4) * 0.5)


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_load_propagates_in_proportion(one: float, other: float) -> None:
    apart = (propagate({"feed": one}, SHOP), propagate({"feed": other}, SHOP))
    together = propagate({"feed": one + other}, SHOP)
    for name, rate in together.items():
        assert rate == pytest.approx(apart[0][name] + apart[1][name])
