"""Instances are told what is off: each once, the new ones too, and again where it failed."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest
from placing_world import make_context

from dcp.engine.features import AGAIN_S, Features, Switches
from dcp.hosts.model import Resources
from dcp.kernel.clock import Clock
from dcp.kernel.errors import Unreachable
from dcp.orchestration.services.model import Instance
from dcp.orchestration.services.states import InstanceState
from dcp.store.database import InlineDatabase


@dataclass
class Told:
    """Remembers what it was asked to tell; the ports in `silent` do not answer."""

    silent: set[int] = field(default_factory=set)
    seen: list[tuple[int, str, tuple[str, ...]]] = field(default_factory=list)

    async def tell(self, address: str, port: int, path: str, off: tuple[str, ...]) -> None:
        self.seen.append((port, path, off))
        if port in self.silent:
            raise Unreachable("no answer")

    async def aclose(self) -> None:
        """Nothing is open."""


@dataclass
class StandingClock(Clock):
    """Shows what it was set to."""

    at: float = 1000.0

    def now(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


@dataclass
class Rig:
    """The switches of one service, whom they told, and the time."""

    features: Features
    told: Told
    clock: StandingClock

    async def tell(self, *instances: Instance, off: tuple[str, ...] = ("comments",)) -> None:
        self.features.tell(instances, Switches("/off", off))
        await asyncio.sleep(0.001)


def instance(port: int, state: InstanceState = InstanceState.SERVING) -> Instance:
    return Instance(
        id=f"feed-{port}",
        application="shop",
        service="feed",
        host_id="h",
        spec_revision=1,
        plan_id="plan-1",
        resources=Resources(100, 1 << 20),
        state=state,
        reason="",
        created_at=0.0,
        changed_at=0.0,
        address="127.0.0.1",
        port=port,
    )


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    database, told, clock = InlineDatabase(), Told(), StandingClock()
    features = Features(replace(make_context(database), clock=clock, features=told), "service/shop/feed")
    yield Rig(features, told, clock)
    await features.close()
    database.close()


async def test_each_is_told_once_and_again_when_it_changes(rig: Rig) -> None:
    for off in ((), (), ("comments",), ("comments",)):
        await rig.tell(instance(1), instance(2), off=off)
    assert rig.told.seen == [(1, "/off", ()), (2, "/off", ()), (1, "/off", ("comments",)), (2, "/off", ("comments",))]


async def test_those_that_wait_at_their_gate_are_told_before_they_serve_and_others_not(rig: Rig) -> None:
    states = (InstanceState.HELD, InstanceState.STARTING, InstanceState.DRAINING)
    await rig.tell(*(instance(number, state) for number, state in enumerate(states, 1)))
    assert [port for port, _, _ in rig.told.seen] == [1]


async def test_who_does_not_answer_is_told_again_a_little_later_and_holds_nobody_up(rig: Rig) -> None:
    rig.told.silent = {1}
    for _ in range(3):
        await rig.tell(instance(1), instance(2))
    assert [port for port, _, _ in rig.told.seen] == [1, 2]
    rig.clock.at += AGAIN_S
    rig.told.silent = set()
    for _ in range(3):
        await rig.tell(instance(1), instance(2))
    assert [port for port, _, _ in rig.told.seen] == [1, 2, 1]


async def test_a_service_without_switches_tells_nobody(rig: Rig) -> None:
    rig.features.tell([instance(1)], None)
    await asyncio.sleep(0.001)
    assert rig.told.seen == []
