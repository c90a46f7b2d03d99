"""New hosts: private first, cloud last, as few as reasonable, and a reason for each."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcp.hosts.model import HostType, Offer, Resources, SourceKind
from dcp.orchestration.scaling.filling import candidate_of
from dcp.orchestration.scaling.hosts_wanted import HostPlan, place_with_new_hosts
from dcp.scheduling.filters import room_for
from dcp.scheduling.fleet import Fleet
from dcp.scheduling.model import Ask, Candidate, Neighbour, SpreadOver
from dcp.scheduling.place import place
from dcp.scheduling.traits import avoids

MIB = 1 << 20
SLICE = HostType("slice", Resources(1000, 1024 * MIB))
SMALL = HostType("small", Resources(1000, 1024 * MIB), 0.04)
LARGE = HostType("large", Resources(4000, 4096 * MIB), 0.12)
QUARTER = Resources(250, 64 * MIB)


def pool(available: int | None = None, host_type: HostType = SLICE, source: str = "pool") -> Offer:
    return Offer(source, SourceKind.PRIVATE, host_type, available)


def cloud(available: int | None = None, host_type: HostType = SMALL, source: str = "cloud") -> Offer:
    return Offer(source, SourceKind.CLOUD, host_type, available)


def ask(count: int, service: str = "shop/feed", resources: Resources = QUARTER, *constraints: str) -> Ask:
    return Ask(service, count, resources, constraints)


def bought(plan: HostPlan) -> Counter[str]:
    return Counter(f"{new.offer.source}/{new.offer.host_type.name}" for new in plan.new_hosts)


def plan_for(*asks: Ask, offers: tuple[Offer, ...], hosts: tuple[Candidate, ...] = ()) -> HostPlan:
    return place_with_new_hosts(asks, hosts, offers, 7, seed=1)


def test_no_host_is_asked_for_while_there_is_room() -> None:
    plan = plan_for(ask(4), offers=(pool(), cloud()), hosts=(candidate_of(pool(), "pool-1"),))
    assert plan.new_hosts == ()
    assert {one.host_id for one in plan.placement.assignments} == {"pool-1"}


def test_hosts_that_are_there_are_filled_before_new_ones() -> None:
    plan = plan_for(ask(6), offers=(pool(),), hosts=(candidate_of(pool(), "pool-1"),))
    assert Counter(one.host_id for one in plan.placement.assignments) == {"pool-1": 4, "pool-8": 2}


def test_private_first_and_the_cloud_only_for_the_rest() -> None:
    plan = plan_for(ask(10), offers=(cloud(), pool(2)))
    assert bought(plan) == {"pool/slice": 2, "cloud/small": 1}
    assert [new.host_id for new in plan.new_hosts] == ["pool-8", "pool-9", "cloud-10"]


def test_private_sources_in_their_order() -> None:
    plan = plan_for(ask(10), offers=(pool(1, source="spare"), pool(source="night")))
    assert bought(plan) == {"spare/slice": 1, "night/slice": 2}


def test_the_cloud_by_price_for_each_instance_placed() -> None:
    """16 fill a large host at 0.0075 each; the 3 that are left are cheaper on a small one."""
    plan = plan_for(ask(19), offers=(cloud(), cloud(host_type=LARGE)))
    assert bought(plan) == {"cloud/large": 1, "cloud/small": 1}


def test_all_services_share_the_new_hosts() -> None:
    plan = plan_for(ask(2, "shop/feed"), ask(1, "shop/user"), ask(1, "shop/card"), offers=(pool(),))
    assert bought(plan) == {"pool/slice": 1}


def test_services_are_spread_over_the_new_hosts() -> None:
    plan = plan_for(ask(4, "shop/feed"), ask(4, "shop/user"), offers=(pool(),))
    placed = Counter((one.host_id, one.service) for one in plan.placement.assignments)
    assert placed == {(name, one): 2 for name in ("pool-8", "pool-9") for one in ("shop/feed", "shop/user")}


def test_spreading_never_costs_room() -> None:
    """Three large and eight small instances fill two hosts to the brim only if packed, so they are packed."""
    third = Resources(500, 64 * MIB)
    plan = plan_for(ask(4, "shop/small", Resources(250, 64 * MIB)), ask(2, "shop/big", third), offers=(pool(2),))
    assert plan.placement.unplaced == ()


def test_a_type_that_the_constraints_exclude_is_not_chosen() -> None:
    zoned = HostType("zoned", SMALL.resources, 0.40, (("zone", "a"),))
    plan = plan_for(
        ask(1, "shop/feed", QUARTER, "node.labels.zone==a"), offers=(pool(), cloud(), cloud(host_type=zoned))
    )
    assert bought(plan) == {"cloud/zoned": 1}
    plan = plan_for(ask(1, "shop/feed", QUARTER, "node.source==cloud"), offers=(pool(), cloud()))
    assert bought(plan) == {"cloud/small": 1}


def test_what_may_go_to_few_hosts_gets_them_before_what_may_go_anywhere() -> None:
    zoned = HostType("zoned", SLICE.resources, 0.0, (("zone", "a"),))
    asks = (ask(4, "shop/any"), ask(4, "shop/zoned", QUARTER, "node.labels.zone==a"), ask(4, "shop/other"))
    plan = plan_for(*asks, offers=(pool(1, zoned), pool(source="spare")))
    assert plan.placement.unplaced == ()
    assert bought(plan) == {"pool/zoned": 1, "spare/slice": 2}


def test_the_reason_of_each_new_host() -> None:
    plan = plan_for(ask(5), ask(1, "shop/user"), offers=(pool(1), cloud()))
    assert [new.why for new in plan.new_hosts] == [
        "no host has room for 4 of shop/feed; the private source pool gives one slice (1 CPU and 1 GiB)",
        "no host has room for 1 of shop/feed and 1 of shop/user and private sources (pool) have nothing left for it; "
        "cloud gives one small (1 CPU and 1 GiB) at $0.04 an hour, $0.02 an instance, the best found for all",
    ]


def test_what_fits_nowhere_says_which_sources_are_out() -> None:
    big = Resources(2000, 64 * MIB)
    plan = plan_for(ask(6), ask(1, "shop/big", big), offers=(pool(1), cloud(0), cloud(0, LARGE)))
    left, too_big = plan.placement.unplaced
    assert (left.service, left.count) == ("shop/feed", 2)
    assert left.words.startswith("shop/feed: 2 instances fit on no host (6 were asked for): 1 host, of which 1 without")
    assert left.words.endswith(
        "; new hosts: no slice of pool is left, no small of cloud is left, no large of cloud is left"
    )
    assert "no large of cloud is left" in too_big.words
    plan = plan_for(ask(1, "shop/big", big, "node.labels.zone==a"), ask(1, "shop/user", big), offers=(pool(),))
    assert plan.placement.unplaced[0].words.endswith("new hosts: slice of pool is ruled out by node.labels.zone==a")
    assert plan.placement.unplaced[1].words.endswith("new hosts: slice of pool is too small (1 CPU and 1 GiB)")
    assert plan_for(ask(1), offers=()).placement.unplaced[0].words.endswith("new hosts: there is no source")


def test_assignments_stand_in_the_order_of_the_asks() -> None:
    plan = plan_for(ask(6, "shop/user"), ask(6, "shop/feed"), offers=(pool(),), hosts=(candidate_of(pool(), "pool-1"),))
    assert [one.service for one in plan.placement.assignments] == ["shop/user"] * 6 + ["shop/feed"] * 6


def test_two_asks_for_one_service_are_a_mistake() -> None:
    with pytest.raises(ValueError):
        plan_for(ask(1), ask(2), offers=())


sizes = st.builds(Resources, st.integers(0, 6), st.integers(0, 6))


@st.composite
def offers_to_choose(draw: st.DrawFn) -> tuple[Offer, ...]:
    return tuple(
        Offer(
            source=f"s{number % 3}",
            kind=SourceKind.CLOUD if number % 3 == 2 else SourceKind.PRIVATE,
            host_type=HostType(
                f"t{number}",
                draw(st.builds(Resources, st.integers(1, 12), st.integers(1, 12))),
                draw(st.sampled_from([0.0, 0.1, 0.3])),
                (("zone", draw(st.sampled_from(["a", "b"]))),),
            ),
            available=draw(st.integers(0, 3) | st.none()),
        )
        for number in range(draw(st.integers(0, 5)))
    )


@st.composite
def asks_to_place(draw: st.DrawFn) -> tuple[Ask, ...]:
    return tuple(
        Ask(
            f"shop/s{number}",
            draw(st.integers(0, 6)),
            draw(sizes),
            draw(st.sampled_from([(), (), ("node.labels.zone==a",), ("node.source==cloud",)])),
            draw(st.none() | st.integers(1, 3)),
        )
        for number in range(draw(st.integers(1, 4)))
    )


def existing(draw_count: int) -> tuple[Candidate, ...]:
    return tuple(candidate_of(pool(host_type=HostType("old", Resources(4, 4))), f"old-{n}") for n in range(draw_count))


@settings(deadline=None)
@given(asks_to_place(), offers_to_choose(), st.integers(0, 3), st.integers(0, 3))
def test_whatever_is_asked_the_plan_keeps_its_promises(
    asks: tuple[Ask, ...], offers: tuple[Offer, ...], hosts: int, seed: int
) -> None:
    there = existing(hosts)
    plan = place_with_new_hosts(asks, there, offers, 7, seed)
    taken = Counter(new.offer for new in plan.new_hosts)
    assert all(offer.available is None or count <= offer.available for offer, count in taken.items())
    names = [new.host_id for new in plan.new_hosts]
    assert [int(name.rpartition("-")[2]) for name in names] == list(range(8, 8 + len(names)))
    assert {one.host_id for one in plan.placement.assignments} <= {*names, *(one.host_id for one in there)}
    assert set(names) <= {one.host_id for one in plan.placement.assignments}
    for one in asks:
        placed = sum(each.service == one.service for each in plan.placement.assignments)
        assert placed + sum(each.count for each in plan.placement.unplaced if each.service == one.service) == one.count
    _expect_nothing_over_committed(plan, asks, there)
    _expect_no_offer_to_help(plan, asks, offers, taken)
    assert place_with_new_hosts(asks, there[::-1], offers, 7, seed) == plan


def _expect_nothing_over_committed(plan: HostPlan, asks: tuple[Ask, ...], there: tuple[Candidate, ...]) -> None:
    sizes = {one.service: one.resources for one in asks}
    totals = {one.host_id: one.total for one in there} | {
        n.host_id: n.offer.host_type.resources for n in plan.new_hosts
    }
    for name, total in totals.items():
        load = [sizes[one.service] for one in plan.placement.assignments if one.host_id == name]
        assert sum(one.cpu_millis for one in load) <= total.cpu_millis
        assert sum(one.memory_bytes for one in load) <= total.memory_bytes


def _expect_no_offer_to_help(
    plan: HostPlan, asks: tuple[Ask, ...], offers: tuple[Offer, ...], taken: Counter[Offer]
) -> None:
    """What is refused fits no offer that has something left, and what went to the cloud no private one."""
    left = [offer for offer in offers if offer.available is None or offer.available > taken[offer]]
    refused = {one.service for one in plan.placement.unplaced}
    new_cloud = {new.host_id for new in plan.new_hosts if new.offer.kind is SourceKind.CLOUD}
    on_cloud = {one.service for one in plan.placement.assignments if one.host_id in new_cloud}
    for one in asks:
        single = Ask(one.service, 1, one.resources, one.constraints, one.max_per_host)
        for offer in left:
            fits = bool(place((single,), (candidate_of(offer, "x"),), 0).assignments)
            assert not (fits and one.service in refused)
            assert not (fits and one.service in on_cloud and offer.kind is SourceKind.PRIVATE)


def test_where_a_start_failed_lately_a_free_private_host_is_taken_instead() -> None:
    one = replace(ask(1), not_on=frozenset({"pool-1"}))
    there = (candidate_of(pool(), "pool-1"),)
    plan = plan_for(one, offers=(pool(1), cloud()), hosts=there)
    assert [a.host_id for a in plan.placement.assignments] == ["pool-8"]
    assert bought(plan) == {"pool/slice": 1}


def test_nothing_is_bought_only_because_a_start_failed() -> None:
    two = replace(ask(2), not_on=frozenset({"pool-1"}))
    plan = plan_for(two, offers=(cloud(),), hosts=(candidate_of(pool(), "pool-1"),))
    assert [a.host_id for a in plan.placement.assignments] == ["pool-1", "pool-1"]
    assert (plan.new_hosts, plan.placement.unplaced) == ((), ())


def in_zone(offer: Offer, zone: str) -> Offer:
    return replace(offer, host_type=replace(offer.host_type, name=f"slice-{zone}", labels=(("zone", zone),)))


def test_new_hosts_come_from_where_a_skew_wants_them() -> None:
    question = replace(ask(12), spread=(SpreadOver("zone", 1),))
    offers = (in_zone(pool(source="a"), "a"), in_zone(cloud(source="b"), "b"), in_zone(cloud(source="c"), "c"))
    plan = plan_for(question, offers=offers, hosts=tuple(candidate_of(offer, f"{offer.source}-1") for offer in offers))
    assert not plan.new_hosts
    plan = plan_for(
        replace(question, count=18), offers=offers, hosts=tuple(candidate_of(o, f"{o.source}-1") for o in offers)
    )
    by_zone = Counter(one.host_id[0] for one in plan.placement.assignments)
    assert by_zone == {"a": 6, "b": 6, "c": 6}
    assert [new.host_id for new in plan.new_hosts] == ["a-8", "b-9", "c-10"]


def test_new_hosts_hold_what_must_not_meet() -> None:
    heavy = replace(ask(3, "shop/train"), heavy="gpu")
    ports = replace(ask(2, "shop/edge"), host_ports=frozenset({443}))
    plan = plan_for(heavy, ports, offers=(pool(2), cloud()))
    for service, count in (("shop/train", 3), ("shop/edge", 2)):
        assert len({one.host_id for one in plan.placement.assignments if one.service == service}) == count
    assert bought(plan) == {"pool/slice": 2, "cloud/small": 1}


def test_named_resources_choose_the_offer() -> None:
    gpus = replace(LARGE, name="gpus", resources=Resources(4000, 4096 * MIB, 0, (("gpu", 2),)))
    question = ask(3, "shop/train", Resources(250, 64 * MIB, 0, (("gpu", 1),)))
    plan = plan_for(question, offers=(pool(), cloud(host_type=gpus)))
    assert bought(plan) == {"cloud/gpus": 2}


def test_dedicated_offers_are_left_to_what_they_are_kept_for() -> None:
    kept = replace(SLICE, labels=(("dedicated", "ads"),))
    plan = plan_for(ask(1), offers=(pool(host_type=kept), cloud()))
    assert bought(plan) == {"cloud/small": 1}
    (refused,) = plan_for(ask(1), offers=(pool(host_type=kept),)).placement.unplaced
    assert refused.words.endswith("slice of pool is ruled out by being kept for ads")


def test_a_group_is_placed_whole_or_not_at_all() -> None:
    pair = tuple(replace(ask(count, f"shop/{name}"), group="pair") for name, count in (("one", 2), ("two", 9)))
    plan = plan_for(*pair, ask(1, "shop/other"), offers=(pool(2),))
    assert {one.service for one in plan.placement.assignments} == {"shop/other"}
    assert [(one.service, one.count) for one in plan.placement.unplaced] == [("shop/one", 2), ("shop/two", 9)]
    assert "nothing of group pair is placed unless all of it fits; shop/two: " in plan.placement.unplaced[0].words
    assert len(plan.new_hosts) == 1
    whole = plan_for(*pair, offers=(pool(3),))
    assert Counter(one.service for one in whole.placement.assignments) == {"shop/one": 2, "shop/two": 9}


def test_many_new_hosts_for_ports_are_few_steps() -> None:
    plan = plan_for(replace(ask(300), host_ports=frozenset({80})), offers=(pool(100), cloud()))
    assert bought(plan) == {"pool/slice": 100, "cloud/small": 200}
    assert len({one.host_id for one in plan.placement.assignments}) == 300


def test_new_hosts_are_no_way_around_somebody_who_keeps_a_zone_free() -> None:
    shy = replace(candidate_of(in_zone(pool(source="a"), "a"), "a-1"), traits={avoids("shop/feed", "zone"): 1})
    full = replace(shy, used=shy.total)
    plan = plan_for(ask(1), offers=(in_zone(pool(source="a"), "a"), in_zone(cloud(source="b"), "b")), hosts=(full,))
    assert [new.host_id for new in plan.new_hosts] == ["b-8"]


@settings(max_examples=60)
@given(
    st.lists(
        st.sampled_from(
            [
                {"spread": (SpreadOver("zone", 1),)},
                {"apart": (Neighbour("shop/s0", "zone"),)},
                {"apart": (Neighbour("shop/s1"),), "heavy": "train"},
                {"host_ports": frozenset({80})},
                {"beside": (Neighbour("shop/s0"),)},
                {"empty_only": True},
                {},
            ]
        ),
        min_size=1,
        max_size=3,
    ),
    st.lists(st.integers(1, 6), min_size=3, max_size=3),
    st.integers(0, 2),
)
def test_rules_hold_on_new_hosts_too_and_none_is_asked_for_in_vain(
    rules: list[dict[str, Any]], counts: list[int], hosts_there: int
) -> None:
    """The plan is put up again instance by instance: each may stand where the plan put it, given those before."""
    offers = (in_zone(pool(2, source="a"), "a"), in_zone(cloud(3, source="b"), "b"))
    asks = tuple(replace(ask(counts[n], f"shop/s{n}"), **rule) for n, rule in enumerate(rules))
    there = tuple(candidate_of(offers[n % 2], f"old-{n}") for n in range(hosts_there))
    plan = plan_for(*asks, offers=offers, hosts=there)
    assert {one.host_id for one in plan.placement.assignments} >= {new.host_id for new in plan.new_hosts}
    every = (*there, *(candidate_of(new.offer, new.host_id) for new in plan.new_hosts))
    fleet, by_service = Fleet(1, every), {one.service: one for one in asks}
    for assignment in plan.placement.assignments:
        one = replace(by_service[assignment.service], count=1, spread=())
        assert room_for(fleet, one).fits()[fleet.position(assignment.host_id)], assignment
        fleet.placed(one, assignment.host_id)
    for one in asks:
        zones = Counter({"a": 0, "b": 0})
        zones.update(h.labels["zone"] for h in every for _ in range(fleet.count_on(one.service, h.host_id)))
        if one.spread and hosts_there == 2:  # both zones were there from the beginning
            assert max(zones.values()) - min(zones.values()) <= 1


def test_a_skew_opens_a_domain_that_has_no_host_yet_and_a_mere_wish_does_not() -> None:
    offers = (in_zone(pool(source="a"), "a"), in_zone(pool(source="b"), "b"), in_zone(cloud(source="c"), "c"))
    must = plan_for(replace(ask(4), spread=(SpreadOver("zone", 1),)), offers=offers)
    assert Counter(one.host_id for one in must.placement.assignments) == {"a-8": 2, "b-9": 2}
    wish = plan_for(replace(ask(4), spread=(SpreadOver("zone"),)), offers=offers)
    assert Counter(one.host_id for one in wish.placement.assignments) == {"a-8": 4}
    many = plan_for(replace(ask(400), spread=(SpreadOver("zone"),)), offers=offers)
    by_zone = Counter(one.host_id[0] for one in many.placement.assignments)
    assert sorted(by_zone) == ["a", "b"]
    assert abs(by_zone["a"] - by_zone["b"]) <= 8
