"""Cases of machines that people added, and of those that are set aside."""

from dataclasses import replace

import pytest
from stores import Rig, case

from dcp.hosts.adding.model import AddedMachine, Reach, SetAside
from dcp.hosts.model import HostType, Resources
from dcp.kernel.errors import Stale
from dcp.store import machines

SMALL = HostType("small", Resources(1000, 1 << 30), labels=(("disk", "ssd"),), initialise=True)
ONE = AddedMachine(Reach("10.0.0.1", "ops", 2222, "racks"), "tcp://{address}:2376", "news", SMALL, "b n", 5.5)
TWO = replace(ONE, reach=Reach("10.0.0.2"), cluster="")
ASIDE = SetAside("added", "10.0.0.1", 7.5, "no mirror")


@case
async def an_added_machine_is_read_as_it_was_written(rig: Rig) -> None:
    assert not await rig.database.read(machines.there_are)
    await rig.database.write(lambda connection: machines.add(connection, [TWO, ONE]))
    assert await rig.database.read(machines.every) == (ONE, TWO)
    assert await rig.database.read(machines.there_are)
    with pytest.raises(Stale):
        await rig.database.write(lambda connection: machines.add(connection, [ONE]))


@case
async def a_machine_is_lent_once_and_what_was_removed_is_forgotten_when_it_comes_back(rig: Rig) -> None:
    both = ("10.0.0.1", "10.0.0.2")
    await rig.database.write(lambda connection: machines.add(connection, [ONE, TWO]))
    for host_id, taken in (("h1", True), ("h1", True), ("h2", True), ("h3", False)):
        assert await rig.database.write(lambda c, h=host_id: machines.take(c, h, "small", both)) is taken
    first, second = await rig.database.read(machines.every)
    assert (first.host_id, second.host_id) == ("h1", "h2")
    leaving = await rig.database.write(lambda c: machines.change(c, first, replace(first, leave_by=9.0)))
    with pytest.raises(Stale):
        await rig.database.write(lambda connection: machines.change(connection, first, first))
    assert await rig.database.write(lambda c: machines.give_back(c, ("h1", "h2", "h9"), 8.0)) == (leaving,)
    (left,) = await rig.database.read(machines.every)
    assert (left.address, left.host_id, left.back_at) == ("10.0.0.2", "", 8.0)
    with pytest.raises(Stale):
        await rig.database.write(lambda connection: machines.drop(connection, leaving))


@case
async def a_machine_that_is_set_aside_is_not_lent_and_is_forgotten_with_its_machine(rig: Rig) -> None:
    await rig.database.write(lambda connection: machines.add(connection, [ONE]))
    other = replace(ASIDE, source="racks")
    for words in ("no mirror", "no disk"):
        await rig.database.write(lambda c, w=words: machines.put_aside(c, [replace(ASIDE, words=w), other]))
    assert [one.words for one in await rig.database.read(machines.aside)] == ["no disk", "no mirror"]
    assert not await rig.database.write(lambda c: machines.take(c, "h1", "small", ("10.0.0.1",)))
    (stored,) = await rig.database.read(machines.every)
    await rig.database.write(lambda connection: machines.drop(connection, stored))
    assert await rig.database.read(machines.aside) == (other,)
