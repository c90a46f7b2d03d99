"""Private hosts between clusters: lent while nobody of their owner needs them, claimed back with notice, home again."""

import asyncio

from two_clusters import NEWS, TwoClusters, play, play_with_a_death

from dcp.hosts.clusters import Cluster
from dcp.hosts.states import HostState


def test_what_is_free_at_a_source_that_is_lent_is_used_before_any_cloud() -> None:
    async def scenario(world: TwoClusters) -> None:
        await world.want("news", 1)
        await world.until_serving("news", 1)
        await world.want("shop", 2)
        await world.until_serving("shop", 2)
        assert set((await world.held("shop")).values()) == {"racks"}
        assert all(host.source == "racks" for host in await world.ledger())

    play(lambda: TwoClusters(3), scenario)


def test_without_consent_nothing_is_lent() -> None:
    async def scenario(world: TwoClusters) -> None:
        await world.want("shop", 1)
        await world.until_serving("shop", 1)
        assert set((await world.held("shop")).values()) == {"cloud"}

    play(lambda: TwoClusters(3, (Cluster("news"),)), scenario)


def test_a_ready_host_that_its_owner_does_not_need_any_more_changes_hands_as_it_is() -> None:
    async def scenario(world: TwoClusters) -> None:
        await world.want("news", 2)
        await world.until_serving("news", 2)
        await world.want("shop", 1)
        await world.until_serving("shop", 1)
        await world.want("news", 1)
        await world.until_on_hosts("news", 1)
        await world.want("shop", 2)
        await world.until_serving("shop", 2)
        ledger = await world.ledger()
        assert len(ledger) == 3, "nobody asked a source for another one"
        (lent,) = [host for host in ledger if host.reason == "taken-over"]
        assert (lent.state, lent.cluster) == (HostState.READY, "shop")
        assert "taken-over" in await world.reasons(lent.subject)

    play(lambda: TwoClusters(3), scenario)


def test_headroom_of_the_owner_is_not_lent() -> None:
    async def scenario(world: TwoClusters) -> None:
        await world.want("news", 1)
        await world.until_serving("news", 1)
        await world.clock.sleep(10.0)
        await world.want("shop", 1)
        await world.until_serving("shop", 1)
        assert set((await world.held("shop")).values()) == {"cloud"}

    play(lambda: TwoClusters(2, (Cluster("news", lends=True, headroom_hosts=1),)), scenario)


async def lent_out(world: TwoClusters) -> None:
    """Let `news` use one host and `shop` the other two."""
    await world.want("news", 1)
    await world.until_serving("news", 1)
    await world.want("shop", 2)
    await world.until_serving("shop", 2)


def test_an_owner_claims_its_host_back_and_nobody_stops_serving() -> None:
    async def scenario(world: TwoClusters) -> None:
        await lent_out(world)
        await world.want("news", 2)
        await world.until_serving("news", 2)
        assert world.fewest["shop"] == 2, "the new instance serves before the old one leaves"
        assert set((await world.held("news")).values()) == {"racks"}
        assert sorted((await world.held("shop")).values()) == ["cloud", "racks"]
        (back,) = [host for host in await world.ledger() if host.reason == "handed-over"]
        assert (back.cluster, back.state, back.leave_by, back.claimed_by) == ("news", HostState.READY, None, None)
        waiting = await world.said("waits-for-claim")
        assert waiting == [f"1 wait for hosts that cluster news claims back: {back.id} (from shop)"]

    play(lambda: TwoClusters(3), scenario)


def test_a_claimed_host_goes_back_in_time_even_if_the_borrower_has_nowhere_else() -> None:
    async def scenario(world: TwoClusters) -> None:
        await lent_out(world)
        world.cloud.faults.sold_out.add("small")
        claimed_at = world.clock.now()
        await world.want("news", 2)
        await world.until_serving("news", 2, within_s=NEWS.claim_notice_s + 15.0)
        assert world.clock.now() - claimed_at >= NEWS.claim_notice_s, "it had its notice"
        assert world.serving("shop") == 1
        assert any("cluster news, whose it is, claims it back" in words for words in await world.said("displaced"))
        world.cloud.faults.sold_out.clear()
        await world.until_serving("shop", 2)

    play(lambda: TwoClusters(3), scenario)


