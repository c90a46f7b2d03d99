"""Prometheus reads here."""

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from dcp.api.dependencies import Controller
from dcp.api.metrics import exposition, take_reading

router = APIRouter(tags=["metrics"])


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(controller: Controller) -> PlainTextResponse:
    """Every number, read from the store at this moment, in Prometheus' text format."""
    reading = await controller.database.read(lambda connection: take_reading(connection, controller))
    return PlainTextResponse(exposition(reading), media_type=CONTENT_TYPE_LATEST)
