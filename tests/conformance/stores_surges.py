"""Cases of planned surges."""

from dataclasses import replace

import pytest
from stores import Rig, case

from dcp.kernel.errors import Stale
from dcp.orchestration.ahead.model import Expected, PlannedSurge
from dcp.store import surges

SURGE = PlannedSurge(
    "surge-1", "shop", (Expected("feed", 600.5), Expected("user", 0.0, 3)), 50.0, 90.0, 20.0, "feed=6x", 9.0
)


async def add(rig: Rig, *new: PlannedSurge) -> None:
    for one in new:
        await rig.database.write(lambda connection, one=one: surges.add(connection, one))


async def open_now(rig: Rig, now: float, application: str | None = None) -> list[str]:
    found = await rig.database.read(lambda connection: surges.open_now(connection, now, application))
    return [one.id for one in found]


@case
async def a_planned_surge_is_read_as_it_was_written(rig: Rig) -> None:
    await add(rig, SURGE)
    assert await rig.database.read(lambda connection: surges.find(connection, "surge-1")) == SURGE
    with pytest.raises(Stale):
        await add(rig, SURGE)


@case
async def surges_that_are_over_or_cancelled_are_not_open(rig: Rig) -> None:
    await add(rig, SURGE, replace(SURGE, id="surge-2", application="bank"), replace(SURGE, id="surge-3", ends_at=60.0))
    assert await rig.database.write(lambda connection: surges.cancel(connection, "surge-1", 10.0))
    assert not await rig.database.write(lambda connection: surges.cancel(connection, "surge-1", 11.0))
    assert await open_now(rig, 59.9) == ["surge-2", "surge-3"]
    assert await open_now(rig, 60.0) == ["surge-2"]
    assert await open_now(rig, 20.0, "shop") == ["surge-3"]
    found = await rig.database.read(lambda connection: surges.find(connection, "surge-1"))
    assert found is not None and found.cancelled_at == 10.0


@case
async def surges_are_forgotten_with_their_application_and_pruned_by_age(rig: Rig) -> None:
    await add(rig, SURGE, replace(SURGE, id="surge-2", application="bank"), replace(SURGE, id="surge-3", ends_at=60.0))
    await rig.database.write(lambda connection: surges.prune(connection, 61.0))
    assert await rig.database.read(lambda connection: surges.find(connection, "surge-3")) is None
    await rig.database.write(lambda connection: surges.forget(connection, "shop"))
    assert await open_now(rig, 0.0) == ["surge-2"]
