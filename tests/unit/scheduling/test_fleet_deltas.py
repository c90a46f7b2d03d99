"""A fleet that lives on says what one that is built anew says; a batch says what one instance after another says."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scheduling_builders import MIB, ask, host

from dcp.hosts.model import Resources, SourceKind
from dcp.scheduling.fleet import Fleet
from dcp.scheduling.model import Ask, Candidate
from dcp.scheduling.place import decide_batch, place, place_batch

SERVICES = ("s0", "s1", "s2")


@st.composite
def some_hosts(draw: st.DrawFn, name: str) -> Candidate:
    return Candidate(
        name,
        draw(st.builds(Resources, st.integers(0, 40), st.integers(0, 40))),
        draw(st.builds(Resources, st.integers(0, 4), st.integers(0, 4))),
        draw(st.sampled_from(SourceKind)),
        draw(st.booleans()),
        0.0,
        {"zone": draw(st.sampled_from("ab"))},
        {service: draw(st.integers(0, 2)) for service in SERVICES},
        draw(st.frozensets(st.sampled_from(["i1", "i2"]))),
    )


@st.composite
def some_asks(draw: st.DrawFn, most: int = 30) -> Ask:
    return Ask(
        service=draw(st.sampled_from(SERVICES)),
        count=draw(st.integers(0, most)),
        resources=draw(st.builds(Resources, st.integers(0, 4), st.integers(0, 4))),
        constraints=draw(st.sampled_from([(), ("node.labels.zone==a",), ("node.id!=h1",)])),
        max_per_host=draw(st.none() | st.integers(1, 3)),
        image=draw(st.sampled_from(["", "i1", "i2"])),
    )


fleets = st.integers(0, 6).flatmap(lambda size: st.tuples(*(some_hosts(f"h{number}") for number in range(size))))


def placed_on(fleet: Fleet, one: Ask) -> list[tuple[str, int]]:
    batch = place_batch(fleet, one)
    assert batch.left == one.count - sum(batch.counts.tolist())
    return [
        (fleet.hosts[at].host_id, count)
        for at, count in zip(batch.positions.tolist(), batch.counts.tolist(), strict=True)
    ]


def expect_alike(one: Fleet, other: Fleet) -> None:
    """Both have the same columns and give the same answers."""
    assert [host.host_id for host in one.hosts] == [host.host_id for host in other.hosts]
    for name in ("total", "free", "size", "used", "ready", "private"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    for service in SERVICES:
        columns = [np.zeros(len(one)) if (found := f.same(service)) is None else found for f in (one, other)]
        assert np.array_equal(*columns), service
        assert all(one.count_on(service, host.host_id) == other.count_on(service, host.host_id) for host in one.hosts)
    assert np.array_equal(one.label("zone").equals("a"), other.label("zone").equals("a"))
    assert np.array_equal(one.has_image("i1"), other.has_image("i1"))


@given(fleets, some_asks(), st.integers(0, 2))
def test_a_batch_is_the_same_instances_one_after_the_other(
    hosts: tuple[Candidate, ...], question: Ask, seed: int
) -> None:
    fleet, names = Fleet(seed, hosts), []
    for _ in range(question.count):
        names += [name for name, _ in placed_on(fleet, replace(question, count=1))]
    assert [one.host_id for one in place((question,), hosts, seed).assignments] == names
    batch = Fleet(seed, hosts)
    assert dict(placed_on(batch, question)) == {name: names.count(name) for name in names}
    expect_alike(batch, fleet)


@given(fleets, st.lists(some_asks(8), max_size=6), st.integers(0, 2), st.data())
def test_deltas_lead_where_building_anew_leads(
    hosts: tuple[Candidate, ...], asks: list[Ask], seed: int, data: st.DataObject
) -> None:
    """Hosts come, change and go between the questions, and instances come and end."""
    fleet = Fleet(seed)
    known: dict[str, Candidate] = {}
    fleet.label("zone"), fleet.has_image("i1")
    coming = list(hosts)
    for question in asks:
        some = data.draw(st.integers(0, len(coming)), label="hosts that join")
        fleet.join(coming[:some])
        known |= {host.host_id: host for host in coming[:some]}
        coming = coming[some:]
        for name, count in placed_on(fleet, question):
            known[name] = with_more(known[name], question, count)
        if known and data.draw(st.booleans(), label="one changes"):
            name = data.draw(st.sampled_from(sorted(known)))
            changed = data.draw(some_hosts(name))
            known[name] = replace(changed, used=known[name].used, instances=known[name].instances)
            fleet.change(known[name])
        if known and data.draw(st.booleans(), label="one leaves"):
            gone = data.draw(st.sampled_from(sorted(known)))
            fleet.leave([gone, "unknown"])
            del known[gone]
        if known and data.draw(st.booleans(), label="one more is put there by hand, and one ends"):
            name = data.draw(st.sampled_from(sorted(known)))
            fleet.placed(question, name, 2)
            fleet.ended(question, name)
            known[name] = with_more(known[name], question, 1)
    expect_alike(fleet, Fleet(seed, known.values()))


def with_more(host: Candidate, one: Ask, count: int) -> Candidate:
    used = Resources(
        host.used.cpu_millis + count * one.resources.cpu_millis,
        host.used.memory_bytes + count * one.resources.memory_bytes,
    )
    instances = {**host.instances, one.service: host.instances.get(one.service, 0) + count}
    return replace(host, used=used, instances=instances)


def test_deciding_changes_nothing_and_a_copy_changes_apart() -> None:
    fleet = Fleet(0, [host("h1"), host("h2")])
    trial = fleet.copy()
    assert place_batch(trial, ask(8)).left == 0
    assert decide_batch(fleet, ask(8)).left == 0
    assert decide_batch(fleet, ask(9)).left == 1
    assert decide_batch(trial, ask(1)).left == 1
    assert (fleet.count_on("shop/web", "h1"), trial.count_on("shop/web", "h1")) == (0, 4)


def test_a_host_joins_once() -> None:
    fleet = Fleet(0, [host("h1")])
    with pytest.raises(ValueError, match="twice"):
        fleet.join([host("h2"), host("h1")])
    with pytest.raises(ValueError, match="twice"):
        fleet.join([host("h2"), host("h2")])
    assert len(fleet) == 1 and "h2" not in fleet


@pytest.mark.parametrize("count", [1, 7, 400, 3_000, 3_999, 4_000, 5_000])
def test_large_batches_on_uneven_hosts(count: int) -> None:
    """Where hosts differ in room and kind, many steps of few rows are looked at: the same as one after the other."""
    hosts = [
        host(f"h{n}", total=Resources(100_000, (1 + n % 7) ** 3 * 8 * MIB), kind=list(SourceKind)[n % 2])
        for n in range(40)
    ]
    question = ask(count, resources=Resources(1, MIB))
    batch, single = Fleet(3, hosts), Fleet(3, hosts)
    counts = dict(placed_on(batch, question))
    for _ in range(count):
        place_batch(single, ask(1, resources=question.resources))
    assert counts == {one.host_id: found for one in hosts if (found := single.count_on("shop/web", one.host_id))}


@given(fleets, some_asks(12), st.integers(0, 2))
def test_the_runner_up_is_where_it_would_go_without_the_chosen_host(
    hosts: tuple[Candidate, ...], question: Ask, seed: int
) -> None:
    fleet = Fleet(seed, hosts)
    for assignment in place((question,), hosts, seed).assignments:
        one = replace(question, count=1)
        others = fleet.copy()
        others.leave([assignment.host_id])
        after = decide_batch(others, one)
        names = [others.hosts[at].host_id for at in after.positions.tolist()]
        assert names == ([] if assignment.runner_up is None else [assignment.runner_up.host_id])
        if assignment.runner_up is not None:
            assert assignment.score >= assignment.runner_up.score
            assert assignment.runner_up.score == pytest.approx(sum(assignment.runner_up.parts.values()))
        fleet.placed(one, assignment.host_id)
