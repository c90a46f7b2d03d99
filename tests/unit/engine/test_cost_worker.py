"""The worker of costs: what was missed is made up, a clock that goes back charges nothing, nothing is entered twice."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from dcp.drivers.balancers.fake import FakeBalancer
from dcp.drivers.runtimes.fake import FakeRuntime
from dcp.engine.context import Context
from dcp.engine.cost import worker as worker_module
from dcp.engine.cost.report import charged_usd, cost_report, prices_usd_per_hour
from dcp.engine.cost.worker import SUBJECT, CostWorker
from dcp.engine.settings import EngineSettings
from dcp.hosts.cost.period import read_question
from dcp.hosts.model import Host, HostType, Resources, SourceKind
from dcp.hosts.states import HostState
from dcp.kernel.errors import LeaseLost
from dcp.orchestration.services.ports import OneRuntime
from dcp.store import hosts, leases, spans
from dcp.store.database import InlineDatabase
from dcp.store.leases import Lease

START = 1_800_000_000.0
DAY_S = 86400.0
TYPE = HostType("c1", Resources(1000, 1 << 30), price_usd_per_hour=1.0)


class HandClock:
    """Stands where it is put."""

    def __init__(self) -> None:
        self.at = START

    def now(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


@dataclass
class Bench:
    """A worker with its clock and its lease."""

    context: Context
    clock: HandClock
    worker: CostWorker
    lease: Lease

    async def run_at(self, at: float) -> float:
        """Step until nothing is due at once, that long after START; return the delay that was asked for."""
        self.clock.at = START + at
        while (delay_s := await self.worker.step(self.lease)) == 0.0:
            pass
        return delay_s

    async def entered_usd(self) -> float:
        """Return what stands in the ledger, without what came since."""
        cursor = await self.context.database.read(spans.accrued_until)
        assert cursor is not None
        found = await self.context.database.read(lambda c: charged_usd(c, cursor / 1000))
        return sum(found.values())


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    clock, database = HandClock(), InlineDatabase()
    settings = EngineSettings(cost_lag_s=0.0, lease_ttl_s=1e9)
    runtimes = OneRuntime(FakeRuntime(clock))
    context = Context("one", clock, database, runtimes, FakeBalancer(clock), (), settings)
    lease = await database.write(lambda c: leases.acquire(c, SUBJECT, "one", START, 1e9))
    assert lease is not None
    host = Host("cloud-1", "cloud", SourceKind.CLOUD, TYPE, HostState.READY, START, START, START, cluster="a")
    await database.write(lambda c: hosts.add(c, [host]))
    yield Bench(context, clock, CostWorker(context), lease)
    database.close()


async def test_each_step_enters_what_came_since(bench: Bench) -> None:
    assert await bench.run_at(600) == 60.0
    await bench.run_at(1800)
    assert await bench.entered_usd() == 0.5


async def test_what_was_missed_for_days_is_made_up_in_bounded_steps(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "PIECES_AT_ONCE", 10)
    await bench.run_at(60)
    bench.clock.at = START + 3 * DAY_S
    assert await bench.worker.step(bench.lease) == 0.0
    assert await bench.entered_usd() == pytest.approx(10 / 4, abs=0.1)
    await bench.run_at(3 * DAY_S)
    assert await bench.entered_usd() == 72.0


async def test_a_clock_that_goes_back_charges_nothing_and_nothing_twice(bench: Bench) -> None:
    await bench.run_at(3600)
    await bench.run_at(600)
    await bench.run_at(1800)
    assert await bench.entered_usd() == 1.0
    await bench.run_at(7200)
    assert await bench.entered_usd() == 2.0


async def test_one_whose_lease_is_gone_enters_nothing(bench: Bench) -> None:
    await bench.run_at(3600)
    await bench.context.database.write(leases.break_all)
    with pytest.raises(LeaseLost):
        await bench.run_at(7200)
    assert await bench.entered_usd() == 1.0


async def test_a_question_counts_to_this_moment_between_two_entries(bench: Bench) -> None:
    await bench.run_at(3600)
    now = START + 5400
    report = await bench.context.database.read(lambda c: cost_report(c, read_question("cluster,hour"), now))
    assert [(row.key[0], row.amount.charged_nano_usd) for row in report.rows] == [("a", 10**9), ("a", 10**9 // 2)]
    assert await bench.context.database.read(lambda c: charged_usd(c, now)) == {("a", "cloud", "per-second"): 1.5}
    prices = await bench.context.database.read(prices_usd_per_hour)
    assert prices == {("a", "cloud", "per-second", "running"): 1.0}


async def test_a_price_that_rises_meanwhile_counts_from_then(bench: Bench) -> None:
    await bench.run_at(600)
    before = await bench.context.database.read(lambda c: hosts.find(c, "cloud-1"))
    assert before is not None
    dearer = replace(before, host_type=replace(TYPE, price_usd_per_hour=3.0))
    await bench.context.database.write(lambda c: hosts.change(c, before, dearer, at=START + 1800))
    await bench.run_at(3600)
    assert await bench.entered_usd() == 0.5 + 1.5
