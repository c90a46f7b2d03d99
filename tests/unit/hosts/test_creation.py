"""Which hosts are asked for where, in which calls, and what the answers mean."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from hypothesis import given, settings
from hypothesis import strategies as st

from dcp.hosts.answers import MemoryTimes, settle, whole
from dcp.hosts.creation import (
    ACCEPTED,
    AskingView,
    Call,
    account_wide,
    decide_asking,
    new_calls,
    open_tokens,
    repeated_calls,
)
from dcp.hosts.model import Host, HostType, Offer, Resources, SourceKind, SourceLimits, Variant
from dcp.hosts.pace import Pace
from dcp.hosts.places import Place, places_left
from dcp.hosts.refusals import RefusalKind, Refused, ruled_out
from dcp.hosts.states import HostState
from dcp.hosts.steps import HostStep, after_step
from dcp.kernel.errors import AccessDenied, DriverError, OutOfStock, QuotaReached, Rejected, Throttled

NOW = 1000.0
TIMES = MemoryTimes(stock_s=120.0, quota_s=300.0, denied_s=3600.0)
SMALL = HostType("small", Resources(1000, 1 << 30), price_usd_per_hour=0.1)
PLACES = (Variant("a", 0.12), Variant("b", 0.08), Variant("c"))
OFFER = Offer("cloud", SourceKind.CLOUD, SMALL, None, PLACES)


def host(number: int, state: HostState = HostState.REQUESTED, **changes: object) -> Host:
    made = Host(f"cloud-{number}", "cloud", SourceKind.CLOUD, SMALL, state, requested_at=NOW - 100 + number)
    return replace(made, **changes)  # type: ignore[arg-type]


def hosts(count: int) -> tuple[Host, ...]:
    return tuple(host(number) for number in range(1, count + 1))


def ask(
    *waiting: Host,
    memory: tuple[Refused, ...] = (),
    limits: SourceLimits = SourceLimits(batch=10),  # noqa: B008
    flying: tuple[Host, ...] = (),
    offers: tuple[Offer, ...] = (OFFER,),
    given_at: Mapping[Place, float] = MappingProxyType({}),
) -> tuple[HostStep, ...]:
    return decide_asking(AskingView(NOW, "cloud", waiting, flying, offers, limits, memory, given_at))


def refused(kind: RefusalKind, type_name: str = "small", variant: str = "", until: float = NOW + 60) -> Refused:
    return Refused("cloud", type_name, variant, kind, "none left", NOW, until)


def written(steps: tuple[HostStep, ...]) -> tuple[Host, ...]:
    return tuple(after_step(step, step.host, NOW) for step in steps)


def test_the_cheapest_place_is_asked_and_its_price_is_written() -> None:
    (one,) = written(ask(host(1)))
    assert (one.state, one.variant, one.billed_from) == (HostState.CREATING, "b", NOW)
    assert one.host_type.price_usd_per_hour == 0.08
    (other,) = written(ask(host(1), memory=(refused(RefusalKind.STOCK_OUT, variant="b"),)))
    assert (other.variant, other.host_type.price_usd_per_hour) == ("c", 0.1)


def test_calls_are_bounded_and_every_call_has_its_token() -> None:
    calls = new_calls(written(ask(*hosts(25))))
    assert [len(call.orders) for call in calls] == [10, 10, 5]
    assert len({call.token for call in calls}) == 3
    assert {order.token for order in calls[0].orders} == {calls[0].token}
    assert len(calls[0].token) <= 64


def test_a_token_comes_never_again_although_the_host_does() -> None:
    (first,) = written(ask(host(1)))
    (again,) = written(ask(replace(host(1), version=3)))
    (of_another_ledger,) = written(ask(replace(host(1), requested_at=NOW - 5)))
    assert len({first.token, again.token, of_another_ledger.token}) == 3


def test_only_so_many_are_in_flight_oldest_first() -> None:
    limits = SourceLimits(batch=10, in_flight=8)
    flying = tuple(host(number, HostState.CREATING, reason=ACCEPTED) for number in range(20, 29))
    assert [one.id for one in written(ask(*hosts(9), limits=limits, flying=flying[:5]))] == [
        "cloud-1",
        "cloud-2",
        "cloud-3",
    ]
    assert ask(*hosts(9), limits=limits, flying=flying) == ()


SAME_PRICE = replace(OFFER, variants=tuple(Variant(key) for key in "abcde"))


def calls_to(steps: tuple[HostStep, ...]) -> list[tuple[str, int]]:
    return [(call.hosts[0].variant, len(call.hosts)) for call in new_calls(written(steps))]


def test_places_of_one_price_are_tried_with_a_few_hosts_each_before_many_are_asked_for() -> None:
    limits = SourceLimits(batch=10, in_flight=40)
    assert calls_to(ask(*hosts(100), offers=(SAME_PRICE,), limits=limits)) == [(key, 4) for key in "abcde"]
    assert calls_to(ask(*hosts(3), offers=(SAME_PRICE,), limits=limits)) == [("a", 3)], "a few are one call"
    under_way = tuple(host(n, HostState.CREATING, reason="asked", variant="abcde"[n % 5]) for n in range(200, 220))
    assert ask(*hosts(100), offers=(SAME_PRICE,), limits=limits, flying=under_way) == (), "its answer is waited for"
    known_out = tuple(refused(RefusalKind.STOCK_OUT, variant=key) for key in "abcd")
    found = calls_to(ask(*hosts(100), offers=(SAME_PRICE,), limits=limits, memory=known_out))
    assert found == [("e", 4)], "where others ran out it is tried, too"
    alone = replace(OFFER, variants=(Variant("a"), Variant("b", 0.3)))
    found = calls_to(ask(*hosts(100), offers=(alone,), limits=limits))
    assert found == [("a", 10)] * 4, "without a choice there is nothing to try"


def test_places_that_gave_take_turns_and_the_others_are_left_alone() -> None:
    limits = SourceLimits(batch=10, in_flight=40)
    given = {("small", "d"): NOW - 9, ("small", "b"): NOW - 5}
    found = calls_to(ask(*hosts(100), offers=(SAME_PRICE,), limits=limits, given_at=given))
    assert found == [("d", 4), ("b", 4)] * 5
    busy = tuple(host(n, HostState.CREATING, reason="asked", variant="d") for n in range(200, 210))
    found = calls_to(ask(*hosts(10), offers=(SAME_PRICE,), limits=limits, given_at=given, flying=busy))
    assert found == [("b", 4), ("d", 4), ("b", 2)], "whoever has fewer calls under way is next"


def test_a_source_that_throttled_lately_gets_few_calls_and_what_is_left_waits() -> None:
    limits = SourceLimits(batch=10, in_flight=40)
    given = {("small", "d"): NOW - 9}
    view = AskingView(NOW, "cloud", hosts(100), (), (SAME_PRICE,), limits, (), given, calls=2)
    assert calls_to(decide_asking(view)) == [("d", 4), ("d", 4)]
    assert decide_asking(replace(view, calls=0)) == ()


def test_the_pace_halves_with_throttling_and_comes_back_one_by_one() -> None:
    pace = Pace(8)
    pace.answered(others=3, throttled=1)
    assert pace.calls == 4
    for _ in range(3):
        pace.answered(others=0, throttled=5)
    assert pace.calls == 1, "one call has to find out whether it is over"
    pace.answered(others=2, throttled=0)
    assert pace.calls == 3
    pace.answered(others=20, throttled=0)
    assert pace.calls == 8


def test_throttling_is_waited_for_and_nothing_else_is() -> None:
    assert ask(host(1), memory=(refused(RefusalKind.THROTTLED, ""),)) == ()
    everywhere = tuple(refused(RefusalKind.STOCK_OUT, variant=place.key) for place in PLACES)
    for memory in (everywhere, (refused(RefusalKind.QUOTA),), (refused(RefusalKind.DENIED, ""),)):
        (step,) = ask(host(1), memory=memory)
        assert step.after == HostState.FAILED
        assert "none left" in step.words
        assert places_left(memory, OFFER, NOW) == ()
    (step,) = ask(host(1), offers=())
    assert (step.after, step.reason) == (HostState.FAILED, "not-offered")


def call_of(count: int, *, repeated: bool = False) -> Call:
    (call,) = new_calls(written(ask(*hosts(count))))
    return replace(call, repeated=repeated)


def states(call: Call, refusals: dict[str, DriverError]) -> list[tuple[HostState, str]]:
    return [(step.after, step.reason) for step in settle("cloud", call, refusals, NOW, TIMES).steps]


def test_a_part_of_a_call_may_be_refused() -> None:
    settled = settle("cloud", call_of(3), {"cloud-2": OutOfStock("none")}, NOW, TIMES)
    first, second, third = (after_step(step, step.host, NOW) for step in settled.steps)
    assert (first.reason, third.reason) == (ACCEPTED, ACCEPTED)
    assert (second.state, second.token, second.variant, second.billed_from) == (HostState.REQUESTED, "", "", None)
    assert [(one.type_name, one.variant, one.until) for one in settled.memory] == [("small", "b", NOW + 120)]


def test_what_a_refusal_rules_out() -> None:
    call = call_of(1)
    for error, expected in (
        (QuotaReached("full"), ("small", "", 300.0)),
        (Throttled("slow", delay_s=7.0), ("", "", 7.0)),
        (AccessDenied("no"), ("", "", 3600.0)),
    ):
        settled = settle("cloud", call, whole(call.wanted, error), NOW, TIMES)
        (one,) = settled.memory
        assert (one.type_name, one.variant, one.until - NOW) == expected
        assert [step.after for step in settled.steps] == [HostState.REQUESTED]
    assert states(call, {"cloud-1": Rejected("never")}) == [(HostState.FAILED, "rejected")]
    assert settle("cloud", call, {"cloud-1": Rejected("never")}, NOW, TIMES).memory == ()


def test_one_unknown_outcome_leaves_the_whole_call_open() -> None:
    refusals: dict[str, DriverError] = {"cloud-1": OutOfStock("none"), "cloud-2": DriverError("no answer")}
    settled = settle("cloud", call_of(3), refusals, NOW, TIMES)
    stored = tuple(after_step(step, step.host, NOW) for step in settled.steps)
    assert [one.state for one in stored] == [HostState.CREATING] * 3
    assert {one.not_before for one in stored[:2]} == {NOW + 0.5}, "a call is repeated as one"
    assert open_tokens(stored, frozenset(), NOW) == frozenset()
    (token,) = open_tokens(stored, frozenset(), NOW + 1)
    (again,) = repeated_calls(stored, frozenset())
    assert again.token == token
    assert [(order.host_id, order.carried) for order in again.orders] == [
        ("cloud-1", False),
        ("cloud-2", False),
        ("cloud-3", True),
    ]


def test_a_repeated_call_names_the_same_hosts_whatever_became_of_them() -> None:
    (call,) = new_calls(written(ask(*hosts(4))))
    one, two, three, four = call.hosts
    members = (replace(one, state=HostState.RELEASED), two, replace(three, state=HostState.READY), four)
    (again,) = repeated_calls(members, frozenset({"cloud-4"}))
    assert [order.host_id for order in again.orders] == [order.host_id for order in call.orders]
    assert {order.token for order in again.orders} == {call.token}
    assert {order.variant for order in again.orders} == {"b"}
    assert again.carried == {"cloud-1", "cloud-3", "cloud-4"}
    assert again.wanted == (two,)


def test_throttling_of_a_repeated_call_says_nothing_of_the_first() -> None:
    call = call_of(2, repeated=True)
    for error in (Throttled("slow", delay_s=7.0), AccessDenied("no")):
        assert {after for after, _ in states(call, dict(whole(call.wanted, error)))} == {HostState.CREATING}
    assert states(call, dict(whole(call.wanted, OutOfStock("none")))) == [(HostState.REQUESTED, "out-of-stock")] * 2


TYPES = ("t1", "t2", "t3")
KEYS = ("v1", "v2", "v3")


@dataclass
class Market:
    """A cloud with what is really in stock, and what else it answers."""

    stock: dict[tuple[str, str], int]
    quota: dict[str, int]
    throttles: list[int]
    """Calls, by number, that are throttled."""
    given: Counter[tuple[str, str]] = field(default_factory=Counter)
    calls: int = 0

    def create(self, call: Call, memory: list[Refused], now: float, tries: Counter[str]) -> dict[str, DriverError]:
        self.calls += 1
        name, place = call.hosts[0].host_type.name, call.hosts[0].variant
        assert ruled_out(memory, "cloud", name, place, now) is None, "asked where it was refused"
        if self.calls in self.throttles:
            return dict(whole(call.wanted, Throttled("slow", delay_s=3.0)))
        found: dict[str, DriverError] = {}
        for one in call.wanted:
            tries[one.id] += 1
            if sum(self.given[name, key] for key in KEYS) >= self.quota[name]:
                found[one.id] = QuotaReached("quota")
            elif self.given[name, place] >= self.stock[name, place]:
                found[one.id] = OutOfStock("stock")
            else:
                self.given[name, place] += 1
        return found


@settings(max_examples=150, deadline=None)
@given(
    stock=st.fixed_dictionaries({(name, key): st.integers(0, 4) for name in TYPES for key in KEYS}),
    quota=st.fixed_dictionaries({name: st.integers(0, 9) for name in TYPES}),
    throttles=st.lists(st.integers(1, 12), max_size=5),
    prices=st.lists(st.sampled_from([0.1, 0.2, 0.3]), min_size=9, max_size=9),
    count=st.integers(1, 12),
    batch=st.integers(1, 5),
    in_flight=st.integers(1, 12),
)
def test_a_feasible_offer_is_reached_in_bounded_tries(
    stock: dict[tuple[str, str], int],
    quota: dict[str, int],
    throttles: list[int],
    prices: list[float],
    count: int,
    batch: int,
    in_flight: int,
) -> None:
    market = Market(stock, quota, throttles)
    offers = tuple(
        Offer(
            "cloud",
            SourceKind.CLOUD,
            HostType(name, Resources(1, 1)),
            None,
            tuple(Variant(key, prices[3 * number + at]) for at, key in enumerate(KEYS)),
        )
        for number, name in enumerate(TYPES)
    )
    feasible = min(count, sum(min(quota[name], sum(stock[name, key] for key in KEYS)) for name in TYPES))
    got, tries = run_market(market, offers, count, SourceLimits(batch=batch, in_flight=in_flight))
    assert got == feasible
    assert max(tries.values(), default=0) <= len(TYPES) * len(KEYS)


def run_market(market: Market, offers: tuple[Offer, ...], count: int, limits: SourceLimits) -> tuple[int, Counter[str]]:
    """Play planner (takes the first offer with places left), worker and clock, until nothing is wanted any more."""
    now, memory, tries, got = NOW, list[Refused](), Counter[str](), 0
    wanted = [f"cloud-{number}" for number in range(count)]
    queue: list[Host] = []
    given_at: dict[Place, float] = {}
    for _ in range(60):
        queue += planned(wanted, offers, memory, now)
        if not queue:
            return got, tries
        view = AskingView(now, "cloud", tuple(queue), (), offers, limits, tuple(memory), given_at)
        steps = decide_asking(view)
        assert sum(step.after == HostState.CREATING for step in steps) <= limits.in_flight
        moved = {step.host.id for step in steps}
        queue = [one for one in queue if one.id not in moved]
        wanted += [step.host.id for step in steps if step.after == HostState.FAILED]
        asked = [after_step(step, step.host, now) for step in steps if step.after == HostState.CREATING]
        if account_wide(memory, "cloud", now):
            assert not asked
        before = list(memory)
        for call in new_calls(asked):
            settled = settle("cloud", call, market.create(call, before, now, tries), now, TIMES)
            memory += settled.memory
            after = [after_step(step, step.host, now) for step in settled.steps]
            got += sum(one.reason == ACCEPTED for one in after)
            given_at |= {(one.host_type.name, one.variant): now for one in after if one.reason == ACCEPTED}
            queue += [one for one in after if one.state == HostState.REQUESTED]
        queue.sort(key=lambda one: one.id)
        now += 1.0
    raise AssertionError("it never ends")


def planned(wanted: list[str], offers: tuple[Offer, ...], memory: list[Refused], now: float) -> list[Host]:
    left = [offer for offer in offers if places_left(memory, offer, now)]
    names, wanted[:] = list(wanted), []
    if not left:
        return []
    return [Host(name, "cloud", SourceKind.CLOUD, left[0].host_type, HostState.REQUESTED, now) for name in names]
