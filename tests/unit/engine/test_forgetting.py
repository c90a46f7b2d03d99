"""History is forgotten a few rows at a time, and nothing that a bill or a living instance needs."""

from dataclasses import replace
from functools import partial

import pytest
from placing_world import add_hosts, controller_of, make_context, shop

from dcp.engine import forgetting
from dcp.engine.cost.worker import CostWorker
from dcp.engine.forgetting import Forgotten, forget_history
from dcp.kernel.clock import SystemClock
from dcp.orchestration.services.states import InstanceState
from dcp.store import events, instances, leases, plans
from dcp.store.database import InlineDatabase


class Counting(InlineDatabase):
    """Counts transactions that write."""

    writes = 0

    async def write(self, work):  # type: ignore[no-untyped-def]
        self.writes += 1
        return await super().write(work)


class Tomorrow(SystemClock):
    """A day later."""

    def now(self) -> float:
        return super().now() + 86400.0


async def test_old_rows_go_in_small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forgetting, "AT_ONCE", 4)
    database = Counting()
    today = make_context(database, at_once=3)
    today = replace(today, settings=replace(today.settings, keep_history_s=3600.0, keep_events=2))
    tomorrow = replace(today, clock=Tomorrow())
    await add_hosts(database, [1000])
    ours = await controller_of(today, shop("ours", 10))
    await ours.decide()
    await ours.write()
    for one in (await ours.own())[:9]:
        ended = replace(one, state=InstanceState.LOST, ended_at=one.created_at)
        await database.write(partial(instances.change, before=one, after=ended))
    (left,) = await ours.own()
    now = tomorrow.clock.now()
    lease = await database.write(lambda c: leases.acquire(c, "runtime", "one", now, 60.0))
    assert lease is not None
    told = await database.read(events.count)
    before = database.writes
    assert await forget_history(tomorrow, lease) == Forgotten(0, 0, told - 2), "their cost was not entered yet"
    assert database.writes - before == 1 + 1 + (told - 2) // 4
    await CostWorker(tomorrow).step(lease)
    before = database.writes
    assert await forget_history(tomorrow, lease) == Forgotten(9, 3, 0)
    assert database.writes - before == 3 + 1
    assert [i.id for i in await database.read(lambda c: instances.recent(c, 0.0))] == [left.id]
    assert await database.read(lambda c: plans.find(c, left.plan_id)) is not None
    assert await forget_history(tomorrow, lease) == Forgotten(0, 0, 0)
    database.close()
