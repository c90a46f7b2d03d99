"""Cases of what the proxies are told: fences, revisions, and who is counted."""

import asyncio

import pytest
from stores import Rig, case

from dcp.kernel.clock import LoopClock
from dcp.kernel.errors import LeaseLost
from dcp.orchestration.services.model import ServiceKey
from dcp.orchestration.traffic.edge import EdgeState, Told
from dcp.orchestration.traffic.model import Endpoint, Route
from dcp.store import events
from dcp.store.edge import StoredEdge

FEED = ServiceKey("shop", "feed")
ONE, TWO = Endpoint("feed-1", "127.0.0.1", 81), Endpoint("feed-2", "127.0.0.1", 82, draining=True, weight=7)


@case
async def nothing_is_told_at_first(rig: Rig) -> None:
    edge = StoredEdge(rig.database, LoopClock())
    assert await edge.revision() == 0
    assert await edge.load() == EdgeState()


@case
async def what_is_set_is_what_is_loaded(rig: Rig) -> None:
    edge = StoredEdge(rig.database, LoopClock())
    routes = (Route(FEED, 8080),)
    assert await edge.set_routes(routes) == 1
    assert await edge.set_endpoints(FEED, (ONE, TWO), fence=3) == 2
    assert await edge.set_stopped(True) == 3
    state = await edge.load()
    assert state == EdgeState(3, True, routes, {FEED: Told(2, 3, (ONE, TWO))})
    user = ServiceKey("shop", "user")
    await edge.set_endpoints(user, (), fence=1)
    assert await edge.load(state) == await edge.load()
    assert (await edge.load(state)).endpoints == {FEED: Told(2, 3, (ONE, TWO)), user: Told(4, 1, ())}


@case
async def the_same_again_changes_nothing(rig: Rig) -> None:
    edge = StoredEdge(rig.database, LoopClock())
    await edge.set_routes((Route(FEED, 8080),))
    for _ in range(2):
        assert await edge.set_endpoints(FEED, (ONE,), fence=3) == 2
        assert await edge.set_stopped(False) == 2
        assert await edge.set_routes((Route(FEED, 8080),)) == 2


@case
async def a_lower_fence_is_refused_and_changes_nothing(rig: Rig) -> None:
    edge = StoredEdge(rig.database, LoopClock())
    await edge.set_endpoints(FEED, (ONE,), fence=3)
    before = await edge.load()
    with pytest.raises(LeaseLost, match="token 2 is older than 3"):
        await edge.set_endpoints(FEED, (TWO,), fence=2)
    assert await edge.load() == before
    await edge.set_endpoints(FEED, (ONE,), fence=4)
    with pytest.raises(LeaseLost):
        await edge.set_endpoints(FEED, (ONE,), fence=3)


@case
async def a_proxy_is_counted_only_at_the_present_revision(rig: Rig) -> None:
    edge = StoredEdge(rig.database, LoopClock())
    assert await edge.count("edge-1", 0)
    await edge.set_endpoints(FEED, (ONE,), fence=1)
    assert not await edge.count("edge-2", 0)
    assert (await edge.load()).counted() == {"edge-1"}
    assert await edge.count("edge-2", 1)
    await edge.discount("edge-1", "it said nothing")
    await edge.discount("edge-1", "still nothing")
    (first, second) = (await edge.load()).proxies
    assert (first.node, first.counted, first.words) == ("edge-1", False, "it said nothing")
    assert (second.node, second.counted) == ("edge-2", True)


@case
async def each_coming_and_going_is_one_event(rig: Rig) -> None:
    edge = StoredEdge(rig.database, LoopClock())
    for _ in range(2):
        await edge.count("edge-1", 0)
    for _ in range(2):
        await edge.discount("edge-1", "it said nothing")
    logged = await rig.database.read(lambda connection: events.of_subject(connection, "proxy/edge-1", 10))
    assert sorted(one.event.reason for one in logged) == ["proxy-away", "proxy-back"]


@case
async def writers_at_once_get_revisions_of_their_own(rig: Rig) -> None:
    edge = StoredEdge(rig.database, LoopClock())
    await edge.set_routes(())
    keys = [ServiceKey("shop", f"service-{number}") for number in range(20)]
    revisions = await asyncio.gather(*(edge.set_endpoints(key, (ONE,), fence=1) for key in keys))
    assert sorted(revisions) == list(range(2, 22))
