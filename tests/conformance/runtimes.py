"""What every runtime promises, as named cases. A rig joins a driver to them; a driver without its rig is not merged."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, TypeVar

import pytest

from dcp.hosts.model import Resources
from dcp.kernel.clock import Clock
from dcp.kernel.errors import DriverError, Rejected
from dcp.orchestration.services.model import HealthCheck, Observation, StartOrder
from dcp.orchestration.services.ports import Runtime

T = TypeVar("T")

EXIT_CODE = 3
LINES = 30
PATIENCE_S = 10.0


class What(StrEnum):
    """What an instance does; a rig knows how to say it to its driver."""

    SLEEPS = "sleeps"  # until it is asked to end, then ends at once
    WRITES = "writes"  # writes `line 1` to `line LINES`, then sleeps
    SERVES = "serves"  # answers GET /health with 200
    SERVES_BADLY = "serves-badly"  # answers every request with 500
    STUBBORN = "stubborn"  # ignores the stop signal
    FAMILY = "family"  # has children that left its group
    LEAVES_CHILDREN = "leaves-children"  # ends by itself while its children run on
    EXITS = "exits"  # ends by itself with EXIT_CODE
    MISSING = "missing"  # no such command
    GREEDY = "greedy"  # uses 300 MiB of memory
    SPINS = "spins"  # uses a whole processor


class Rig(Protocol):
    """A driver under test with its state."""

    runtime: Runtime
    clock: Clock

    def again(self) -> Runtime:
        """Return what a restarted controller would use: a new object over the same state."""
        ...

    def order(self, instance_id: str, what: What) -> StartOrder:
        """Return an order for an instance that does `what`, with 200 thousandths of a processor and 96 MiB."""
        ...

    def processes(self, instance_id: str) -> int:
        """Return how many processes of this instance run."""
        ...

    async def ready(self, instance_id: str) -> None:
        """Return once a started instance does what it was ordered to."""
        ...

    async def environment(self, instance_id: str) -> dict[str, str]:
        """Return the environment that the instance really has."""
        ...

    def processor_s(self, instance_id: str) -> float:
        """Return the processor time that the instance has used."""
        ...


Case = Callable[[Rig], Coroutine[Any, Any, None]]
CASES: list[Case] = []
LIMIT_CASES: list[Case] = []
"""Only where the runtime's abilities claim the limit."""


def case(function: Case) -> Case:
    CASES.append(function)
    return function


def limit_case(function: Case) -> Case:
    LIMIT_CASES.append(function)
    return function


@case
async def start_makes_it_run(rig: Rig) -> None:
    seen = await rig.runtime.start(rig.order("one", What.SLEEPS))
    assert seen.instance_id == "one"
    assert seen.running
    assert seen.port > 0
    assert seen.exit_code is None
    # A process in the middle of its exec has no environment to be counted by.
    await rig.ready("one")
    assert rig.processes("one") == 1
    assert await rig.runtime.observe("one") == seen


@case
async def start_twice_is_one(rig: Rig) -> None:
    order = rig.order("one", What.SLEEPS)
    first = await rig.runtime.start(order)
    assert await rig.runtime.start(order) == first
    assert await rig.again().start(order) == first
    assert rig.processes("one") == 1


@case
async def racing_to_start_the_same_id_gives_one(rig: Rig) -> None:
    order = rig.order("one", What.SLEEPS)
    runtimes = [rig.runtime, rig.again(), rig.again(), rig.runtime]
    seen = await _all(_started(rig, runtime, order) for runtime in runtimes)
    assert len(set(seen)) == 1
    assert rig.processes("one") == 1


@case
async def instances_have_ports_of_their_own(rig: Rig) -> None:
    seen = await _all(rig.runtime.start(rig.order(f"i-{n}", What.SLEEPS)) for n in range(8))
    assert len({one.port for one in seen}) == 8


@case
async def start_after_the_end_does_not_revive(rig: Rig) -> None:
    order = rig.order("one", What.SLEEPS)
    await rig.runtime.start(order)
    await rig.runtime.stop("one", 5.0)
    for runtime in (rig.runtime, rig.again()):
        seen = await runtime.start(order)
        assert not seen.running
    assert rig.processes("one") == 0


