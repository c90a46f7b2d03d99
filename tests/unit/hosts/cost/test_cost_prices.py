"""Prices per hour of plans, and of hosts whose price changes while they are held."""

from dataclasses import replace

import pytest

from dcp.hosts.cost.prices import PriceLine, price_lines, repriced
from dcp.hosts.model import Host, HostType, Resources, SourceHost, SourceHostState, SourceKind
from dcp.hosts.states import HostState

TYPE = HostType("c1", Resources(1000, 1 << 30), price_usd_per_hour=0.1, price_stopped_usd_per_hour=0.01)
HOST = Host("cloud-1", "cloud", SourceKind.CLOUD, TYPE, HostState.READY, 0.0, cluster="a", attempts=2)


def test_a_plan_tells_the_price_before_and_after_by_cluster_and_source() -> None:
    stopped = replace(HOST, id="cloud-2", state=HostState.STOPPED)
    gone = replace(HOST, id="cloud-3", state=HostState.RELEASED)
    own = replace(HOST, id="own-1", source="own", cluster="")
    new = replace(HOST, id="cloud-4", state=HostState.REQUESTED)
    assert price_lines((HOST, stopped, gone, own), (new, new)) == (
        PriceLine("", "own", 0.1, 0.1),
        PriceLine("a", "cloud", 0.11, 0.31),
    )


def test_a_price_that_changes_while_the_host_is_held_is_taken_over() -> None:
    seen = SourceHost("cloud-1", SourceHostState.RUNNING, "c1", price_usd_per_hour=0.25)
    step = repriced(HOST, seen)
    assert step is not None
    assert step.after == HostState.READY
    dearer = replace(TYPE, price_usd_per_hour=0.25)
    assert step.changes == {"host_type": dearer, "reason": "", "attempts": 2, "not_before": 0.0}


@pytest.mark.parametrize("price", [None, 0.1])
def test_an_unchanged_price_asks_for_nothing(price: float | None) -> None:
    assert repriced(HOST, SourceHost("cloud-1", SourceHostState.RUNNING, "c1", price_usd_per_hour=price)) is None
    assert repriced(HOST, None) is None
