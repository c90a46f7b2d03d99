"""What serves here."""

from dataclasses import asdict

from fastapi import APIRouter
from sqlalchemy import Connection

from dcp import __version__
from dcp.api.dependencies import Controller
from dcp.api.routes.applications import briefs
from dcp.api.shapes import (
    AbilitiesShape,
    ControllerShape,
    RuntimeShape,
    StatusShape,
)
from dcp.engine.context import Context
from dcp.store import leases

router = APIRouter(tags=["status"])


@router.get("/status")
async def status(controller: Controller) -> StatusShape:
    """What serves here: applications, controllers, policy, and what the runtime can enforce."""
    return await controller.database.read(lambda connection: _status(connection, controller))


def _status(connection: Connection, context: Context) -> StatusShape:
    now, settings = context.clock.now(), context.settings
    alive = leases.living(connection, now - settings.lease_ttl_s)
    return StatusShape(
        now=now,
        policy=settings.policy,
        time_scale=settings.timing.time_scale,
        version=__version__,
        applications=briefs(connection),
        controllers=[ControllerShape(id=id_, address=address, seen_at=seen_at) for id_, address, seen_at in alive],
        runtime=RuntimeShape(abilities=AbilitiesShape(**asdict(context.runtimes.abilities()))),
    )
