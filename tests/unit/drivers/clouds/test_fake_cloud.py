"""The fake cloud boots, runs out, throttles and lies as scripted."""

import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ask_source import ask, give_back
from dcp.drivers.clouds.fake import CloudLimits, FakeCloud
from dcp.hosts.model import HostType, Resources, SourceHostState
from dcp.kernel.clock import LoopClock
from dcp.kernel.errors import DriverError, OutOfStock, Throttled
from dcp.simulation.virtual_time import run_virtual

TYPE = HostType("c4", Resources(4000, 8 << 30), price_usd_per_hour=0.17, boot_s=10.0)
OTHER = HostType("c8", Resources(8000, 16 << 30), price_usd_per_hour=0.34, boot_s=10.0)

Scenario = Callable[[LoopClock], Awaitable[None]]


def run(scenario: Scenario) -> None:
    async def work() -> None:
        await scenario(LoopClock())

    run_virtual(work())


def make(clock: LoopClock, limits: CloudLimits | None = None, *, seed: int = 0) -> FakeCloud:
    return FakeCloud("fake", clock, types=(TYPE, OTHER), limits=limits, rng=random.Random(seed))


async def states(cloud: FakeCloud) -> dict[str, SourceHostState]:
    return {host.host_id: host.state for host in await cloud.list_all()}


def test_a_machine_is_pending_until_its_boot_is_over() -> None:
    async def scenario(clock: LoopClock) -> None:
        cloud = make(clock)
        await ask(cloud, "h", "c4")
        await clock.sleep(9.9)
        (pending,) = await cloud.list_all()
        assert (pending.state, pending.address) == (SourceHostState.PENDING, "")
        await clock.sleep(0.2)
        (running,) = await cloud.list_all()
        assert (running.state, running.address) == (SourceHostState.RUNNING, "127.0.0.1")

    run(scenario)


def test_boot_times_spread_the_same_for_the_same_seed() -> None:
    async def running_after_boot_s(seed: int) -> list[bool]:
        clock = LoopClock()
        cloud = make(clock, CloudLimits(boot_spread=0.5), seed=seed)
        for n in range(40):
            await ask(cloud, f"h-{n}", "c4")
        await clock.sleep(10.0)
        return [host.state == SourceHostState.RUNNING for host in await cloud.list_all()]

    first, again = (run_virtual(running_after_boot_s(3)) for _ in range(2))
    assert first == again
    assert 5 < first.count(True) < 35


def test_one_that_never_boots_stays_pending_and_can_be_deleted() -> None:
    async def scenario(clock: LoopClock) -> None:
        cloud = make(clock)
        cloud.faults.never_boots = True
        await ask(cloud, "h", "c4")
        await clock.sleep(100_000.0)
        assert await states(cloud) == {"h": SourceHostState.PENDING}
        await give_back(cloud, "h")
        assert await states(cloud) == {}

    run(scenario)


def test_a_deleted_machine_is_shown_and_counts_until_it_is_gone() -> None:
    async def scenario(clock: LoopClock) -> None:
        cloud = make(clock, CloudLimits(stock=(("c4", 1),), delete_s=30.0))
        await ask(cloud, "h", "c4")
        await give_back(cloud, "h")
        await clock.sleep(29.0)
        assert await states(cloud) == {"h": SourceHostState.DELETING}
        with pytest.raises(OutOfStock):
            await ask(cloud, "i", "c4")
        await give_back(cloud, "h")
        await clock.sleep(2.0)
        assert await states(cloud) == {}, "asking again does not start the wait anew"

    run(scenario)


def test_the_quota_holds_over_all_types_and_types_without_stock_have_no_bound() -> None:
    async def scenario(clock: LoopClock) -> None:
        cloud = make(clock, CloudLimits(stock=(("c4", 5),), max_hosts=2))
        assert [offer.available for offer in await make(clock).offers()] == [None, None]
        assert [offer.available for offer in await cloud.offers()] == [2, 2]
        await ask(cloud, "a", "c4")
        await ask(cloud, "b", "c8")
        assert [offer.available for offer in await cloud.offers()] == [0, 0]
        with pytest.raises(OutOfStock, match="quota"):
            await ask(cloud, "c", "c8")

    run(scenario)


