"""What every balancer promises, as named cases. A rig joins a driver to them; without a rig no driver is merged."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import pytest

from dcp.kernel.clock import Clock
from dcp.kernel.errors import DriverError, LeaseLost, Unavailable
from dcp.orchestration.capacity.model import LATENCY_BOUNDS_MS
from dcp.orchestration.services.model import ServiceKey
from dcp.orchestration.traffic.model import Endpoint, Route, Traffic
from dcp.orchestration.traffic.ports import Balancer

SETTLE_S = 0.6
"""A real proxy merges its latencies a few times a second."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`status` 0: the connection was refused or cut."""

    status: int
    instance_id: str = ""


class Rig(Protocol):
    """A driver under test with its proxy, and instances and clients on both sides of it."""

    balancer: Balancer
    clock: Clock

    def again(self) -> Balancer:
        """Return what a restarted controller would use: a new object over the same proxy."""
        ...

    def free_port(self) -> int:
        """Return a port that a route can have."""
        ...

    def occupied(self, port: int) -> AbstractContextManager[None]:
        """Let somebody else listen on the port."""
        ...

    async def start(self, instance_id: str) -> Endpoint:
        """Start an instance that answers."""
        ...

    def received(self, instance_id: str) -> int:
        """Return how many requests have reached the instance."""
        ...

    async def ask(self, route: Route, *, work_ms: int = 0, status: int = 200) -> Answer:
        """Send a request, over a connection that is kept, whose instance works so long and answers so."""
        ...

    async def kill(self) -> None:
        """End the proxy as kill -9 does."""
        ...


Case = Callable[[Rig], Coroutine[Any, Any, None]]
CASES: list[Case] = []


def case(function: Case) -> Case:
    CASES.append(function)
    return function


@case
async def routes_appear_and_go(rig: Rig) -> None:
    first, second = route_for(rig, "appears"), route_for(rig, "appears-too")
    await serve(rig, first, second)
    assert (await rig.ask(first)).status == (await rig.ask(second)).status == 200
    await rig.balancer.set_routes((second,))
    assert (await rig.ask(first)).status in (0, 503), "a kept connection may be told once"
    assert (await rig.ask(first)).status == 0
    assert (await rig.ask(second)).status == 200
    await rig.balancer.set_routes((first,))
    assert (await rig.ask(first)).status == 200, "the endpoints of a route that comes back are those it had"


@case
async def a_route_can_be_set_again(rig: Rig) -> None:
    route = route_for(rig, "again")
    await serve(rig, route)
    for _ in range(3):
        await rig.balancer.set_routes((route,))
    assert (await rig.ask(route)).status == 200


@case
async def routes_can_swap_their_ports(rig: Rig) -> None:
    left, right = route_for(rig, "swap-left"), route_for(rig, "swap-right")
    (to_left,), (to_right,) = await serve(rig, left, right)
    swapped_left = replace(left, listen_port=right.listen_port)
    swapped_right = replace(right, listen_port=left.listen_port)
    await rig.balancer.set_routes((swapped_left, swapped_right))
    assert (await rig.ask(swapped_left)).instance_id == to_left.instance_id
    assert (await rig.ask(swapped_right)).instance_id == to_right.instance_id


@case
async def other_routes_change_without_touching_this_one(rig: Rig) -> None:
    route = route_for(rig, "undisturbed")
    await serve(rig, route)
    async with asyncio.TaskGroup() as group:
        open_request = group.create_task(rig.ask(route, work_ms=800))
        await under_way(rig, route, 1)
        for turn in range(3):
            await rig.balancer.set_routes((route, route_for(rig, f"passing-{turn}")))
    assert open_request.result().status == 200


