"""Capacity: what one instance of each service carries, and the tests that find it."""

from typing import Annotated

from fastapi import APIRouter, Path

from dcp.api.dependencies import Controller
from dcp.api.shapes import Shape
from dcp.engine.capacity.begin import TestAsked, begin_test, cancel_test
from dcp.engine.capacity.report import ServiceCapacity, TestSummary, capacities, newest_tests
from dcp.orchestration.services.model import ServiceKey

router = APIRouter(prefix="/capacity", tags=["capacity"])
LAST = 50


class TestBody(Shape):
    """Measure so many instances on each type of host. `window_s` null: each step is watched for one sample's time."""

    application: str
    service: str
    per_class: int = 3
    window_s: float | None = None


class CapacityList(Shape):
    """What services carry, and the last tests, newest first."""

    services: list[ServiceCapacity]
    tests: list[TestSummary]


@router.get("")
async def capacity(controller: Controller) -> CapacityList:
    """What one instance of each service carries, declared and measured, and the last tests."""
    services = await controller.database.read(capacities)
    tests = await controller.database.read(lambda connection: newest_tests(connection, LAST))
    return CapacityList(services=list(services), tests=list(tests))


@router.post("")
async def begin(body: TestBody, controller: Controller) -> TestSummary:
    """Begin to measure a service on its live traffic. 409 where all is not calm."""
    asked = TestAsked(ServiceKey(body.application, body.service), body.per_class, body.window_s)
    return TestSummary.of_test(await begin_test(controller, asked))


@router.delete("/{test}")
async def cancel(test: Annotated[str, Path(description="The test's id")], controller: Controller) -> TestSummary:
    """End a test; all instances get equal shares again. Doing it again changes nothing."""
    return TestSummary.of_test(await cancel_test(controller, test))
