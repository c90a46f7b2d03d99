"""The worker that makes bare hosts ready, with a database, leases and a fake initialiser."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import pytest

from dcp.drivers.balancers.fake import FakeBalancer
from dcp.drivers.initialisers.fake import FakeInitialiser
from dcp.drivers.runtimes.fake import FakeRuntime
from dcp.engine.context import Context
from dcp.engine.initialising.worker import SUBJECT, InitialiseWorker
from dcp.engine.settings import EngineSettings
from dcp.hosts.initialising import Initialisation, InitialisationState, InitialiseLimits
from dcp.hosts.model import Host, HostType, Resources, SourceKind
from dcp.hosts.states import HostState
from dcp.kernel.clock import SystemClock
from dcp.kernel.errors import LeaseLost
from dcp.orchestration.services.ports import OneRuntime
from dcp.store import events, hosts, initialisations, leases
from dcp.store.database import InlineDatabase
from dcp.store.leases import Lease

BARE = HostType("c1", Resources(1000, 1 << 30), initialise=True)
DONE, FAILED, RUNNING = InitialisationState.DONE, InitialisationState.FAILED, InitialisationState.RUNNING


class Rig:
    """A ledger with bare hosts, and workers that follow each other."""

    def __init__(self, context: Context, fake: FakeInitialiser) -> None:
        self.context, self.fake = context, fake
        self.lease: Lease | None = None
        self.worker = InitialiseWorker(context, fake)

    async def bare(self, count: int) -> None:
        made = [
            Host(f"h{n:03}", "cloud", SourceKind.CLOUD, BARE, HostState.INITIALISING, float(n)) for n in range(count)
        ]
        await self.context.database.write(lambda connection: hosts.add(connection, made))

    async def take(self, owner: str = "one") -> None:
        now = self.context.clock.now() + (100.0 if owner != "one" else 0.0)
        self.lease = await self.context.database.write(lambda c: leases.acquire(c, SUBJECT, owner, now, 60.0))

    async def until(self, settled: Callable[[Mapping[str, Initialisation]], bool]) -> Mapping[str, Initialisation]:
        assert self.lease is not None
        for _ in range(200):
            await self.worker.step(self.lease)
            rows = await self.context.database.read(initialisations.rows)
            if settled(rows):
                return rows
            await asyncio.sleep(0.005)
        raise AssertionError(f"not settled: {rows}")


@pytest.fixture
def rig() -> Iterator[Rig]:
    clock = SystemClock()
    fake = FakeInitialiser(clock)
    context = Context(
        controller_id="one",
        clock=clock,
        database=InlineDatabase(),
        runtimes=OneRuntime(FakeRuntime(clock)),
        balancer=FakeBalancer(clock),
        sources=(),
        settings=EngineSettings(),
        initialise_limits=InitialiseLimits(forks=20, attempts=2, back_off_s=0.01),
    )
    yield Rig(context, fake)
    context.database.close()


def every(state: InitialisationState, count: int) -> Callable[[Mapping[str, Initialisation]], bool]:
    return lambda rows: len(rows) == count and all(row.state == state for row in rows.values())


async def test_many_hosts_are_done_with_at_most_so_many_forks(rig: Rig) -> None:
    await rig.bare(150)
    await rig.take()
    await rig.until(every(DONE, 150))
    assert 0 < rig.fake.most_at_once <= 20
    assert set(rig.fake.tries.values()) == {1}


async def test_results_that_come_together_are_written_in_one_transaction(rig: Rig) -> None:
    rig.fake._seconds = lambda host: 0.1
    await rig.bare(20)
    await rig.take()
    await rig.until(lambda rows: rig.fake.most_at_once == 20)
    await asyncio.sleep(0.3)  # all have ended, and nobody has looked
    writes, write = 0, rig.context.database.write

    async def counted(work):  # type: ignore[no-untyped-def]
        nonlocal writes
        writes += 1
        return await write(work)

    rig.context.database.write = counted  # type: ignore[method-assign]
    assert rig.lease is not None
    await rig.worker.step(rig.lease)
    assert every(DONE, 20)(await rig.context.database.read(initialisations.rows))
    assert writes == 2, "one for all results, one for the decision"


async def test_a_host_that_fails_is_retried_then_given_up_with_its_logs(rig: Rig) -> None:
    rig.fake._fault = lambda host, attempt: "no mirror" if host.id == "h000" else ""
    await rig.bare(2)
    await rig.take()
    rows = await rig.until(lambda rows: {row.state for row in rows.values()} == {DONE, FAILED})
    assert rows["h000"].look.failed_words == "no mirror; given up after 2 tries"
    kept = await rig.context.database.read(lambda c: initialisations.logs(c, "h000"))
    assert [(log.attempt, log.text) for log in kept] == [(1, "fake: no mirror"), (2, "fake: no mirror")]
    told = [one.event.reason for one in await rig.context.database.read(lambda c: events.newest(c, 100))]
    assert sorted(told) == ["initialise-failed", "initialise-retried", "initialised"]


async def test_a_run_that_breaks_counts_for_each_of_its_hosts_and_the_next_may_succeed(rig: Rig) -> None:
    rig.fake.broken = "ansible-playbook is not there"
    await rig.bare(2)
    await rig.take()
    rows = await rig.until(lambda rows: bool(rows) and all(row.words for row in rows.values()))
    assert {row.words for row in rows.values()} == {"ansible-playbook is not there"}
    rig.fake.broken = ""
    await rig.until(every(DONE, 2))


async def test_what_a_controller_that_died_left_running_is_run_again_and_does_not_count(rig: Rig) -> None:
    rig.fake._seconds = lambda host: 60.0
    await rig.bare(3)
    await rig.take()
    await rig.until(every(RUNNING, 3))
    await rig.worker.close()
    rig.worker = InitialiseWorker(rig.context, rig.fake)
    rig.fake._seconds = lambda host: 0.0
    rows = await rig.until(every(DONE, 3))
    assert {row.attempts for row in rows.values()} == {1}


async def test_without_the_lease_nothing_is_written_and_nothing_is_run(rig: Rig) -> None:
    await rig.bare(1)
    await rig.take()
    lost = rig.lease
    await rig.take("two")
    assert lost is not None
    with pytest.raises(LeaseLost):
        await rig.worker.step(lost)
    assert await rig.context.database.read(initialisations.rows) == {} and rig.fake.tries == {}


async def test_rows_go_when_their_hosts_are_ready(rig: Rig) -> None:
    await rig.bare(1)
    await rig.take()
    await rig.until(every(DONE, 1))

    def leave(connection):  # type: ignore[no-untyped-def]
        (host,) = hosts.current(connection)
        hosts.change(connection, host, _ready(host))
        initialisations.forget(connection, 0.0)
        return initialisations.rows(connection)

    assert await rig.context.database.write(leave) == {}


def _ready(host: Host) -> Host:
    return replace(host, state=HostState.READY)