@case
async def stop_is_graceful(rig: Rig) -> None:
    await rig.runtime.start(rig.order("one", What.SLEEPS))
    await rig.ready("one")
    before = rig.clock.now()
    await rig.runtime.stop("one", 30.0)
    assert rig.clock.now() - before < 15.0, "it ends when asked, long before the grace is over"
    seen = await rig.runtime.observe("one")
    assert seen is not None
    assert not seen.running
    assert seen.exit_code != 137
    assert rig.processes("one") == 0


@case
async def stop_kills_after_the_grace(rig: Rig) -> None:
    await rig.runtime.start(rig.order("one", What.STUBBORN))
    await rig.ready("one")
    before = rig.clock.now()
    await rig.runtime.stop("one", 0.3)
    assert rig.clock.now() - before >= 0.3
    assert rig.processes("one") == 0
    seen = await rig.runtime.observe("one")
    assert seen is not None
    assert (seen.running, seen.exit_code) == (False, 137)


@case
async def a_second_stop_with_less_grace_cuts_the_first_short(rig: Rig) -> None:
    await rig.runtime.start(rig.order("one", What.STUBBORN))
    await rig.ready("one")
    before = rig.clock.now()
    await _all([rig.runtime.stop("one", 1.0), rig.again().stop("one", 0.0)])
    assert rig.clock.now() - before < PATIENCE_S
    assert rig.processes("one") == 0


@case
async def stopping_what_is_absent_or_ended_is_success(rig: Rig) -> None:
    await rig.runtime.stop("never", 1.0)
    await rig.runtime.start(rig.order("one", What.SLEEPS))
    await rig.runtime.stop("one", 5.0)
    await rig.runtime.stop("one", 5.0)
    assert await rig.runtime.observe("never") is None


@case
async def the_whole_group_is_gone_after_stop(rig: Rig) -> None:
    await rig.runtime.start(rig.order("one", What.FAMILY))
    await rig.ready("one")
    assert rig.processes("one") >= 1
    await rig.runtime.stop("one", 5.0)
    assert rig.processes("one") == 0


@case
async def leftovers_of_one_that_ended_by_itself_are_collected(rig: Rig) -> None:
    await rig.runtime.start(rig.order("one", What.LEAVES_CHILDREN))
    await _until(rig, lambda: _has_ended(rig.again(), "one"))
    assert rig.processes("one") == 0


@case
async def an_exit_is_observed_with_its_code(rig: Rig) -> None:
    await rig.runtime.start(rig.order("one", What.EXITS))
    await _until(rig, lambda: _has_ended(rig.runtime, "one"))
    for runtime in (rig.runtime, rig.again()):
        seen = await runtime.observe("one")
        assert seen is not None
        assert seen.exit_code == EXIT_CODE


@case
async def list_all_is_complete_with_the_ended(rig: Rig) -> None:
    for n in range(4):
        await rig.runtime.start(rig.order(f"i-{n}", What.SLEEPS))
    await rig.runtime.stop("i-1", 5.0)
    await rig.runtime.stop("i-3", 5.0)
    for runtime in (rig.runtime, rig.again()):
        listed = {one.instance_id: one.running for one in await runtime.list_all()}
        assert listed == {"i-0": True, "i-1": False, "i-2": True, "i-3": False}


@case
async def a_new_object_adopts_everything(rig: Rig) -> None:
    before = await rig.runtime.start(rig.order("one", What.SERVES))
    await rig.ready("one")
    heir = rig.again()
    assert await heir.observe("one") == before
    assert await heir.check("one") == ""
    await heir.stop("one", 5.0)
    assert rig.processes("one") == 0
    await _until(rig, lambda: _has_ended(rig.runtime, "one"))


@case
async def health_tells_good_from_bad(rig: Rig) -> None:
    await rig.runtime.start(rig.order("good", What.SERVES))
    await rig.runtime.start(rig.order("bad", What.SERVES_BADLY))
    await rig.ready("good")
    assert await rig.runtime.check("good") == ""
    assert await rig.runtime.check("bad") != ""