@case
async def a_taken_port_is_said_and_the_other_routes_are_served(rig: Rig) -> None:
    blocked, open_one = route_for(rig, "blocked"), route_for(rig, "not-blocked")
    for route in (blocked, open_one):
        await rig.balancer.set_endpoints(route.service, (await rig.start(f"{route.service.name}-1"),), fence=1)
    with rig.occupied(blocked.listen_port):
        for _ in range(2):
            with pytest.raises(Unavailable) as raised:
                await rig.balancer.set_routes((blocked, open_one))
            assert str(blocked.listen_port) in str(raised.value)
            assert raised.value.hint
        assert (await rig.ask(open_one)).status == 200
    await rig.balancer.set_routes((blocked, open_one))
    assert (await rig.ask(blocked)).status == 200


@case
async def endpoints_set_before_their_route_are_kept(rig: Rig) -> None:
    route = route_for(rig, "early")
    await rig.balancer.set_endpoints(route.service, (await rig.start("early-1"),), fence=1)
    await rig.balancer.set_routes((route,))
    assert (await rig.ask(route)).instance_id == "early-1"


@case
async def requests_are_spread_over_all_endpoints(rig: Rig) -> None:
    route = route_for(rig, "spread")
    (endpoints,) = await serve(rig, route, instances=3)
    answers = await asyncio.gather(*(rig.ask(route, work_ms=100) for _ in range(12)))
    assert {answer.status for answer in answers} == {200}
    assert {answer.instance_id for answer in answers} == {endpoint.instance_id for endpoint in endpoints}
    seen = {(one.address, one.port) for one in await rig.balancer.endpoints(route.service)}
    assert seen == {(endpoint.address, endpoint.port) for endpoint in endpoints}


@case
async def weights_share_out_the_requests(rig: Rig) -> None:
    route = route_for(rig, "weights")
    await rig.balancer.set_routes((route,))
    light, heavy = await rig.start("weights-light"), await rig.start("weights-heavy")

    async def shares(*endpoints: Endpoint) -> tuple[int, int]:
        await rig.balancer.set_endpoints(route.service, endpoints, fence=1)
        before = [rig.received(endpoint.instance_id) for endpoint in endpoints]
        answers = await asyncio.gather(*(rig.ask(route, work_ms=500) for _ in range(48)))
        assert {answer.status for answer in answers} == {200}
        one, two = (
            rig.received(endpoint.instance_id) - count for endpoint, count in zip(endpoints, before, strict=True)
        )
        return one, two

    one, two = await shares(replace(light, weight=16), replace(heavy, weight=48))
    assert (one + two, abs(two - 36) <= 4) == (48, True), f"1 to 3, but {one} to {two}"
    one, two = await shares(replace(light, weight=256), replace(heavy, weight=1))
    assert two <= 4, f"256 to 1, but {one} to {two}"


@case
async def a_new_endpoint_takes_what_comes_while_the_old_has_a_queue(rig: Rig) -> None:
    route = route_for(rig, "relief")
    ((old,),) = await serve(rig, route)
    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(rig.ask(route, work_ms=1000))
        await under_way(rig, route, 8)
        new = await rig.start("relief-new")
        await rig.balancer.set_endpoints(route.service, (old, new), fence=1)
        fresh = [await rig.ask(route) for _ in range(8)]
    assert {answer.instance_id for answer in fresh} == {"relief-new"}


@case
async def a_draining_endpoint_finishes_and_gets_nothing_new(rig: Rig) -> None:
    route = route_for(rig, "drain")
    ((leaving,),) = await serve(rig, route)
    async with asyncio.TaskGroup() as group:
        open_request = group.create_task(rig.ask(route, work_ms=1000))
        await under_way(rig, route, 1)
        staying = await rig.start("drain-staying")
        drained = (replace(leaving, draining=True), staying)
        await rig.balancer.set_endpoints(route.service, drained, fence=1)
        answers = [await rig.ask(route) for _ in range(20)]
        status = {one.port: one for one in await rig.balancer.endpoints(route.service)}
    assert {answer.instance_id for answer in answers} == {"drain-staying"}
    assert (status[leaving.port].draining, status[leaving.port].active_requests) == (True, 1)
    assert (status[staying.port].draining, status[staying.port].active_requests) == (False, 0)
    assert open_request.result() == Answer(200, leaving.instance_id)
    assert await active_at(rig, route, leaving) == 0
    await rig.balancer.set_endpoints(route.service, (staying,), fence=1)
    assert [one.port for one in await rig.balancer.endpoints(route.service)] == [staying.port]


