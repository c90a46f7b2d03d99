"""Private hosts between clusters: lent while nobody of their owner needs them, claimed back with notice, home again."""

from tests.simulation.two_clusters import NEWS, TwoClusters, play

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
