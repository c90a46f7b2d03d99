"""Spread over domains, neighbours and hosts of one's own: one example for each rule."""

from collections import Counter
from dataclasses import replace

import pytest
from scheduling_builders import QUARTER, ask, host, where

from dcp.hosts.model import Resources, SourceKind
from dcp.scheduling.fleet import Fleet
from dcp.scheduling.model import (
    AT_RANDOM,
    CHEAPEST_FIRST,
    FULLEST_FIRST,
    Ask,
    Candidate,
    Neighbour,
    SpreadOver,
)
from dcp.scheduling.place import place, place_batch
from dcp.scheduling.traits import from_words, heavy, port, to_words, traits_of


def zones(sizes: dict[str, int]) -> list[Candidate]:
    """So many hosts in each zone; four instances fit on one."""
    return [host(f"{zone}{number}", labels={"zone": zone}) for zone, size in sizes.items() for number in range(size)]


def by_zone(hosts: list[Candidate], question: Ask) -> dict[str, int]:
    return dict(Counter(name[0] for name in where(place((question,), tuple(hosts), 0))))


def spread_over(count: int, max_skew: int | None = None) -> Ask:
    return replace(ask(count), spread=(SpreadOver("zone", max_skew),))


def test_instances_are_even_over_zones_of_unequal_size() -> None:
    assert by_zone(zones({"a": 9, "b": 3, "c": 1}), spread_over(9)) == {"a": 3, "b": 3, "c": 3}


def test_a_full_zone_leaves_the_rest_to_the_others() -> None:
    assert by_zone(zones({"a": 9, "b": 3, "c": 1}), spread_over(20)) == {"a": 8, "b": 8, "c": 4}


def test_a_full_zone_bounds_the_others_by_the_skew() -> None:
    hosts = zones({"a": 9, "b": 3, "c": 1})
    assert by_zone(hosts, spread_over(20, max_skew=1)) == {"a": 5, "b": 5, "c": 4}
    (refused,) = place((spread_over(20, max_skew=1),), tuple(hosts), 0).unplaced
    assert refused.count == 6
    assert {one.reason for one in refused.refusals} == {"max-skew", "cpu-and-memory"}
    assert "in domains that would have too many more than the one with the fewest" in refused.words


def test_nothing_is_bought_only_to_be_even_unless_a_skew_demands_it() -> None:
    cloud = replace(host("b0", kind=SourceKind.CLOUD), labels={"zone": "b"})
    hosts = [*zones({"a": 2}), cloud]
    assert by_zone(hosts, spread_over(4)) == {"a": 4}
    assert by_zone(hosts, spread_over(4, max_skew=1)) == {"a": 2, "b": 2}


def test_racks_are_even_within_zones() -> None:
    hosts = tuple(
        host(f"{zone}{rack}", labels={"zone": zone, "rack": rack}, total=Resources(4000, 4096 << 20))
        for zone, rack in ("a1", "a2", "a3", "b1")
    )
    question = replace(ask(12), spread=(SpreadOver("zone"), SpreadOver("rack")))
    assert Counter(where(place((question,), hosts, 0))) == {"b1": 6, "a1": 2, "a2": 2, "a3": 2}


def test_one_of_each_kind_in_a_zone() -> None:
    alone = replace(ask(5), apart=(Neighbour("shop/web", "zone"),))
    assert by_zone(zones({"a": 3, "b": 2}), alone) == {"a": 1, "b": 1}


def test_kept_apart_holds_for_whoever_comes_later() -> None:
    hosts = tuple(zones({"a": 1, "b": 1}))
    shy = replace(ask(1), apart=(Neighbour("shop/noisy", "zone"),))
    placement = place((shy, ask(3, "shop/noisy")), hosts, 0)
    assert not set(where(placement)) & set(where(placement, "shop/noisy"))
    assert len(where(placement, "shop/noisy")) == 3


def test_beside_is_a_condition_or_a_wish() -> None:
    hosts = (host("h1"), host("h2", instances={"shop/cache": 1}), host("h3"))
    must = replace(ask(4), beside=(Neighbour("shop/cache"),))
    assert set(where(place((must,), hosts, 0))) == {"h2"}
    wish = replace(ask(1), beside=(Neighbour("shop/cache", preferred=True),))
    assert where(place((wish,), hosts, 0)) == ["h2"]
    (refused,) = place((replace(must, beside=(Neighbour("shop/db"),)),), hosts, 0).unplaced
    assert refused.words.endswith("without the wish to stand beside shop/db, 3 hosts would have room")


