"""The fake cloud boots, runs out, throttles and lies as scripted."""

import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from ask_source import ask, give_back
from dcp.drivers.clouds.fake import CloudLimits, FakeCloud, Place
from dcp.hosts.model import HostOrder, HostType, Resources, SourceHostState, SourceLimits, Variant
from dcp.kernel.clock import LoopClock
from dcp.kernel.errors import DriverError, OutOfStock, Rejected, Throttled
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


PLACES = (Place("c4", Variant("a", 0.1), 2), Place("c4", Variant("b"), 1))


def in_places(clock: LoopClock, **limits: Any) -> FakeCloud:
    asked = SourceLimits(batch=10, can_stop=True)
    return FakeCloud("fake", clock, types=(TYPE,), limits=CloudLimits(places=PLACES, **limits), asked=asked)


def orders(*ids: str, variant: str = "a", token: str = "t") -> tuple[HostOrder, ...]:
    return tuple(HostOrder(host_id, "c4", variant, token) for host_id in ids)


def test_every_place_has_its_stock_and_its_price() -> None:
    async def scenario(clock: LoopClock) -> None:
        cloud = in_places(clock)
        (offer,) = await cloud.offers()
        assert (offer.available, [variant.key for variant in offer.variants]) == (3, ["a", "b"])
        refused = await cloud.create(orders("1", "2", "3"))
        assert list(refused) == ["3"] and isinstance(refused["3"], OutOfStock)
        assert await cloud.create(orders("3", variant="b", token="u")) == {}
        assert [one.price_usd_per_hour for one in await cloud.list_all()] == [0.1, 0.1, 0.17]
        cloud.set_price("c4", 0.2)
        cloud.set_stock("c4", "b", None)
        assert (await cloud.list_all())[2].price_usd_per_hour == 0.2
        assert await cloud.create(orders("4", variant="b", token="v")) == {}
        with pytest.raises(Rejected, match="cannot be had"):
            await cloud.create(orders("5", variant="z", token="w"))

    run(scenario)


def test_a_call_is_known_again_by_its_token() -> None:
    async def scenario(clock: LoopClock) -> None:
        cloud = in_places(clock)
        cloud.faults.created_but_timed_out = 1
        with pytest.raises(DriverError):
            await cloud.create(orders("1", "2", "3"))
        await cloud.delete(("1",))
        assert list(await cloud.create(orders("1", "2", "3"))) == ["3"], "the same answer, though there is room now"
        assert set(await states(cloud)) == {"2"}
        assert cloud.misused_tokens == []
        with pytest.raises(Rejected, match="other hosts"):
            await cloud.create(orders("2", "3"))
        assert cloud.misused_tokens == ["t"]
        assert cloud.creations == {"1": 1, "2": 1}

    run(scenario)


def test_a_call_may_be_lost_and_a_region_be_gone() -> None:
    async def scenario(clock: LoopClock) -> None:
        cloud = in_places(clock)
        cloud.faults.lost_calls = 1
        with pytest.raises(DriverError):
            await cloud.create(orders("1"))
        assert await states(cloud) == {}
        assert await cloud.create(orders("1")) == {}
        cloud.faults.region_gone = True
        for call in (cloud.list_all(), cloud.offers(), cloud.create(orders("2", token="u"))):
            with pytest.raises(DriverError):
                await call
        cloud.faults.region_gone = False
        assert set(await states(cloud)) == {"1"}

    run(scenario)


def test_a_notice_is_carried_out_unless_it_is_withdrawn() -> None:
    async def scenario(clock: LoopClock) -> None:
        cloud = in_places(clock)
        await cloud.create(orders("1", "2"))
        for name in ("1", "2"):
            await cloud.give_notice(name, 120.0)
        assert {one.leave_words for one in await cloud.list_all()} == {"spot"}
        await cloud.withdraw_notice("2")
        await clock.sleep(121.0)
        assert set(await states(cloud)) == {"2"}

    run(scenario)


def test_a_listing_lags_for_what_was_deleted_and_may_leave_out_what_runs() -> None:
    async def scenario(clock: LoopClock) -> None:
        cloud = in_places(clock)
        cloud.faults.show_deleted_s = 10.0
        await cloud.create(orders("1", "2"))
        await cloud.delete(("1",))
        assert (await cloud.offers())[0].available == 2, "it is shown and does not count"
        assert await states(cloud) == {"1": SourceHostState.DELETING, "2": SourceHostState.PENDING}
        await clock.sleep(11.0)
        assert set(await states(cloud)) == {"2"}
        cloud.faults.omit.add("2")
        assert await states(cloud) == {}

    run(scenario)


def test_throttling_may_be_called_a_stock_out() -> None:
    async def scenario(clock: LoopClock) -> None:
        cloud = in_places(clock, max_creates=1)
        cloud.faults.throttles_as_stock_out = True
        refused = await cloud.create(orders("1", "2"))
        assert [type(error) for error in refused.values()] == [OutOfStock]

    run(scenario)


def test_some_boot_very_late_and_some_can_never_be_initialised() -> None:
    async def scenario(clock: LoopClock) -> None:
        limits = CloudLimits(boot_tail_share=0.2, boot_tail_s=(600.0, 2700.0), never_initialised_share=0.1)
        cloud = make(clock, limits)
        for n in range(200):
            await ask(cloud, f"h-{n}", "c4")
        await clock.sleep(599.0)
        late = list((await states(cloud)).values()).count(SourceHostState.PENDING)
        assert 20 < late < 60
        assert 5 < len(cloud.hopeless) < 40
        await clock.sleep(2101.0)
        assert set((await states(cloud)).values()) == {SourceHostState.RUNNING}

    run(scenario)


def test_a_machine_is_switched_off_and_on_unless_there_is_no_room_any_more() -> None:
    async def scenario(clock: LoopClock) -> None:
        cloud = in_places(clock, stop_s=5.0, start_s=3.0)
        await cloud.create(orders("1"))
        await clock.sleep(10.0)
        await cloud.stop(("1",))
        assert (await states(cloud))["1"] == SourceHostState.STOPPING
        await clock.sleep(5.0)
        assert (await states(cloud))["1"] == SourceHostState.STOPPED
        cloud.faults.sold_out_places.add(("c4", "a"))
        assert [type(error) for error in (await cloud.start(("1",))).values()] == [OutOfStock]
        cloud.faults.sold_out_places.clear()
        assert await cloud.start(("1",)) == {}
        assert (await states(cloud))["1"] == SourceHostState.PENDING
        await clock.sleep(3.0)
        assert (await states(cloud))["1"] == SourceHostState.RUNNING

    run(scenario)