@case
async def an_endpoint_can_stop_draining(rig: Rig) -> None:
    route = route_for(rig, "undrain")
    ((only,),) = await serve(rig, route)
    await rig.balancer.set_endpoints(route.service, (replace(only, draining=True),), fence=1)
    assert (await rig.ask(route)).status == 503
    await rig.balancer.set_endpoints(route.service, (only,), fence=1)
    assert (await rig.ask(route)).status == 200


@case
async def a_removed_endpoint_finishes_what_it_has(rig: Rig) -> None:
    route = route_for(rig, "removed")
    ((leaving,),) = await serve(rig, route)
    async with asyncio.TaskGroup() as group:
        open_request = group.create_task(rig.ask(route, work_ms=500))
        await under_way(rig, route, 1)
        await rig.balancer.set_endpoints(route.service, (await rig.start("removed-successor"),), fence=1)
    assert open_request.result() == Answer(200, leaving.instance_id)


@case
async def after_an_acknowledged_removal_no_request_arrives(rig: Rig) -> None:
    route = route_for(rig, "acknowledged")
    ((staying, *_),) = await serve(rig, route)
    async with load(rig, route, clients=8) as answers:
        for turn in range(10):
            leaving = await rig.start(f"acknowledged-leaving-{turn}")
            await rig.balancer.set_endpoints(route.service, (staying, leaving), fence=1)
            await rig.clock.sleep(0.03)
            gone = () if turn % 2 else (replace(leaving, draining=True),)
            await rig.balancer.set_endpoints(route.service, (staying, *gone), fence=1)
            # What was sent before may still be on its way to the instance.
            while gone and await active_at(rig, route, leaving):
                await rig.clock.sleep(0.002)
            await rig.clock.sleep(0 if gone else 0.03)
            before = rig.received(leaving.instance_id)
            await rig.clock.sleep(0.03)
            assert rig.received(leaving.instance_id) == before > 0
    assert {answer.status for answer in answers} == {200}


@case
async def nothing_is_lost_while_endpoints_join_and_leave(rig: Rig) -> None:
    route = route_for(rig, "churn")
    (endpoints,) = await serve(rig, route, instances=4)
    async with load(rig, route, clients=8, work_ms=5) as answers:
        for turn in range(40):
            kept = [endpoint for place, endpoint in enumerate(endpoints) if place != turn % 4]
            leaving = replace(endpoints[turn % 4], draining=True)
            await rig.balancer.set_endpoints(route.service, (*kept, leaving), fence=1)
            await rig.balancer.set_endpoints(route.service, tuple(kept), fence=1)
            await rig.clock.sleep(0.01)
    assert len(answers) > 100
    assert {answer.status for answer in answers} == {200}


@case
async def a_lower_fence_is_refused_and_changes_nothing(rig: Rig) -> None:
    route = route_for(rig, "fence")
    ((mine, *_),) = await serve(rig, route)
    await rig.balancer.set_endpoints(route.service, (mine,), fence=5)
    for balancer in (rig.balancer, rig.again()):
        with pytest.raises(LeaseLost):
            await balancer.set_endpoints(route.service, (), fence=4)
    assert (await rig.ask(route)).status == 200
    await rig.again().set_endpoints(route.service, (mine,), fence=5)
    await rig.balancer.set_endpoints(route.service, (), fence=6)
    with pytest.raises(LeaseLost):
        await rig.again().set_endpoints(route.service, (mine,), fence=5)
    assert await rig.balancer.endpoints(route.service) == ()


