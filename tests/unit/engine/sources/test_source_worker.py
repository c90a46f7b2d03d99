"""The worker of a source against the scriptable cloud: what is written before and after its calls."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from dcp.drivers.balancers.fake import FakeBalancer
from dcp.drivers.clouds.fake import CloudLimits, FakeCloud, Place
from dcp.drivers.runtimes.fake import FakeRuntime
from dcp.engine.context import Context
from dcp.engine.settings import EngineSettings
from dcp.engine.sources.worker import SourceWorker
from dcp.hosts.model import Host, HostOrder, HostType, Resources, SourceKind, SourceLimits, Variant
from dcp.hosts.ports import Refusals
from dcp.hosts.states import HostState
from dcp.kernel.clock import LoopClock
from dcp.orchestration.services.ports import OneRuntime
from dcp.simulation.virtual_time import run_virtual
from dcp.store import events, hosts, leases, refusals, spans
from dcp.store.database import InlineDatabase

SMALL = HostType("small", Resources(1000, 1 << 30), price_usd_per_hour=0.1, boot_s=3.0)
PLACES = (Place("small", Variant("a", 0.1), 2), Place("small", Variant("b", 0.2), 2))


class World:
    """One worker, its cloud and its ledger."""

    def __init__(self) -> None:
        self.clock = LoopClock()
        self.cloud = FakeCloud(
            "cloud",
            self.clock,
            types=(SMALL,),
            limits=CloudLimits(places=PLACES),
            asked=SourceLimits(batch=10, in_flight=10, can_stop=True),
        )
        self.database = InlineDatabase()
        self.context = Context(
            controller_id="one",
            clock=self.clock,
            database=self.database,
            runtimes=OneRuntime(FakeRuntime(self.clock)),
            balancer=FakeBalancer(self.clock),
            sources=(self.cloud,),
            settings=EngineSettings(leak_grace_s=10.0, delete_again_s=5.0),
        )
        self.worker = SourceWorker(self.context, self.cloud)

    async def begin(self, *wanted: Host) -> None:
        """Take the lease and put hosts into the ledger."""
        now = self.clock.now()
        self._lease = await self.database.write(lambda c: leases.acquire(c, "source/cloud", "one", now, 1e6))
        await self.database.write(lambda connection: hosts.add(connection, wanted))

    async def step(self) -> None:
        assert self._lease is not None
        await self.worker.step(self._lease)

    async def states(self) -> dict[str, HostState]:
        return {host.id: host.state for host in await self.database.read(hosts.every)}

    async def reasons(self, subject: str) -> list[str]:
        logged = await self.database.read(lambda connection: events.of_subject(connection, subject, 100))
        return [one.event.reason for one in logged]


def wanted(number: int) -> Host:
    return Host(f"cloud-{number}", "cloud", SourceKind.CLOUD, SMALL, HostState.REQUESTED, requested_at=float(number))


def play(scenario: Callable[[World], Awaitable[None]]) -> None:
    async def work() -> None:
        world = World()
        try:
            await scenario(world)
        finally:
            world.database.close()

    run_virtual(work())


def test_what_one_place_does_not_have_is_asked_for_in_the_next_and_then_given_up() -> None:
    async def scenario(world: World) -> None:
        await world.begin(*(wanted(number) for number in range(1, 6)))
        await world.step()
        assert list((await world.states()).values()) == [HostState.CREATING] * 2 + [HostState.REQUESTED] * 3
        await world.step()
        ledger = await world.database.read(hosts.every)
        assert [host.variant for host in ledger] == ["a", "a", "b", "b", ""]
        assert [host.host_type.price_usd_per_hour for host in ledger[:4]] == [0.1, 0.1, 0.2, 0.2]
        memory = await world.database.read(lambda connection: refusals.live(connection, world.clock.now()))
        assert {one.variant for one in memory} == {"a", "b"}
        await world.step()
        assert (await world.states())["cloud-5"] == HostState.FAILED
        assert await world.reasons("host/cloud-5") == ["asked", "out-of-stock", "asked", "out-of-stock", "out-of-stock"]

    play(scenario)


def test_a_plan_that_claims_a_host_during_the_call_undoes_no_answer() -> None:
    async def scenario(world: World) -> None:
        await world.begin(wanted(1), wanted(2), wanted(3))
        honest = world.cloud.create

        async def claimed_meanwhile(orders: tuple[HostOrder, ...]) -> Refusals:
            for host in await world.database.read(hosts.current):
                await world.database.write(lambda connection, host=host: hosts.change(connection, host, host))
            return await honest(orders)

        world.cloud.create = claimed_meanwhile  # type: ignore[method-assign]
        await world.step()
        ledger = await world.database.read(hosts.every)
        assert [(host.state, host.reason) for host in ledger] == [
            (HostState.CREATING, "accepted"),
            (HostState.CREATING, "accepted"),
            (HostState.REQUESTED, "out-of-stock"),
        ]

    play(scenario)


def test_a_stranger_is_reported_at_once_and_taken_back_after_the_grace() -> None:
    async def scenario(world: World) -> None:
        await world.begin()
        await world.cloud.create((HostOrder("stranger", "small", "a", "t"),))
        world.cloud.faults.ignored_deletes = 1
        await world.step()
        assert await world.reasons("host/stranger") == ["leak-found"]
        for _ in range(3):
            await world.clock.sleep(3.0)
            await world.step()
        assert await world.cloud.really_there() == ("stranger",)
        for _ in range(4):
            await world.clock.sleep(3.0)
            await world.step()
        assert await world.cloud.really_there() == ()
        assert await world.reasons("host/stranger") == ["leak-found", "collected"]

    play(scenario)


def test_a_deletion_is_not_repeated_at_every_look_but_until_it_is_carried_out() -> None:
    async def scenario(world: World) -> None:
        await world.cloud.create((HostOrder("cloud-1", "small", "a", "t"),))
        await world.begin(replace(wanted(1), state=HostState.RELEASING, billed_from=1.0))
        world.cloud.faults.ignored_deletes = 1
        for _ in range(3):
            await world.step()
            await world.clock.sleep(1.0)
        assert await world.cloud.really_there() == ("cloud-1",), "asked once"
        await world.clock.sleep(3.0)
        await world.step()
        await world.step()
        assert await world.cloud.really_there() == ()
        (host,) = await world.database.read(hosts.every)
        assert host.state == HostState.RELEASED
        assert host.billed_until is not None

    play(scenario)


def test_a_stopped_host_that_there_is_no_room_for_is_replaced() -> None:
    async def scenario(world: World) -> None:
        await world.cloud.create((HostOrder("cloud-1", "small", "a", "t"),))
        await world.clock.sleep(5.0)
        await world.begin(replace(wanted(1), state=HostState.STOPPING, changed_at=world.clock.now()))
        await world.step()
        await world.step()
        assert await world.states() == {"cloud-1": HostState.STOPPED}
        (stopped,) = await world.database.read(hosts.every)
        starting = replace(stopped, state=HostState.STARTING, changed_at=world.clock.now())
        await world.database.write(lambda connection: hosts.change(connection, stopped, starting))
        world.cloud.faults.sold_out_places.add(("small", "a"))
        await world.step()
        assert await world.states() == {"cloud-1": HostState.FAILED}

    play(scenario)


def test_a_new_price_is_charged_from_when_the_source_shows_it() -> None:
    async def scenario(world: World) -> None:
        await world.begin(wanted(1))
        await world.step()
        await world.clock.sleep(5.0)
        await world.step()
        assert (await world.states())["cloud-1"] == HostState.READY
        await world.clock.sleep(95.0)
        world.cloud.set_price("small", 0.4, "a")
        await world.step()
        await world.step()
        assert await world.reasons("host/cloud-1") == ["asked", "ready", "repriced"]
        open_and_closed = await world.database.read(lambda connection: spans.within(connection, 0, 10**14))
        assert [(one.price_nano_usd_per_hour, one.until_ms is None) for one in open_and_closed] == [
            (100_000_000, False),
            (400_000_000, True),
        ]
        assert open_and_closed[1].from_ms - open_and_closed[0].anchor_ms == 100_000

    play(scenario)
