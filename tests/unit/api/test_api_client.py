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
    "GET /discovery": lambda api: api.published(),
    "POST /discovery/{application}/{service}/allow": lambda api: api.allow_cut("shop", "feed"),
    "GET /services": lambda api: api.services(),
    "GET /instances": lambda api: api.instances("shop", ended=True),
    "GET /instances/{instance}/logs": lambda api: api.logs("feed-1", 5),
    "GET /leases": lambda api: api.leases(),
    "GET /hosts": lambda api: api.hosts(),
    "GET /hosts/{host}/log": lambda api: api.host_log("cloud-1"),
    "POST /hosts/{host}/cordon": lambda api: api.cordon_host("cloud-1"),
    "POST /hosts/{host}/uncordon": lambda api: api.uncordon_host("cloud-1"),
    "POST /hosts/{host}/drain": lambda api: api.drain_host("cloud-1", 60.0),
    "GET /events": lambda api: api.events(0, limit=7),
    "GET /why/{subject:path}": lambda api: api.why("shop/feed?x"),
    "POST /applications/{name}/freeze": lambda api: api.freeze("shop", "why"),
    "POST /applications/{name}/place": lambda api: api.place("shop", {"feed": 3}, dry_run=True),
    "POST /applications/{name}/confirm": lambda api: api.confirm("shop", {"feed": 30}, 60.0),
    "POST /applications/{name}/rehearsal": lambda api: api.rehearse("shop", "feed", 6.0, 600.0),
    "DELETE /applications/{name}/freeze": lambda api: api.thaw("shop"),
    "GET /applications/{name}/graph": lambda api: api.graph("shop"),
    "GET /capacity": lambda api: api.capacity(),
    "POST /capacity": lambda api: api.begin_capacity_test({"application": "shop", "service": "feed"}),
    "DELETE /capacity/{test}": lambda api: api.cancel_capacity_test("capacity-1"),
    "GET /forecasts/{application}": lambda api: api.forecasts("shop"),
    "GET /surges": lambda client: client.surges(),
    "GET /machines": lambda client: client.machines(),
    "POST /machines": lambda client: client.add_machines({"addresses": ["m1"]}),
    "POST /machines/remove": lambda client: client.remove_machines(["m1"], 60.0),
    "POST /machines/retry": lambda client: client.retry_machines(["m1"]),
    "POST /surges": lambda client: client.plan_surge({"application": "shop"}),
    "DELETE /surges/{surge}": lambda client: client.cancel_surge("surge-1"),
    "GET /plans": lambda api: api.plans(),
    "GET /plans/{plan}": lambda api: api.plan("plan-1"),
    "GET /cost": lambda api: api.cost(),
    "GET /images": lambda api: api.images.list("shop/web"),
    "GET /images/history": lambda api: api.images.history("shop/web"),
    "GET /images/difference": lambda api: api.images.difference("shop/web:1", "shop/web:2"),
    "POST /images/builds": lambda api: api.images.add_build({"id": "build-1"}, "log"),
    "GET /images/builds/{build}/log": lambda api: api.images.build_log("build-1"),
    "POST /images/collection": lambda api: api.images.collect(dry_run=True),
    "GET /registry/accounts": lambda api: api.registry.accounts(),
    "POST /registry/accounts": lambda api: api.registry.add_account("ann", "secret"),
    "PUT /registry/accounts/{name}/password": lambda api: api.registry.set_password("ann/x", "secret"),
    "DELETE /registry/accounts/{name}": lambda api: api.registry.remove_account("ann"),
    "GET /registry/robots": lambda api: api.registry.robots(),
    "POST /registry/robots": lambda api: api.registry.add_robot("robot.h1", "host", "h1"),
    "PUT /registry/robots/{name}/secret": lambda api: api.registry.renew_robot("robot.h1"),
    "DELETE /registry/robots/{name}": lambda api: api.registry.remove_robot("robot.h1"),
    "GET /registry/projects": lambda api: api.registry.projects(),
    "PUT /registry/projects": lambda api: api.registry.put_project("shop", public=True),
    "DELETE /registry/projects/{name:path}": lambda api: api.registry.remove_project("shop/tools"),
    "GET /registry/members": lambda api: api.registry.members("shop"),
    "PUT /registry/members": lambda api: api.registry.put_member("shop", "ann", "guest"),
    "DELETE /registry/members": lambda api: api.registry.remove_member("shop", "ann"),
    "GET /registry/certificate": lambda api: api.registry.certificate(),
    "POST /registry/keys": lambda api: api.registry.rotate(60.0),
    "GET /registry/configuration": lambda api: api.registry.configuration("a", url="http://dcp"),
    "GET /registry/why": lambda api: api.registry.why("ann", "shop/feed", "pull"),
    "GET /registry/history": lambda api: api.registry.history("shop/feed"),
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
