"""The fake runtime misbehaves exactly as it is told, and does the same again for the same seed."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from dcp.drivers.runtimes.fake import Behaviour, FakeRuntime
from dcp.hosts.model import Resources
from dcp.kernel.clock import LoopClock
from dcp.kernel.errors import DriverError
from dcp.orchestration.services.model import HealthCheck, ServiceKey, StartOrder
from dcp.simulation.virtual_time import run_virtual

HEALTH = HealthCheck(http_path="/health")


def order(instance_id: str, *, host_id: str = "host-1", service: str = "feed") -> StartOrder:
    return StartOrder(
        instance_id, host_id, ServiceKey("shop", service), ("serve",), Resources(100, 1 << 20), health=HEALTH
    )


def run(scenario: Callable[[LoopClock], Awaitable[None]]) -> None:
    async def work() -> None:
        await scenario(LoopClock())

    run_virtual(work())


def test_health_comes_after_its_delay() -> None:
    async def scenario(clock: LoopClock) -> None:
        runtime = FakeRuntime(clock, default=Behaviour(healthy_after_s=(3.0, 3.0)))
        await runtime.start(order("one"))
        assert await runtime.check("one") == "answers in 3.000 s"
        await clock.sleep(3.0)
        assert await runtime.check("one") == ""

    run(scenario)


def test_it_crashes_when_told_and_is_scripted_by_service() -> None:
    async def scenario(clock: LoopClock) -> None:
        runtime = FakeRuntime(clock, services={"shop/card": Behaviour(crash_after_s=5.0, crash_exit_code=9)})
        await runtime.start(order("card-1", service="card"))
        await runtime.start(order("feed-1"))
        await clock.sleep(4.9)
        assert runtime.running() == {"card-1", "feed-1"}
        await clock.sleep(0.2)
        assert runtime.running() == {"feed-1"}
        seen = await runtime.observe("card-1")
        assert seen is not None
        assert (seen.running, seen.exit_code) == (False, 9)
        runtime.crash("feed-1", exit_code=4)
        assert await runtime.check("feed-1") == "has ended"

    run(scenario)


def test_a_share_of_starts_fails_the_same_for_the_same_seed() -> None:
    async def outcomes(seed: int) -> list[bool]:
        runtime = FakeRuntime(LoopClock(), rng=random.Random(seed), default=Behaviour(start_error_share=0.3))
        results = await asyncio.gather(*(runtime.start(order(f"i-{n}")) for n in range(200)), return_exceptions=True)
        failed = [isinstance(result, DriverError) for result in results]
        assert len(runtime.running()) == failed.count(False)
        return failed

    first, again, other = (run_virtual(outcomes(seed)) for seed in (1, 1, 2))
    assert first == again != other
    assert 30 < first.count(True) < 90


def test_a_lost_answer_leaves_it_running_and_asking_again_is_no_second_start() -> None:
    async def scenario(clock: LoopClock) -> None:
        runtime = FakeRuntime(clock, default=Behaviour(lost_answer_share=1.0))
        with pytest.raises(DriverError):
            await runtime.start(order("one"))
        assert (await runtime.start(order("one"))).running
        assert runtime.starts == {"one": 1}

    run(scenario)


def test_real_starts_are_counted_also_over_forgetting() -> None:
    async def scenario(clock: LoopClock) -> None:
        runtime = FakeRuntime(clock)
        for _ in range(2):
            await runtime.start(order("one"))
            await runtime.stop("one", 1.0)
            await runtime.start(order("one"))
            await runtime.forget("one")
        assert runtime.starts == {"one": 2}

    run(scenario)


def test_a_lost_host_takes_its_instances_with_it() -> None:
    async def scenario(clock: LoopClock) -> None:
        runtime = FakeRuntime(clock)
        await runtime.start(order("one", host_id="lost"))
        await runtime.start(order("two", host_id="kept"))
        runtime.lose_host("lost")
        assert await runtime.observe("one") is None
        assert [one.instance_id for one in await runtime.list_all()] == ["two"]
        await runtime.stop("one", 1.0)
        with pytest.raises(DriverError):
            await runtime.start(order("three", host_id="lost"))
        runtime.return_host("lost")
        assert (await runtime.start(order("three", host_id="lost"))).running

    run(scenario)


def test_errors_are_injected_by_verb_before_or_after_the_effect() -> None:
    async def scenario(clock: LoopClock) -> None:
        runtime = FakeRuntime(clock)
        error = DriverError("broken")
        runtime.fail("start", error)
        runtime.fail("stop", error, after_effect=True)
        runtime.fail("list_all", error, times=2)
        with pytest.raises(DriverError):
            await runtime.start(order("one"))
        assert runtime.starts == {}
        await runtime.start(order("one"))
        with pytest.raises(DriverError):
            await runtime.stop("one", 1.0)
        assert runtime.running() == frozenset()
        for _ in range(2):
            with pytest.raises(DriverError):
                await runtime.list_all()
        assert len(await runtime.list_all()) == 1

    run(scenario)


def test_a_controller_that_dies_in_stop_leaves_what_a_real_process_would() -> None:
    async def scenario(clock: LoopClock) -> None:
        runtime = FakeRuntime(
            clock, services={"polite": Behaviour(stop_s=2.0), "stubborn": Behaviour(ignores_stop_signal=True)}
        )
        for service in ("polite", "stubborn"):
            await runtime.start(order(service, service=service))
        stops = [asyncio.create_task(runtime.stop(service, 5.0)) for service in ("polite", "stubborn")]
        await clock.sleep(1.0)
        for stop in stops:
            stop.cancel()
        await clock.sleep(60.0)
        assert runtime.running() == {"stubborn"}

    run(scenario)


def test_stop_takes_its_time_and_no_more_than_the_grace() -> None:
    async def scenario(clock: LoopClock) -> None:
        runtime = FakeRuntime(clock, services={"slow": Behaviour(stop_s=20.0)}, default=Behaviour(stop_s=2.0))
        for name, service, expected_s in (("one", "feed", 2.0), ("two", "slow", 5.0)):
            await runtime.start(order(name, service=service))
            before = clock.now()
            await runtime.stop(name, 5.0)
            assert clock.now() - before == pytest.approx(expected_s)

    run(scenario)


def test_calls_take_their_latency() -> None:
    async def scenario(clock: LoopClock) -> None:
        runtime = FakeRuntime(clock, latency_s=(0.5, 0.5))
        before = clock.now()
        await runtime.start(order("one"))
        assert clock.now() - before == pytest.approx(0.5)

    run(scenario)
