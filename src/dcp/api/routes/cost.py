"""What the hosts cost."""

from typing import Annotated

from fastapi import APIRouter, Query

from dcp.api.dependencies import Controller
from dcp.api.shapes import CostShape
from dcp.engine.cost.report import cost_report
from dcp.hosts.cost.period import read_question

router = APIRouter(tags=["cost"])


@router.get("/cost")
async def cost(
    controller: Controller,
    by: Annotated[
        str, Query(description="cluster, service, source, billing, state, and hour, day or month: separated by commas")
    ] = "source",
    since: Annotated[str, Query(alias="from", description="A month, day or time; empty: the first host")] = "",
    until: Annotated[str, Query(alias="to", description="The end, not included; empty: now")] = "",
    timezone: Annotated[str, Query(description="Whose days and months")] = "UTC",
) -> CostShape:
    """What the hosts cost: charged by the contract, and in proportion to the time held."""
    question = read_question(by, since, until, timezone)
    now = controller.clock.now()
    report = await controller.database.read(lambda connection: cost_report(connection, question, now))
    return CostShape.of(question, report)
