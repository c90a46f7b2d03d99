"""What a cluster may have: quotas, caps, and which sources."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcp.hosts.clusters import UNBOUNDED, Cluster, SourceAccess, allowance_of, month_began, quotas_left
from dcp.hosts.model import Host, HostType, Offer, Resources, SourceKind
from dcp.hosts.sharing import EVERYBODYS, in_order, sharing_of
from dcp.hosts.states import HostState
from dcp.orchestration.scaling.hosts_wanted import place_with_new_hosts
from dcp.scheduling.model import Ask

SHAPE = Resources(1000, 1 << 30)
OWN = Offer("racks", SourceKind.PRIVATE, HostType("slice", SHAPE), None)
RENTED = Offer("cloud", SourceKind.CLOUD, HostType("c1", SHAPE, 0.5), None)
SMALL = Offer("cloud", SourceKind.CLOUD, HostType("c0", Resources(250, 1 << 28), 0.2), None)


def host(number: int, offer: Offer, cluster: str = "news", state: HostState = HostState.READY) -> Host:
    return Host(f"h-{number}", offer.source, offer.kind, offer.host_type, state, 0.0, cluster=cluster)


def one_each(count: int) -> tuple[Ask, ...]:
    return (Ask("shop/web", count, SHAPE),)


def test_what_is_there_counts_only_for_its_own_cluster() -> None:
    bounds = Cluster("news", max_hosts=5, max_cloud_hosts=2, hard_cap_usd_per_hour=2.0)
    held = (host(1, RENTED), host(2, OWN), host(3, RENTED, "shop"), host(4, RENTED, state=HostState.REQUESTED))
    left = allowance_of(bounds, held, 0.0)
    assert (left.hosts, left.cloud_hosts, left.usd_per_hour) == (2, 0, 1.0)
    assert left.usd_per_hour_by_month == left.usd_per_hour_softly == math.inf


@pytest.mark.parametrize(
    ("bounds", "hosts", "cloud", "words"),
    [
        (Cluster("news"), 6, 4, ""),
        (Cluster("news", max_hosts=3), 3, 1, "the quota of hosts of cluster news is used up"),
        (Cluster("news", max_cloud_hosts=1), 3, 1, "the quota of cloud hosts of cluster news is used up"),
        (
            Cluster("news", hard_cap_usd_per_hour=1.2),
            4,
            2,
            "$0.5 an hour would exceed the hard cap of cluster news: $0.2 an hour is left",
        ),
        (Cluster("news", hard_cap_usd_per_month=48.0), 6, 4, ""),
        (Cluster("news", hard_cap_usd_per_month=24.0), 4, 2, "would exceed the monthly cap of cluster news"),
        (Cluster("news", max_hosts=0), 0, 0, "the quota of hosts of cluster news is used up"),
    ],
)
def test_a_plan_stays_inside_and_says_what_holds_it(bounds: Cluster, hosts: int, cloud: int, words: str) -> None:
    offers = (replace(OWN, available=2), RENTED)
    plan = place_with_new_hosts(one_each(6), (), offers, 0, 1, allowance_of(bounds, (), 0.0))
    assert len(plan.new_hosts) == hosts
    assert sum(new.offer.kind is SourceKind.CLOUD for new in plan.new_hosts) == cloud
    assert [one.count for one in plan.placement.unplaced] == ([6 - hosts] if hosts < 6 else [])
    assert all(words in one.words for one in plan.placement.unplaced)
    assert bool(words) == bool(plan.placement.unplaced)


def test_a_dear_host_is_passed_over_for_one_that_the_cap_allows() -> None:
    ask = Ask("shop/web", 1, SMALL.host_type.resources)
    left = allowance_of(Cluster("", hard_cap_usd_per_hour=0.3), (), 0.0)
    plan = place_with_new_hosts((ask,), (), (RENTED, SMALL), 0, 1, left)
    assert [new.offer for new in plan.new_hosts] == [SMALL]


def test_what_was_spent_this_month_leaves_less() -> None:
    bounds = Cluster("news", hard_cap_usd_per_month=100.0)
    assert allowance_of(bounds, (), 0.0).permits(RENTED)
    assert not allowance_of(bounds, (), 95.0).permits(RENTED)
    assert allowance_of(bounds, (), 200.0).permits(OWN) is False, "above the cap even what costs nothing waits"
    assert month_began(1_700_000_000.0) == 1_698_796_800.0


def test_going_over_the_soft_cap_is_said_and_nothing_else() -> None:
    left = allowance_of(Cluster("news", soft_cap_usd_per_hour=0.7), (host(1, RENTED),), 0.0)
    assert left.permits(RENTED)
    assert left.over_soft_cap([RENTED]) == "goes $0.3 an hour over the soft cap of cluster news"
    assert left.over_soft_cap([OWN]) == "" == UNBOUNDED.over_soft_cap([RENTED] * 9)


def test_sources_of_others_are_closed_and_private_ones_come_first() -> None:
    access = (SourceAccess("racks", ("news",)), SourceAccess("elsewhere", ("x",)))
    sharing = sharing_of((Cluster("news"),), access)
    assert in_order("news", (RENTED, OWN), sharing) == (OWN, RENTED)
    assert in_order("shop", (RENTED, OWN), sharing) == (RENTED,)
    assert in_order("", (RENTED, OWN), EVERYBODYS) == (OWN, RENTED)


def test_the_quota_of_a_source_holds_for_all_its_types_and_all_clusters_together() -> None:
    held = (host(1, RENTED), host(2, SMALL, "shop", HostState.REQUESTED))
    access = (SourceAccess("cloud", quota=4), SourceAccess("racks", ("news",)))
    left = replace(UNBOUNDED, by_source=quotas_left(access, held))
    assert left.by_source == (("cloud", 2),)
    plan = place_with_new_hosts(one_each(5), (), (replace(OWN, available=1), SMALL, RENTED), 0, 1, left)
    assert [new.offer.source for new in plan.new_hosts] == ["racks", "cloud", "cloud"]
    (missing,) = plan.placement.unplaced
    assert missing.count == 2
    assert "c1 of cloud: the quota of source cloud is used up" in missing.words
    assert not replace(UNBOUNDED, by_source=(("cloud", -1),)).permits(RENTED), "it was lowered meanwhile"


@given(
    prices=st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.9, 3.0]), min_size=1, max_size=4),
    cap=st.floats(0.05, 5.0),
    quota=st.integers(0, 6),
    cloud_quota=st.integers(0, 6),
    count=st.integers(1, 12),
)
def test_no_plan_ever_exceeds_a_bound(
    prices: list[float], cap: float, quota: int, cloud_quota: int, count: int
) -> None:
    offers = tuple(
        Offer("cloud" if n % 2 else "own", list(SourceKind)[n % 2], HostType(f"t{n}", SHAPE, price), None)
        for n, price in enumerate(prices)
    )
    bounds = Cluster("c", quota, cloud_quota, cap)
    plan = place_with_new_hosts(one_each(count), (), offers, 0, 1, allowance_of(bounds, (), 0.0))
    assert len(plan.new_hosts) <= quota
    assert sum(new.offer.kind is SourceKind.CLOUD for new in plan.new_hosts) <= cloud_quota
    assert sum(new.offer.host_type.price_usd_per_hour for new in plan.new_hosts) <= cap + 1e-6
    left = allowance_of(bounds, (), 0.0).less(new.offer for new in plan.new_hosts)
    if plan.placement.unplaced:
        assert not any(left.permits(offer) for offer in offers), "nothing more was possible"
