"""Applying and removing: what is refused changes nothing, what is the same does nothing."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from dcp.drivers.balancers.fake import FakeBalancer
from dcp.drivers.clouds.private import PrivateHosts, PrivatePool
from dcp.drivers.runtimes.fake import FakeRuntime
from dcp.engine import commands
from dcp.engine.context import Context
from dcp.engine.settings import EngineSettings
from dcp.hosts.model import HostType, Resources
from dcp.kernel.clock import SystemClock
from dcp.kernel.errors import Conflict, InvalidInput, NotFound
from dcp.orchestration.services.model import ApplicationSpec, ServiceSpec
from dcp.orchestration.services.ports import OneRuntime
from dcp.store import applications, events
from dcp.store.database import InlineDatabase

SHAPE = Resources(250, 64 << 20)
WEB = ServiceSpec("web", ("serve",), SHAPE, published_port=18080)
API = ServiceSpec("api", ("serve",), SHAPE)
SHOP = ApplicationSpec("shop", (WEB, API))


@pytest.fixture
def context() -> Iterator[Context]:
    clock = SystemClock()
    pool = PrivatePool("private", None, [PrivateHosts(HostType("slice", Resources(1000, 1 << 30)), 4)])
    database = InlineDatabase()
    yield Context(
        controller_id="one",
        clock=clock,
        database=database,
        runtimes=OneRuntime(FakeRuntime(clock)),
        balancer=FakeBalancer(clock),
        sources=(pool,),
        settings=EngineSettings(listen_ports=(18000, 18002)),
    )
    database.close()


async def ports(context: Context) -> dict[str, int]:
    rows = await context.database.read(applications.service_rows)
    return {str(row.key): row.listen_port for row in rows}


def problem_of(error: pytest.ExceptionInfo[InvalidInput]) -> tuple[str, str]:
    return error.value.problems[0].path, error.value.problems[0].message


async def test_applying_twice_does_nothing_the_second_time(context: Context) -> None:
    first = await commands.apply(context, SHOP)
    assert first.created
    logged = await context.database.read(events.count)
    second = await commands.apply(context, SHOP)
    assert second.changes == ()
    assert second.revision == first.revision == 1
    assert await context.database.read(events.count) == logged


async def test_a_dry_run_writes_nothing_and_shows_the_same_changes(context: Context) -> None:
    dry = await commands.apply(context, SHOP, dry_run=True)
    assert await context.database.read(applications.names) == ()
    assert (await commands.apply(context, SHOP)).changes == dry.changes


async def test_internal_ports_skip_what_others_have(context: Context) -> None:
    assert isinstance(context.balancer, FakeBalancer)
    context.balancer.taken_ports = {18000}
    await commands.apply(context, SHOP)
    assert await ports(context) == {"shop/api": 18001, "shop/web": 18080}


async def test_a_published_port_that_is_taken_is_refused_and_changes_nothing(context: Context) -> None:
    assert isinstance(context.balancer, FakeBalancer)
    context.balancer.taken_ports = {18080}
    with pytest.raises(InvalidInput) as error:
        await commands.apply(context, SHOP)
    assert problem_of(error) == ("services.web.ports", "port 18080 is taken by another program")
    assert await context.database.read(applications.names) == ()
    assert await ports(context) == {}


async def test_a_port_of_another_application_is_refused(context: Context) -> None:
    await commands.apply(context, SHOP)
    with pytest.raises(InvalidInput) as error:
        await commands.apply(context, ApplicationSpec("other", (WEB,)))
    assert problem_of(error) == ("services.web.ports", "port 18080 belongs to shop/web")


async def test_its_own_port_is_no_conflict_when_the_file_changes(context: Context) -> None:
    await commands.apply(context, SHOP)
    assert isinstance(context.balancer, FakeBalancer)
    context.balancer.taken_ports = {18080, 18000}  # by our own proxy
    changed = await commands.apply(context, ApplicationSpec("shop", (replace(WEB, replicas=2), API)))
    assert changed.revision == 2
    assert await ports(context) == {"shop/api": 18000, "shop/web": 18080}


async def test_the_range_of_internal_ports_has_an_end(context: Context) -> None:
    many = tuple(replace(API, name=f"api{number}") for number in range(4))
    with pytest.raises(Conflict):
        await commands.apply(context, ApplicationSpec("shop", many))
    assert await context.database.read(applications.names) == ()


async def test_what_fits_on_no_host_is_refused(context: Context) -> None:
    huge = replace(API, resources=Resources(64_000, 1 << 40))
    with pytest.raises(InvalidInput) as error:
        await commands.apply(context, ApplicationSpec("shop", (huge,)))
    assert problem_of(error)[0].startswith("services.api.deploy.resources")


async def test_an_apply_in_between_is_noticed(context: Context) -> None:
    await commands.apply(context, SHOP)
    with pytest.raises(Conflict):
        await commands.apply(context, ApplicationSpec("shop", (API,)), expected_revision=0)


async def test_removing_what_is_not_there_is_said(context: Context) -> None:
    with pytest.raises(NotFound):
        await commands.remove(context, "shop")


async def test_removing_twice_is_once(context: Context) -> None:
    await commands.apply(context, SHOP)
    await commands.remove(context, "shop")
    logged = await context.database.read(events.count)
    await commands.remove(context, "shop")
    assert await context.database.read(events.count) == logged
