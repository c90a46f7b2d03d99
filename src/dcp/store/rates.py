"""What arrived at each service by bucket of five minutes, for weeks, and the last forecast that was made of it."""

from collections.abc import Mapping

from sqlalchemy import Connection, bindparam, delete, func, insert, select

from dcp.orchestration.ahead.forecast import Forecast
from dcp.orchestration.services.model import ServiceKey
from dcp.store.codec import from_known_json, to_json
from dcp.store.tables import forecasts, rates

_SINCE = (
    select(rates.c.at, rates.c.requests_per_s)
    .where(rates.c.service == bindparam("service"), rates.c.at >= bindparam("since"))
    .order_by(rates.c.at)
)
_LAST = select(func.max(rates.c.at))
_FORECAST = select(forecasts.c.body).where(forecasts.c.service == bindparam("service"))


def add(connection: Connection, at: float, arrived: Mapping[ServiceKey, float]) -> None:
    """Add the bucket that began at `at`; what is there already stays."""
    known = set(connection.execute(select(rates.c.service).where(rates.c.at == at)).scalars())
    rows = [
        {"service": str(key), "at": at, "requests_per_s": rate}
        for key, rate in arrived.items()
        if str(key) not in known
    ]
    if rows:
        connection.execute(insert(rates), rows)


def since(connection: Connection, key: ServiceKey, moment: float) -> dict[float, float]:
    """Return requests/s by the beginning of their bucket, oldest first."""
    rows = connection.execute(_SINCE, {"service": str(key), "since": moment})
    return {row.at: row.requests_per_s for row in rows}


def last_at(connection: Connection) -> float | None:
    """Return when the last bucket of all began; None: there is none."""
    found: float | None = connection.execute(_LAST).scalar_one_or_none()
    return found


def prune(connection: Connection, before: float) -> None:
    """Drop buckets that began before a moment."""
    connection.execute(delete(rates).where(rates.c.at < before))


def put_forecast(connection: Connection, key: ServiceKey, forecast: Forecast) -> None:
    """Replace the forecast of a service."""
    connection.execute(delete(forecasts).where(forecasts.c.service == str(key)))
    connection.execute(insert(forecasts).values(service=str(key), body=to_json(Forecast, forecast)))


def forecast_of(connection: Connection, key: ServiceKey) -> Forecast | None:
    """Return the last forecast of a service."""
    body = connection.execute(_FORECAST, {"service": str(key)}).scalar_one_or_none()
    found: Forecast | None = from_known_json(Forecast, body) if body is not None else None
    return found


def forget(connection: Connection, application: str) -> None:
    """Drop everything of an application's services."""
    first, last = f"{application}/", f"{application}0"
    for table in (rates, forecasts):
        connection.execute(delete(table).where(table.c.service > first, table.c.service < last))
