"""Images over the API: lists, history, builds, differences, applying by digest, and collection of what nobody needs."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from api_world import TOKEN, anonymous

from conformance.registries import make_image
from dcp.drivers.registries.fake import FakeRegistry
from dcp.drivers.runtimes.fake import FakeRuntime
from dcp.engine import commands
from dcp.engine.context import Context
from dcp.engine.controller import Controller
from dcp.engine.images.sites import ImageSites
from dcp.hosts.model import Resources
from dcp.images.model import Manifest, Site, SiteRole
from dcp.images.replication.model import ImageLimits
from dcp.kernel.errors import InvalidInput
from dcp.orchestration.services.model import ApplicationSpec, ServiceSpec
from dcp.orchestration.services.ports import OneRuntime, RuntimeAbilities

NAME = "registry.example.com"
LIMITS = ImageLimits(compare_s=0.2, keep_s=0.0, keep_revisions=1, deletes_per_s=1000.0)
BUILD = {
    "id": "build-0001",
    "repository": "shop/web",
    "tag": "1",
    "digest": "sha256:" + "a" * 64,
    "built_at": 10.0,
    "built_by": "ann",
    "source": "/src",
}


class ContainerRuntime(FakeRuntime):
    """The fake, which says that it runs images."""

    def abilities(self) -> RuntimeAbilities:
        return replace(super().abilities(), containers=True)


class World:
    def __init__(self, context: Context, api: httpx.AsyncClient) -> None:
        self.context = context
        self.api = api
        self.registries = {name: FakeRegistry(context.clock, f"fake://{name}") for name in ("east", "west")}
        sites = tuple(Site(name, SiteRole.MASTER, f"fake://{name}") for name in self.registries)
        context.images = ImageSites(NAME, sites, self.registries, LIMITS)
        context.runtimes = OneRuntime(ContainerRuntime(context.clock))

    async def push(self, tag: str, *layers: bytes, repository: str = "shop/web") -> Manifest:
        """Push to east, and return once both have it."""
        manifest, blobs = make_image(*layers)
        self.registries["east"].put_image(repository, tag, manifest, blobs)

        async def there() -> bool:
            listed = (await self.get("images"))["images"]
            mine = [one for one in listed if (one["repository"], one["digest"]) == (repository, manifest.digest)]
            return (
                bool(mine)
                and all(site["state"] == "present" for site in mine[0]["sites"])
                and mine[0]["acknowledged_at"]
            )

        for _ in range(500):
            if await there():
                return manifest
            await asyncio.sleep(0.02)
        raise AssertionError("it never came")

    async def get(self, path: str, **params: str) -> Any:
        answer = await self.api.get(f"/api/v1/{path}", params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def collect(self, *, dry_run: bool) -> dict[str, Any]:
        answer = await self.api.post("/api/v1/images/collection", json={"dry_run": dry_run})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def apply(self, image: str) -> None:
        service = ServiceSpec("web", (), Resources(10, 1 << 20), image=image)
        await commands.apply(self.context, ApplicationSpec("shop", (service,)))


@pytest.fixture
async def world(context: Context) -> AsyncIterator[World]:
    async with anonymous(context) as client:
        client.headers["Authorization"] = f"Bearer {TOKEN}"
        made = World(context, client)
        controller = asyncio.create_task(Controller(context).run())
        yield made
        controller.cancel()
        await asyncio.gather(controller, return_exceptions=True)
        assert list(context.unexpected) == []


async def test_without_a_registry_there_are_no_images(api: httpx.AsyncClient) -> None:
    answer = await api.get("/api/v1/images")
    assert answer.status_code == 503
    assert "no registry is configured" in answer.text


async def test_a_list_says_who_where_and_for_whom(world: World) -> None:
    manifest = await world.push("1", b"base", b"app")
    await world.apply(f"{NAME}/shop/web:1")
    (one,) = (await world.get("images"))["images"]
    assert (one["digest"], one["size_bytes"], one["lag_s"], one["lag_bytes"]) == (
        manifest.digest,
        manifest.content_bytes,
        0,
        0,
    )
    assert one["used_by"] == ["shop/web"]
    assert (await world.get("images", repository="shop/other"))["images"] == []
    world.registries["west"].away = True
    manifest, blobs = make_image(b"later")
    world.registries["east"].put_image("shop/web", "2", manifest, blobs)
    for _ in range(200):
        listed = {image["tag"]: image for image in (await world.get("images"))["images"]}
        if "2" in listed and listed["2"]["lag_bytes"]:
            break
        await asyncio.sleep(0.02)
    assert listed["2"]["lag_s"] > 0 and listed["2"]["acknowledged_at"] is None


async def test_builds_are_kept_and_wrong_ones_refused(world: World) -> None:
    for _ in range(2):
        answer = await world.api.post("/api/v1/images/builds", json={"build": BUILD, "log": "Step 1"})
        assert answer.status_code == 201, answer.text
    found = await world.get("images/history", repository="shop/web")
    assert [one["id"] for one in found["builds"]] == ["build-0001"]
    assert (await world.get("images/builds/build-0001/log"))["log"] == "Step 1"
    for wrong in ({"repository": "Shop"}, {"tag": "a b"}, {"digest": "x"}, {"id": "../x"}, {"built_at": -1}):
        answer = await world.api.post("/api/v1/images/builds", json={"build": BUILD | wrong})
        assert answer.status_code == 422, wrong
    for path in ("images/builds/absent/log", "images/history?repository=shop/absent"):
        assert (await world.api.get(f"/api/v1/{path}")).status_code == 404


async def test_a_difference_by_tag_and_digest(world: World) -> None:
    old = await world.push("1", b"base", b"one")
    new = await world.push("2", b"base", b"two" * 100)
    found = await world.get("images/difference", old="shop/web:1", new=f"{NAME}/shop/web@{new.digest}")
    assert found == await world.get("images/difference", old=f"shop/web@{old.digest}", new="shop/web:2") | {
        "old": found["old"],
        "new": found["new"],
    }
    assert [layer["size_bytes"] for layer in found["added"]] == [300]
    for wrong, status in (("shop/web:3", 404), ("Shop", 422), ("other.example.com/x:1", 404)):
        params = {"old": "shop/web:1", "new": wrong}
        assert (await world.api.get("/api/v1/images/difference", params=params)).status_code == status


async def test_a_revision_and_the_one_before_keep_their_images_though_the_tag_moved(world: World) -> None:
    digests = []
    for words in (b"one", b"two", b"three"):
        digests.append((await world.push("1", b"base", words)).digest)
        await world.apply(f"{NAME}/shop/web:1")
    for _ in range(200):  # until no instance of the first revision is left, if one was started
        dry = await world.collect(dry_run=True)
        if dry["removals"]:
            break
        await asyncio.sleep(0.05)
    assert [one["digest"] for one in dry["removals"]] == digests[:1], "the second is a revision to go back to"
    assert dry["kept"] == {"needed": 2}
    assert len(world.registries["east"].calls) and not world.registries["east"].calls["delete_manifest"]
    done = await world.collect(dry_run=False)
    assert {**done, "dry_run": True} == dry
    for registry in world.registries.values():
        for _ in range(500):
            if await registry.resolve("shop/web", digests[0]) is None:
                break
            await asyncio.sleep(0.02)
        assert await registry.resolve("shop/web", digests[0]) is None
        assert await registry.resolve("shop/web", digests[1]) == digests[1]
        assert await registry.resolve("shop/web", "1") == digests[2]


async def test_what_is_named_again_while_it_is_removed_stays(world: World) -> None:
    old = await world.push("1", b"base", b"one")
    await world.push("1", b"base", b"two")
    for registry in world.registries.values():
        registry.delays_s["delete_manifest"] = 0.3
    done = await world.collect(dry_run=False)
    assert old.digest in {one["digest"] for one in done["removals"]}
    await world.apply(f"{NAME}/shop/web@{old.digest}")
    for _ in range(500):
        found = [await registry.resolve("shop/web", old.digest) for registry in world.registries.values()]
        listed = await world.get("why/" + f"shop/web@{old.digest}")
        if all(found) and all("has it" in line for line in listed["because"]):
            break
        await asyncio.sleep(0.02)
    assert all(found)


async def test_an_image_that_no_site_has_is_refused_with_its_path(world: World) -> None:
    with pytest.raises(InvalidInput) as caught:
        await world.apply(f"{NAME}/shop/web:never")
    assert caught.value.problems[0].path == "services.web.image"
