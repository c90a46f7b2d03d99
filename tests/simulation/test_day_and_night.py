"""Private hosts that are ours by day only: used by day, empty in time at night, used again in the morning."""

from collections import Counter

from two_clusters import TwoClusters, play

from dcp.engine.leases import look_at_leases
from dcp.hosts.loans import Loan, Window
from dcp.hosts.states import HostState

EPOCH = 1_700_000_000.0 // 86400 * 86400
"""Midnight of the day on which the virtual clock starts, at 22:13:20."""
NOTICE_S = 60.0
HOURS = Loan((Window(22 * 60, 22 * 60 + 17), Window(22 * 60 + 20, 23 * 60)), notice_s=NOTICE_S)
EVENING, MORNING = EPOCH + (22 * 60 + 17) * 60.0, EPOCH + (22 * 60 + 20) * 60.0


def by_day() -> TwoClusters:
    return TwoClusters(3, (), HOURS)


async def until(world: TwoClusters, at: float) -> None:
    async def later() -> bool:
        return world.clock.now() >= at

    await world.until(later, at - world.clock.now() + 1.0)


async def sources(world: TwoClusters) -> Counter[str]:
    return Counter((await world.held("shop")).values())


async def by_day_at_racks(world: TwoClusters) -> None:
    await world.want("shop", 3)
    await world.until_serving("shop", 3)
    assert await sources(world) == {"racks": 3}
    view = await world.database.read(lambda c: look_at_leases(c, world.settings, world.clock.now()))
    assert {lease.until for lease in view.leases} == {EVENING}
    await until(world, EVENING - NOTICE_S - 5.0)
    assert await sources(world) == {"racks": 3}, "nothing moves before the notice"


def test_they_are_empty_before_the_night_nobody_stops_serving_and_all_come_home_in_the_morning() -> None:
    async def scenario(world: TwoClusters) -> None:
        await by_day_at_racks(world)
        await until(world, EVENING)
        assert world.fewest["shop"] == 3, "the new instance serves before the old one leaves"
        assert await world.private.list_all() == (), "given back in time"
        assert await sources(world) == {"cloud": 3}
        assert sum(words.endswith("is cordoned") for words in await world.said("displaced")) == 3
        await until(world, MORNING - 5.0)
        assert await world.private.list_all() == (), "none is taken at night"
        await until(world, MORNING + 30.0)
        assert world.fewest["shop"] == 3
        assert await sources(world) == {"racks": 3}
        await world.until_settled()
        assert all(one.state is HostState.RELEASED for one in await world.ledger() if one.source == "cloud")

    play(by_day, scenario)


def test_at_night_they_are_given_back_also_if_there_is_no_room_elsewhere() -> None:
    async def scenario(world: TwoClusters) -> None:
        await by_day_at_racks(world)
        world.cloud.faults.sold_out.add("small")
        await until(world, EVENING - 2.0)
        assert world.serving("shop") == 3, "they stay for as long as they may"
        await until(world, EVENING + 10.0)
        assert world.serving("shop") == 0
        assert await world.private.list_all() == ()
        world.cloud.faults.sold_out.clear()
        await world.until_serving("shop", 3)
        assert await sources(world) == {"cloud": 3}

    play(by_day, scenario)
