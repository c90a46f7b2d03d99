"""The client: a method for each endpoint, and names that never become another path."""

import httpx
import pytest

from dcp.api.client import Client
from dcp.api.routes import ROUTERS
from dcp.hosts.model import Resources
from dcp.kernel.errors import Unavailable
from dcp.orchestration.services.model import ApplicationSpec, ServiceSpec

SPEC = ApplicationSpec("shop", (ServiceSpec("feed", ("serve",), Resources(500, 1 << 20)),))
CALLS = {
    "GET /status": lambda api: api.status(),
    "GET /applications": lambda api: api.applications(),
    "GET /applications/{name}": lambda api: api.application("a/../b c"),
    "POST /applications": lambda api: api.apply(SPEC, dry_run=True, expected_revision=2),
    "DELETE /applications/{name}": lambda api: api.remove("shop"),
    "GET /applications/{name}/plan": lambda api: api.next_plan("shop"),
    "GET /services": lambda api: api.services(),
    "GET /instances": lambda api: api.instances("shop", ended=True),
    "GET /instances/{instance}/logs": lambda api: api.logs("feed-1", 5),
    "GET /hosts": lambda api: api.hosts(),
    "GET /events": lambda api: api.events(0, limit=7),
    "GET /why/{subject:path}": lambda api: api.why("shop/feed?x"),
    "GET /plans": lambda api: api.plans(),
    "GET /plans/{plan}": lambda api: api.plan("plan-1"),
    "GET /cost": lambda api: api.cost(),
}


def answered(call, answer: httpx.Response | Exception) -> httpx.Request:
    asked: list[httpx.Request] = []

    def answer_it(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with Client("http://dcp/", "secret", transport=httpx.MockTransport(answer_it)) as api:
        call(api)
    return asked[0]


def test_there_is_a_method_for_each_endpoint():
    assert set(CALLS) == {f"{next(iter(r.methods))} {r.path}" for router in ROUTERS for r in router.routes}


@pytest.mark.parametrize("endpoint", CALLS)
def test_it_asks_with_the_token(endpoint: str):
    request = answered(CALLS[endpoint], httpx.Response(200, json={}))
    assert request.method == endpoint.split()[0]
    assert request.headers["Authorization"] == "Bearer secret"


@pytest.mark.parametrize(
    ("endpoint", "target"),
    [
        ("GET /applications/{name}", b"/api/v1/applications/a%2F..%2Fb%20c"),
        ("GET /why/{subject:path}", b"/api/v1/why/shop/feed%3Fx"),
        ("GET /events", b"/api/v1/events?after=0&limit=7"),
        ("GET /instances", b"/api/v1/instances?application=shop&all=true"),
    ],
)
def test_names_stay_names(endpoint: str, target: bytes):
    assert answered(CALLS[endpoint], httpx.Response(200, json={})).url.raw_path == target


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (httpx.ConnectError("refused"), "no controller at http://dcp"),
        (httpx.ReadTimeout("slow"), "did not answer"),
        (httpx.RemoteProtocolError("what"), "cannot be talked to"),
        (httpx.Response(200, text="<html>"), "is this a dcp controller"),
        (httpx.Response(200, json=[1]), "is this a dcp controller"),
        (httpx.Response(502, text="bad gateway"), "502"),
    ],
)
def test_whatever_goes_wrong_is_an_error_of_ours(answer, words: str):
    with pytest.raises(Unavailable, match=words):
        answered(CALLS["GET /status"], answer)
