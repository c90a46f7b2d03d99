"""Cases of costs: spans follow their host, entries are made once, sums are exact."""

from dataclasses import replace

import pytest
from sqlalchemy import Connection
from stores import Rig, case, make_host, make_instance

from dcp.hosts.cost.accrue import accrue
from dcp.hosts.cost.model import HOUR_MS, NANO, Amount
from dcp.hosts.model import HostType, Resources
from dcp.hosts.states import HostState
from dcp.kernel.errors import Stale
from dcp.store import costs, hosts, instances, spans

START_S = 1_800_000_000
TYPE = HostType("c1", Resources(1000, 1 << 30), price_usd_per_hour=1.0, minimum_s=0.0)


def hold_a_host(connection: Connection) -> None:
    """Hold one host from START on."""
    asked = replace(make_host("cloud-1"), state=HostState.REQUESTED, host_type=TYPE, cluster="a", version=0)
    hosts.add(connection, [asked])
    creating = replace(asked, state=HostState.CREATING, changed_at=START_S, billed_from=START_S)
    before = hosts.change(connection, asked, creating)
    hosts.change(connection, before, replace(before, state=HostState.READY, changed_at=START_S))


def enter(connection: Connection, until_ms: int) -> None:
    """Enter what was not entered yet, up to so many milliseconds after START."""
    since, until = spans.accrued_until(connection), START_S * 1000 + until_ms
    assert since is not None
    entries = accrue(spans.within(connection, since, until), spans.holdings(connection, since, until), since, until)
    costs.enter(connection, entries, since, until, spans.changes(connection, since, until))


@case
async def host_time_is_entered_once_and_by_service(rig: Rig) -> None:
    await rig.database.write(hold_a_host)
    half = replace(
        make_instance("feed-1"),
        application="shop",
        service="feed",
        host_id="cloud-1",
        created_at=START_S + 1800.0,
        ended_at=None,
        resources=Resources(500, 1),
    )
    await rig.database.write(lambda connection: instances.add(connection, [half]))
    for until_ms in (1000, HOUR_MS // 2 + 8, HOUR_MS):
        await rig.database.write(lambda connection, until_ms=until_ms: enter(connection, until_ms))
    found = await rig.database.read(lambda connection: costs.totals(connection, ["cluster", "service"], 0, 2**40))
    assert found == {
        ("a", ""): Amount(3 * NANO // 4, 3 * NANO // 4, 3 * HOUR_MS // 4),
        ("a", "shop/feed"): Amount(NANO // 4, NANO // 4, HOUR_MS // 4),
    }
    assert await rig.database.read(lambda connection: costs.spent_usd(connection, "a", START_S)) == 1.0
    assert await rig.database.read(lambda connection: costs.spent_usd(connection, "b", START_S)) == 0.0


@case
async def of_two_that_enter_the_same_time_the_second_is_stale(rig: Rig) -> None:
    await rig.database.write(hold_a_host)
    begin, end = START_S * 1000, START_S * 1000 + HOUR_MS
    changes = await rig.database.read(lambda connection: spans.changes(connection, begin, end))
    await rig.database.write(lambda connection: costs.enter(connection, {}, begin, end, changes))
    with pytest.raises(Stale):
        await rig.database.write(lambda connection: costs.enter(connection, {}, begin, end, changes))


@case
async def a_host_that_leaves_behind_the_cursor_costs_until_there(rig: Rig) -> None:
    await rig.database.write(hold_a_host)
    await rig.database.write(lambda connection: enter(connection, HOUR_MS))

    def leave(connection: Connection) -> None:
        before = hosts.find(connection, "cloud-1")
        assert before is not None
        for state in (HostState.DRAINING, HostState.RELEASING, HostState.RELEASED):
            before = hosts.change(connection, before, replace(before, state=state, changed_at=START_S + 60.0))

    await rig.database.write(leave)
    await rig.database.write(lambda connection: enter(connection, 2 * HOUR_MS))
    found = await rig.database.read(lambda connection: costs.totals(connection, [], 0, 2**40))
    assert found == {(): Amount(NANO, NANO, HOUR_MS)}
    assert await rig.database.read(spans.going_on) == ()
