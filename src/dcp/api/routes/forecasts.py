"""Forecasts: what is expected, and how good they were."""

from typing import Annotated

from fastapi import APIRouter, Path

from dcp.api.dependencies import Controller
from dcp.api.shapes import Shape
from dcp.engine.forecasting import ForecastReport, report

router = APIRouter(prefix="/forecasts", tags=["forecasts"])


class ForecastList(Shape):
    """A report for every service that has `x-dcp.forecast`."""

    application: str
    services: list[ForecastReport]


@router.get("/{application}")
async def forecasts(
    application: Annotated[str, Path(description="The application's name")], controller: Controller
) -> ForecastList:
    """What is expected within the time ahead, how wrong forecasts were, and what they would have changed."""
    now = controller.clock.now()
    found = await controller.database.read(lambda connection: report(connection, now, application))
    return ForecastList(application=application, services=list(found))
