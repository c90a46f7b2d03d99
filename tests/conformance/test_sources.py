"""Every source of hosts keeps every promise of `sources`, with its state in memory and in a file."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sources import CASES, LARGE, LARGE_STOCK, SMALL, SMALL_STOCK, Case

from dcp.drivers.clouds.added import AddedMachines
from dcp.drivers.clouds.fake import CloudLimits, FakeCloud, Place
from dcp.drivers.clouds.private import PrivateHosts, PrivatePool
from dcp.hosts.adding.model import AddedMachine, Reach
from dcp.hosts.model import HostType, SourceLimits, Variant
from dcp.hosts.ports import HostSource
from dcp.store import machines
from dcp.store.connections import writing
from dcp.store.database import InlineDatabase
from dcp.store.machines import StoredMachines

LIMITS = CloudLimits(stock=(("small", SMALL_STOCK), ("large", LARGE_STOCK)), delete_s=15.0, boot_spread=0.3)


class SteppedClock:
    """Moves on only when somebody waits: boots and deletions cost no real time although files need real threads."""

    def __init__(self) -> None:
        self._now = 1_700_000_000.0

    def now(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        self._now += max(0.0, seconds)
        await asyncio.sleep(0)


class SourceRig:
    """`make` gives a source over a file, or without one over memory; then `again` is the same object."""

    counts_stock = True

    def __init__(self, make: Callable[[SteppedClock, Path | None], HostSource], path: Path | None) -> None:
        self.clock = SteppedClock()
        self._make = make
        self._path = path
        self.source = make(self.clock, path)

    def again(self) -> HostSource:
        return self.source if self._path is None else self._make(self.clock, self._path)


def make_pool(_: SteppedClock, path: Path | None) -> HostSource:
    return PrivatePool("own", path, [PrivateHosts(SMALL, SMALL_STOCK), PrivateHosts(LARGE, LARGE_STOCK)])


def make_cloud(clock: SteppedClock, path: Path | None) -> HostSource:
    return FakeCloud("fake", clock, path, types=(SMALL, LARGE), limits=LIMITS)


def make_cloud_in_batches(clock: SteppedClock, path: Path | None) -> HostSource:
    """Places, calls of several, stopping: all that a cloud may have."""
    limits = replace(LIMITS, places=(Place("small", Variant("a", 0.1)), Place("small", Variant("b"))), stop_s=3.0)
    asked = SourceLimits(batch=16, can_stop=True)
    return FakeCloud("fake", clock, path, types=(SMALL, LARGE), limits=limits, asked=asked)


def make_added(clock: SteppedClock, path: Path | None) -> HostSource:
    """Machines that people have added; `path` names a database, which outlives the source."""
    database = ADDED_TO.get(path) if path else None
    if database is None:
        database = InlineDatabase()
        rows = [added(f"a{n}", SMALL) for n in range(SMALL_STOCK)] + [added(f"b{n}", LARGE) for n in range(LARGE_STOCK)]
        with writing(database._engine) as connection:
            machines.add(connection, rows)
    if path:
        ADDED_TO[path] = database
    return AddedMachines(StoredMachines(database, clock), probe=answers, forget=nothing, clock=clock)


def added(address: str, host_type: HostType) -> AddedMachine:
    return AddedMachine(Reach(address), "tcp://{address}:1", "", host_type, "", 0.0)


async def answers(_address: str, _port: int) -> bool:
    return True


async def nothing(_reach: Reach) -> None:
    pass


ADDED_TO: dict[Path, InlineDatabase] = {}
DRIVERS = {"private": make_pool, "fake": make_cloud, "fake-in-batches": make_cloud_in_batches, "added": make_added}


@pytest.mark.parametrize("kept", ["memory", "file"])
@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_contract(case: Case, driver: str, kept: str, tmp_path: Path) -> None:
    path = tmp_path / "state" / f"{driver}.json" if kept == "file" else None
    await case(SourceRig(DRIVERS[driver], path))