@case
async def a_raised_fence_counts_although_the_endpoints_are_the_same(rig: Rig) -> None:
    route = route_for(rig, "same-endpoints")
    ((mine, *_),) = await serve(rig, route)
    await rig.balancer.set_endpoints(route.service, (mine,), fence=7)
    with pytest.raises(LeaseLost):
        await rig.balancer.set_endpoints(route.service, (mine,), fence=6)


@case
async def a_fence_outlives_its_route(rig: Rig) -> None:
    route = route_for(rig, "lasting-fence")
    await serve(rig, route)
    await rig.balancer.set_endpoints(route.service, (), fence=9)
    await rig.balancer.set_routes(())
    with pytest.raises(LeaseLost):
        await rig.balancer.set_endpoints(route.service, (), fence=8)


@case
async def another_controller_adopts_the_proxy(rig: Rig) -> None:
    route = route_for(rig, "adopted")
    await serve(rig, route)
    await rig.ask(route)
    other = rig.again()
    async with asyncio.TaskGroup() as group:
        open_request = group.create_task(rig.ask(route, work_ms=300))
        await under_way(rig, route, 1)
        await other.ensure_running()
        await other.set_routes((route,))
    assert open_request.result().status == 200
    assert (await other.traffic())[route.service].arrived == 2, "the same proxy, so the same counters"
    assert len(await other.endpoints(route.service)) == 1


@case
async def a_killed_proxy_comes_back_with_its_routes_and_endpoints(rig: Rig) -> None:
    route, empty = route_for(rig, "killed"), route_for(rig, "killed-empty")
    (endpoints, _) = await serve(rig, route, empty, instances=2)
    drained = (endpoints[0], replace(endpoints[1], draining=True))
    await rig.balancer.set_endpoints(route.service, drained, fence=3)
    await rig.balancer.set_endpoints(empty.service, (), fence=3)
    await rig.ask(route)
    await rig.kill()
    for ask in (rig.balancer.traffic(), rig.balancer.endpoints(route.service), rig.balancer.set_routes((route,))):
        with pytest.raises(DriverError):
            await ask
    await rig.balancer.ensure_running()
    assert {(await rig.ask(route)).instance_id for _ in range(6)} == {endpoints[0].instance_id}
    assert (await rig.ask(empty)).status == 503
    assert {one.port: one.draining for one in await rig.balancer.endpoints(route.service)} == {
        endpoints[0].port: False,
        endpoints[1].port: True,
    }
    assert (await rig.balancer.traffic())[route.service].arrived == 6, "counters start anew"
    with pytest.raises(LeaseLost):
        await rig.balancer.set_endpoints(route.service, (), fence=2)


@case
async def stop_is_idempotent_and_what_was_set_is_kept(rig: Rig) -> None:
    route = route_for(rig, "stopped")
    await serve(rig, route)
    await rig.balancer.stop()
    await rig.again().stop()
    await rig.balancer.stop()
    assert (await rig.ask(route)).status == 0
    await rig.balancer.ensure_running()
    assert (await rig.ask(route)).status == 200


@case
async def requests_are_counted_in_their_latency_band(rig: Rig) -> None:
    route = route_for(rig, "bands")
    await serve(rig, route)
    works_ms = (0, 0, 0, 35, 70, 150, 150, 400)
    await asyncio.gather(*(rig.ask(route, work_ms=work_ms) for work_ms in works_ms))
    counted = await settled(rig, route)
    assert (counted.arrived, counted.answered, counted.failed, counted.waiting) == (len(works_ms), len(works_ms), 0, 0)
    assert len(counted.by_latency) == len(LATENCY_BOUNDS_MS) + 1
    assert counted.by_latency[-1] == len(works_ms)
    # On a busy machine a request may take longer than its work, but never less.
    for bound_ms, count in zip(LATENCY_BOUNDS_MS, counted.by_latency, strict=False):
        assert count <= sum(1 for work_ms in works_ms if work_ms <= bound_ms), f"at most {bound_ms} ms"
    assert list(counted.by_latency) == sorted(counted.by_latency)
    assert counted.by_latency[LATENCY_BOUNDS_MS.index(5000)] == len(works_ms)