def test_two_of_one_heavy_kind_never_meet_whatever_their_services() -> None:
    hosts = (host("h1"), host("h2"), host("h3"))
    asks = tuple(replace(ask(2, f"shop/{name}"), heavy="train") for name in ("one", "two"))
    placement = place(asks, hosts, 0)
    assert sorted(one.host_id for one in placement.assignments) == ["h1", "h2", "h3"]
    assert "ruled out by another instance of the heavy kind train" in placement.unplaced[0].words


def test_what_stands_there_is_known_by_what_it_brought() -> None:
    taken = replace(host("h1"), traits={port(8080): 1, heavy("train"): 1})
    assert not place((replace(ask(1), host_ports=frozenset({8080})),), (taken,), 0).assignments
    assert not place((replace(ask(1), heavy="train"),), (taken,), 0).assignments
    assert place((replace(ask(1), host_ports=frozenset({8081}), heavy="encode"),), (taken,), 0).assignments


def test_traits_are_written_and_read() -> None:
    one = replace(ask(1), heavy="train", host_ports=frozenset({80}), leans="io", apart=(Neighbour("shop/a", "zone"),))
    assert to_words(traits_of(one)) == ("heavy:train", "port:80", "leans:io", "avoids:shop/a:zone")
    assert from_words(to_words(traits_of(one))) == traits_of(one)


def test_dedicated_hosts_take_only_what_they_are_kept_for() -> None:
    hosts = (host("h1", labels={"dedicated": "ads"}), host("h2"))
    assert where(place((ask(1),), hosts, 0)) == ["h2"]
    assert where(place((replace(ask(1), dedicated="ads"),), hosts, 0)) == ["h1"]


def test_named_resources_are_counted() -> None:
    gpus = host("h1", total=Resources(4000, 4096 << 20, 0, (("gpu", 2),)))
    wants = ask(3, resources=Resources(250, 256 << 20, 0, (("gpu", 1),)))
    placement = place((wants,), (gpus, host("h2")), 0)
    assert where(placement) == ["h1", "h1"]
    assert (
        placement.unplaced[0].words
        == (
            "shop/web: 1 instance fits on no host (3 were asked for): 2 hosts, of which 2 without 1 gpu free; "
            "1 gpu more on h1 would let one more fit"
        )
        or "1 gpu more on h2" in placement.unplaced[0].words
    )


def test_cpu_heavy_goes_beside_io_heavy() -> None:
    fleet = Fleet(0, [host(f"h{number}", total=Resources(8000, 8192 << 20)) for number in range(6)])
    place_batch(fleet, replace(ask(3, "shop/io"), leans="io"))
    place_batch(fleet, replace(ask(3, "shop/cpu"), leans="cpu"))
    counts = [(fleet.count_on("shop/io", one.host_id), fleet.count_on("shop/cpu", one.host_id)) for one in fleet.hosts]
    assert sorted(counts) == [(0, 0)] * 3 + [(1, 1)] * 3


@pytest.mark.parametrize("seed", range(3))
def test_one_each_on_empty_hosts_chosen_by_the_seed(seed: int) -> None:
    hosts = tuple(host(f"h{number}", instances={"shop/old": number % 2}) for number in range(20))
    question = replace(ask(5), empty_only=True, weights=AT_RANDOM)
    found = where(place((question,), hosts, seed))
    assert len(set(found)) == 5
    assert all(int(name[1:]) % 2 == 0 for name in found)
    assert found == where(place((question,), hosts, seed))
    assert found != where(place((question,), hosts, seed + 3))


def test_the_cheapest_and_the_fullest() -> None:
    prices = tuple(replace(host(f"h{n}"), price_usd_per_hour=price) for n, price in enumerate((0.9, 0.2, 0.5)))
    assert where(place((replace(ask(4), weights=CHEAPEST_FIRST),), prices, 0)) == ["h1"] * 4
    some = (host("h1"), host("h2", used=QUARTER), host("h3"))
    assert where(place((replace(ask(3), weights=FULLEST_FIRST),), some, 0)) == ["h2"] * 3