@case
async def without_a_health_check_running_is_healthy(rig: Rig) -> None:
    await rig.runtime.start(rig.order("one", What.SLEEPS))
    assert await rig.runtime.check("one") == ""
    await rig.runtime.stop("one", 5.0)
    assert "ended" in await rig.runtime.check("one")
    assert await rig.runtime.check("never") != ""


@case
async def logs_give_the_last_lines(rig: Rig) -> None:
    await rig.runtime.start(rig.order("one", What.WRITES))
    await rig.ready("one")
    assert await rig.runtime.logs("one", 2) == (f"line {LINES - 1}", f"line {LINES}")
    assert len(await rig.again().logs("one", 20)) == 20
    assert await rig.runtime.logs("one", 0) == ()
    assert await rig.runtime.logs("never", 10) == ()


@case
async def the_environment_is_the_orders_and_the_port(rig: Rig) -> None:
    order = rig.order("one", What.SLEEPS)
    seen = await rig.runtime.start(order)
    await rig.ready("one")
    environment = await rig.environment("one")
    assert environment["PORT"] == str(seen.port)
    assert dict(order.environment).items() <= environment.items()


@case
async def forget_drops_the_record_and_keeps_the_log(rig: Rig) -> None:
    order = rig.order("one", What.WRITES)
    await rig.runtime.start(order)
    await rig.ready("one")
    with pytest.raises(DriverError):
        await rig.runtime.forget("one")
    assert rig.processes("one") == 1
    await rig.runtime.stop("one", 5.0)
    await rig.runtime.forget("one")
    await rig.again().forget("one")
    assert await rig.runtime.observe("one") is None
    assert await rig.again().list_all() == ()
    assert f"line {LINES}" in await rig.runtime.logs("one", 3)
    assert (await rig.runtime.start(order)).running, "a forgotten id is a new one"


@case
async def an_impossible_command_is_rejected(rig: Rig) -> None:
    with pytest.raises(Rejected):
        await rig.runtime.start(rig.order("one", What.MISSING))
    assert await rig.runtime.observe("one") is None
    assert await rig.runtime.list_all() == ()


@limit_case
async def one_that_takes_too_much_memory_dies(rig: Rig) -> None:
    await rig.runtime.start(rig.order("one", What.GREEDY))
    await _until(rig, lambda: _has_ended(rig.runtime, "one"))
    seen = await rig.runtime.observe("one")
    assert seen is not None
    assert seen.exit_code == 137


@limit_case
async def one_that_spins_gets_its_share_of_processor(rig: Rig) -> None:
    await rig.runtime.start(rig.order("one", What.SPINS))
    await rig.clock.sleep(1.5)
    # A fifth of a processor is 0.3 s; without a limit it would be near 1.5 s. Noise only makes it less.
    assert 0 < rig.processor_s("one") < 0.75


@dataclass(frozen=True, slots=True)
class OrderParts:
    """What the orders of all rigs have in common."""

    resources: Resources = Resources(cpu_millis=200, memory_bytes=96 << 20)
    environment: tuple[tuple[str, str], ...] = (("COLOUR", "blue and 'green'"), ("discovery.type", "single-node"))
    health: HealthCheck = HealthCheck(http_path="/health", timeout_s=2.0)


async def _has_ended(runtime: Runtime, instance_id: str) -> bool:
    seen = await runtime.observe(instance_id)
    return seen is not None and not seen.running


async def _until(rig: Rig, condition: Callable[[], Awaitable[bool]]) -> None:
    give_up_at = rig.clock.now() + PATIENCE_S
    while not await condition():
        assert rig.clock.now() < give_up_at, "it did not happen"
        await rig.clock.sleep(0.02)


async def _started(rig: Rig, runtime: Runtime, order: StartOrder) -> Observation:
    """Start it, again while its engine is only slow: a busy machine must not look like a broken promise."""
    give_up_at = rig.clock.now() + PATIENCE_S
    while True:
        try:
            return await runtime.start(order)
        except Rejected:
            raise
        except DriverError:
            if rig.clock.now() > give_up_at:
                raise


async def _all(calls: Iterable[Awaitable[T]]) -> list[T]:
    return list(await asyncio.gather(*calls))
