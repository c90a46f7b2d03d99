"""What a person asks for: shown without a trace, and then exactly that."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from placing_world import Controller, add_hosts, controller_of, make_context, shop
from sqlalchemy import Connection, text

from dcp.engine import asked
from dcp.engine.why import why
from dcp.kernel.errors import InvalidInput, NotFound
from dcp.kernel.events import Event
from dcp.orchestration.scaling.plan import ApplicationPlan
from dcp.orchestration.services.model import ApplicationSpec, Capacity, Elastic
from dcp.orchestration.services.placement import PlacementRules
from dcp.scheduling.model import Neighbour
from dcp.store import events
from dcp.store.database import Database, InlineDatabase

TABLES = ("instances", "events", "services", "hosts", "plans", "applications")


@pytest.fixture
async def database() -> AsyncIterator[InlineDatabase]:
    opened = InlineDatabase()
    yield opened
    opened.close()


def elastic_shop() -> ApplicationSpec:
    (feed,) = shop("shop", 2, 300).services
    feed = replace(feed, elastic=Elastic(2, 40), capacity=Capacity(100, 50))
    lone = replace(
        feed, name="lone", rules=PlacementRules(apart=(Neighbour("lone"), Neighbour("feed", preferred=True)))
    )
    return ApplicationSpec("shop", (feed, lone, replace(feed, name="fixed", elastic=None, capacity=None)))


@pytest.fixture
async def controller(database: Database) -> Controller:
    await add_hosts(database, [2000, 3000, 3000, 4000])
    own = await controller_of(make_context(database), elastic_shop())
    await own.decide()
    await own.write()
    return own


def rows(connection: Connection) -> list[list[object]]:
    return [sorted(map(str, connection.execute(text(f"SELECT * FROM {table}")))) for table in TABLES]


def where(plan: ApplicationPlan) -> list[tuple[str, str, str]]:
    return [(one.instance.service, one.instance.host_id, one.why) for one in plan.instances]


async def test_a_dry_run_writes_nothing_and_is_what_is_then_applied(controller: Controller) -> None:
    context = controller.context
    before = await context.database.read(rows)
    shown = await asked.place(context, "shop", {"feed": 12, "lone": 4}, dry_run=True)
    assert await context.database.read(rows) == before
    assert len(shown.instances) == 12
    assert all("next rack-" in why or "no other host" in why for _, _, why in where(shown))
    again = await asked.place(context, "shop", {"feed": 12, "lone": 4}, dry_run=False)
    assert where(again) == where(shown)
    applied = await controller.decide()
    assert where(applied) == where(shown)
    await controller.write()
    placed = sorted((one.service, one.host_id) for one in await controller.own())
    assert placed.count(("lone", "rack-1")) == 1
    assert len(placed) == 2 + 12 + 4
    settled = await context.database.read(rows)
    await asked.place(context, "shop", {"feed": 12, "lone": 4}, dry_run=False)
    assert await context.database.read(rows) == settled, "asking again changes nothing"


async def test_what_fits_nowhere_is_shown_with_what_would_let_it_fit(controller: Controller) -> None:
    shown = await asked.place(controller.context, "shop", {"feed": 40, "lone": 5}, dry_run=True)
    refused = {one.service: one for one in shown.unplaced}
    assert refused["shop/lone"].count == 3, "feed comes first"
    assert "all" in refused["shop/feed"].words
    assert "would fit with" in refused["shop/feed"].words


async def test_a_fixed_number_can_be_tried_and_not_set(controller: Controller) -> None:
    shown = await asked.place(controller.context, "shop", {"fixed": 6}, dry_run=True)
    assert len(shown.instances) == 4
    with pytest.raises(InvalidInput, match="stands in the Compose file"):
        await asked.place(controller.context, "shop", {"fixed": 6}, dry_run=False)


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"nobody": 3}, "is not a service"),
        ({"feed": 50}, "outside its bounds"),
        ({}, "no service"),
        ({"feed": -1}, "no number"),
    ],
)
async def test_what_makes_no_sense_is_refused(controller: Controller, counts: dict[str, int], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        await asked.place(controller.context, "shop", counts, dry_run=False)


async def test_an_unknown_application_is_refused(controller: Controller) -> None:
    with pytest.raises(NotFound):
        await asked.place(controller.context, "nobody", {"feed": 3}, dry_run=True)


async def test_why_says_what_would_let_the_rest_fit(controller: Controller) -> None:
    await asked.place(controller.context, "shop", {"feed": 40}, dry_run=False)
    plan = await controller.decide()
    await controller.write()
    (refused,) = plan.unplaced
    said = Event("service/shop/feed", "no-room", refused.words)
    await controller.context.database.write(lambda connection: events.append(connection, plan.at, [said]))
    answer = await controller.context.database.read(lambda connection: why(connection, "shop/feed"))
    assert f"{refused.count} fit nowhere: {refused.words}" in answer.because
    assert " would fit with " in refused.words
