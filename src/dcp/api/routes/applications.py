"""Applications: apply, look at, remove."""

from typing import Annotated

from fastapi import APIRouter, Path
from sqlalchemy import Connection

from dcp.api.dependencies import Controller
from dcp.api.shapes import (
    ApplicationBrief,
    ApplicationList,
    ApplicationShape,
    ApplyBody,
    ConfirmBody,
    ConfirmedShape,
    FreezeBody,
    GraphShape,
    PlaceBody,
    RehearsalBody,
    RemovingShape,
)
from dcp.engine import asked, commands, confirming, queries
from dcp.engine.application import current_offers, dry_run, load
from dcp.engine.commands import Applied
from dcp.kernel.errors import NotFound
from dcp.orchestration.scaling.plan import ApplicationPlan
from dcp.simulation.load.rehearsal import Rehearsal, RehearsalAsked, rehearsal_of, rehearse
from dcp.store import applications

router = APIRouter(prefix="/applications", tags=["applications"])
Name = Annotated[str, Path(description="The application's name")]


@router.get("")
async def list_applications(controller: Controller) -> ApplicationList:
    """Every application, by name."""
    return ApplicationList(applications=await controller.database.read(briefs))


@router.get("/{name}")
async def application(name: Name, controller: Controller) -> ApplicationShape:
    """One application with its services as they are wanted."""
    found = await controller.database.read(lambda connection: applications.find(connection, name))
    if found is None:
        raise NotFound(f"there is no application {name}", hint="see `dcp status`")
    return ApplicationShape.of(found)


@router.post("")
async def apply(body: ApplyBody, controller: Controller) -> Applied:
    """Make a specification the wanted state; with `dry_run`, only say what that would change.

    Applying the same again changes nothing. An error leaves everything as it was.
    """
    return await commands.apply(controller, body.spec, dry_run=body.dry_run, expected_revision=body.expected_revision)


@router.delete("/{name}", status_code=202)
async def remove(name: Name, controller: Controller) -> RemovingShape:
    """Drain and stop every instance, then forget the application. Done when it is no longer listed."""
    await commands.remove(controller, name)
    return RemovingShape(application=name, removing=True)


@router.post("/{name}/freeze")
async def freeze(name: Name, body: FreezeBody, controller: Controller) -> ApplicationBrief:
    """Keep its targets as they are. What fails is still replaced."""
    return ApplicationBrief.of(await commands.freeze(controller, name, body.why))


@router.delete("/{name}/freeze")
async def thaw(name: Name, controller: Controller) -> ApplicationBrief:
    """Let its targets move again."""
    return ApplicationBrief.of(await commands.freeze(controller, name, ""))


@router.post("/{name}/place")
async def place(name: Name, body: PlaceBody, controller: Controller) -> ApplicationPlan:
    """Let services have so many instances; the plan for that. With `dry_run` nothing is written."""
    return await asked.place(controller, name, body.counts, dry_run=body.dry_run)


@router.post("/{name}/confirm")
async def confirm(name: Name, body: ConfirmBody, controller: Controller) -> ConfirmedShape:
    """Let services grow above the line at which a person has to be asked."""
    confirmed = await confirming.confirm(controller, name, body.counts, body.lasts_s)
    return ConfirmedShape(application=name, confirmed=list(confirmed))


@router.post("/{name}/rehearsal")
async def rehearsal(name: Name, body: RehearsalBody, controller: Controller) -> Rehearsal:
    """Play a surge on what runs now, on a virtual clock. Nothing is written; takes seconds."""
    loaded, offers = await load(controller, name), await current_offers(controller)
    if loaded is None:
        raise NotFound(f"there is no application {name}", hint="see `dcp status`")
    asked = RehearsalAsked(body.service, body.times, body.lasts_s)
    scenario = rehearsal_of(loaded, offers, asked)
    return await rehearse(scenario, controller.settings, asked)


@router.get("/{name}/graph")
async def graph(name: Name, controller: Controller) -> GraphShape:
    """Who calls whom how often: as declared, and as the services' own rates say."""
    found = await controller.database.read(lambda connection: queries.call_graph(connection, name))
    return GraphShape(application=name, calls=list(found))


@router.get("/{name}/plan")
async def next_plan(name: Name, controller: Controller) -> ApplicationPlan:
    """The plan that would be applied now. Nothing is written."""
    return await dry_run(controller, name)


def briefs(connection: Connection) -> list[ApplicationBrief]:
    """Return every application in short."""
    found = (applications.find(connection, name) for name in applications.names(connection))
    return [ApplicationBrief.of(application) for application in found if application is not None]