def test_an_empty_host_of_ours_is_taken_back_without_notice() -> None:
    async def scenario(world: TwoClusters) -> None:
        await lent_out(world)
        await world.want("shop", 1)
        await world.until_on_hosts("shop", 1)
        began = world.clock.now()
        await world.want("news", 2)
        await world.until_serving("news", 2)
        assert world.clock.now() - began < 10.0
        assert await world.said("claimed") == []

    play(lambda: TwoClusters(3), scenario)


def test_instances_come_home_from_the_cloud_several_at_once_and_stay() -> None:
    async def scenario(world: TwoClusters) -> None:
        await world.want("news", 9)
        await world.until_serving("news", 9)
        await world.want("shop", 12)
        await world.until_serving("shop", 12)
        assert set((await world.held("shop")).values()) == {"cloud"}
        await world.want("news", 1)
        await world.until_settled()
        assert world.fewest["shop"] == 12
        assert sorted((await world.held("shop")).values()) == ["cloud"] * 4 + ["racks"] * 8
        assert await world.plans_that_move("shop") == [3, 3, 2], "three at once, and a quarter of the service"
        before = await world.ledger()
        await world.clock.sleep(200.0)
        assert await world.ledger() == before, "no move is undone"
        assert sum(host.source == "cloud" and host.state is not HostState.RELEASED for host in before) == 4

    play(lambda: TwoClusters(9), scenario)


def test_hosts_that_a_service_has_too_many_of_go_to_the_pool_and_others_come_home_to_them() -> None:
    async def scenario(world: TwoClusters) -> None:
        load = await world.want_by_load("news")
        busy = asyncio.create_task(world.feed("news", load, 120.0))
        await world.until(lambda: at_least(world, "news", 5))
        await world.want("shop", 3)
        await world.until_serving("shop", 3)
        assert set((await world.held("shop")).values()) == {"cloud"}
        busy.cancel()
        quiet = asyncio.create_task(world.feed("news", load, 20.0))
        await world.until(lambda: all_at_home(world), 600.0)
        assert world.fewest["shop"] == 3
        assert world.serving("news") < 3, "what it has too much of, nobody told it to give up"
        quiet.cancel()

    play(lambda: TwoClusters(5), scenario)


async def at_least(world: TwoClusters, cluster: str, count: int) -> bool:
    return world.serving(cluster) >= count


async def all_at_home(world: TwoClusters) -> bool:
    return sorted((await world.held("shop")).values()) == ["racks", "racks", "racks"]


async def claimed_back(world: TwoClusters) -> None:
    await world.want("news", 2)
    await world.until_serving("news", 2)


async def claimed_back_and_settled(world: TwoClusters) -> None:
    await claimed_back(world)
    assert world.fewest["shop"] == 2, "who lends and who borrows serve on while no controller lives"
    await world.until_settled()
    assert set((await world.held("news")).values()) == {"racks"}
    assert sorted((await world.held("shop")).values()) == ["cloud", "racks"]
    assert len(world.cloud.creations) == 1, "nothing was bought twice"
    assert {host.claimed_by for host in await world.ledger()} == {None}


EVERY = 7
"""Of so many boundaries one is tried, beginning with another one each time that the engine writes one more or less."""


def test_a_controller_may_die_anywhere_during_a_claim() -> None:
    """Between writes and calls: the owner gets its host once, the borrower goes on, nothing is left over."""
    boundaries = play_with_a_death(lambda: TwoClusters(3), lent_out, claimed_back, None)
    assert boundaries > 50
    for dies_at in range(1 + boundaries % EVERY, boundaries + 1, EVERY):
        play_with_a_death(lambda: TwoClusters(3), lent_out, claimed_back_and_settled, dies_at)
