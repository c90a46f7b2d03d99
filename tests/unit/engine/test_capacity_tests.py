"""A capacity test as the worker of its service runs it: whoever interferes ends it, and nobody stays weighted."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace

import pytest
from placing_world import LEASE_S, add_hosts, controller_of, make_context, shop
from sqlalchemy import Connection

from dcp.engine import asked, commands
from dcp.engine.application import load
from dcp.engine.capacity.begin import TestAsked as Asked
from dcp.engine.capacity.begin import begin_test, cancel_test
from dcp.engine.capacity.report import capacities
from dcp.engine.capacity.run import CapacityTests
from dcp.engine.context import Context
from dcp.kernel.clock import Clock
from dcp.kernel.errors import Conflict, InvalidInput, NotFound, Unreachable
from dcp.orchestration.capacity.measuring import CapacityTest, Outcome, share_of
from dcp.orchestration.capacity.model import LATENCY_BOUNDS_MS
from dcp.orchestration.scaling.model import Direction
from dcp.orchestration.services.model import ApplicationSpec, Call, Capacity, Elastic, ServiceKey
from dcp.orchestration.services.quiet_hours import QuietHours
from dcp.orchestration.services.states import InstanceState
from dcp.orchestration.services.timetable import TimetableEntry
from dcp.orchestration.traffic.model import Route, Traffic
from dcp.store import applications, capacity_tests, events, instances, leases
from dcp.store.database import InlineDatabase
from dcp.store.leases import Lease

FEED = ServiceKey("shop", "feed")
NIGHT = 1_800_000_000.0 // 86400 * 86400 + 3 * 3600
"""Three o'clock, UTC."""
TRUE_REQUESTS_PER_S = 50.0
LOAD_REQUESTS_PER_S = 100.0
WINDOW_S = 60.0
DECLARED = Capacity(100.0, 80.0)


