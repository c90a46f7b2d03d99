"""Trees cover everybody, have no circle, and nobody sends more than a little above one image; estimates are sane."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from warming_world import IMAGE, SETTINGS, Site, hosts

from dcp.images.warming.decide import plan_warming
from dcp.images.warming.estimate import best_stripes, choose_way, estimate_direct, estimate_mirrors, estimate_peers
from dcp.images.warming.model import MB, Links, WarmImage, Way
from dcp.images.warming.tree import depth_of, plan_trees

SIZES = st.integers(1, 120)


@given(SIZES, st.integers(1, 10))
def test_every_mirror_has_a_way_to_the_registry_in_every_stripe(count: int, stripes: int) -> None:
    names = [f"mirror-{number}" for number in range(count)]
    trees = plan_trees(names, stripes)
    assert set(trees) == set(names)
    used = {len(one.upward) for one in trees.values()}
    assert used == {max(1, min(stripes, count))}
    for stripe in range(used.pop()):
        parents = {name: one.upward[stripe][0] if one.upward[stripe] else "" for name, one in trees.items()}
        assert sum(1 for parent in parents.values() if not parent) == 1  # over the line: once
        for name in names:
            seen, at = set(), name
            while at:
                assert at not in seen, "a circle"
                seen.add(at)
                at = parents[at]
            assert len(seen) <= depth_of(count, stripes)


@given(SIZES, st.integers(1, 10))
def test_nobody_has_more_children_than_stripes_in_one_and_little_more_in_all(count: int, stripes: int) -> None:
    names = [f"mirror-{number}" for number in range(count)]
    trees = plan_trees(names, stripes)
    width = max(1, min(stripes, count))
    total = dict.fromkeys(names, 0)
    for stripe in range(width):
        children = dict.fromkeys(names, 0)
        for one in trees.values():
            if one.upward[stripe]:
                children[one.upward[stripe][0]] += 1
        assert max(children.values()) <= width
        for name in names:
            total[name] += children[name]
    assert max(total.values()) <= 2 * width


@given(st.integers(2, 80), st.integers(1, 8))
def test_whoever_stands_in_for_a_parent_is_an_ancestor(count: int, stripes: int) -> None:
    trees = plan_trees([f"mirror-{number}" for number in range(count)], stripes)
    for one in trees.values():
        for stripe, upward in enumerate(one.upward):
            for child, parent in pairwise(upward):
                assert trees[child].upward[stripe][0] == parent


@given(st.integers(1, 3000), st.integers(1, 5000))
def test_bytes_over_the_line_are_at_most_once_for_each_mirror(count: int, megabytes: int) -> None:
    size = megabytes * MB
    chosen = choose_way(size, count, 0, SETTINGS)
    assert chosen.line_bytes <= size * max(1, chosen.mirrors, count if chosen.way == Way.DIRECT else 0)
    if chosen.way != Way.DIRECT:
        assert chosen.line_bytes == size
    bound = size / SETTINGS.links.host_bytes_s
    assert chosen.seconds >= bound


@given(st.integers(1, 400), st.integers(1, 2000))
def test_a_plan_is_what_is_then_done(count: int, megabytes: int) -> None:
    image = WarmImage(IMAGE, megabytes * MB)
    site = Site(hosts(count), images={IMAGE: image})
    planned = plan_warming(image, "dc1", tuple(host.id for host in site.hosts), 0, SETTINGS)
    decision = site.step()
    assert decision.way == planned.way
    assert len(decision.mirrors) == planned.mirrors_to_add


def test_estimates_at_published_sizes() -> None:
    size, links = 3000 * MB, SETTINGS.links
    direct = estimate_direct(size, 2600, links)
    few = estimate_mirrors(size, 2600, 130, 130, replace(SETTINGS, max_mirrors=200))
    peers = estimate_peers(size, 2600, 2600, SETTINGS)
    assert direct.seconds == pytest.approx(2600 * 3000 / 1250)
    assert direct.line_bytes == 2600 * size
    assert few.seconds > 100
    assert peers.seconds < 18
    assert peers.line_bytes == size


def test_small_sites_pull_directly_and_large_ones_serve_each_other() -> None:
    assert choose_way(1000 * MB, 2, 0, SETTINGS).way == Way.DIRECT
    assert choose_way(1000 * MB, 100, 0, SETTINGS).way == Way.PEERS
    assert choose_way(1000 * MB, 100, 0, replace(SETTINGS, peers=False)).way == Way.MIRRORS
    assert choose_way(1000 * MB, 100, 0, replace(SETTINGS, mirror_image="")).way == Way.DIRECT


def test_more_stripes_for_more_mirrors_fewer_for_short_hops() -> None:
    assert best_stripes(1000 * MB, 1, SETTINGS) == 1
    assert best_stripes(3000 * MB, 2600, SETTINGS) > 1
    no_hop = replace(SETTINGS, links=Links(hop_s=0.0))
    assert best_stripes(3000 * MB, 2600, no_hop) == 1


def test_words_of_a_plan() -> None:
    planned = plan_warming(WarmImage(IMAGE, 1000 * MB), "dc1", tuple(str(n) for n in range(100)), 0, SETTINGS)
    assert "to 100 hosts of dc1 by hosts serving each other (100 more mirrors)" in planned.words
    assert "1,000 MB over the line" in planned.words
