"""What the scheduler says when an instance fits nowhere."""

import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from scheduling_builders import HOST, MIB, ask, host

from dcp.hosts.model import Resources
from dcp.scheduling.model import Ask, Candidate, Refusal, Unplaced
from dcp.scheduling.place import place


def refused(one: Ask, *hosts: Candidate) -> Unplaced:
    (unplaced,) = place((one,), hosts, 0).unplaced
    return unplaced


def test_hosts_are_counted_by_their_reason_most_first() -> None:
    no_memory = [host(f"m{i}", used=Resources(0, 900 * MIB)) for i in range(3)]
    no_cpu = [host(f"c{i}", used=Resources(800, 0)) for i in range(2)]
    neither = host("n", used=HOST)
    elsewhere = [host(f"z{i}", labels={"zone": "b"}) for i in range(4)]
    crowded = host("x", instances={"shop/web": 2})
    unplaced = refused(
        ask(3, constraints=("node.labels.zone!=b",), max_per_host=2),
        *no_memory,
        *no_cpu,
        neither,
        *elsewhere,
        crowded,
    )
    assert unplaced.count == 3
    assert unplaced.refusals == (
        Refusal("constraint", 4),
        Refusal("memory", 3),
        Refusal("cpu", 2),
        Refusal("max-per-host", 1),
        Refusal("cpu-and-memory", 1),
    )
    assert unplaced.words.startswith(
        "shop/web: 3 instances fit on no host: 11 hosts, of which 4 ruled out by the constraint node.labels.zone!=b, "
        "3 without 256 MiB free, 2 without 0.25 CPU free, 1 at the limit of 2 on one host, "
        "1 without 0.25 CPU and 256 MiB free; "
    )


def test_the_host_that_misses_least_is_named_with_what_it_misses() -> None:
    near, far = host("near", used=Resources(800, 0)), host("far", used=Resources(1000, 1000 * MIB))
    assert refused(ask(1), far, near).words.endswith(
        "; 0.05 CPU more on near would let one more fit; "
        "it would fit with 1 more host of 1 CPU and 1 GiB, or with 0.05 CPU less for each"
    )


def test_the_words_count_what_was_placed_before() -> None:
    unplaced = refused(ask(6), host("h1"))
    assert unplaced.count == 2
    assert "2 instances fit on no host (6 were asked for)" in unplaced.words
    assert "; 0.25 CPU and 256 MiB more on h1 would let one more fit; " in unplaced.words
    assert unplaced.words.endswith("all 2 would fit with 1 more host of 1 CPU and 1 GiB")


def test_an_instance_larger_than_any_host() -> None:
    words = refused(ask(1, resources=Resources(4000, 64 * MIB)), host("h1")).words
    assert "3 CPU more on h1 would let one more fit" in words
    assert words.endswith("(even empty it is too small: 1 CPU and 1 GiB, and an instance asks for 4 CPU and 64 MiB)")


def test_a_limit_on_one_host_is_the_change_when_there_is_room() -> None:
    unplaced = refused(ask(3, max_per_host=1), host("h1"), host("h2", instances={"shop/web": 3}))
    assert "; 2 instead of 1 on one host would let one more fit; " in unplaced.words
    assert unplaced.words.endswith("all 2 would fit with 2 more hosts of 1 CPU and 1 GiB")


def test_a_constraint_is_the_change_when_only_it_keeps_the_instance_out() -> None:
    unplaced = refused(ask(1, constraints=("node.labels.zone==a",)), host("h1"), host("h2"))
    assert unplaced.words.endswith("without the constraint node.labels.zone==a, 2 hosts would have room")


def test_otherwise_it_takes_one_more_host() -> None:
    full = host("h1", used=HOST)
    unplaced = refused(ask(1, constraints=("node.labels.zone==a",)), full)
    assert unplaced.words.endswith(
        "one more host that meets the constraint node.labels.zone==a with 0.25 CPU and 256 MiB free "
        "would let one more fit"
    )
    assert refused(ask(1)).words == (
        "shop/web: 1 instance fits on no host: there is no host; "
        "one more host with 0.25 CPU and 256 MiB free would let one more fit"
    )


def test_the_smallest_change_is_so_many_hosts_in_a_site_or_so_much_less() -> None:
    large = Resources(8000, 8192 * MIB)
    full = [host(f"h{n}", total=large, used=Resources(4000, 6800 * MIB), labels={"site": "b"}) for n in range(3)]
    question = replace(ask(15, resources=Resources(500, 512 * MIB)), sites=frozenset({"b"}))
    unplaced = refused(question, *full, host("elsewhere", total=large, labels={"site": "a"}))
    assert unplaced.count == 9
    assert [(one.reason, one.hosts) for one in unplaced.refusals] == [("memory", 3), ("site", 1)]
    assert unplaced.words.endswith("all 9 would fit with 1 more host of 8 CPU and 8 GiB in site b")
    near = replace(question, count=9)
    words = refused(near, *full).words
    assert words.endswith(
        "all 3 would fit with 1 more host of 8 CPU and 8 GiB in site b, or with 144 MiB less for each"
    )


@given(st.integers(1, 9), st.integers(0, 9), st.integers(1, 30), st.integers(1, 8))
def test_what_is_said_to_be_enough_is_enough(used: int, more: int, count: int, size: int) -> None:
    """Taken at its word: so many more hosts, and so much less for each, place all that was refused."""
    hosts = [host(f"h{n}", used=Resources(100 * used, 0)) for n in range(1 + more)]
    question = ask(count, resources=Resources(100 * size, MIB))
    for unplaced in place((question,), tuple(hosts), 0).unplaced:
        number = int(unplaced.words.partition(" would fit with ")[2].split()[0])
        added = [host(f"new{n}") for n in range(number)]
        assert not place((question,), (*hosts, *added), 0).unplaced
        assert place((question,), (*hosts, *added[1:]), 0).unplaced
        less = re.search(r"with ([\d.]+) CPU less for each", unplaced.words)
        if less is not None:
            millis = round(1000 * float(less[1]))
            there = question.count - unplaced.count
            small = replace(question, count=unplaced.count, resources=Resources(100 * size - millis, MIB))
            placed = (
                place((replace(question, count=there), small), tuple(hosts), 0)
                if there
                else place((small,), tuple(hosts), 0)
            )
            assert not placed.unplaced
