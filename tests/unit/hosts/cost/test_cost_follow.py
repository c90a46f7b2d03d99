"""How spans follow a host through its life."""

from dataclasses import replace

from dcp.hosts.cost.charge import charge
from dcp.hosts.cost.follow import follow, needs_look
from dcp.hosts.cost.model import NANO, Amount, Span, SpanState
from dcp.hosts.model import Billing, Host, HostType, Resources, SourceKind
from dcp.hosts.states import HostState

TYPE = HostType("c1", Resources(1000, 1 << 30), price_usd_per_hour=3.6, price_stopped_usd_per_hour=0.36)
REQUESTED = Host("cloud-1", "cloud", SourceKind.CLOUD, TYPE, HostState.REQUESTED, requested_at=0.0, cluster="a")


class Life:
    """One host and its spans."""

    def __init__(self, host: Host = REQUESTED) -> None:
        self.host = host
        self.spans: list[Span] = []

    def becomes(self, state: HostState, at: float, reason: str = "", **changes: object) -> "Life":
        after = replace(self.host, state=state, changed_at=at, reason=reason, **changes)  # type: ignore[arg-type]
        if state == HostState.CREATING:
            after = replace(after, billed_from=at)
        if needs_look(self.host, after):
            open_ = next((one for one in self.spans if one.until_ms is None), None)
            ended, begun = follow(open_, self.host, after, round(at * 1000), len(self.spans) + 1)
            if ended:
                self.spans[ended.number - 1] = ended
            if begun:
                self.spans.append(begun)
        self.host = after
        return self

    def total(self) -> Amount:
        return sum((charge(one, 0, 10**13) for one in self.spans), Amount())


def test_a_host_costs_from_the_request_until_it_is_gone() -> None:
    life = Life().becomes(HostState.CREATING, 10).becomes(HostState.BOOTING, 12).becomes(HostState.READY, 40)
    life.becomes(HostState.DRAINING, 900).becomes(HostState.RELEASING, 1000).becomes(HostState.RELEASED, 1010)
    assert life.total() == Amount(NANO, NANO, 1_000_000)
    assert len(life.spans) == 1


def test_a_refused_host_costs_nothing() -> None:
    life = Life().becomes(HostState.CREATING, 10).becomes(HostState.REQUESTED, 11, "out-of-stock")
    life.becomes(HostState.CREATING, 20).becomes(HostState.FAILED, 21, "out-of-stock")
    life.becomes(HostState.RELEASING, 22, "out-of-stock").becomes(HostState.RELEASED, 30)
    assert life.spans == []


def test_a_host_that_was_given_up_without_an_answer_may_exist_and_costs() -> None:
    life = Life().becomes(HostState.CREATING, 10).becomes(HostState.FAILED, 110, "boot-timeout")
    life.becomes(HostState.RELEASING, 120).becomes(HostState.RELEASED, 210)
    assert life.total().host_ms == 200_000


def test_switched_off_it_costs_less_and_starts_with_a_minimum_again() -> None:
    life = Life().becomes(HostState.CREATING, 0).becomes(HostState.READY, 0).becomes(HostState.STOPPING, 1000)
    life.becomes(HostState.STOPPED, 1000).becomes(HostState.STARTING, 11_000).becomes(HostState.READY, 11_000)
    life.becomes(HostState.DRAINING, 11_001).becomes(HostState.RELEASING, 11_010).becomes(HostState.RELEASED, 11_010)
    assert [one.state for one in life.spans] == [SpanState.RUNNING, SpanState.STOPPED, SpanState.RUNNING]
    assert life.total() == Amount(NANO + NANO + 60 * NANO // 1000, NANO + NANO + NANO // 100, 11_010_000)


def test_a_stopped_host_that_is_released_costs_as_stopped_to_the_end() -> None:
    life = Life().becomes(HostState.CREATING, 0).becomes(HostState.READY, 0).becomes(HostState.STOPPING, 1000)
    life.becomes(HostState.STOPPED, 1000).becomes(HostState.RELEASING, 2000).becomes(HostState.RELEASED, 3000)
    assert [(one.state, one.from_ms, one.until_ms) for one in life.spans] == [
        (SpanState.RUNNING, 0, 1_000_000),
        (SpanState.STOPPED, 1_000_000, 3_000_000),
    ]


def test_a_new_price_or_cluster_opens_a_span_without_a_gap() -> None:
    life = Life().becomes(HostState.CREATING, 0).becomes(HostState.READY, 0)
    life.becomes(HostState.READY, 500, host_type=replace(TYPE, price_usd_per_hour=7.2, billing=Billing.PER_SECOND))
    life.becomes(HostState.READY, 1000, cluster="b").becomes(HostState.DRAINING, 1500)
    life.becomes(HostState.RELEASING, 1500).becomes(HostState.RELEASED, 1500)
    assert [(one.cluster, one.price_nano_usd_per_hour, one.from_ms, one.until_ms) for one in life.spans] == [
        ("a", 3600 * NANO // 1000, 0, 500_000),
        ("a", 7200 * NANO // 1000, 500_000, 1_000_000),
        ("b", 7200 * NANO // 1000, 1_000_000, 1_500_000),
    ]
    assert life.total().charged_nano_usd == (500 + 2 * 1000) * NANO // 1000


def test_a_month_that_was_paid_is_not_paid_again_after_a_rest() -> None:
    monthly = replace(TYPE, billing=Billing.MONTHLY, price_usd_per_hour=1.0)
    life = Life(replace(REQUESTED, host_type=monthly)).becomes(HostState.CREATING, 0).becomes(HostState.READY, 0)
    life.becomes(HostState.STOPPING, 10).becomes(HostState.STOPPED, 20).becomes(HostState.STARTING, 5000)
    life.becomes(HostState.RELEASING, 9000).becomes(HostState.RELEASED, 9000)
    assert life.total().charged_nano_usd == 730 * NANO
    assert life.total().host_ms == 9_000_000


def test_a_clock_that_went_back_ends_no_span_before_it_began() -> None:
    life = Life().becomes(HostState.CREATING, 1000).becomes(HostState.READY, 1000)
    life.becomes(HostState.DRAINING, 400).becomes(HostState.RELEASING, 400).becomes(HostState.RELEASED, 400)
    assert life.spans[0].until_ms == life.spans[0].from_ms == 1_000_000
    assert life.total().host_ms == 0
