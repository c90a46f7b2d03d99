"""What runs: services and their instances."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from sqlalchemy import Connection

from dcp.api.dependencies import Controller
from dcp.api.shapes import (
    InstanceList,
    InstanceShape,
    LogsShape,
    ServiceList,
    ServiceShape,
)
from dcp.engine import queries
from dcp.kernel.errors import NotFound
from dcp.orchestration.services.model import Instance
from dcp.store import instances

router = APIRouter()
Tail = Annotated[int, Query(ge=1, le=10_000, description="How many lines at most")]


@router.get("/services", tags=["services"])
async def list_services(controller: Controller) -> ServiceList:
    """Every service at a glance: targets, instances, water level, the last decision."""
    found = await controller.database.read(queries.services)
    address = controller.settings.service_address()
    return ServiceList(services=[ServiceShape.of(summary, address) for summary in found])


@router.get("/instances", tags=["instances"])
async def list_instances(
    controller: Controller,
    application: Annotated[str, Query(description="Only of this application")] = "",
    service: Annotated[str, Query(description="Only of services of this name")] = "",
    all: Annotated[bool, Query(description="Those that ended, too")] = False,
) -> InstanceList:
    """Instances that live, or all, in order of creation."""

    def work(connection: Connection) -> tuple[Instance, ...]:
        return instances.recent(connection, 0.0) if all else instances.live(connection)

    found = [
        instance
        for instance in await controller.database.read(work)
        if application in ("", instance.application) and service in ("", instance.service)
    ]
    return InstanceList(instances=[InstanceShape.of(instance) for instance in found])


@router.get("/instances/{instance}/logs", tags=["instances"])
async def logs(
    instance: Annotated[str, Path(description="The instance's id")], controller: Controller, tail: Tail = 100
) -> LogsShape:
    """The last lines that an instance wrote; empty once the runtime has rotated them away."""
    known = await controller.database.read(lambda connection: instances.find(connection, instance))
    if known is None:
        raise NotFound(f"there is no instance {instance}", hint="see `dcp instances --all`")
    return LogsShape(instance=instance, lines=list(await controller.runtimes.of(known.host_id).logs(instance, tail)))
