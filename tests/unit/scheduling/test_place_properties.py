"""What holds of every placement."""

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from scheduling_builders import host

from dcp.hosts.model import Resources, SourceKind
from dcp.scheduling.filters import unmet_constraint
from dcp.scheduling.model import Ask, Candidate, Placement
from dcp.scheduling.place import place

CONSTRAINTS = st.lists(
    st.sampled_from(["node.labels.zone==a", "node.labels.zone!=a", "node.source==private", "node.id!=h0"]), max_size=1
).map(tuple)
SIZES = st.builds(Resources, st.integers(0, 10), st.integers(0, 10))


@st.composite
def fleets(draw: st.DrawFn) -> tuple[Candidate, ...]:
    return tuple(
        host(
            f"h{number}",
            total=draw(SIZES),
            used=draw(st.builds(Resources, st.integers(0, 4), st.integers(0, 4))),
            kind=draw(st.sampled_from(SourceKind)),
            ready=draw(st.booleans()),
            labels={"zone": draw(st.sampled_from(["a", "b"]))},
            instances={"s0": draw(st.integers(0, 3))},
        )
        for number in range(draw(st.integers(0, 6)))
    )


@st.composite
def questions(draw: st.DrawFn) -> tuple[Ask, ...]:
    return tuple(
        Ask(
            service=f"s{number}",
            count=draw(st.integers(0, 8)),
            resources=draw(st.builds(Resources, st.integers(0, 4), st.integers(0, 4))),
            constraints=draw(CONSTRAINTS),
            max_per_host=draw(st.none() | st.integers(1, 3)),
        )
        for number in range(draw(st.integers(1, 4)))
    )


def free_after(hosts: tuple[Candidate, ...], asks: tuple[Ask, ...], placement: Placement) -> dict[str, tuple[int, int]]:
    sizes = {ask.service: ask.resources for ask in asks}
    free = {
        one.host_id: (one.total.cpu_millis - one.used.cpu_millis, one.total.memory_bytes - one.used.memory_bytes)
        for one in hosts
    }
    for assignment in placement.assignments:
        cpu, memory = free[assignment.host_id]
        size = sizes[assignment.service]
        free[assignment.host_id] = (cpu - size.cpu_millis, memory - size.memory_bytes)
    return free


@given(fleets(), questions(), st.integers(0, 3))
def test_nothing_is_over_committed_and_every_filter_holds(
    hosts: tuple[Candidate, ...], asks: tuple[Ask, ...], seed: int
) -> None:
    placement = place(asks, hosts, seed)
    by_id = {one.host_id: one for one in hosts}
    before = {
        one.host_id: (one.total.cpu_millis - one.used.cpu_millis, one.total.memory_bytes - one.used.memory_bytes)
        for one in hosts
    }
    for name, after in free_after(hosts, asks, placement).items():
        assert all(now >= min(0, was) for now, was in zip(after, before[name], strict=True))
    for ask in asks:
        placed = Counter(one.host_id for one in placement.assignments if one.service == ask.service)
        for name, count in placed.items():
            assert not unmet_constraint(by_id[name], ask.constraints)
            if ask.max_per_host is not None:
                assert by_id[name].instances.get(ask.service, 0) + count <= ask.max_per_host


@given(fleets(), questions(), st.integers(0, 3))
def test_a_refusal_means_that_no_host_fits(hosts: tuple[Candidate, ...], asks: tuple[Ask, ...], seed: int) -> None:
    """Looked up one host after the other, on what is free once all is placed."""
    placement = place(asks, hosts, seed)
    free = free_after(hosts, asks, placement)
    refused = {one.service: one for one in placement.unplaced}
    for ask in asks:
        placed = Counter(one.host_id for one in placement.assignments if one.service == ask.service)
        left = ask.count - placed.total()
        assert (refused[ask.service].count if ask.service in refused else 0) == left
        for one in hosts if left else ():
            cpu, memory = free[one.host_id]
            enough = (ask.resources.cpu_millis <= cpu or not ask.resources.cpu_millis) and (
                ask.resources.memory_bytes <= memory or not ask.resources.memory_bytes
            )
            count = one.instances.get(ask.service, 0) + placed[one.host_id]
            crowded = ask.max_per_host is not None and count >= ask.max_per_host
            assert not enough or crowded or unmet_constraint(one, ask.constraints)


@given(fleets(), questions(), st.integers(0, 3))
def test_a_refusal_accounts_for_every_host_once(hosts: tuple[Candidate, ...], asks: tuple[Ask, ...], seed: int) -> None:
    for refused in place(asks, hosts, seed).unplaced:
        assert sum(one.hosts for one in refused.refusals) == len(hosts)
        counts = [one.hosts for one in refused.refusals]
        assert counts == sorted(counts, reverse=True)
        assert refused.words


@given(fleets(), questions(), st.integers(0, 3), st.randoms())
def test_the_order_of_hosts_does_not_matter(
    hosts: tuple[Candidate, ...], asks: tuple[Ask, ...], seed: int, shuffler: random.Random
) -> None:
    shuffled = list(hosts)
    shuffler.shuffle(shuffled)
    assert place(asks, tuple(shuffled), seed) == place(asks, hosts, seed)


@given(fleets(), questions(), st.integers(0, 3))
def test_private_before_cloud_among_hosts_that_are_equally_ready(
    hosts: tuple[Candidate, ...], asks: tuple[Ask, ...], seed: int
) -> None:
    """Where a cloud host was used, no equally ready private host would still take the instance."""
    first = asks[:1]
    placement = place(first, hosts, seed)
    left = free_after(hosts, first, placement)
    placed = Counter(one.host_id for one in placement.assignments)
    by_id = {one.host_id: one for one in hosts}
    for name in placed:
        for other in hosts:
            if (
                by_id[name].kind is SourceKind.CLOUD
                and other.kind is SourceKind.PRIVATE
                and other.ready == by_id[name].ready
            ):
                after = host(
                    other.host_id,
                    total=Resources(max(0, left[other.host_id][0]), max(0, left[other.host_id][1])),
                    kind=other.kind,
                    labels=dict(other.labels),
                    instances={"s0": other.instances["s0"] + placed[other.host_id]},
                )
                assert not place((Ask("s0", 1, *_rest(first[0])),), (after,), seed).assignments


def _rest(ask: Ask) -> tuple[Resources, tuple[str, ...], int | None]:
    return ask.resources, ask.constraints, ask.max_per_host
