"""Headroom and switched-off hosts."""

from dataclasses import replace

import pytest

from dcp.hosts.clusters import UNBOUNDED, Cluster, allowance_of
from dcp.hosts.model import Host, HostType, Offer, Resources, SourceKind
from dcp.hosts.reserve import (
    headroom,
    kept_ready,
    kept_stopped,
    missing_headroom,
    reserve_hosts,
    surplus_stopped,
)
from dcp.hosts.states import HostState

SHAPE = Resources(1000, 1 << 30)
OWN = Offer("racks", SourceKind.PRIVATE, HostType("slice", SHAPE), 1)
DEAR = Offer("cloud", SourceKind.CLOUD, HostType("c2", SHAPE, 0.9), None)
CHEAP = Offer("cloud", SourceKind.CLOUD, HostType("c1", SHAPE, 0.5), 2)
NEWS = Cluster("news", headroom_hosts=2, headroom_percent=25.0, stopped_hosts=1)


def host(number: int, offer: Offer = CHEAP, state: HostState = HostState.READY, cluster: str = "news") -> Host:
    return Host(f"h-{number}", offer.source, offer.kind, offer.host_type, state, float(number), cluster=cluster)


@pytest.mark.parametrize(("used", "wanted"), [(0, 2), (8, 2), (9, 3), (12, 3), (13, 4)])
def test_headroom_is_the_larger_of_number_and_percentage(used: int, wanted: int) -> None:
    assert headroom(NEWS, used) == wanted


def test_what_is_empty_or_coming_counts_and_what_leaves_or_is_another_s_does_not() -> None:
    held = (
        host(1),
        host(2, state=HostState.BOOTING),
        host(3),
        host(4, cluster="shop"),
        replace(host(5), leave_by=9.0),
        host(6, state=HostState.STOPPED),
    )
    assert missing_headroom(NEWS, held, {"h-3"}) == 0
    assert missing_headroom(NEWS, held, {"h-1", "h-3"}) == 1
    assert missing_headroom(NEWS, held[2:], {"h-3"}) == 2
    assert missing_headroom(Cluster("news"), (), ()) == 0


def test_headroom_keeps_private_hosts_then_cheap_ones() -> None:
    held = (host(1, DEAR), host(2, CHEAP), host(3, OWN), host(4, CHEAP, cluster="shop"))
    assert kept_ready((NEWS,), held, ()) == {"h-3", "h-2"}
    assert kept_ready((NEWS,), held, {"h-3"}) == {"h-2", "h-1"}
    assert kept_ready((), held, ()) == frozenset()


def test_the_reserve_is_private_first_and_cloud_only_where_that_is_wanted() -> None:
    offers = (OWN, DEAR, CHEAP)
    assert list(reserve_hosts(NEWS, 4, offers, UNBOUNDED)) == [OWN]
    rich = replace(NEWS, headroom_cloud=True)
    assert list(reserve_hosts(rich, 4, offers, UNBOUNDED)) == [OWN, CHEAP, CHEAP, DEAR]
    capped = allowance_of(replace(rich, hard_cap_usd_per_hour=0.6), (), 0.0)
    assert list(reserve_hosts(rich, 4, offers, capped)) == [OWN, CHEAP]
    assert list(reserve_hosts(rich, 0, offers, UNBOUNDED)) == []


def test_as_many_hosts_as_wanted_are_switched_off_and_the_rest_goes_back() -> None:
    idle = (host(1, DEAR), host(2, CHEAP))
    assert list(kept_stopped((NEWS,), idle, idle)) == ["h-2"]
    off = host(3, state=HostState.STOPPED)
    assert kept_stopped((NEWS,), (*idle, off), idle) == {}
    more = (off, host(4, DEAR, HostState.STOPPED), host(5, state=HostState.STOPPED, cluster="shop"))
    assert sorted(surplus_stopped((NEWS,), more, ())) == ["h-4", "h-5"]
    assert sorted(surplus_stopped((NEWS,), more, {"h-3", "h-5"})) == [], "one is needed again, the others are kept"
