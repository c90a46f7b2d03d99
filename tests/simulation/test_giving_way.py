"""Applications of different priority on the same hosts: who gives way stays away, and nobody more than has to."""

import pytest
from two_clusters import SHAPE, TwoClusters, play, play_with_a_death

from dcp.engine import commands
from dcp.hosts.clusters import Cluster
from dcp.hosts.model import Resources
from dcp.orchestration.services.model import ApplicationSpec, ServiceSpec
from dcp.orchestration.services.placement import PlacementWishes

HALF = Resources(SHAPE.cpu_millis // 2, SHAPE.memory_bytes // 2)
OWN_ONLY = (Cluster("news", max_cloud_hosts=0),)


def world() -> TwoClusters:
    """Two hosts for two instances each, and no cloud to buy from."""
    return TwoClusters(2, OWN_ONLY)


async def want(world: TwoClusters, name: str, count: int, priority: int, resources: Resources = HALF) -> None:
    wishes = PlacementWishes(priority=priority)
    web = ServiceSpec("web", ("web",), resources, replicas=count, stop_grace_s=1.0, wishes=wishes)
    await commands.apply(world.context(), ApplicationSpec(name, (web,), cluster="news"))


async def asked_to_leave(world: TwoClusters) -> list[str]:
    return [words for words in await world.said("preempted") if "gives way" in words]


async def full(world: TwoClusters) -> None:
    await want(world, "batch", 4, 1)
    await world.until_serving("batch", 4)


async def shop_comes(world: TwoClusters) -> None:
    await want(world, "shop", 2, 5)
    await world.until_serving("shop", 2)
    await world.until_settled()
    assert (world.serving("shop"), world.serving("batch")) == (2, 2)
    assert await world.over_committed() == []


def test_as_many_give_way_as_have_to_and_they_do_not_come_back() -> None:
    async def scenario(world: TwoClusters) -> None:
        await full(world)
        await shop_comes(world)
        told = await asked_to_leave(world)
        assert len(told) == 2
        assert all("to shop/web of priority 5" in words for words in told)
        await want(world, "shop", 1, 5)
        await world.until_serving("batch", 3)
        await world.until_settled()
        assert len(await asked_to_leave(world)) == 2

    play(world, scenario)


def test_a_chain_ends_at_the_lowest_priority() -> None:
    async def scenario(world: TwoClusters) -> None:
        await want(world, "batch", 2, 1)
        await want(world, "search", 2, 3)
        await world.until_serving("search", 2)
        await world.until_serving("batch", 2)
        await want(world, "shop", 1, 5, SHAPE)
        await world.until_serving("shop", 1)
        await world.until_settled()
        serving = {name: world.serving(name) for name in ("shop", "search", "batch")}
        assert serving == {"shop": 1, "search": 2, "batch": 0}

    play(world, scenario)


def test_equals_wait() -> None:
    async def scenario(world: TwoClusters) -> None:
        await full(world)
        await want(world, "shop", 2, 1)
        await world.clock.sleep(60.0)
        assert (world.serving("shop"), world.serving("batch")) == (0, 4)
        assert await asked_to_leave(world) == []

    play(world, scenario)


def test_a_controller_may_die_anywhere_while_others_give_way() -> None:
    boundaries = play_with_a_death(world, full, shop_comes, None)
    assert boundaries > 20
    for dies_at in range(1 + boundaries % 5, boundaries + 1, 5):
        play_with_a_death(world, full, shop_comes, dies_at)


def test_without_a_place_that_is_kept_they_would_take_it_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of these tests: where places are not kept, more give way than have to."""
    monkeypatch.setattr("dcp.engine.application.KEPT_S", 0.0)

    async def scenario(world: TwoClusters) -> None:
        await full(world)
        await want(world, "shop", 2, 5)
        await world.clock.sleep(120.0)
        assert len(await asked_to_leave(world)) > 2

    play(world, scenario)
