"""What the fake balancer can be told to do wrong. What it does right is in the conformance suite."""

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from dcp.drivers.balancers.fake import NOTHING_COUNTED, VERBS, FakeBalancer
from dcp.kernel.clock import LoopClock
from dcp.kernel.errors import DriverError
from dcp.orchestration.services.model import ServiceKey
from dcp.orchestration.traffic.model import Endpoint, Route, Traffic
from dcp.simulation.virtual_time import run_virtual

FEED = ServiceKey("shop", "feed")
ONE, TWO = Endpoint("feed-1", "127.0.0.1", 81), Endpoint("feed-2", "127.0.0.1", 82)


def scenario(run: Callable[[FakeBalancer], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run on virtual time with a proxy that serves FEED from ONE and TWO."""

    async def prepared() -> None:
        balancer = FakeBalancer(LoopClock())
        await balancer.ensure_running()
        await balancer.set_routes((Route(FEED, 80),))
        await balancer.set_endpoints(FEED, (ONE, TWO), fence=1)
        await run(balancer)

    def test() -> None:
        run_virtual(prepared())

    return test


async def call(balancer: FakeBalancer, verb: str) -> None:
    arguments = {"set_routes": ((),), "set_endpoints": (FEED, (ONE,), 1), "endpoints": (FEED,)}
    await getattr(balancer, verb)(*arguments.get(verb, ()))


@scenario
async def test_every_verb_can_fail_so_many_times(balancer: FakeBalancer) -> None:
    for verb in sorted(VERBS):
        balancer.fail(verb, DriverError("told so"), times=2)
        for _ in range(2):
            with pytest.raises(DriverError, match="told so"):
                await call(balancer, verb)
    assert balancer.current(FEED) == (ONE, TWO)
    assert balancer.running


@scenario
async def test_a_call_can_fail_after_its_effect(balancer: FakeBalancer) -> None:
    balancer.fail("set_endpoints", DriverError("no answer"), after_effect=True)
    with pytest.raises(DriverError):
        await balancer.set_endpoints(FEED, (TWO,), fence=1)
    assert balancer.current(FEED) == (TWO,)


@scenario
async def test_a_verb_can_take_its_time(balancer: FakeBalancer) -> None:
    balancer.delays_s["set_endpoints"] = 7.0
    before = balancer.clock.now()
    await balancer.set_endpoints(FEED, (TWO,), fence=1)
    assert balancer.clock.now() - before == pytest.approx(7.0)


@scenario
async def test_a_change_can_take_effect_later_than_acknowledged(balancer: FakeBalancer) -> None:
    balancer.lag_s = 2.0
    await balancer.set_endpoints(FEED, (TWO,), fence=1)
    assert balancer.current(FEED) == (ONE, TWO)
    assert balancer.begin(FEED) == ONE
    await balancer.clock.sleep(2.0)
    assert balancer.begin(FEED) == TWO


@scenario
async def test_counters_can_freeze_vanish_and_be_shown_again(balancer: FakeBalancer) -> None:
    first = balancer.begin(FEED)
    assert first is not None
    balancer.freeze(FEED)
    balancer.end(FEED, first, latency_ms=30)
    assert (await balancer.traffic())[FEED].waiting == 1
    balancer.vanish(FEED)
    assert FEED not in await balancer.traffic()
    balancer.show(FEED)
    assert (await balancer.traffic())[FEED].by_latency[:3] == (0, 0, 1)


@scenario
async def test_counters_can_be_set(balancer: FakeBalancer) -> None:
    counted = Traffic(5, 4, 1, 0, NOTHING_COUNTED.by_latency)
    balancer.set_traffic(FEED, counted)
    assert await balancer.traffic() == {FEED: counted}
    balancer.kill()
    await balancer.ensure_running()
    assert await balancer.traffic() == {FEED: NOTHING_COUNTED}


@scenario
async def test_requests_follow_the_endpoints(balancer: FakeBalancer) -> None:
    assert [balancer.begin(FEED) for _ in range(4)] == [ONE, TWO, ONE, TWO]
    assert [status.active_requests for status in await balancer.endpoints(FEED)] == [2, 2]
    assert balancer.all_endpoints() == (ONE, TWO)
    await balancer.set_endpoints(FEED, (), fence=1)
    assert balancer.begin(FEED) is None
    with pytest.raises(ConnectionRefusedError):
        balancer.begin(ServiceKey("shop", "unknown"))
