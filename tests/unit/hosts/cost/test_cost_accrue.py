"""Costs by quarter of an hour and service: parts always add up to what the hosts cost."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st
from span_makers import MIB, span

from dcp.hosts.cost.accrue import IDLE, accrue
from dcp.hosts.cost.charge import charge
from dcp.hosts.cost.model import HOUR_MS, NANO, Amount, Entry, Holding, Span
from dcp.hosts.model import Billing

QUARTER_MS = HOUR_MS // 4


def by_service(entries: dict[Entry, Amount]) -> dict[str, int]:
    found: dict[str, int] = {}
    for entry, amount in entries.items():
        found[entry.service] = found.get(entry.service, 0) + amount.charged_nano_usd
    return found


def holding(service: str, begin: int, end: int, cpu_millis: int, memory_mib: int, host_id: str = "cloud-1") -> Holding:
    return Holding(host_id, service, begin, end, cpu_millis, memory_mib * MIB)


def test_a_host_is_shared_by_the_larger_share_and_the_rest_is_idle() -> None:
    held = [holding("shop/feed", 0, HOUR_MS, 500, 100), holding("shop/user", 0, HOUR_MS, 100, 250)]
    found = by_service(accrue([span(0)], held, 0, HOUR_MS))
    assert found == {"shop/feed": NANO // 2, "shop/user": NANO // 4, IDLE: NANO // 4}


def test_shares_beyond_the_whole_host_leave_nothing_idle() -> None:
    held = [holding("shop/feed", 0, HOUR_MS, 900, 100), holding("shop/user", 0, HOUR_MS, 100, 900)]
    assert by_service(accrue([span(0)], held, 0, HOUR_MS)) == {"shop/feed": NANO // 2, "shop/user": NANO // 2}


def test_a_service_pays_from_when_its_instance_holds_the_host() -> None:
    made = span(0, minimum_ms=0)
    held = [holding("shop/feed", HOUR_MS // 4, HOUR_MS, 1000, 1000)]
    assert by_service(accrue([made], held, 0, HOUR_MS)) == {"shop/feed": 3 * NANO // 4, IDLE: NANO // 4}


def test_entries_stand_in_their_quarter_of_an_hour() -> None:
    found = accrue([span(QUARTER_MS - 60_000, QUARTER_MS + 60_000, minimum_ms=0)], [], 0, HOUR_MS)
    assert {entry.at_s: amount.host_ms for entry, amount in found.items()} == {0: 60_000, 900: 60_000}


@st.composite
def fleets(draw: st.DrawFn) -> tuple[list[Span], list[Holding]]:
    times = st.integers(0, 4 * HOUR_MS)
    spans, held = [], []
    for number in range(draw(st.integers(1, 4))):
        host_id, begin = f"cloud-{number}", draw(times)
        spans.append(
            span(
                begin,
                draw(st.none() | times.map(lambda length, begin=begin: begin + length)),
                host_id=host_id,
                billing=draw(st.sampled_from(Billing)),
                price_nano_usd_per_hour=draw(st.integers(0, 10**10)),
            )
        )
        for service in draw(st.lists(st.sampled_from(("a/x", "a/y", "b/z")), max_size=4)):
            start = draw(times)
            held.append(holding(service, start, start + draw(times), draw(st.integers(1, 700)), 1, host_id))
    return spans, held


@settings(max_examples=150, deadline=None)
@given(fleets(), st.lists(st.integers(0, 9 * HOUR_MS), min_size=2, max_size=6))
def test_entries_add_up_to_what_the_hosts_cost_however_the_time_is_cut(
    fleet: tuple[list[Span], list[Holding]], instants: list[int]
) -> None:
    spans, held = fleet
    cuts = sorted(instants)
    total = Amount()
    for left, right in itertools.pairwise(cuts):
        total = sum(accrue(spans, held, left, right).values(), total)
    assert total == sum((charge(one, cuts[0], cuts[-1]) for one in spans), Amount())