def test_sold_out_is_found_only_by_asking() -> None:
    async def scenario(clock: LoopClock) -> None:
        cloud = make(clock)
        cloud.faults.sold_out.add("c4")
        assert len(await cloud.offers()) == 2
        with pytest.raises(OutOfStock):
            await ask(cloud, "a", "c4")
        await ask(cloud, "a", "c8")

    run(scenario)


def test_too_many_creations_are_throttled_until_the_window_allows() -> None:
    async def scenario(clock: LoopClock) -> None:
        cloud = make(clock, CloudLimits(max_creates=2, window_s=60.0))
        await ask(cloud, "a", "c4")
        await clock.sleep(10.0)
        await ask(cloud, "b", "c4")
        with pytest.raises(Throttled) as told:
            await ask(cloud, "c", "c4")
        assert told.value.delay_s == pytest.approx(50.0)
        await ask(cloud, "a", "c4")
        await clock.sleep(told.value.delay_s)
        await ask(cloud, "c", "c4")

    run(scenario)


@pytest.mark.parametrize("error", [Throttled("slow down", delay_s=7.0), Throttled("slow down", delay_s=0.0)])
def test_errors_are_injected_by_verb_without_effect(error: DriverError) -> None:
    async def scenario(clock: LoopClock) -> None:
        cloud = make(clock)
        for verb in ("create", "list_all", "delete", "offers"):
            cloud.fail(verb, error)
        with pytest.raises(Throttled):
            await ask(cloud, "a", "c4")
        with pytest.raises(Throttled):
            await cloud.list_all()
        assert await states(cloud) == {}
        await ask(cloud, "a", "c4")
        with pytest.raises(Throttled):
            await give_back(cloud, "a")
        with pytest.raises(Throttled):
            await cloud.offers()
        assert len(await states(cloud)) == 1

    run(scenario)


def test_a_creation_may_time_out_although_the_machine_is_there_and_is_not_paid_twice() -> None:
    async def scenario(clock: LoopClock) -> None:
        cloud = make(clock)
        cloud.faults.created_but_timed_out = 1
        with pytest.raises(DriverError):
            await ask(cloud, "a", "c4")
        await ask(cloud, "a", "c4")
        assert list(await states(cloud)) == ["a"]
        assert cloud.creations == {"a": 1}

    run(scenario)


def test_a_new_machine_may_be_missing_from_the_listing_and_is_still_one() -> None:
    async def scenario(clock: LoopClock) -> None:
        cloud = make(clock)
        cloud.faults.hide_new_s = 20.0
        await ask(cloud, "a", "c4")
        assert await states(cloud) == {}
        await ask(cloud, "a", "c4")
        await clock.sleep(21.0)
        assert list(await states(cloud)) == ["a"]
        assert cloud.creations == {"a": 1}

    run(scenario)


def test_deletions_may_be_accepted_and_not_carried_out() -> None:
    async def scenario(clock: LoopClock) -> None:
        cloud = make(clock)
        cloud.faults.ignored_deletes = 2
        await ask(cloud, "a", "c4")
        for left in (1, 1, 0):
            await give_back(cloud, "a")
            assert len(await states(cloud)) == left

    run(scenario)


def test_a_lost_machine_vanishes() -> None:
    async def scenario(clock: LoopClock) -> None:
        cloud = make(clock)
        await ask(cloud, "a", "c4")
        await cloud.lose("a")
        await cloud.lose("never")
        assert await states(cloud) == {}

    run(scenario)


def test_calls_take_their_latency() -> None:
    async def scenario(clock: LoopClock) -> None:
        cloud = make(clock, CloudLimits(latency_s=(0.5, 0.5)))
        before = clock.now()
        await cloud.offers()
        assert clock.now() - before == pytest.approx(0.5)

    run(scenario)


async def test_a_file_outlives_the_controller_and_a_damaged_one_is_not_taken_for_empty(tmp_path: Path) -> None:
    path = tmp_path / "cloud.json"
    clock = LoopClock()
    cloud = FakeCloud("fake", clock, path, types=(TYPE,))
    await ask(cloud, "a", "c4")
    assert list(await states(FakeCloud("fake", clock, path, types=()))) == ["a"], "also when its type is gone"
    path.write_text(path.read_text()[:20])
    with pytest.raises(DriverError, match="damaged"):
        await cloud.list_all()
    assert path.read_text() != "", "left for whoever repairs it"
