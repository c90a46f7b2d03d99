"""Buckets are kept once each, forecasts made of them, judged by what came, and forgotten with the application."""

import math
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from placing_world import make_context, shop
from sqlalchemy import Connection

from dcp.engine import commands
from dcp.engine.application import load
from dcp.engine.context import Context
from dcp.engine.forecasting import close_buckets, report
from dcp.kernel.errors import NotFound
from dcp.orchestration.ahead.seasons import BUCKET_S, DAY
from dcp.orchestration.capacity.model import LATENCY_BOUNDS_MS, Sample
from dcp.orchestration.services.forecasting import Forecasting, ForecastMode
from dcp.orchestration.services.model import ApplicationSpec, Capacity, Elastic, ServiceKey
from dcp.store import rates, samples
from dcp.store.database import InlineDatabase

FEED = ServiceKey("shop", "feed")
NOW = 1_800_000_000.0 // BUCKET_S * BUCKET_S


def spec(mode: ForecastMode = ForecastMode.SHADOW) -> ApplicationSpec:
    (feed,) = shop("shop", 2).services
    feed = replace(feed, elastic=Elastic(2, 100), capacity=Capacity(100, 50), forecast=Forecasting(mode, 1800.0))
    plain = replace(feed, name="plain", forecast=None)
    fixed = replace(plain, name="fixed", elastic=None)
    return ApplicationSpec("shop", (feed, plain, fixed))


@pytest.fixture
async def context() -> AsyncIterator[Context]:
    database = InlineDatabase()
    context = make_context(database)
    await commands.apply(context, spec())
    yield context
    database.close()


def add_samples(connection: Connection, begins: float, requests_per_s: float, count: int = 5) -> None:
    for number in range(1, count + 1):
        at, arrived = begins + 60.0 * number, round(60 * requests_per_s)
        one = Sample(at, 60.0, arrived, arrived, 0, 0, (arrived,) * (len(LATENCY_BOUNDS_MS) + 1))
        samples.add(connection, at, {ServiceKey("shop", name): (one, None) for name in ("feed", "plain", "fixed")})


def hill(at: float) -> float:
    return 100 + 80 * math.sin(2 * math.pi * (at / BUCKET_S % DAY) / DAY)


def remember_days(connection: Connection, days: int) -> None:
    for number in range(days * DAY):
        at = NOW - BUCKET_S * (days * DAY - number)
        rates.add(connection, at, {FEED: hill(at)})


async def test_a_bucket_is_closed_once_and_only_where_most_of_it_was_measured(context: Context) -> None:
    def work(connection: Connection) -> dict[float, float]:
        add_samples(connection, NOW, 40.0)
        for _ in range(3):
            close_buckets(connection, NOW + BUCKET_S + 1)
        add_samples(connection, NOW + BUCKET_S, 90.0, count=2)
        close_buckets(connection, NOW + 2 * BUCKET_S + 1)
        return rates.since(connection, FEED, 0.0)

    assert await context.database.write(work) == {NOW: 40.0}
    read = context.database.read
    assert await read(lambda c: rates.since(c, ServiceKey("shop", "plain"), 0.0)) == {NOW: 40.0}
    assert await read(lambda c: rates.since(c, ServiceKey("shop", "fixed"), 0.0)) == {}
    assert await read(lambda c: rates.forecast_of(c, ServiceKey("shop", "plain"))) is None


async def test_what_repeats_becomes_a_floor_only_once_somebody_acts_on_it(context: Context) -> None:
    def work(connection: Connection) -> None:
        remember_days(connection, 4)
        add_samples(connection, NOW, hill(NOW))
        close_buckets(connection, NOW + BUCKET_S)

    await context.database.write(work)
    forecast = await context.database.read(lambda c: rates.forecast_of(c, FEED))
    assert forecast is not None
    assert forecast.from_at == NOW + BUCKET_S
    assert forecast.requests_per_s[3] == pytest.approx(hill(NOW + 4 * BUCKET_S), rel=0.03)
    for mode in ForecastMode:
        await commands.apply(context, spec(mode))
        loaded = await load(context, "shop")
        assert loaded is not None
        (feed, plain, _) = loaded.snapshot.services
        assert feed.forecast == forecast
        assert plain.forecast is None


async def test_the_report_says_what_following_it_would_have_changed(context: Context) -> None:
    def work(connection: Connection) -> None:
        remember_days(connection, 5)
        add_samples(connection, NOW, hill(NOW))
        close_buckets(connection, NOW + BUCKET_S)

    await context.database.write(work)
    (feed,) = await context.database.read(lambda c: report(c, NOW + BUCKET_S, "shop"))
    assert (feed.service, feed.mode, feed.season, feed.known_days) == ("feed", ForecastMode.SHADOW, "day", 5.0)
    assert feed.judged is not None
    assert feed.judged.error < 0.03 < feed.judged.last_error
    assert feed.short_with_forecast is not None and feed.short_reacting is not None
    assert feed.short_with_forecast < 0.2 * feed.short_reacting
    assert feed.expected_instances is not None and feed.expected_instances >= 2
    with pytest.raises(NotFound):
        await context.database.read(lambda c: report(c, NOW, "nobody"))


async def test_without_history_the_report_claims_nothing(context: Context) -> None:
    (feed,) = await context.database.read(lambda c: report(c, NOW, "shop"))
    assert (feed.season, feed.judged, feed.expected_requests_per_s) == ("none yet", None, None)
