"""No endpoint answers without the token: a walk over every route there is."""

import httpx
import pytest
from api_world import TOKEN, anonymous

from dcp.api.app import OPENAPI, PREFIX, create_app
from dcp.api.routes import METRICS, ROUTERS
from dcp.engine.context import Context


def every_route() -> list[tuple[str, str]]:
    """Every method and path that the routers hold, and the description itself."""
    found = [(PREFIX, route) for router in ROUTERS for route in router.routes] + [("", r) for r in METRICS.routes]
    routes = [(method, prefix + route.path) for prefix, route in found for method in sorted(route.methods)]
    return [*routes, ("GET", OPENAPI)]


async def test_every_route_refuses_without_the_token(context: Context):
    routes = every_route()
    assert len(routes) > 14
    async with anonymous(context) as client:
        for method, path in [*routes, ("GET", "/"), ("GET", "/docs"), ("GET", "/api/v1/nothing")]:
            answer = await client.request(method, path.replace("{", "").replace("}", ""))
            assert answer.status_code == 401, (method, path)
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
            if method != "HEAD":
                assert answer.json()["error"]["code"] == "denied"


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Bearer wrong", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, "Bearer \xff"]
)
async def test_a_wrong_token_is_refused(context: Context, header: str):
    async with anonymous(context) as client:
        answer = await client.get("/api/v1/status", headers={"Authorization": header.encode("latin-1")})
        assert answer.status_code == 401


async def test_the_right_token_opens_every_route_of_the_description(api: httpx.AsyncClient):
    assert (await api.get(OPENAPI)).status_code == 200
    assert (await api.get("/metrics")).status_code == 200
    assert (await api.get("/api/v1/status", headers={"Authorization": f"bearer {TOKEN}"})).status_code == 200


async def test_a_websocket_is_closed(context: Context):
    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "websocket", "path": "/", "headers": []}
    await create_app(context, TOKEN)(scope, None, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]


async def test_the_description_holds_every_route_with_its_lock(api: httpx.AsyncClient):
    paths = (await api.get(OPENAPI)).json()["paths"]
    described = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert described | {("GET", OPENAPI)} == {(m, p.replace(":path", "")) for m, p in every_route()}
    assert all(one["security"] for methods in paths.values() for one in methods.values())
