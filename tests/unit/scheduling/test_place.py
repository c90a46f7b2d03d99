"""Which host an instance goes to."""

from dataclasses import replace

import pytest
from scheduling_builders import HOST, MIB, QUARTER, ask, host, where

from dcp.hosts.model import Resources, SourceKind
from dcp.scheduling.filters import unmet_constraint
from dcp.scheduling.place import place

CLOUD = SourceKind.CLOUD


def test_a_ready_host_before_one_that_is_coming() -> None:
    hosts = (host("coming", ready=False), host("ready", kind=CLOUD))
    assert where(place((ask(4),), hosts, 0)) == ["ready"] * 4
    assert where(place((ask(6),), hosts, 0)) == ["coming"] * 2 + ["ready"] * 4


def test_a_private_host_before_a_cloud_host_even_if_it_gets_crowded() -> None:
    hosts = (host("cloud", kind=CLOUD), host("private", instances={"shop/web": 12}))
    assert where(place((ask(4),), hosts, 0)) == ["private"] * 4


def test_instances_of_one_service_are_spread() -> None:
    hosts = tuple(host(f"h{i}") for i in range(4))
    assert where(place((ask(8),), hosts, 0)) == sorted([f"h{i}" for i in range(4)] * 2)


def test_those_that_are_there_already_count() -> None:
    hosts = (host("h1", instances={"shop/web": 2}), host("h2", instances={"shop/user": 2}))
    assert where(place((ask(2),), hosts, 0)) == ["h2", "h2"]


def test_among_equals_the_fuller_host_so_that_others_stay_empty() -> None:
    hosts = (host("empty"), host("used", used=Resources(500, 512 * MIB)), host("little", used=QUARTER))
    assert where(place((ask(1),), hosts, 0)) == ["used"]


def test_asks_are_answered_in_their_order_on_what_the_earlier_ones_left() -> None:
    placement = place((ask(3, "shop/a"), ask(3, "shop/b")), (host("h1"),), 0)
    assert [one.service for one in placement.assignments] == ["shop/a"] * 3 + ["shop/b"]
    assert [(one.service, one.count) for one in placement.unplaced] == [("shop/b", 2)]


def test_the_parts_of_a_score_say_why_and_add_up() -> None:
    (one,) = place((ask(1),), (host("h1", used=QUARTER),), 0).assignments
    assert one.parts == {"ready": 1000.0, "private": 200.0, "spread": 99.0, "full": 0.5, "balance": 0.0}
    assert one.score == pytest.approx(sum(one.parts.values()))


def test_at_most_so_many_of_a_service_on_one_host() -> None:
    hosts = (host("h1", instances={"shop/web": 1}), host("h2"))
    placement = place((ask(5, max_per_host=2),), hosts, 0)
    assert where(placement) == ["h1", "h2", "h2"]
    assert placement.unplaced[0].count == 2


@pytest.mark.parametrize(
    ("constraint", "allowed"),
    [
        ("node.labels.zone==a", ["a1", "a2"]),
        ("node.labels.zone == a", ["a1", "a2"]),
        ("node.labels.zone!=a", ["b1", "none"]),
        ("node.labels.disk.kind==ssd", ["a2"]),
        ("node.id==b1", ["b1"]),
        ("node.id!=b1", ["a1", "a2", "none"]),
        ("node.source==cloud", ["b1"]),
        ("node.source==private", ["a1", "a2", "none"]),
        ("node.role==manager", []),
        ("zone is a", []),
    ],
)
def test_constraints(constraint: str, allowed: list[str]) -> None:
    hosts = (
        host("a1", labels={"zone": "a"}),
        host("a2", labels={"zone": "a", "disk.kind": "ssd"}),
        host("b1", labels={"zone": "b"}, kind=CLOUD),
        host("none"),
    )
    assert [one.host_id for one in hosts if not unmet_constraint(one, (constraint,))] == allowed
    placement = place((ask(4, constraints=(constraint,), max_per_host=1),), hosts, 0)
    assert where(placement) == allowed


def test_all_constraints_must_hold() -> None:
    hosts = (host("h1", labels={"zone": "a"}), host("h2", labels={"zone": "a", "disk": "ssd"}))
    both = ask(1, constraints=("node.labels.zone==a", "node.labels.disk==ssd"))
    assert where(place((both,), hosts, 0)) == ["h2"]


def test_what_needs_nothing_fits_even_where_nothing_is_free() -> None:
    full = host("h1", used=HOST)
    assert where(place((ask(2, resources=Resources(0, 0)),), (full,), 0)) == ["h1", "h1"]
    assert place((ask(1, resources=Resources(0, MIB)),), (full,), 0).assignments == ()


def test_nothing_asked_and_no_hosts() -> None:
    assert place((), (host("h1"),), 0).assignments == ()
    assert place((ask(0),), (), 0).unplaced == ()
    assert place((ask(2),), (), 0).unplaced[0].count == 2


def test_another_seed_prefers_other_hosts_among_equals() -> None:
    hosts = tuple(host(f"h{i}") for i in range(20))
    assert len({where(place((ask(1),), hosts, seed))[0] for seed in range(20)}) > 5


def test_a_host_that_is_left_out_takes_nothing_and_is_counted_apart() -> None:
    hosts = (host("failed"), host("full", used=HOST))
    placement = place((replace(ask(1), not_on=frozenset({"failed"})),), hosts, 0)
    (unplaced,) = placement.unplaced
    assert {one.reason: one.hosts for one in unplaced.refusals} == {"failed-lately": 1, "cpu-and-memory": 1}
    assert "could not be started lately" in unplaced.words


def test_a_host_that_has_the_image_comes_first_among_equals() -> None:
    hosts = (host("h1"), replace(host("h2"), images=frozenset({"app@1"})), host("h3"))
    (one,) = place((replace(ask(1), image="app@1"),), hosts, 0).assignments
    assert (one.host_id, one.parts["image"]) == ("h2", 20.0)
    assert one.score == pytest.approx(sum(one.parts.values()))
    assert "image" not in place((ask(1),), hosts, 0).assignments[0].parts


def test_the_first_instances_are_spread_also_where_one_host_has_the_image() -> None:
    hosts = (host("h1"), replace(host("h2"), images=frozenset({"app@1"})), host("h3"))
    assert where(place((replace(ask(3), image="app@1"),), hosts, 0)) == ["h1", "h2", "h3"]


def test_a_private_host_without_the_image_comes_before_a_cloud_host_with_it() -> None:
    cloud = replace(host("c1", kind=SourceKind.CLOUD), images=frozenset({"app@1"}))
    private = host("p1", instances={"shop/web": 3}, used=Resources(750, 768 * MIB))
    assert where(place((replace(ask(1), image="app@1"),), (cloud, private), 0)) == ["p1"]
