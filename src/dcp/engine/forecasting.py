"""Keeps what arrived by bucket, makes a forecast of it at the end of each, and judges forecasts by what then came."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection

from dcp.kernel.errors import NotFound
from dcp.orchestration.ahead.floors import instances_for
from dcp.orchestration.ahead.forecast import Forecast
from dcp.orchestration.ahead.seasons import (
    BUCKET_S,
    DAY,
    SEASONS,
    WEEK,
    Judged,
    Numbers,
    foretell,
    judge,
    season_of,
)
from dcp.orchestration.capacity.measured import with_measured
from dcp.orchestration.services.forecasting import LONGEST_AHEAD_S, Forecasting, ForecastMode
from dcp.orchestration.services.model import ServiceKey, ServiceSpec
from dcp.store import applications, capacity_tests, rates, samples

KEPT_S = (SEASONS + 1) * WEEK * BUCKET_S
STEPS = math.ceil(LONGEST_AHEAD_S / BUCKET_S) + 1
HOUR_BUCKETS = 3600 / BUCKET_S


@dataclass(frozen=True, slots=True)
class ForecastReport:
    """What a service's forecast says, and what it would have done over the last week had targets followed it.

    Instance-hours: `short` of what the load needed at the safe level, `over` beyond it; by the load of `ahead_s` before
    alone, as who only reacts has it, and with the forecast. None: too little is known.
    """

    application: str
    service: str
    mode: ForecastMode
    ahead_s: float
    known_days: float
    season: str
    expected_requests_per_s: float | None
    expected_instances: int | None
    judged: Judged | None
    short_reacting: float | None = None
    short_with_forecast: float | None = None
    over_reacting: float | None = None
    over_with_forecast: float | None = None


def close_buckets(connection: Connection, now: float) -> None:
    """Write the bucket that is over, if it is not yet, and forecasts from it on."""
    at = (now // BUCKET_S - 1) * BUCKET_S
    last = rates.last_at(connection)
    if last is not None and last >= at:
        return
    rates.add(connection, at, dict(_arrived(connection, at)))
    rates.prune(connection, now - KEPT_S)
    for key, spec in _services(connection):
        if spec.forecast is not None:
            told = foretell(_history(connection, key, at + BUCKET_S), STEPS)
            figures = tuple(None if math.isnan(one) else round(float(one), 3) for one in told)
            rates.put_forecast(connection, key, Forecast(now, at + BUCKET_S, figures))


def report(connection: Connection, now: float, application: str) -> tuple[ForecastReport, ...]:
    """Return a report for every service of an application that has `x-dcp.forecast`. Raises NotFound."""
    if applications.find(connection, application) is None:
        raise NotFound(f"there is no application {application}", hint="see `dcp status`")
    return tuple(
        _report(connection, now, key, spec, spec.forecast)
        for key, spec in _services(connection)
        if key.application == application and spec.forecast is not None
    )


def _report(
    connection: Connection, now: float, key: ServiceKey, spec: ServiceSpec, asked: Forecasting
) -> ForecastReport:
    history = _history(connection, key, now // BUCKET_S * BUCKET_S)
    forecast = rates.forecast_of(connection, key)
    expected = forecast.highest(now, asked.ahead_s) if forecast is not None else None
    season = season_of(len(history))
    made = ForecastReport(
        application=key.application,
        service=key.name,
        mode=asked.mode,
        ahead_s=asked.ahead_s,
        known_days=round(len(history) / DAY, 2),
        season="none yet" if season is None else "week" if season == WEEK else "day",
        expected_requests_per_s=expected,
        expected_instances=None if expected is None else max(spec.min_instances, instances_for(spec, expected)),
        judged=None,
    )
    if season is None:
        return made
    ahead = max(1, math.ceil(asked.ahead_s / BUCKET_S))
    told, judged = judge(history, ahead, WEEK)
    return _with_hours(made, judged, spec, history, told, ahead)


def _with_hours(
    made: ForecastReport, judged: Judged, spec: ServiceSpec, history: Numbers, told: Numbers, ahead: int
) -> ForecastReport:
    first = len(history) - len(told)
    needed = [_needed(spec, one) for one in history[first:]]
    reacting = [_needed(spec, history[at - ahead]) if at >= ahead else None for at in range(first, len(history))]
    short, over = [0.0, 0.0], [0.0, 0.0]
    for need, react, one in zip(needed, reacting, told, strict=True):
        if need is None or react is None or math.isnan(one):
            continue
        for number, have in enumerate((react, max(react, _needed(spec, one) or 0))):
            short[number] += max(0, need - have) / HOUR_BUCKETS
            over[number] += max(0, have - need) / HOUR_BUCKETS
    return ForecastReport(
        **{
            **{name: getattr(made, name) for name in made.__slots__},
            "judged": judged if judged.buckets and not math.isnan(judged.error) else None,
            "short_reacting": round(short[0], 2),
            "short_with_forecast": round(short[1], 2),
            "over_reacting": round(over[0], 2),
            "over_with_forecast": round(over[1], 2),
        }
    )


def _needed(spec: ServiceSpec, requests_per_s: float) -> int | None:
    if math.isnan(requests_per_s):
        return None
    return max(spec.min_instances, instances_for(spec, float(requests_per_s)))


def _services(connection: Connection) -> Iterator[tuple[ServiceKey, ServiceSpec]]:
    for name in applications.names(connection):
        application = applications.find(connection, name)
        if application is not None:
            spec = with_measured(application.spec, capacity_tests.measured(connection, name))
            yield from ((ServiceKey(name, one.name), one) for one in spec.services if one.elastic is not None)


def _arrived(connection: Connection, at: float) -> Iterator[tuple[ServiceKey, float]]:
    """Yield requests/s of each service whose samples cover most of the bucket."""
    for key, _ in _services(connection):
        own = samples.between(connection, key, at, at + BUCKET_S)
        covered_s = sum(one.window_s for one in own)
        if covered_s >= BUCKET_S / 2:
            yield key, sum(one.arrived for one in own) / covered_s


def _history(connection: Connection, key: ServiceKey, until: float) -> Numbers:
    """Return requests/s by bucket until a moment, NaN where none is kept."""
    known = rates.since(connection, key, until - KEPT_S)
    if not known:
        return np.zeros(0)
    first = min(known)
    found = np.full(round((until - first) / BUCKET_S), math.nan)
    for at, rate in known.items():
        if at < until:
            found[round((at - first) / BUCKET_S)] = rate
    return found
