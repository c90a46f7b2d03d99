"""Rows that are kept between looks are always those that are there, in order and in their groups."""

import random
from dataclasses import replace

import pytest
from sqlalchemy import Connection

from dcp.hosts.model import Resources
from dcp.kernel.errors import Stale
from dcp.orchestration.services.model import Instance
from dcp.orchestration.services.states import InstanceState
from dcp.store import instances
from dcp.store.connections import open_engine, reading, writing
from dcp.store.database import InlineDatabase
from dcp.store.schema import bring_to_head

SIZE = Resources(100, 1 << 20)


def make(number: int, at: float, service: str = "web", host: str = "") -> Instance:
    return Instance(
        id=f"{service}-{number}",
        application="shop",
        service=service,
        host_id=host or f"h-{number % 7}",
        spec_revision=1,
        state=InstanceState.PLACED,
        plan_id="plan-1",
        created_at=at,
        resources=SIZE,
    )


def expect_kept(connection: Connection) -> None:
    """What is kept is what the table says, however it came about."""
    rows = instances.kept(connection)
    there = tuple(
        one for one in (instances.find(connection, i) for (i,) in connection.exec_driver_sql(ALL)) if one is not None
    )
    assert rows.all == there == tuple(rows.by_id.values())
    for name, key_of in rows.groupings.items():
        keys = {key_of(one) for one in there}
        assert set(rows.grouped[name]) == keys
        for key in keys:
            assert rows.group(name, key) == tuple(one for one in there if key_of(one) == key)


ALL = "SELECT id FROM instances WHERE ended_at IS NULL ORDER BY created_at, id"


async def test_whatever_changes_the_rows_are_those_of_the_table() -> None:
    database, rng = InlineDatabase(), random.Random(4)
    for step in range(150):

        def work(connection: Connection, step: int = step) -> None:
            live = list(instances.live(connection))
            rng.shuffle(live)
            match rng.randrange(4):
                case 0:
                    # Sometimes older than what is there: clocks go back.
                    at = step - rng.choice((0, 0, 30))
                    new = [make(10 * step + i, at, rng.choice(("web", "api"))) for i in range(rng.randrange(1, 9))]
                    instances.add(connection, new)
                case 1:
                    instances.change_all(connection, [(i, replace(i, host_id=f"h-{step % 5}")) for i in live[:3]])
                case 2:
                    ended = replace(live[0], state=InstanceState.STOPPED, ended_at=float(step)) if live else None
                    instances.change_all(connection, [(live[0], ended)] if ended else [])
                case _:
                    instances.add_alike(connection, make(0, step), {f"a-{step}": "h-1", f"b-{step}": "h-2"})
            expect_kept(connection)

        await database.write(work)
        await database.read(expect_kept)
    assert len(await database.read(instances.live)) > 50


async def test_what_has_not_changed_is_the_same_object() -> None:
    database = InlineDatabase()
    await database.write(lambda connection: instances.add(connection, [make(1, 1.0), make(2, 2.0)]))
    before = await database.read(instances.live)
    await database.write(lambda connection: instances.change(connection, before[0], replace(before[0], port=80)))
    after = await database.read(instances.live)
    assert after[0].port == 80
    assert after[1] is before[1]
    assert await database.read(instances.kept) is await database.read(instances.kept)


async def test_what_is_rolled_back_was_never_kept() -> None:
    database = InlineDatabase()
    await database.write(lambda connection: instances.add(connection, [make(1, 1.0)]))

    def fail(connection: Connection) -> None:
        instances.add(connection, [make(2, 2.0)])
        assert len(instances.live(connection)) == 2
        raise Stale("somebody was first")

    with pytest.raises(Stale):
        await database.write(fail)
    assert len(await database.read(instances.live)) == 1
    await database.write(lambda connection: instances.add(connection, [make(3, 3.0)]))
    assert [one.id for one in await database.read(instances.live)] == ["web-1", "web-3"]


async def test_of_many_changes_one_that_is_stale_keeps_all_back() -> None:
    database = InlineDatabase()
    await database.write(lambda connection: instances.add(connection, [make(1, 1.0), make(2, 2.0)]))
    first, second = await database.read(instances.live)
    await database.write(lambda connection: instances.change(connection, second, replace(second, port=80)))
    stale = [(first, replace(first, port=90)), (second, replace(second, port=90))]
    with pytest.raises(Stale):
        await database.write(lambda connection: instances.change_all(connection, stale))
    assert [one.port for one in await database.read(instances.live)] == [0, 80]


def test_a_reader_that_began_earlier_sees_its_own_moment(tmp_path: object) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/dcp.db")
    bring_to_head(engine)
    with writing(engine) as connection:
        instances.add(connection, [make(1, 1.0)])
    with reading(engine) as early:
        assert len(instances.live(early)) == 1
        with writing(engine) as connection:
            instances.add(connection, [make(2, 2.0)])
        with reading(engine) as late:
            assert len(instances.live(late)) == 2
        assert len(instances.live(early)) == 1
    with reading(engine) as connection:
        assert len(instances.live(connection)) == 2
    engine.dispose()
