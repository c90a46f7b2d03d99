"""The worker of a source drives each cloud account through a bad day: stock-outs, throttling, answers that are lost,
errors, a controller that dies in the middle of a call. All hosts come, nothing is made twice for good, all go back."""

import asyncio
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from test_cloud_accounts import CLOUDS, STOCK, template

from cloud_server import CloudServer, MovingClock
from dcp.drivers.balancers.fake import FakeBalancer
from dcp.drivers.runtimes.fake import FakeRuntime
from dcp.engine.context import Context
from dcp.engine.settings import EngineSettings
from dcp.engine.sources.worker import SourceWorker
from dcp.hosts.model import Host, SourceKind
from dcp.hosts.states import HostState
from dcp.kernel.errors import DcpError
from dcp.orchestration.scaling.model import Timing
from dcp.orchestration.services.ports import OneRuntime
from dcp.store import hosts, leases
from dcp.store.database import InlineDatabase
from dcp.store.leases import Lease

WANTED = 40
STEPS = 600
TROUBLED_STEPS = 60
ERRORS: dict[str, tuple[tuple[int, Any, dict[str, str]], ...]] = {
    "libcloud": (
        (429, {"id": "too_many_requests", "message": "API Rate limit exceeded."}, {"Retry-After": "3"}),
        (500, {"id": "server_error", "message": "Unexpected server-side error"}, {}),
        (422, {"id": "unprocessable_entity", "message": "size is unavailable in region fra1"}, {}),
    ),
    "aliyun": (
        (400, {"Code": "Throttling.User", "Message": "words", "RequestId": "r"}, {"x-acs-retry-after": "3000"}),
        (503, {"Code": "ServiceUnavailable", "Message": "words", "RequestId": "r"}, {}),
        (403, {"Code": "OperationDenied.NoStock", "Message": "words", "RequestId": "r"}, {}),
    ),
    "openstack": (
        (429, {"overLimit": {"message": "This request was rate-limited."}}, {"Retry-After": "3"}),
        (500, {"computeFault": {"message": "Unexpected API Error."}}, {}),
        (503, {}, {}),
    ),
}


class Day:
    """One ledger, one cloud, and one controller after another."""

    def __init__(self, cloud: str, server: CloudServer, clock: MovingClock, folder: Path, seed: int) -> None:
        self.rng = random.Random(seed)
        self.server = server
        self._cloud = cloud
        self._clock = clock
        self._folder = folder
        self._database = InlineDatabase()
        self._added = 0
        self._sources: list[Any] = []
        self.linger_s = 1e6
        self.restart()

    def restart(self) -> None:
        """Let another controller take over: it knows what the store and the cloud know."""
        self._sources.append(CLOUDS[self._cloud].source(self.server, self._folder))
        context = Context(
            controller_id="controller",
            clock=self._clock,
            database=self._database,
            runtimes=OneRuntime(FakeRuntime(self._clock)),
            balancer=FakeBalancer(self._clock),
            sources=(self._sources[-1],),
            settings=EngineSettings(timing=Timing(host_linger_s=self.linger_s), stock_memory_s=20.0),
        )
        self._worker = SourceWorker(context, self._sources[-1])

    async def step(self, *, dies_after_s: float | None = None) -> None:
        """Let the worker look once. A controller that dies is followed by another one."""
        lease = await self._lease()
        work = asyncio.ensure_future(self._worker.step(lease))
        if dies_after_s is not None:
            await asyncio.wait([work], timeout=dies_after_s)
            work.cancel()
        delay_s = 1.0
        with suppress(asyncio.CancelledError, DcpError):
            delay_s = await work
        if dies_after_s is not None:
            self.restart()
        self._clock.later += max(0.1, delay_s)

    def trouble(self) -> None:
        """Order one fault, or none."""
        kind = self.rng.random()
        if kind < 0.3:
            status, body, headers = self.rng.choice(ERRORS[self._cloud])
            verb = self.rng.choice(("create", "create", "delete", "list"))
            self.server.refuse(verb, status, body, headers=headers)
        elif kind < 0.5:
            self.server.silent_creations += 1
        elif kind < 0.6:
            self.server.stock["s-1"] = self.rng.randrange(WANTED)

    async def want(self, count: int) -> None:
        """Ask for as many hosts as are missing, as a plan would."""
        missing = count - sum(1 for host in await self.ledger() if host.state not in _GOING)
        new = [self._new() for _ in range(missing)]
        await self._database.write(lambda connection: hosts.add(connection, new))

    async def ledger(self) -> tuple[Host, ...]:
        return await self._database.read(hosts.current)

    async def ready(self) -> int:
        return sum(1 for host in await self.ledger() if host.state == HostState.READY)

    async def close(self) -> None:
        for source in self._sources:
            await source.aclose()
        self._database.close()

    def _new(self) -> Host:
        self._added += 1
        small = template().types[0].host_type
        now = self._clock.now()
        return Host(f"tail-{self._added}", "tail", SourceKind.CLOUD, small, HostState.REQUESTED, now, now)

    async def _lease(self) -> Lease:
        now = self._clock.now()

        def take(connection: Any) -> Lease:
            taken = leases.acquire(connection, "source/tail", "controller", now, 1e6)
            assert taken is not None
            return taken

        return await self._database.write(take)


_GOING = frozenset({HostState.RELEASING, HostState.RELEASED, HostState.FAILED, HostState.LOST, HostState.DRAINING})


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
@pytest.mark.parametrize("seed", [1])
@pytest.mark.parametrize("cloud", CLOUDS)
async def test_a_bad_day(cloud: str, seed: int, tmp_path: Path) -> None:
    clock = MovingClock()
    async with CLOUDS[cloud].server(clock, {**STOCK, "s-1": WANTED}) as server:
        day = Day(cloud, server, clock, tmp_path, seed)
        try:
            await _all_come(day)
            await _all_go(day)
        finally:
            await day.close()


async def _all_come(day: Day) -> None:
    for step in range(STEPS):
        await day.want(min(WANTED, 2 * (step + 1)))
        if step < TROUBLED_STEPS:
            day.trouble()
            await day.step(dies_after_s=day.rng.choice((None, None, 0.0, 0.005, 0.02, 0.1)))
            continue
        day.server.stock["s-1"] = 3 * WANTED
        await day.step()
        if await day.ready() == WANTED and len(day.server.present()) == WANTED:
            break
    shown = {host.id for host in await day.ledger() if host.state == HostState.READY}
    assert len(shown) == WANTED
    assert len(day.server.present()) == WANTED, "a machine that no host has"


async def _all_go(day: Day) -> None:
    day.linger_s = 0.0
    day.restart()
    for step in range(STEPS):
        if step < TROUBLED_STEPS // 4:
            day.trouble()
        await day.step(dies_after_s=0.01 if step < TROUBLED_STEPS // 4 and step % 3 == 0 else None)
        if not await day.ledger() and not day.server.present():
            return
    raise AssertionError(f"left: {await day.ledger()}, {day.server.present()}")