@case
async def requests_under_way_are_counted_as_waiting(rig: Rig) -> None:
    route = route_for(rig, "waiting")
    await serve(rig, route)
    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(rig.ask(route, work_ms=600))
        await under_way(rig, route, 5)
        before = (await rig.balancer.traffic())[route.service]
    assert (before.arrived, before.answered, before.waiting) == (5, 0, 5)
    assert (await settled(rig, route)).waiting == 0


@case
async def answers_of_500_and_above_are_failures(rig: Rig) -> None:
    route = route_for(rig, "failures")
    await serve(rig, route)
    for status in (200, 404, 500, 503):
        assert (await rig.ask(route, status=status)).status == status
    counted = await settled(rig, route)
    assert (counted.arrived, counted.answered, counted.failed, counted.by_latency[-1]) == (4, 2, 2, 4)


@case
async def without_endpoints_a_request_fails_and_is_counted(rig: Rig) -> None:
    route = route_for(rig, "nobody")
    await rig.balancer.set_routes((route,))
    assert (await rig.ask(route)).status == 503
    counted = await settled(rig, route)
    assert (counted.arrived, counted.answered, counted.failed) == (1, 0, 1)


@case
async def every_route_is_counted_and_nothing_else(rig: Rig) -> None:
    first, second = route_for(rig, "counted"), route_for(rig, "counted.with-dot_and-dash")
    await serve(rig, first, second)
    await rig.ask(first)
    assert set(await rig.balancer.traffic()) == {first.service, second.service}
    await rig.balancer.set_routes((second,))
    assert set(await rig.balancer.traffic()) == {second.service}
    assert await rig.balancer.endpoints(ServiceKey("conformance", "unknown")) == ()


def route_for(rig: Rig, name: str) -> Route:
    return Route(ServiceKey("conformance", name), rig.free_port())


async def serve(rig: Rig, *routes: Route, instances: int = 1) -> list[tuple[Endpoint, ...]]:
    """Make these the routes, each with so many endpoints; return the endpoints by route."""
    await rig.balancer.set_routes(routes)
    made = []
    for route in routes:
        started = [await rig.start(f"{route.service.name}-{number}") for number in range(1, instances + 1)]
        await rig.balancer.set_endpoints(route.service, tuple(started), fence=1)
        made.append(tuple(started))
    return made


async def under_way(rig: Rig, route: Route, count: int) -> None:
    """Return once so many requests are with the endpoints of the route."""
    while sum(one.active_requests for one in await rig.balancer.endpoints(route.service)) < count:
        await rig.clock.sleep(0.005)


async def active_at(rig: Rig, route: Route, endpoint: Endpoint) -> int:
    status = await rig.balancer.endpoints(route.service)
    return sum(one.active_requests for one in status if one.port == endpoint.port)


async def settled(rig: Rig, route: Route) -> Traffic:
    """Return the counters once the proxy had the time to merge its latencies."""
    await rig.clock.sleep(SETTLE_S)
    return (await rig.balancer.traffic())[route.service]


@asynccontextmanager
async def load(rig: Rig, route: Route, *, clients: int, work_ms: int = 1) -> AsyncIterator[list[Answer]]:
    """Send requests one after the other from each client, all the time; collect the answers, let none be open after."""
    answers: list[Answer] = []
    over = asyncio.Event()

    async def client() -> None:
        while not over.is_set():
            answers.append(await rig.ask(route, work_ms=work_ms))

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())
        try:
            yield answers
        finally:
            over.set()
