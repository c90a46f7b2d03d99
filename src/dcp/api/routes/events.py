"""The event log, and why things are as they are."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from sqlalchemy import Connection

from dcp.api.dependencies import Controller
from dcp.api.shapes import EventList, EventShape, WhyShape
from dcp.engine.leases import sharing_in
from dcp.engine.settings import EngineSettings
from dcp.engine.why import Answer, why
from dcp.kernel.errors import NotFound
from dcp.store import events
from dcp.store.events import Logged

router = APIRouter(tags=["events"])
KINDS = ("application/", "service/", "instance/", "host/")


@router.get("/events")
async def list_events(
    controller: Controller,
    after: Annotated[int | None, Query(ge=0, description="Only events behind this place in the log")] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="How many at most")] = 100,
    subject: Annotated[str, Query(description="Only of this subject, such as service/shop/feed")] = "",
) -> EventList:
    """Events, oldest first: the next ones behind `after`, or the last ones; of one subject always the last ones."""

    def work(connection: Connection) -> tuple[Logged, ...]:
        if subject:
            return tuple(e for e in events.of_subject(connection, subject, limit) if e.seq > (after or 0))
        if after is None:
            return events.newest(connection, limit)
        return events.after(connection, after, limit)

    return EventList(events=[EventShape.of(logged) for logged in await controller.database.read(work)])


@router.get("/why/{subject:path}")
async def explain(
    subject: Annotated[str, Path(description="`feed`, `shop/feed`, `feed-3`, `cloud-1`, or as events name it")],
    controller: Controller,
) -> WhyShape:
    """Why a service, instance, host or application is as it is, in plain words with the numbers."""
    return WhyShape.of(
        await controller.database.read(lambda connection: _why(connection, controller.settings, subject))
    )


def _why(connection: Connection, settings: EngineSettings, subject: str) -> Answer:
    """Take a subject as people say it, else as events name it (`instance/feed-3`)."""
    sharing = sharing_in(connection, settings)
    try:
        return why(connection, subject, sharing)
    except NotFound:
        kind = next((kind for kind in KINDS if subject.startswith(kind)), None)
        if kind is None:
            raise
        return why(connection, subject.removeprefix(kind), sharing)
