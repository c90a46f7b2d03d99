"""New hosts from mixes: never worse than one host after the other, nothing promised twice, the known best found."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcp.hosts.clusters import UNBOUNDED, Allowance
from dcp.hosts.model import HostType, Offer, Resources, SourceKind
from dcp.orchestration.scaling.filling import Filled, candidate_of, fill, fill_new_hosts, unmet
from dcp.orchestration.scaling.hosts_wanted import place_with_new_hosts
from dcp.orchestration.scaling.packing import pack_new_hosts
from dcp.orchestration.scaling.patterns import Classes, Patterns, cheapest_mix
from dcp.scheduling.model import Ask

TEN = HostType("ten", Resources(10, 100), 0.10)


def cloud(host_type: HostType = TEN, available: int | None = None, source: str = "cloud") -> Offer:
    return Offer(source, SourceKind.CLOUD, host_type, available)


def pool(host_type: HostType = TEN, available: int | None = None, source: str = "pool") -> Offer:
    return Offer(source, SourceKind.PRIVATE, host_type, available)


def ask(service: str, count: int, cpu: int, memory: int = 1, most: int | None = None) -> Ask:
    return Ask(service, count, Resources(cpu, memory), max_per_host=most)


def placed(filled: tuple[Filled, ...]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for host in filled:
        counts.update({one.service: one.count for one in host.asks})
    return counts


def usd(filled: tuple[Filled, ...]) -> float:
    cloudy = (one.offer for one in filled if one.offer.kind is SourceKind.CLOUD)
    return sum(offer.host_type.price_usd_per_hour for offer in cloudy)


@pytest.mark.parametrize("offer", [cloud(), pool()])
def test_sizes_that_fit_together_are_put_together(offer: Offer) -> None:
    """4 + 3 + 3 fills a host; the largest first would give 15 hosts of 4 + 4 and 20 of 3 + 3 + 3."""
    asks = [ask("shop/four", 30, 4), ask("shop/three", 60, 3)]
    assert len(fill_new_hosts(asks, [offer])) == 35
    packed = pack_new_hosts(asks, [offer])
    assert len(packed) == 30
    assert placed(packed) == {"shop/four": 30, "shop/three": 60}


def test_the_plan_that_is_applied_uses_it() -> None:
    asks = (ask("shop/four", 30, 4), ask("shop/three", 60, 3))
    plan = place_with_new_hosts(asks, (), (cloud(),), 0, seed=1)
    assert (len(plan.new_hosts), plan.placement.unplaced) == (30, ())


def test_processor_and_memory_hungry_services_share_hosts() -> None:
    asks = [ask("shop/cpu", 40, 5, 10), ask("shop/memory", 40, 1, 80)]
    assert len(pack_new_hosts(asks, [cloud()])) == 40


def test_types_are_chosen_together() -> None:
    """The dear host is the better one for an instance alone; beside what fills it up the cheap ones are."""
    narrow = HostType("narrow", Resources(10, 20), 0.06)
    wide = HostType("wide", Resources(10, 200), 0.15)
    asks = [ask("shop/cpu", 90, 3, 5), ask("shop/memory", 30, 1, 60)]
    offers = [cloud(narrow), cloud(wide)]
    assert usd(pack_new_hosts(asks, offers)) < usd(fill_new_hosts(asks, offers))


def test_services_that_are_alike_are_one_question_and_keep_their_names() -> None:
    asks = [ask(f"shop/{number}", 3, 4 if number % 2 else 3) for number in range(300)]
    packed = pack_new_hosts(asks, [cloud()])
    assert placed(packed) == {one.service: 3 for one in asks}
    assert len(packed) < len(fill_new_hosts(asks, [cloud()]))


def test_a_limit_for_each_host_holds() -> None:
    packed = pack_new_hosts([ask("shop/one", 9, 1, most=2), ask("shop/two", 9, 4)], [cloud()])
    assert all(one.count <= 2 for host in packed for one in host.asks if one.service == "shop/one")
    assert placed(packed) == {"shop/one": 9, "shop/two": 9}


def test_a_private_source_that_runs_out_takes_what_the_cloud_would_charge_most_for() -> None:
    small = HostType("small", Resources(4, 100), 0.01)
    asks = [ask("shop/large", 4, 8), ask("shop/small", 8, 4)]
    packed = pack_new_hosts(asks, [pool(available=4), cloud(), cloud(small)])
    assert [host.offer.kind for host in packed].count(SourceKind.PRIVATE) == 4
    assert usd(packed) <= 0.08 + 1e-9


def test_an_allowance_is_kept() -> None:
    asks = [ask("shop/four", 30, 4), ask("shop/three", 60, 3)]
    assert len(pack_new_hosts(asks, [cloud()], Allowance(hosts=7))) == 7


def test_a_mix_is_worth_what_it_costs() -> None:
    """The prices of instances add up to the cost of the hosts: the program is at its optimum."""
    classes = Classes(
        sizes=np.array([[4], [3]]),
        counts=np.array([30, 60]),
        unplaced_cost=np.array([100.0, 100.0]),
        room=np.array([[10]]),
        most=np.array([[2, 3]]),
        cost=np.array([1.0]),
        stock=np.array([math.inf]),
    )
    mix = cheapest_mix(classes, Patterns(2))
    assert mix.times.sum() == pytest.approx(30)
    assert mix.worth @ classes.counts == pytest.approx(30)


resources = st.builds(Resources, st.integers(0, 6), st.integers(0, 6))


@st.composite
def questions(draw: st.DrawFn) -> tuple[list[Ask], list[Offer], Allowance]:
    asks = [
        Ask(
            f"shop/s{number}",
            draw(st.integers(0, 40)),
            draw(resources),
            draw(st.sampled_from([(), (), ("node.labels.zone==a",)])),
            draw(st.none() | st.integers(1, 3)),
        )
        for number in range(draw(st.integers(1, 6)))
    ]
    offers = [
        Offer(
            f"s{number}",
            draw(st.sampled_from(SourceKind)),
            HostType(
                f"t{number}",
                draw(st.builds(Resources, st.integers(1, 12), st.integers(1, 12))),
                draw(st.sampled_from([0.0, 0.1, 0.3])),
                (("zone", draw(st.sampled_from(["a", "b"]))),),
            ),
            draw(st.integers(0, 9) | st.none()),
        )
        for number in range(draw(st.integers(1, 4)))
    ]
    return asks, offers, draw(st.sampled_from([UNBOUNDED, Allowance(hosts=5), Allowance(usd_per_hour=0.7)]))


@settings(max_examples=40, deadline=None)
@given(questions())
def test_never_worse_than_in_order_and_nothing_is_promised_twice(
    question: tuple[list[Ask], list[Offer], Allowance],
) -> None:
    asks, offers, allowance = question
    packed, filled = pack_new_hosts(asks, offers, allowance), fill_new_hosts(asks, offers, allowance)
    wanted = {one.service: one for one in asks}
    assert all(count <= wanted[service].count for service, count in placed(packed).items())
    for host in packed:
        one = candidate_of(host.offer, "x")
        load = Resources(0, 0)
        for part in host.asks:
            load = load.plus(part.resources, part.count)
            assert not unmet(one, part)
            assert part.max_per_host is None or part.count <= part.max_per_host
        assert load.fits_in(one.total)
        assert host.count
    taken = Counter(host.offer for host in packed)
    assert all(offer.available is None or count <= offer.available for offer, count in taken.items())
    assert len(packed) <= allowance.hosts
    assert usd(packed) <= allowance.usd_per_hour + 1e-9
    more, same = placed(packed).total() > placed(filled).total(), placed(packed).total() == placed(filled).total()
    assert more or (same and (usd(packed), len(packed)) <= (usd(filled) + 1e-9, max(len(filled), len(packed))))
    assert pack_new_hosts(asks, offers, allowance) == packed


@settings(max_examples=40, deadline=None)
@given(questions())
def test_hosts_that_are_filled_alike_are_those_filled_one_by_one(
    question: tuple[list[Ask], list[Offer], Allowance],
) -> None:
    asks, offers, allowance = question
    assert list(fill_new_hosts(asks, offers, allowance)) == _one_by_one(asks, offers, allowance)


def _one_by_one(asks: list[Ask], offers: list[Offer], allowance: Allowance) -> list[Filled]:
    found: list[Filled] = []
    left = [one for one in asks if one.count]
    private = [offer for offer in offers if offer.kind is SourceKind.PRIVATE]
    for choice in (*([offer] for offer in private), [one for one in offers if one.kind is SourceKind.CLOUD]):
        while True:
            taken = Counter(one.offer for one in found)
            open_ones = [one for one in choice if (one.available is None or taken[one] < one.available)]
            hosts = [host for one in open_ones if allowance.permits(one) and (host := fill(one, left))]
            if not hosts:
                break
            best = min(hosts, key=lambda host: (host.offer.host_type.price_usd_per_hour / host.count, -host.count))
            found.append(best)
            allowance = allowance.less((best.offer,))
            took = {one.service: one.count for one in best.asks}
            left = [replace(one, count=one.count - took.get(one.service, 0)) for one in left]
            left = [one for one in left if one.count]
    return found
