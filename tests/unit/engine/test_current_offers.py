"""What sources offer in all, and what they are asked for it."""

from collections.abc import Iterator

import pytest

from dcp.drivers.balancers.fake import FakeBalancer
from dcp.drivers.clouds.fake import CloudLimits, FakeCloud
from dcp.drivers.runtimes.fake import FakeRuntime
from dcp.engine.application import current_offers
from dcp.engine.context import Context
from dcp.engine.settings import EngineSettings
from dcp.hosts.model import HostOrder, HostType, Resources
from dcp.kernel.clock import SystemClock
from dcp.kernel.errors import DriverError
from dcp.orchestration.services.ports import OneRuntime
from dcp.store.database import InlineDatabase

SMALL = HostType("small", Resources(1000, 1 << 30))


@pytest.fixture
def database() -> Iterator[InlineDatabase]:
    made = InlineDatabase()
    yield made
    made.close()


def context(cloud: FakeCloud, database: InlineDatabase) -> Context:
    clock = SystemClock()
    return Context(
        controller_id="one",
        clock=clock,
        database=database,
        runtimes=OneRuntime(FakeRuntime(clock)),
        balancer=FakeBalancer(clock),
        sources=(cloud,),
        settings=EngineSettings(),
    )


async def test_what_is_ours_counts_as_offered(database: InlineDatabase) -> None:
    cloud = FakeCloud("cloud", SystemClock(), types=(SMALL,), limits=CloudLimits(stock=(("small", 3),)))
    await cloud.create((HostOrder("cloud-1", "small", "", "t"),))
    assert [offer.available for offer in await current_offers(context(cloud, database))] == [3]


async def test_a_source_without_bounds_is_not_listed_for_a_plan(database: InlineDatabase) -> None:
    cloud = FakeCloud("cloud", SystemClock(), types=(SMALL,))
    cloud.fail("list_all", DriverError("listed in vain"))
    assert [offer.available for offer in await current_offers(context(cloud, database))] == [None]
