"""Cases of what is measured and learned: capacity tests, calls, rates and forecasts."""

from dataclasses import replace

import pytest
from stores import Rig, case

from dcp.hosts.model import Resources
from dcp.kernel.errors import Stale
from dcp.orchestration.ahead.forecast import Forecast
from dcp.orchestration.capacity.calls import CallEstimate, CallVerdict
from dcp.orchestration.capacity.measuring import CapacityTest, Found, Outcome, Quiet, Subject
from dcp.orchestration.services.model import Capacity, ServiceKey, ServiceSpec
from dcp.store import capacity_tests, learned_calls, rates

TEST = CapacityTest(
    id="capacity-1",
    application="shop",
    service="feed",
    spec=ServiceSpec("feed", ("feed",), Resources(100, 64_000_000), capacity=Capacity(80.0, 40.0)),
    members=("feed-1", "feed-2"),
    subjects=(Subject("feed-1", "small"),),
    target=2,
    window_s=60.0,
    asked_at=5.0,
)


async def add(rig: Rig, *new: CapacityTest) -> None:
    for one in new:
        await rig.database.write(lambda connection, one=one: capacity_tests.add(connection, one))


@case
async def a_capacity_test_is_read_as_it_was_written_and_changed_once(rig: Rig) -> None:
    await add(rig, TEST)
    with pytest.raises(Stale):
        await add(rig, TEST)
    found = Found("feed-1", "small", 40.5, 81.25, reached=True)
    after = replace(TEST, share=0.575, quiet=Quiet(2.25, 0.001), below=found, found=(found,))
    changed = await rig.database.write(lambda connection: capacity_tests.change(connection, after))
    assert changed == replace(after, version=1)
    assert await rig.database.read(lambda connection: capacity_tests.find(connection, "capacity-1")) == changed
    with pytest.raises(Stale):
        await rig.database.write(lambda connection: capacity_tests.change(connection, after))


@case
async def one_test_runs_and_the_newest_that_measured_counts(rig: Rig) -> None:
    old = replace(TEST, id="capacity-2", outcome=Outcome.MEASURED, asked_at=1.0)
    new = replace(TEST, id="capacity-3", outcome=Outcome.MEASURED, asked_at=3.0)
    other = replace(TEST, id="capacity-4", application="bank", outcome=Outcome.STOPPED, asked_at=4.0)
    await add(rig, TEST, new, old, other)
    read = rig.database.read
    assert await read(lambda connection: capacity_tests.running(connection, "shop")) == TEST
    assert await read(lambda connection: capacity_tests.running(connection, "bank")) is None
    assert await read(lambda connection: capacity_tests.running_of(connection, ServiceKey("shop", "card"))) is None
    assert await read(lambda connection: capacity_tests.measured(connection, "shop")) == {"feed": new}
    assert await read(lambda connection: capacity_tests.newest(connection, 2)) == (TEST, other)
    await rig.database.write(lambda connection: capacity_tests.forget(connection, "shop"))
    assert await read(lambda connection: capacity_tests.newest(connection, 9)) == (other,)


@case
async def what_was_learned_is_replaced_as_a_whole_and_forgotten(rig: Rig) -> None:
    sure = CallEstimate("feed", "user", None, 0.4, 0.375, 0.425, 60, CallVerdict.LEARNED)
    unsure = CallEstimate("feed", "card", 0.5, None, None, None, 3, CallVerdict.UNSURE)
    read, write = rig.database.read, rig.database.write
    assert await read(lambda connection: learned_calls.find(connection, "shop")) == ()
    for found in ((unsure,), (sure, unsure)):
        await write(lambda connection, found=found: learned_calls.put(connection, "shop", 5.0, found))
        assert await read(lambda connection: learned_calls.find(connection, "shop")) == found
    await write(lambda connection: learned_calls.forget(connection, "shop"))
    assert await read(lambda connection: learned_calls.find(connection, "shop")) == ()


@case
async def rates_are_kept_once_a_bucket_and_the_last_forecast_counts(rig: Rig) -> None:
    feed, other = ServiceKey("shop", "feed"), ServiceKey("bank", "feed")
    read, write = rig.database.read, rig.database.write
    assert await read(rates.last_at) is None
    await write(lambda connection: rates.add(connection, 600.0, {feed: 1.5}))
    await write(lambda connection: rates.add(connection, 600.0, {feed: 9.0, other: 2.0}))
    await write(lambda connection: rates.add(connection, 300.0, {feed: 0.5}))
    assert await read(lambda connection: rates.since(connection, feed, 0.0)) == {300.0: 0.5, 600.0: 1.5}
    assert await read(lambda connection: rates.since(connection, feed, 301.0)) == {600.0: 1.5}
    assert await read(rates.last_at) == 600.0
    for figures in ((1.0, None), (2.5, 3.5)):
        told = Forecast(900.0, 900.0, figures)
        await write(lambda connection, told=told: rates.put_forecast(connection, feed, told))
        assert await read(lambda connection: rates.forecast_of(connection, feed)) == told
    await write(lambda connection: rates.prune(connection, 600.0))
    assert await read(lambda connection: rates.since(connection, feed, 0.0)) == {600.0: 1.5}
    await write(lambda connection: rates.forget(connection, "shop"))
    assert await read(lambda connection: rates.since(connection, feed, 0.0)) == {}
    assert await read(lambda connection: rates.forecast_of(connection, feed)) is None
    assert await read(lambda connection: rates.since(connection, other, 0.0)) == {600.0: 2.0}
