"""What a span costs: by kind of billing, over midnight and months, and the same however a period is cut."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from span_makers import ms, span

from dcp.hosts.cost.charge import charge
from dcp.hosts.cost.model import HOUR_MS, NANO, Amount, Span, SpanState
from dcp.hosts.model import Billing

FAR = ms("2100-01-01")


def usd(made: Span, since: str, until: str) -> tuple[float, float]:
    """Return what is charged and what is amortised in a period."""
    amount = charge(made, ms(since), ms(until))
    return amount.charged_nano_usd / NANO, amount.amortised_nano_usd / NANO


def test_by_the_second_a_host_costs_the_time_it_was_held() -> None:
    assert usd(span("2026-03-01 10:00", "2026-03-01 11:30"), "2026-03-01", "2026-03-02") == (1.5, 1.5)


def test_by_the_second_at_least_the_minimum_is_charged() -> None:
    made = span(0, 6_000, price_nano_usd_per_hour=3600 * NANO)
    assert charge(made, 0, FAR) == Amount(60 * NANO, 6 * NANO, 6_000)


def test_the_minimum_falls_due_at_the_start_and_covers_what_follows() -> None:
    made = span(0, 100_000, price_nano_usd_per_hour=3600 * NANO)
    parts = [charge(made, at, at + 20_000).charged_nano_usd // NANO for at in range(0, 120_000, 20_000)]
    assert parts == [60, 0, 0, 20, 20, 0]


def test_a_new_price_does_not_charge_the_minimum_again() -> None:
    first = span(0, 30_000, price_nano_usd_per_hour=3600 * NANO)
    second = replace(first, number=2, first=False, from_ms=30_000, until_ms=90_000, price_nano_usd_per_hour=7200 * NANO)
    assert charge(first, 0, FAR).charged_nano_usd == 60 * NANO
    assert charge(second, 0, FAR) == Amount(60 * NANO, 120 * NANO, 60_000)


def test_time_from_the_request_falls_due_when_the_source_shows_the_host() -> None:
    made = span(HOUR_MS, 2 * HOUR_MS, anchor_ms=HOUR_MS // 2)
    assert charge(made, 0, HOUR_MS) == Amount()
    assert charge(made, HOUR_MS, HOUR_MS + 1).host_ms == HOUR_MS // 2 + 1
    assert charge(made, 0, FAR) == Amount(3 * NANO // 2, 3 * NANO // 2, 3 * HOUR_MS // 2)


def test_a_host_that_is_gone_in_the_moment_it_is_shown_owes_its_minimum() -> None:
    assert charge(span(5_000, 5_000), 5_000, 6_000).charged_nano_usd == NANO // 60


def test_by_the_hour_every_begun_hour_is_charged_over_midnight() -> None:
    made = span("2026-03-01 22:30", "2026-03-02 00:31", billing=Billing.HOURLY)
    assert usd(made, "2026-03-01", "2026-03-02") == (2.0, 1.5)
    assert usd(made, "2026-03-02", "2026-03-03") == (1.0, pytest.approx(31 / 60))


def test_an_hour_that_ends_as_the_host_does_is_the_last() -> None:
    made = span("2026-03-01 10:00", "2026-03-01 12:00", billing=Billing.HOURLY)
    assert usd(made, "2026-03-01", "2026-03-02") == (2.0, 2.0)


def test_by_the_month_from_the_day_of_taking_clipped_to_short_months() -> None:
    made = span("2026-01-31 10:00", "2026-04-30 09:00", billing=Billing.MONTHLY)
    assert usd(made, "2026-01-01", "2026-02-01")[0] == 730
    assert usd(made, "2026-02-28 09:59", "2026-02-28 10:01")[0] == 730
    assert usd(made, "2026-03-01", "2026-03-31 10:00")[0] == 0
    assert usd(made, "2026-03-31 10:00", "2026-04-01")[0] == 730
    assert usd(made, "2026-01-01", "2027-01-01")[0] == 3 * 730


def test_a_whole_month_amortises_to_its_price_whatever_its_length() -> None:
    made = span("2026-02-01", None, billing=Billing.MONTHLY)
    assert usd(made, "2026-02-01", "2026-03-01") == (730, 730)
    assert usd(made, "2026-03-01", "2026-04-01") == (730, 730)
    assert usd(made, "2026-02-01", "2026-02-15") == (730, 365)


def test_by_the_year_a_leap_day_comes_back_every_four_years() -> None:
    made = span("2024-02-29 12:00", None, billing=Billing.YEARLY)
    assert usd(made, "2025-02-28", "2025-03-01")[0] == 8760
    assert usd(made, "2028-02-28", "2028-02-29")[0] == 0
    assert usd(made, "2028-02-29", "2028-03-01")[0] == 8760


def test_switched_off_only_time_is_charged_but_a_month_goes_on() -> None:
    off = {"state": SpanState.STOPPED, "price_nano_usd_per_hour": NANO // 10}
    assert usd(
        span("2026-03-01 10:00", "2026-03-01 10:30", billing=Billing.HOURLY, **off), "2026-03-01", "2026-03-02"
    ) == (
        0.05,
        0.05,
    )
    month = span(
        "2026-03-10", None, anchor_ms=ms("2026-03-01"), first=False, billing=Billing.MONTHLY, state=SpanState.STOPPED
    )
    assert usd(month, "2026-03-01", "2026-04-02")[0] == 730


@st.composite
def spans(draw: st.DrawFn) -> Span:
    anchor = draw(st.integers(0, 10**12))
    begin = anchor + draw(st.sampled_from((0, 1, 59_999, 60_000, HOUR_MS, 40 * 24 * HOUR_MS)) | st.integers(0, 10**10))
    length = draw(st.none() | st.sampled_from((0, 1, 60_000, HOUR_MS)) | st.integers(0, 10**11))
    return span(
        begin,
        None if length is None else begin + length,
        anchor_ms=anchor,
        first=draw(st.booleans()),
        billing=draw(st.sampled_from(Billing)),
        state=draw(st.sampled_from(SpanState)),
        price_nano_usd_per_hour=draw(st.integers(0, 10**11)),
        minimum_ms=draw(st.integers(0, 3 * HOUR_MS)),
    )


@settings(max_examples=300, deadline=None)
@given(spans(), st.lists(st.integers(0, 12 * 10**11), min_size=2, max_size=12))
def test_a_period_may_be_cut_anywhere_and_nothing_is_ever_negative(made: Span, instants: list[int]) -> None:
    cuts = sorted([*instants, made.from_ms, made.from_ms + 1])
    parts = [charge(made, left, right) for left, right in itertools.pairwise(cuts)]
    assert sum(parts, Amount()) == charge(made, cuts[0], cuts[-1])
    assert all(part.charged_nano_usd >= 0 and part.amortised_nano_usd >= 0 and part.host_ms >= 0 for part in parts)


@settings(max_examples=100, deadline=None)
@given(spans(), st.integers(0, 10**11))
def test_what_was_held_is_never_charged_less_than_its_share(made: Span, length: int) -> None:
    whole = replace(made, first=True, until_ms=made.from_ms + length)
    amount = charge(whole, 0, FAR)
    assert amount.charged_nano_usd >= amount.amortised_nano_usd


def test_ten_thousand_hosts_for_ten_years_add_up() -> None:
    made = span("2026-01-01", "2036-01-01", price_nano_usd_per_hour=123_456_789)
    hours = charge(made, 0, FAR).host_ms // HOUR_MS
    days = [charge(made, day, day + 24 * HOUR_MS) for day in range(made.from_ms, ms("2036-01-01"), 24 * HOUR_MS)]
    total = sum(days, Amount()).charged_nano_usd * 10_000
    assert total == hours * 123_456_789 * 10_000
    assert total < 2**63
