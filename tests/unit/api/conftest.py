"""An API over an in-memory store and fake drivers, idle or with an engine that runs."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from api_world import SPEC, TOKEN, anonymous, make_token_server, serves, until

from dcp.drivers.balancers.fake import FakeBalancer
from dcp.drivers.clouds.private import PrivateHosts, PrivatePool
from dcp.drivers.runtimes.fake import FakeRuntime
from dcp.engine.context import Context
from dcp.engine.controller import Controller
from dcp.engine.settings import EngineSettings
from dcp.hosts.model import HostType, Resources
from dcp.kernel.clock import SystemClock
from dcp.orchestration.scaling.model import Timing
from dcp.orchestration.services.ports import OneRuntime
from dcp.store.database import InlineDatabase


@pytest.fixture
async def context(tmp_path) -> AsyncIterator[Context]:
    clock = SystemClock()
    host_type = HostType("host", Resources(1000, 1 << 30), price_usd_per_hour=3.6)
    settings = EngineSettings(poll_s=0.05, busy_poll_s=0.02, timing=Timing(sample_s=0.1).scaled(1))
    database = InlineDatabase()
    context = Context(
        controller_id="c-1",
        clock=clock,
        database=database,
        runtimes=OneRuntime(FakeRuntime(clock)),
        balancer=FakeBalancer(clock),
        sources=(PrivatePool("local", None, [PrivateHosts(host_type, 4)]),),
        settings=settings,
        token_server=make_token_server(clock, database, tmp_path),
    )
    yield context
    context.database.close()


@pytest.fixture
async def api(context: Context) -> AsyncIterator[httpx.AsyncClient]:
    async with anonymous(context) as client:
        client.headers["Authorization"] = f"Bearer {TOKEN}"
        yield client


@pytest.fixture
async def running(context: Context, api: httpx.AsyncClient) -> AsyncIterator[httpx.AsyncClient]:
    """The API of a controller that runs, with the application applied and serving."""
    controller = asyncio.create_task(Controller(context, "here").run())
    try:
        answer = await api.post("/api/v1/applications", json={"spec": SPEC})
        assert answer.status_code == 200, answer.text
        await until(lambda: serves(api))
        yield api
    finally:
        controller.cancel()
        await asyncio.gather(controller, return_exceptions=True)
