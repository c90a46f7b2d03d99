"""Images: which there are and where, how they came to be, and taking out what nobody needs."""

from typing import Annotated

from fastapi import APIRouter, Query, status
from sqlalchemy import Connection

from dcp.api.dependencies import Controller
from dcp.api.images_shapes import (
    BuildBody,
    BuildLogShape,
    BuildShape,
    CollectBody,
    CollectionShape,
    ImageDifferenceShape,
    ImageHistoryShape,
    ImageList,
    ImageShape,
)
from dcp.engine.images import queries
from dcp.engine.images.collecting import collect, sites_of
from dcp.images.model import is_repository, is_tag
from dcp.kernel.errors import InvalidInput, NotFound, Problem
from dcp.kernel.events import Event, Number
from dcp.store import events, image_content

router = APIRouter(prefix="/images", tags=["images"])
Repository = Annotated[str, Query(max_length=300, description="Without the registry, such as shop/web")]


@router.get("")
async def list_images(controller: Controller, repository: Repository = "") -> ImageList:
    """What every tag means, which sites have it, and how far the others lag."""
    sites, now = sites_of(controller), controller.clock.now()
    found = await controller.database.read(lambda connection: queries.list_images(connection, sites, now, repository))
    return ImageList(registry=sites.name, images=[ImageShape.of(one) for one in found])


@router.get("/history")
async def history(controller: Controller, repository: Repository) -> ImageHistoryShape:
    """Pushes and builds of one repository, newest first."""
    sites = sites_of(controller)
    found = await controller.database.read(lambda connection: queries.history(connection, sites, repository))
    return ImageHistoryShape.of(repository, found)


@router.get("/difference")
async def difference(
    controller: Controller,
    old: Annotated[str, Query(max_length=600, description="An image, by tag or digest")],
    new: Annotated[str, Query(max_length=600, description="Another one")],
) -> ImageDifferenceShape:
    """What a change from one image to another moves, and which images stand on the old one."""
    sites = sites_of(controller)
    return ImageDifferenceShape.of(
        await controller.database.read(lambda connection: queries.difference(connection, sites, old, new))
    )


@router.post("/builds", status_code=status.HTTP_201_CREATED)
async def add_build(controller: Controller, body: BuildBody) -> BuildShape:
    """Keep how an image was built. Telling it again changes nothing."""
    record, now = body.build.record(), controller.clock.now()
    problems = []
    if not is_repository(record.repository):
        problems.append(Problem("build.repository", "is not the name of a repository", "such as shop/web"))
    if not is_tag(record.tag):
        problems.append(Problem("build.tag", "is not a tag"))
    if problems:
        raise InvalidInput(tuple(problems), subject="the build")
    numbers: dict[str, Number] = {"duration_s": record.duration_s, "new_bytes": record.new_bytes}
    words = f"built by {record.built_by} from {record.source} in {record.duration_s:.1f} s"
    event = Event(f"image/{record.repository}:{record.tag}", "built", words, after=record.digest, numbers=numbers)

    def work(connection: Connection) -> None:
        if image_content.add_build(connection, record, body.log.replace("\0", "")):
            events.append(connection, now, [event])

    await controller.database.write(work)
    return body.build


@router.get("/builds/{build}/log")
async def build_log(controller: Controller, build: str) -> BuildLogShape:
    """What the builder wrote."""
    found = await controller.database.read(lambda connection: image_content.build_log(connection, build))
    if found is None:
        raise NotFound(f"there is no build {build}", hint="see `dcp images history REPOSITORY`")
    return BuildLogShape(id=build, log=found)


@router.post("/collection")
async def collection(controller: Controller, body: CollectBody) -> CollectionShape:
    """Take out what nobody needs; a dry run only says what that would be."""
    return CollectionShape.of(await collect(controller, dry_run=body.dry_run), dry_run=body.dry_run)
