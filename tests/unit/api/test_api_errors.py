"""Every error has one shape, and the client raises from it what the server raised."""

import httpx
import pytest
from api_world import SPEC
from fastapi import FastAPI

from dcp.api.errors import STATUS, body_of, error_of, status_of
from dcp.api.faults import handle_errors
from dcp.kernel.errors import (
    Conflict,
    DcpError,
    Denied,
    DriverError,
    InvalidInput,
    NotFound,
    Problem,
    Stale,
    Unavailable,
)


def every_error(kind: type[DcpError] = DcpError) -> set[type[DcpError]]:
    return {kind}.union(*(every_error(below) for below in kind.__subclasses__()))


def test_every_error_has_a_status():
    assert every_error() - {DcpError} == set(STATUS)


@pytest.mark.parametrize("kind", [NotFound, Conflict, Denied, Unavailable, Stale, DriverError])
def test_an_error_survives_the_wire(kind: type[DcpError]):
    error = kind("it is so", hint="do that")
    back = error_of(status_of(error), body_of(error))
    assert (type(back), back.message, back.hint) == (kind, "it is so", "do that")


def test_problems_survive_the_wire():
    error = InvalidInput((Problem("services.feed", "is wrong", "mend it"),), subject="application shop")
    back = error_of(422, body_of(error))
    assert isinstance(back, InvalidInput)
    assert (back.problems, back.subject, str(back)) == (error.problems, error.subject, str(error))


@pytest.mark.parametrize(("status", "kind"), [(401, Denied), (404, NotFound), (502, Unavailable), (200, Unavailable)])
def test_an_answer_of_somebody_else_is_an_error_too(status: int, kind: type[DcpError]):
    for body in (None, [], {"detail": "no"}, {"error": "no"}):
        assert type(error_of(status, body)) is kind


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/v1/applications/none", 404, "not-found"),
        ("DELETE", "/api/v1/applications/none", 404, "not-found"),
        ("GET", "/api/v1/applications/none/plan", 404, "not-found"),
        ("GET", "/api/v1/instances/none/logs", 404, "not-found"),
        ("GET", "/api/v1/plans/none", 404, "not-found"),
        ("GET", "/api/v1/why/none", 404, "not-found"),
        ("GET", "/api/v1/nothing", 404, "not-found"),
        ("PUT", "/api/v1/status", 405, "not-found"),
        ("GET", "/api/v1/events?limit=0", 422, "invalid-input"),
        ("GET", "/api/v1/instances?all=perhaps", 422, "invalid-input"),
    ],
)
async def test_endpoints_answer_in_the_one_shape(api: httpx.AsyncClient, method, path, status, code):
    answer = await api.request(method, path)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "hint", "problems"}
    assert error["code"] == code
    assert error["message"]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "spec"),
        ({"spec": SPEC, "dry": True}, "dry"),
        ({"spec": {**SPEC, "nam": 1}}, "spec.nam"),
        ({"spec": {"name": "shop", "services": [{"name": "a"}]}}, "spec.services.0.command"),
        ({"spec": {"name": "shop", "services": [{**SPEC["services"][0], "ports": 1}]}}, "spec.services.0.ports"),
        (
            {"spec": {"name": "shop", "services": [{**SPEC["services"][0], "replicas": "x"}]}},
            "spec.services.0.replicas",
        ),
        ({"spec": SPEC, "expected_revision": -1}, "expected_revision"),
        ({"spec": {**SPEC, "services": []}}, "services"),
    ],
)
async def test_a_wrong_body_is_named_by_paths_and_changes_nothing(api: httpx.AsyncClient, body, path):
    answer = await api.post("/api/v1/applications", json=body)
    assert answer.status_code == 422
    assert path in [problem["path"] for problem in answer.json()["error"]["problems"]]
    assert (await api.get("/api/v1/applications")).json() == {"applications": []}


async def test_what_is_not_json_is_a_wrong_input(api: httpx.AsyncClient):
    headers = {"Content-Type": "application/json"}
    answer = await api.post("/api/v1/applications", content=b"{", headers=headers)
    assert answer.status_code == 422
    assert "not valid JSON" in answer.json()["error"]["problems"][0]["message"]


async def test_a_revision_that_moved_on_is_a_conflict(api: httpx.AsyncClient):
    answer = await api.post("/api/v1/applications", json={"spec": SPEC, "expected_revision": 3})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")


async def test_a_fault_of_ours_says_so_and_shows_nothing_of_itself():
    app = FastAPI()
    handle_errors(app)

    @app.get("/")
    async def fault() -> None:
        raise RuntimeError("secret")

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        answer = await client.get("/")
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal"
    assert "secret" not in answer.text
    assert "log" in error_of(500, answer.json()).hint
