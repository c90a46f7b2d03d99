"""Planned surges: plan one with a rehearsal, list them, cancel one."""

from typing import Annotated

from fastapi import APIRouter, Path

from dcp.api.dependencies import Controller
from dcp.api.shapes import Shape
from dcp.engine import surges as engine
from dcp.orchestration.ahead.model import PlannedSurge
from dcp.orchestration.scaling.plan import ApplicationPlan
from dcp.store import surges

router = APIRouter(prefix="/surges", tags=["surges"])


class AskedShape(Shape):
    """What is expected of one service: so many times what arrives now, requests/s, or instances; one of the three."""

    service: str
    times: float = 0.0
    requests_per_s: float = 0.0
    instances: int = 0


class SurgeBody(Shape):
    """A surge; `begins_at` null: now. With `dry_run` it is only rehearsed."""

    application: str
    services: list[AskedShape]
    begins_at: float | None = None
    lasts_s: float
    lead_s: float = 600.0
    dry_run: bool = False


class SurgeList(Shape):
    """Surges that are neither over nor cancelled."""

    surges: list[PlannedSurge]


class RehearsedShape(Shape):
    """The surge, and the plan that it would need if it began now; nothing of the plan is done before its time."""

    surge: PlannedSurge
    plan: ApplicationPlan
    dry_run: bool


@router.get("")
async def list_surges(controller: Controller) -> SurgeList:
    """Surges that are neither over nor cancelled, of every application."""
    now = controller.clock.now()
    found = await controller.database.read(lambda connection: surges.open_now(connection, now))
    return SurgeList(surges=list(found))


@router.post("")
async def plan_surge(body: SurgeBody, controller: Controller) -> RehearsedShape:
    """Keep an application large enough for what is expected, from `lead_s` before it begins until it is over."""
    asked = engine.SurgeAsked(
        application=body.application,
        services=tuple(engine.Asked(**one.model_dump()) for one in body.services),
        lasts_s=body.lasts_s,
        begins_at=body.begins_at,
        lead_s=body.lead_s,
    )
    found = await engine.plan_surge(controller, asked, dry_run=body.dry_run)
    return RehearsedShape(surge=found.surge, plan=found.plan, dry_run=body.dry_run)


@router.delete("/{surge}")
async def cancel_surge(
    surge: Annotated[str, Path(description="The surge's id")], controller: Controller
) -> PlannedSurge:
    """Plan with it no more. Doing it again changes nothing."""
    return await engine.cancel_surge(controller, surge)
