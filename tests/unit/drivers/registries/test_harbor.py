"""The Harbor driver against answers as Harbor's API (2.x) documents them; none could be run here."""

import httpx
import pytest

from dcp.drivers.registries.distribution import Credentials, RegistryAddress
from dcp.drivers.registries.harbor import HarborRegistry
from dcp.images.manifests import digest_of
from dcp.kernel.clock import SystemClock
from dcp.kernel.errors import Denied, DriverError, Rejected

DIGEST = digest_of(b"x")
ROBOT = Credentials("robot$dcp", "secret")
REPOSITORIES = [{"id": n, "name": f"shop/r{n:03}", "artifact_count": 1} for n in range(130)]


class Harbor:
    """Recorded answers."""

    def __init__(self) -> None:
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if not request.headers.get("authorization", "").startswith("Basic "):
            return httpx.Response(401, json={"errors": [{"code": "UNAUTHORIZED", "message": "unauthorized"}]})
        path = request.url.raw_path.decode().partition("?")[0]
        if path == "/api/v2.0/repositories":
            page, size = int(request.url.params["page"]), int(request.url.params["page_size"])
            return httpx.Response(200, json=REPOSITORIES[(page - 1) * size : page * size])
        if path == "/api/v2.0/projects/shop/repositories/team%252Fweb/artifacts":
            tagged = {"digest": DIGEST, "tags": [{"name": "2"}, {"name": "1"}]}
            return httpx.Response(200, json=[tagged, {"digest": digest_of(b"y"), "tags": None}])
        if request.method == "DELETE" and path.startswith("/api/v2.0/projects/shop/repositories/web/artifacts/"):
            return httpx.Response(200) if path.endswith(DIGEST) else httpx.Response(412, json={"errors": []})
        if path == "/api/v2.0/projects/odd/repositories/x/artifacts":
            return httpx.Response(200, text="<html>")
        return httpx.Response(404, json={"errors": [{"code": "NOT_FOUND", "message": "not found"}]})


def registry(harbor: Harbor, credentials: Credentials = ROBOT) -> HarborRegistry:
    address = RegistryAddress("https://harbor.example.com", credentials)
    return HarborRegistry(address, SystemClock(), transport=httpx.MockTransport(harbor))


async def test_repositories_are_listed_over_pages() -> None:
    harbor = Harbor()
    made = registry(harbor)
    assert [name async for name in made.repositories()] == [one["name"] for one in REPOSITORIES]
    assert len(harbor.asked) == 2
    await made.aclose()


async def test_tags_of_a_nested_repository() -> None:
    made = registry(Harbor())
    assert await made.tags("shop/team/web") == ("1", "2")
    assert await made.tags("shop/absent") == ()
    with pytest.raises(DriverError, match="JSON"):
        await made.tags("odd/x")
    await made.aclose()


async def test_deleting() -> None:
    made = registry(Harbor())
    await made.delete_manifest("shop/web", DIGEST)
    await made.delete_manifest("shop/absent", DIGEST)
    with pytest.raises(Rejected):
        await made.delete_manifest("shop/web", digest_of(b"immutable"))
    await made.aclose()


async def test_without_a_right_it_is_denied() -> None:
    made = registry(Harbor(), Credentials())
    with pytest.raises(Denied):
        await made.tags("shop/web")
    await made.aclose()
