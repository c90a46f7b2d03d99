"""Calls are learned from the kept samples, told once, counted on by plans, and forgotten with the application."""

import random
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from placing_world import make_context, shop
from sqlalchemy import Connection

from dcp.engine import commands, queries
from dcp.engine.application import load
from dcp.engine.context import Context
from dcp.engine.learning import learn_calls
from dcp.orchestration.capacity.model import LATENCY_BOUNDS_MS, Sample
from dcp.orchestration.services.model import ApplicationSpec, Call, ServiceKey
from dcp.store import events, samples
from dcp.store.database import InlineDatabase


def spec(declared: float) -> ApplicationSpec:
    (feed,) = shop("shop", 1).services
    feed = replace(feed, published_port=18080, calls=(Call("user", declared),))
    return ApplicationSpec("shop", (feed, replace(feed, name="user", published_port=None, calls=())))


@pytest.fixture
async def context() -> AsyncIterator[Context]:
    database = InlineDatabase()
    yield make_context(database)
    database.close()


def sample(at: float, requests_per_s: float) -> Sample:
    count = round(60 * requests_per_s)
    return Sample(at, 60.0, count, count, 0, 0, (count,) * (len(LATENCY_BOUNDS_MS) + 1))


def add_windows(connection: Connection, first: int, factor: float) -> None:
    rng = random.Random(7)
    for number in range(first, first + 40):
        rate = rng.uniform(20, 200)
        rows = {"feed": sample(60.0 * number, rate), "user": sample(60.0 * number, rate * factor)}
        samples.add(connection, 60.0 * number, {ServiceKey("shop", name): (one, None) for name, one in rows.items()})


async def learn(context: Context) -> tuple[str, ...]:
    return await context.database.write(lambda connection: learn_calls(connection, 1.0))


async def planned(context: Context) -> float:
    loaded = await load(context, "shop")
    assert loaded is not None
    (call,) = loaded.snapshot.spec.service("feed").calls
    return call.per_request


async def test_what_drifted_is_told_once_and_counted_on(context: Context) -> None:
    await commands.apply(context, spec(0.4))
    assert await learn(context) == ("shop",), "that nothing is known yet"
    assert await planned(context) == 0.4
    await context.database.write(lambda connection: add_windows(connection, 0, 0.8))
    assert await learn(context) == ("shop",)
    assert await learn(context) == ()
    assert await planned(context) == pytest.approx(0.8, rel=0.05)
    (call,) = await context.database.read(lambda connection: queries.call_graph(connection, "shop"))
    assert (call.declared, call.verdict.value) == (0.4, "drifted")
    assert call.planned == pytest.approx(0.8, rel=0.05)
    logged = await context.database.read(lambda connection: events.after(connection, 0, 100))
    (told,) = [one.event for one in logged if one.event.reason == "calls-drifted"]
    assert told.subject == "service/shop/feed"
    assert "0.4 was declared; plans count on 0.80" in told.words


async def test_another_declaration_counts_at_once_and_less_than_declared_never(context: Context) -> None:
    await commands.apply(context, spec(0.4))
    await context.database.write(lambda connection: add_windows(connection, 0, 0.8))
    await learn(context)
    await commands.apply(context, spec(1.6))
    assert await planned(context) == 1.6
    await learn(context)
    assert await planned(context) == 1.6
