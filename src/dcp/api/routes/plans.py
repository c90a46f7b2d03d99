"""Plans as they were applied."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from sqlalchemy import Connection

from dcp.api.dependencies import Controller
from dcp.api.shapes import PlanBrief, PlanList
from dcp.kernel.errors import NotFound
from dcp.orchestration.scaling.plan import ApplicationPlan
from dcp.store import applications, plans

router = APIRouter(prefix="/plans", tags=["plans"])


@router.get("")
async def list_plans(
    controller: Controller,
    application: Annotated[str, Query(description="Only of this application, also one that is gone")] = "",
    limit: Annotated[int, Query(ge=1, le=1000, description="How many of each application at most")] = 20,
) -> PlanList:
    """The last plans that changed something, oldest first."""

    def work(connection: Connection) -> list[ApplicationPlan]:
        names = (application,) if application else applications.names(connection)
        return [plan for name in names for plan in plans.newest(connection, name, limit)]

    found = sorted(await controller.database.read(work), key=lambda plan: plan.at)
    return PlanList(plans=[PlanBrief.of(plan) for plan in found])


@router.get("/{plan}")
async def show_plan(plan: Annotated[str, Path(description="The plan's id")], controller: Controller) -> ApplicationPlan:
    """One plan as it was applied: targets, hosts, instances and removals, with reasons."""
    found = await controller.database.read(lambda connection: plans.find(connection, plan))
    if found is None:
        raise NotFound(f"there is no plan {plan}", hint="see `GET /api/v1/plans`")
    return found