@dataclass
class StandingClock(Clock):
    """Shows what it was set to."""

    at: float = NIGHT

    def now(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


def elastic_shop(quiet_hours: QuietHours | None = None) -> ApplicationSpec:
    (feed,) = shop("shop", 4).services
    feed = replace(feed, elastic=Elastic(2, 40), capacity=DECLARED, calls=(Call("user", 1.0),), quiet_hours=quiet_hours)
    return ApplicationSpec("shop", (feed, replace(feed, name="user", calls=(), quiet_hours=None)))


class World:
    """Four instances of feed that serve, and a balancer that counts what their weights give them."""

    def __init__(self, context: Context, clock: StandingClock) -> None:
        self.context, self.clock = context, clock
        self.counted = Traffic(0, 0, 0, 0, (0,) * (len(LATENCY_BOUNDS_MS) + 1))
        self.weights: Mapping[str, int] = {}
        self.failing = 0

    async def lease(self, holder: str = "one") -> Lease:
        now = self.clock.now()
        lease = await self.context.database.write(lambda c: leases.acquire(c, f"service/{FEED}", holder, now, LEASE_S))
        assert lease is not None
        return lease

    def pass_time(self, seconds: float) -> None:
        """Let requests arrive and be answered; an instance above what it carries answers late."""
        self.clock.at += seconds
        whole = sum(self.weights.values()) if self.weights else 0
        shares = [weight / whole for weight in self.weights.values()] if whole else [0.25] * 4
        arrived = fast = slow = 0
        for share in shares:
            come = round(share * LOAD_REQUESTS_PER_S * seconds)
            late = share * LOAD_REQUESTS_PER_S > TRUE_REQUESTS_PER_S
            arrived, fast, slow = arrived + come, fast + come * (not late), slow + come * late
        before = self.counted
        added = [
            fast * (bound >= 25) + slow * (bound >= 2000) for bound in (*LATENCY_BOUNDS_MS, LATENCY_BOUNDS_MS[-1] + 1)
        ]
        self.counted = Traffic(
            before.arrived + arrived + self.failing,
            before.answered + arrived,
            before.failed + self.failing,
            0,
            tuple(a + b for a, b in zip(before.by_latency, added, strict=True)),
        )
        self.context.balancer.set_traffic(FEED, self.counted)  # type: ignore[attr-defined]

    async def look(self, worker: CapacityTests, lease: Lease) -> Mapping[str, int]:
        seen = await self.context.database.read(lambda connection: worker.load(connection, *_rows(connection)))
        self.weights = await worker.step(lease, seen)
        return self.weights

    async def test(self, number: int = 1) -> CapacityTest:
        test = await self.context.database.read(lambda c: capacity_tests.find(c, f"capacity-{number}"))
        assert test is not None
        return test

    async def told(self) -> list[str]:
        return [one.event.reason for one in await self.context.database.read(lambda c: events.after(c, 0, 1000))]


def _rows(connection: Connection):
    live = instances.live(connection, "shop", "feed")
    return applications.find(connection, "shop"), live, applications.service_rows(connection, "shop")


@pytest.fixture
async def world() -> AsyncIterator[World]:
    database, clock = InlineDatabase(), StandingClock()
    context = replace(make_context(database), clock=clock)
    await add_hosts(database, [4000])
    await _serve(context, elastic_shop())
    await database.write(lambda connection: _decide(connection, "user", 3.0))
    world = World(context, clock)
    await context.balancer.ensure_running()
    await context.balancer.set_routes((Route(FEED, 18000),))
    world.pass_time(0.0)
    yield world
    database.close()


async def _serve(context: Context, spec: ApplicationSpec) -> None:
    controller = await controller_of(context, spec)
    await controller.decide()
    await controller.write()
    now = context.clock.now()

    def serve(connection: Connection) -> None:
        for state in (InstanceState.STARTING, InstanceState.HELD, InstanceState.SERVING):
            at = now if state is InstanceState.SERVING else None
            live = instances.live(connection, spec.name)
            instances.change_all(connection, [(one, replace(one, state=state, serving_at=at)) for one in live])

    await context.database.write(serve)


async def begun(world: World, **asked: object) -> tuple[CapacityTests, Lease]:
    await begin_test(world.context, Asked(FEED, 1, WINDOW_S, **asked))  # type: ignore[arg-type]
    worker, lease = CapacityTests(world.context, FEED), await world.lease()
    assert await world.look(worker, lease) == {}, "it is only made ours"
    return worker, lease


async def weighted(world: World) -> tuple[CapacityTests, Lease]:
    worker, lease = await begun(world)
    for _ in range(3):
        await world.look(worker, lease)
        world.pass_time(WINDOW_S)
    assert world.weights
    return worker, lease


async def run(world: World, worker: CapacityTests, lease: Lease) -> list[float]:
    """Look until the test ends; return the shares of its instance."""
    shares = []
    for _ in range(60):
        test = await world.test()
        if test.outcome is not Outcome.RUNNING:
            return shares
        shares.append(round(share_of(test), 2))
        await world.look(worker, lease)
        world.pass_time(WINDOW_S)
    raise AssertionError("it does not end")


async def test_it_finds_what_an_instance_carries_and_plans_count_on_that(world: World) -> None:
    worker, lease = await begun(world)
    shares = await run(world, worker, lease)
    test = await world.test()
    assert test.outcome is Outcome.MEASURED
    assert world.weights == {}
    assert shares == sorted(shares)
    (found,) = test.found
    assert TRUE_REQUESTS_PER_S / 1.2 <= found.requests_per_s <= TRUE_REQUESTS_PER_S * 1.05
    loaded = await load(world.context, "shop")
    assert loaded is not None
    capacity = loaded.snapshot.spec.service("feed").capacity
    assert capacity is not None and capacity.requests_per_s == found.requests_per_s
    reported = (await world.context.database.read(capacities))[0]
    assert (reported.declared, reported.used) == (DECLARED, capacity)
    assert reported.measured is not None and not reported.measured.stale
    assert {"capacity-test-began", "capacity-found", "capacity-measured"} <= set(await world.told())


async def test_another_image_makes_the_result_stale(world: World) -> None:
    await run(world, *await begun(world))
    spec = elastic_shop()
    newer = replace(spec, services=(replace(spec.services[0], command=("run", "newer")), spec.services[1]))
    await commands.apply(world.context, newer)
    loaded = await load(world.context, "shop")
    assert loaded is not None and loaded.snapshot.spec.service("feed").capacity == DECLARED
    reported = (await world.context.database.read(capacities))[0]
    assert reported.measured is not None and reported.measured.stale
    assert reported.used == DECLARED


async def freeze(world: World) -> None:
    await commands.freeze(world.context, "shop", "gala")


async def place(world: World) -> None:
    await asked.place(world.context, "shop", {"feed": 6}, dry_run=False)


async def apply(world: World) -> None:
    spec = elastic_shop()
    newer = replace(spec, services=(replace(spec.services[0], slow_threshold_ms=500), spec.services[1]))
    await commands.apply(world.context, newer)


async def lose_an_instance(world: World) -> None:
    def work(connection: Connection) -> None:
        one = instances.live(connection, "shop", "feed")[-1]
        instances.change_all(connection, [(one, replace(one, state=InstanceState.DRAINING))])

    await world.context.database.write(work)


async def lose_metrics(world: World) -> None:
    world.context.balancer.fail("traffic", Unreachable("the proxy does not answer"))  # type: ignore[attr-defined]


async def lose_the_counters(world: World) -> None:
    world.context.balancer.vanish(FEED)  # type: ignore[attr-defined]


async def fail_a_request(world: World) -> None:
    world.failing = 1
    world.pass_time(0.1)


async def burden_a_dependency(world: World) -> None:
    await world.context.database.write(lambda connection: _decide(connection, "user", 1.1))


def _decide(connection: Connection, service: str, level: float) -> None:
    row = next(one for one in applications.service_rows(connection, "shop") if one.key.name == service)
    assert row.decision is not None
    decision = replace(row.decision, direction=Direction.HOLD, reason="steady", numbers={"level": level})
    applications.decide_service(connection, row, decision, 0)


async def remove(world: World) -> None:
    await commands.remove(world.context, "shop")


@pytest.mark.parametrize(
    ("interfere", "reason"),
    [
        (freeze, "frozen"),
        (place, "scaled"),
        (apply, "applied"),
        (remove, "removing"),
        (lose_an_instance, "instances-changed"),
        (lose_metrics, "metrics-missing"),
        (lose_the_counters, "metrics-missing"),
        (fail_a_request, "errors"),
        (burden_a_dependency, "dependency"),
    ],
)
async def test_whatever_interferes_ends_it_at_the_next_look(world: World, interfere, reason: str) -> None:
    worker, lease = await weighted(world)
    await world.look(worker, lease)
    await interfere(world)
    assert await world.look(worker, lease) == {}
    test = await world.test()
    assert (test.outcome, test.reason) == (Outcome.STOPPED, reason)
    assert (await world.told())[-1] == "capacity-test-stopped"


async def test_a_person_ends_it_and_ending_it_again_changes_nothing(world: World) -> None:
    worker, lease = await weighted(world)
    first = await cancel_test(world.context, "capacity-1")
    assert (first.outcome, first.reason) == (Outcome.STOPPED, "cancelled")
    assert await world.look(worker, lease) == {}
    assert await cancel_test(world.context, "capacity-1") == first
    with pytest.raises(NotFound):
        await cancel_test(world.context, "capacity-9")


async def test_the_next_controller_ends_what_a_dead_one_began(world: World) -> None:
    await weighted(world)
    world.clock.at += LEASE_S + 1
    lease = await world.lease("two")
    assert await world.look(CapacityTests(world.context, FEED), lease) == {}
    assert (await world.test()).reason == "interrupted"


async def test_it_begins_only_where_all_is_calm(world: World) -> None:
    with pytest.raises(NotFound):
        await begin_test(world.context, Asked(ServiceKey("shop", "nobody")))
    with pytest.raises(InvalidInput) as refused:
        await begin_test(world.context, Asked(FEED, 0, 0.0))
    assert [one.path for one in refused.value.problems] == ["per_class", "window_s"]
    await begin_test(world.context, Asked(FEED))
    with pytest.raises(Conflict, match="capacity-1 runs"):
        await begin_test(world.context, Asked(ServiceKey("shop", "user")))
    await cancel_test(world.context, "capacity-1")
    await freeze(world)
    with pytest.raises(Conflict, match="frozen"):
        await begin_test(world.context, Asked(FEED))
    await commands.freeze(world.context, "shop", "")
    await lose_an_instance(world)
    with pytest.raises(Conflict, match="3 of 4 instances"):
        await begin_test(world.context, Asked(FEED))


async def test_quiet_hours_begin_one_by_themselves_and_not_again_soon(world: World) -> None:
    hours = QuietHours(TimetableEntry(150, 300, lead_s=0.0), every_s=3 * 86400.0, window_s=WINDOW_S, per_class=1)
    await commands.apply(world.context, elastic_shop(hours))
    worker, lease = CapacityTests(world.context, FEED), await world.lease()
    world.clock.at = NIGHT - 3600
    await world.look(worker, lease)
    assert await world.context.database.read(lambda c: capacity_tests.newest(c, 9)) == ()
    world.clock.at = NIGHT
    await world.look(worker, lease)
    await run(world, worker, lease)
    assert (await world.test()).outcome is Outcome.MEASURED
    for day in (1, 2):
        world.clock.at = NIGHT + day * 86400
        lease = await world.lease()
        await world.look(worker, lease)
    assert len(await world.context.database.read(lambda c: capacity_tests.newest(c, 9))) == 1
    world.clock.at = NIGHT + 3 * 86400 + 3600
    await world.look(worker, await world.lease())
    assert len(await world.context.database.read(lambda c: capacity_tests.newest(c, 9))) == 2
