"""Accounts of one cloud share what is asked for."""

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from dcp.hosts.clusters import Allowance
from dcp.hosts.model import HostType, Offer, Resources, SourceKind
from dcp.orchestration.scaling.equal_sources import AT_ONCE, in_turn
from dcp.orchestration.scaling.hosts_wanted import place_with_new_hosts
from dcp.scheduling.model import Ask

LARGE = HostType("large", Resources(4000, 8 << 30), 0.2)


def account(number: int, available: int | None = None, host_type: HostType = LARGE) -> Offer:
    return Offer(f"account-{number}", SourceKind.CLOUD, host_type, available)


def by_source(found: tuple[Offer, ...]) -> dict[str, int]:
    return dict(Counter(one.source for one in found))


def test_a_few_come_from_the_first_and_many_from_all() -> None:
    accounts = [account(number) for number in range(4)]
    assert by_source(in_turn([accounts[0]] * AT_ONCE, accounts)) == {"account-0": AT_ONCE}
    assert by_source(in_turn([accounts[0]] * 100, accounts)) == {
        "account-0": 30,
        "account-1": 30,
        "account-2": 20,
        "account-3": 20,
    }


def test_only_equals_share() -> None:
    other_price = account(1, host_type=replace(LARGE, price_usd_per_hour=0.3))
    elsewhere = account(2, host_type=replace(LARGE, labels=(("site", "b"),)))
    private = replace(account(3), kind=SourceKind.PRIVATE)
    lent = replace(account(4), clusters=("search",))
    wanted = [account(0)] * 100
    assert by_source(in_turn(wanted, [account(0), other_price, elsewhere, private, lent])) == {"account-0": 100}
    assert by_source(in_turn([private] * 50, [private, replace(private, source="other")])) == {"account-3": 50}


def test_a_source_with_a_quota_gets_what_was_decided() -> None:
    accounts = [account(number) for number in range(3)]
    allowance = Allowance(by_source=(("account-1", 5),))
    found = by_source(in_turn([*[accounts[0]] * 40, *[accounts[1]] * 5], accounts, allowance))
    assert found == {"account-0": 20, "account-1": 5, "account-2": 20}


@given(st.lists(st.integers(0, 60) | st.none(), min_size=1, max_size=5), st.data())
def test_nobody_gives_more_than_there_is_and_as_many_are_asked_for(
    available: list[int | None], data: st.DataObject
) -> None:
    accounts = [account(number, some) for number, some in enumerate(available)]
    wanted: list[Offer] = []
    for one in accounts:
        most = 80 if one.available is None else one.available
        wanted += [one] * data.draw(st.integers(0, most))
    found = in_turn(wanted, accounts)
    assert len(found) == len(wanted)
    counts = Counter(found)
    assert all(one.available is None or counts[one] <= one.available for one in accounts)


def test_a_plan_for_many_hosts_names_all_accounts() -> None:
    accounts = tuple(account(number) for number in range(10))
    plan = place_with_new_hosts((Ask("shop/web", 200, LARGE.resources),), (), accounts, 0, seed=1)
    assert set(Counter(host.offer.source for host in plan.new_hosts).values()) == {20}
    assert all(host.host_id.startswith(host.offer.source) for host in plan.new_hosts)
