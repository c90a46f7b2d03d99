"""Who gives way: never an equal, nobody for nothing, and the least harm that there is."""

from dataclasses import replace
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st
from scheduling_builders import ask, host

from dcp.hosts.model import Resources
from dcp.scheduling.fleet import Fleet
from dcp.scheduling.model import Ask, Neighbour
from dcp.scheduling.place import decide_batch, place_batch
from dcp.scheduling.preempt import Standing, decide_preemptions


def standing_on(fleet: Fleet, where: list[tuple[str, int, int]]) -> list[Standing]:
    """Put instances there: host, priority, size in hundredths of a processor."""
    found = []
    for number, (host_id, priority, size) in enumerate(where):
        one = replace(ask(1, f"shop/s{number}", resources=Resources(size * 10, 1 << 20)), priority=priority)
        fleet.placed(one, host_id)
        found.append(Standing(f"i{number}", host_id, one))
    return found


def wanted(size: int, priority: int, count: int = 1) -> Ask:
    return replace(ask(count, "shop/high", resources=Resources(size * 10, 1 << 20)), priority=priority)


def test_the_lowest_give_way_and_as_few_as_can_be() -> None:
    fleet = Fleet(0, [host("h1"), host("h2"), host("h3")])
    there = standing_on(
        fleet,
        [("h1", 0, 50), ("h1", 0, 50), ("h2", 0, 100), ("h3", 5, 100)],
    )
    (chosen,) = decide_preemptions(fleet, wanted(100, 9), there)
    assert (chosen.host_id, [one.instance_id for one in chosen.victims], chosen.compared) == ("h2", ["i2"], 2)
    everything = decide_preemptions(fleet, wanted(100, 9, 5), there)
    assert [one.host_id for one in everything] == ["h2", "h1", "h3"]


def test_equals_never_give_way() -> None:
    fleet = Fleet(0, [host("h1")])
    there = standing_on(fleet, [("h1", 5, 100)])
    assert decide_preemptions(fleet, wanted(50, 5), there) == ()
    assert len(decide_preemptions(fleet, wanted(50, 6), there)) == 1


def test_nobody_leaves_where_that_would_not_help() -> None:
    fleet = Fleet(0, [host("h1", labels={"zone": "b"})])
    there = standing_on(fleet, [("h1", 0, 100)])
    assert not decide_preemptions(fleet, replace(wanted(50, 5), constraints=("node.labels.zone==a",)), there)
    assert not decide_preemptions(fleet, wanted(101, 5), there)


def test_whoever_keeps_it_out_gives_way_and_not_whoever_is_beside() -> None:
    fleet = Fleet(0, [host("h1")])
    shy = replace(ask(1, "shop/shy", resources=Resources(10, 1)), apart=(Neighbour("shop/high"),))
    fleet.placed(shy, "h1")
    there = [Standing("shy", "h1", shy), *standing_on(fleet, [("h1", 0, 10)])]
    (chosen,) = decide_preemptions(fleet, wanted(10, 5), there)
    assert [one.instance_id for one in chosen.victims] == ["shy"]


placed = st.lists(
    st.tuples(st.sampled_from(["h1", "h2", "h3"]), st.integers(0, 3), st.sampled_from([10, 20, 30, 50])), max_size=9
)


@settings(max_examples=150)
@given(placed, st.sampled_from([20, 50, 80, 100]), st.integers(0, 4))
def test_the_harm_is_the_least_that_there_is(where: list[tuple[str, int, int]], size: int, priority: int) -> None:
    fleet = Fleet(0, [host(name) for name in ("h1", "h2", "h3")])
    room = dict.fromkeys(("h1", "h2", "h3"), 100)
    kept = []
    for host_id, level, needs in where:
        if room[host_id] >= needs:
            room[host_id] -= needs
            kept.append((host_id, level, needs))
    there = standing_on(fleet, kept)
    one = wanted(size, priority)
    if not decide_batch(fleet, one).left:
        return
    possible = [
        (max(victim.ask.priority for victim in some), len(some))
        for name in room
        for own in ([item for item in there if item.host_id == name and item.ask.priority < priority],)
        for count in range(1, len(own) + 1)
        for some in combinations(own, count)
        if room[name] + sum(item.ask.resources.cpu_millis // 10 for item in some) >= size
    ]
    found = decide_preemptions(fleet, one, there)
    assert bool(found) is bool(possible)
    for chosen in found:
        assert max(item.ask.priority for item in chosen.victims) == min(possible)[0]
        assert all(item.ask.priority < priority for item in chosen.victims)
        for spared in chosen.victims:
            trial = fleet.copy()
            for item in chosen.victims:
                if item is not spared:
                    trial.ended(item.ask, item.host_id)
            trial.leave([name for name in room if name != chosen.host_id])
            assert place_batch(trial, one).left, "nobody leaves for nothing"
