"""No endpoint answers without the token: a walk over every route there is."""

import httpx
import pytest
from api_world import TOKEN, anonymous

from dcp.api.app import OPENAPI, PREFIX, create_app
from dcp.api.routes import DISCOVERY, DOORS, METRICS, ROUTERS
from dcp.engine.context import Context


def every_route() -> list[tuple[str, str]]:
    """Every method and path that the routers hold, and the description itself."""
    found = [(PREFIX, route) for router in ROUTERS for route in router.routes] + [
        ("", route) for router in (METRICS, DISCOVERY) for route in router.routes
    ]
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


KEYS_OF_DOORS = {
    ("GET", "/registry/token"): "nobody, and a password",
    ("POST", "/registry/token"): "a password or a refresh token",
    ("POST", "/registry/events"): "the bearer of a registry",
}
"""Endpoints without the token, and what they ask for instead; `test_registry_doors` shows that they do."""


def test_every_door_that_needs_no_token_is_known():
    found = {(method, route.path) for route in DOORS.routes for method in route.methods}
    assert found == set(KEYS_OF_DOORS)


async def test_a_door_is_its_exact_path_and_method(context: Context):
    async with anonymous(context) as client:
        for method, path in KEYS_OF_DOORS:
            for other in ("PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"):
                assert (await client.request(other, path)).status_code == 401, (other, path)
            for near in (f"{path}/", f"{path}/x", f"/{path}", path.upper(), f"/api/v1{path}"):
                assert (await client.request(method, near)).status_code == 401, near


async def test_the_token_of_the_api_opens_no_door(api: httpx.AsyncClient):
    assert (await api.get("/registry/token")).status_code == 400
    assert (await api.post("/registry/events", json={"events": []})).status_code == 401


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
