"""Machines that people added: offered while they answer and nobody has set them aside, and forgotten when they left."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from dcp.drivers.clouds.added import AddedMachines
from dcp.hosts.adding.model import SOURCE, AddedMachine, Reach, SetAside
from dcp.hosts.model import HostOrder, HostType, Resources
from dcp.kernel.clock import SystemClock
from dcp.kernel.errors import OutOfStock, Rejected
from dcp.store import machines
from dcp.store.database import InlineDatabase
from dcp.store.machines import StoredMachines

SMALL = HostType("small", Resources(1000, 1 << 30), initialise=True)


class World:
    def __init__(self) -> None:
        self.database = InlineDatabase()
        self.silent: set[str] = set()
        self.forgotten: list[str] = []
        rows = StoredMachines(self.database, SystemClock())
        self.source = AddedMachines(rows, probe=self._probe, forget=self._forget, clock=SystemClock())

    async def _probe(self, address: str, port: int) -> bool:
        return address not in self.silent

    async def _forget(self, reach: Reach) -> None:
        self.forgotten.append(reach.address)

    async def add(self, *addresses: str, cluster: str = "", type_name: str = "small") -> None:
        host_type = replace(SMALL, name=type_name)
        new = [AddedMachine(Reach(one, key="racks"), "", cluster, host_type, one, 0.0) for one in addresses]
        await self.database.write(lambda connection: machines.add(connection, new))

    async def change(self, address: str, **changes: object) -> None:
        def work(connection):  # type: ignore[no-untyped-def]
            (one,) = [one for one in machines.every(connection) if one.address == address]
            machines.change(connection, one, replace(one, **changes))

        await self.database.write(work)

    async def create(self, host_id: str) -> object:
        return (await self.source.create((HostOrder(host_id, "small"),))).get(host_id)

    async def available(self) -> dict[str, int | None]:
        return {one.host_type.name: one.available for one in await self.source.offers()}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    made.database.close()


async def test_only_machines_that_answer_and_are_not_set_aside_are_offered(world: World) -> None:
    await world.add("m1", "m2", "m3")
    world.silent.add("m1")
    aside = [SetAside(SOURCE, "m2", 1.0, "no mirror"), SetAside("racks", "m3", 1.0, "another source's")]
    await world.database.write(lambda connection: machines.put_aside(connection, aside))
    assert await world.available() == {"small": 1}
    assert await world.create("h1") is None
    assert isinstance(await world.create("h2"), OutOfStock)
    (shown,) = await world.source.list_all()
    assert (shown.address, shown.engine) == ("m3", "ssh://root@m3?key=racks")
    await world.database.write(lambda connection: machines.no_longer_aside(connection, [(SOURCE, "m2")]))
    assert await world.available() == {"small": 1}


async def test_machines_of_a_cluster_are_offered_to_it_alone(world: World) -> None:
    await world.add("m1")
    await world.add("m2", cluster="news", type_name="news-small")
    assert {one.host_type.name: one.clusters for one in await world.source.offers()} == {
        "small": (),
        "news-small": ("news",),
    }


async def test_one_that_was_given_back_is_lent_last(world: World) -> None:
    await world.add("m1", "m2")
    await world.create("h1")
    await world.source.delete(("h1",))
    await world.create("h2")
    assert [(one.host_id, one.address) for one in await world.source.list_all()] == [("h2", "m2")]


async def test_one_that_a_person_removed_is_shown_with_its_time_and_forgotten_once_it_is_back(world: World) -> None:
    await world.add("m1", "m2")
    await world.create("h1")
    await world.change("m1", leave_by=99.0)
    (shown,) = await world.source.list_all()
    assert (shown.leave_by, shown.leave_words) == (99.0, "a person removed its machine")
    assert isinstance(shown.refusal, Rejected), "one that is still coming will never be ready"
    assert await world.source.list_all() == (shown,), "two listings of the same are equal"
    for _ in range(2):
        assert await world.source.delete(("h1",)) == {}
    assert world.forgotten == ["m1"]
    assert [one.address for one in await world.database.read(machines.every)] == ["m2"]


async def test_a_type_of_which_no_machine_is_left_is_refused_for_good(world: World) -> None:
    assert isinstance(await world.create("h1"), Rejected)
    assert await world.source.offers() == ()
