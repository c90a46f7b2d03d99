"""The worker of images over registries in memory: what is pushed anywhere is everywhere, once, whatever ends."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable

import pytest

from conformance.registries import make_image, make_index
from dcp.drivers.balancers.fake import FakeBalancer
from dcp.drivers.registries.fake import FakeRegistry
from dcp.drivers.runtimes.fake import FakeRuntime
from dcp.engine.context import Context
from dcp.engine.controller import Controller
from dcp.engine.images.sites import ImageSites
from dcp.engine.settings import EngineSettings
from dcp.engine.why import why
from dcp.images.access.model import PUSH, ImagePush
from dcp.images.manifests import digest_of
from dcp.images.model import Manifest, Site, SiteRole
from dcp.images.replication.model import ImageCopy, ImageLimits
from dcp.images.states import CopyState
from dcp.kernel.clock import SystemClock
from dcp.kernel.errors import DriverError, Rejected
from dcp.kernel.events import Event
from dcp.orchestration.services.ports import OneRuntime
from dcp.store import events, images, pushes
from dcp.store.database import InlineDatabase

SITES = (
    Site("east", SiteRole.MASTER, "fake://east"),
    Site("west", SiteRole.MASTER, "fake://west"),
    Site("cloud", SiteRole.FOLLOWER, "fake://cloud", follows="west"),
)
PATIENCE_S = 15.0
REPOSITORY = "shop/web"


class Platform:
    """A controller that can be ended and started again over the same store and registries."""

    def __init__(self, limits: ImageLimits) -> None:
        self.clock = SystemClock()
        self.registries = {site.name: FakeRegistry(self.clock, site.registry_url) for site in SITES}
        self.sites = ImageSites("registry.example.com", SITES, self.registries, limits, frozenset({"robot.copier"}))
        self.database = InlineDatabase()
        self._started = 0
        self._task: asyncio.Task[None] | None = None
        self._told = 0
        self.context: Context | None = None

    def start(self) -> None:
        self._started += 1
        self.context = Context(
            controller_id=f"c{self._started}",
            clock=self.clock,
            database=self.database,
            runtimes=OneRuntime(FakeRuntime(self.clock)),
            balancer=FakeBalancer(self.clock),
            sources=(),
            settings=EngineSettings(poll_s=0.05, busy_poll_s=0.02, lease_ttl_s=0.6),
            images=self.sites,
        )
        self._task = asyncio.create_task(Controller(self.context).run())

    async def end(self) -> None:
        """End it without a word: its leases run out."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            assert self.context is not None
            assert list(self.context.unexpected) == []

    async def tell(self, site: str, tag: str, digest: str, *, actor: str = "ann", at: float | None = None) -> None:
        self._told += 1
        when = self.clock.now() if at is None else at
        push = ImagePush(f"e{self._told}", site, REPOSITORY, PUSH, when, tag, digest, actor)
        await self.database.write(lambda connection: pushes.add(connection, [push]))

    async def push(self, site: str, tag: str, *layers: bytes, told: bool = True) -> Manifest:
        manifest, blobs = make_image(*layers)
        self.registries[site].put_image(REPOSITORY, tag, manifest, blobs)
        if told:
            await self.tell(site, tag, manifest.digest)
        return manifest

    async def copies(self, digest: str = "") -> dict[str, ImageCopy]:
        found = await self.database.read(images.copies)
        return {copy.site: copy for copy in found if digest in ("", copy.digest)}

    async def events(self, reason: str) -> list[Event]:
        logged = await self.database.read(lambda connection: events.newest(connection, 1000))
        return [one.event for one in logged if one.event.reason == reason]

    async def expect_everywhere(self, tag: str, manifest: Manifest) -> None:
        async def there() -> bool:
            for registry in self.registries.values():
                if registry.away or await registry.resolve(REPOSITORY, tag) != manifest.digest:
                    return False
            return all(copy.state == CopyState.PRESENT for copy in (await self.copies(manifest.digest)).values())

        await until(there)


async def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = condition()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return
        assert time.monotonic() < deadline, "it did not come to be"
        await asyncio.sleep(0.02)


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    made = Platform(ImageLimits(compare_s=3600.0, deletes_per_s=100.0))
    made.start()
    yield made
    await made.end()
    made.database.close()


async def test_a_push_is_copied_to_every_site_and_acknowledged(platform: Platform) -> None:
    layer = os.urandom(300_000)
    manifest = await platform.push("east", "1", b"base", layer)
    await platform.expect_everywhere("1", manifest)
    await until(lambda: _acknowledged(platform))
    for site in ("west", "cloud"):
        registry = platform.registries[site]
        assert registry.blobs_of(REPOSITORY) == platform.registries["east"].blobs_of(REPOSITORY)
        assert registry.received[digest_of(layer)] == len(layer)
    copies = await platform.copies()
    assert copies["west"].size_bytes == manifest.content_bytes == copies["west"].there_bytes
    assert copies["west"].moved_bytes == manifest.content_bytes - manifest.size_bytes
    assert copies["east"].moved_bytes == 0
    (event,) = await platform.events("acknowledged")
    assert event.numbers["size_bytes"] == manifest.content_bytes


async def _acknowledged(platform: Platform) -> bool:
    heads = await platform.database.read(images.heads)
    return bool(heads) and all(head.acknowledged_at for head in heads)


async def test_why_says_which_site_lacks_an_image(platform: Platform) -> None:
    platform.registries["cloud"].fail("put_manifest", Rejected("no room"), times=50)
    manifest = await platform.push("east", "1", b"x")
    await until(lambda: _acknowledged(platform))
    await until(lambda: platform.events("copy-failed"))
    found = await platform.database.read(lambda connection: why(connection, "image/shop/web:1"))
    assert found.subject == "image/shop/web:1"
    assert manifest.digest in found.now and "pushed to east by ann; every master has it" in found.now
    assert found.because[0].startswith("cloud could not get it (rejected: no room")
    assert found.because[1:] == ("east has it (there)", "west has it (copied)")
    assert {one.event.reason for one in found.events} >= {"wanted", "copied", "acknowledged", "copy-failed"}
    by_digest = await platform.database.read(lambda connection: why(connection, f"shop/web@{manifest.digest}"))
    assert by_digest.because == found.because


async def test_an_index_is_copied_with_its_parts(platform: Platform) -> None:
    east = platform.registries["east"]
    parts = [await platform.push("east", "", layer, told=False) for layer in (b"amd64" * 1000, b"arm64" * 1000)]
    index = make_index(*parts)
    east.put_image(REPOSITORY, "multi", index, {})
    await platform.tell("east", "multi", index.digest)
    await platform.expect_everywhere("multi", index)
    for part in parts:
        assert await platform.registries["cloud"].resolve(REPOSITORY, part.digest) == part.digest
    size = index.size_bytes + sum(part.content_bytes for part in parts) - len(b"{}")
    assert (await platform.copies(index.digest))["west"].size_bytes == size, "the shared configuration counts once"


async def test_two_masters_given_the_same_tag_at_once_end_with_the_last_and_keep_both(platform: Platform) -> None:
    now = platform.clock.now()
    first = await platform.push("east", "1", b"first", told=False)
    second = await platform.push("west", "1", b"second", told=False)
    await platform.tell("west", "1", second.digest, at=now + 0.5)
    await platform.tell("east", "1", first.digest, at=now)
    await platform.expect_everywhere("1", second)
    for registry in platform.registries.values():
        await until(lambda registry=registry: registry.resolve(REPOSITORY, first.digest))
    assert len(await platform.events("conflict")) == 1


async def test_what_dcp_copied_itself_is_no_push(platform: Platform) -> None:
    old = await platform.push("east", "1", b"old")
    await platform.expect_everywhere("1", old)
    new = await platform.push("east", "1", b"new")
    await platform.expect_everywhere("1", new)
    await platform.tell("west", "1", old.digest, actor="robot.copier")
    await platform.tell("west", "1", old.digest, actor="dcp.replication")
    await asyncio.sleep(0.3)
    head = await platform.database.read(lambda connection: images.head(connection, REPOSITORY, "1"))
    assert head is not None and head.digest == new.digest


async def test_a_layer_that_two_images_share_crosses_the_line_once(platform: Platform) -> None:
    base = os.urandom(400_000)
    manifests = []
    for name in ("shop/a", "shop/b", "shop/c"):
        manifest, blobs = make_image(base, name.encode())
        platform.registries["east"].put_image(name, "1", manifest, blobs)
        manifests.append((name, manifest))
    for name, manifest in manifests:
        push = ImagePush(f"x{name}", "east", name, PUSH, platform.clock.now(), "1", manifest.digest)
        await platform.database.write(lambda connection, push=push: pushes.add(connection, [push]))
    for name, manifest in manifests:
        for site in ("west", "cloud"):
            registry = platform.registries[site]
            await until(lambda n=name, m=manifest, r=registry: _is(r, n, m))
    for site in ("west", "cloud"):
        assert platform.registries[site].received[digest_of(base)] == len(base)
    await platform.end()
    platform.start()
    manifest, blobs = make_image(base, b"later")
    platform.registries["east"].put_image("shop/d", "1", manifest, blobs)
    push = ImagePush("later", "east", "shop/d", PUSH, platform.clock.now(), "1", manifest.digest)
    await platform.database.write(lambda connection: pushes.add(connection, [push]))
    await until(lambda: _is(platform.registries["west"], "shop/d", manifest))
    assert platform.registries["west"].received[digest_of(base)] == len(base), "a restart forgets nothing"


async def _is(registry: FakeRegistry, repository: str, manifest: Manifest) -> bool:
    return await registry.resolve(repository, "1") == manifest.digest


async def test_a_controller_that_ends_in_the_middle_is_gone_on_with(platform: Platform) -> None:
    await platform.end()
    platform.sites = ImageSites(
        platform.sites.name, SITES, platform.registries, ImageLimits(compare_s=3600.0, rate_bytes_per_s=2_000_000.0)
    )
    platform.start()
    layer = os.urandom(4_000_000)
    west = platform.registries["west"]
    manifest = await platform.push("east", "1", layer)
    await until(lambda: west.received[digest_of(layer)] > 1_000_000)
    await platform.end()
    before = west.received[digest_of(layer)]
    assert before < len(layer)
    platform.start()
    await platform.expect_everywhere("1", manifest)
    assert west.received[digest_of(layer)] == len(layer), "nothing was sent twice"


async def test_a_site_that_loses_everything_is_filled_again(
    platform: Platform,
) -> None:
    manifest = await platform.push("east", "1", os.urandom(100_000))
    await until(lambda: _acknowledged(platform))
    east = platform.registries["east"]
    east.away = True
    east.wipe()
    cloud, west = platform.registries["cloud"], platform.registries["west"]
    await until(lambda: _is(cloud, REPOSITORY, manifest))
    later = await platform.push("west", "2", b"meanwhile")
    await until(lambda: cloud.resolve(REPOSITORY, "2"))
    assert await west.resolve(REPOSITORY, "1") == manifest.digest
    heads = await platform.database.read(images.heads)
    assert [head.acknowledged_at is not None for head in heads] == [True, False], "a master is missing"
    east.away = False
    await platform.expect_everywhere("1", manifest)
    await platform.expect_everywhere("2", later)
    await until(lambda: _acknowledged(platform))
    assert len(await platform.events("copy-lost")) == 1


async def test_an_event_that_never_came_is_made_good_by_the_comparison(platform: Platform) -> None:
    await platform.end()
    manifest = await platform.push("west", "1", b"silent", told=False)
    platform.start()
    await platform.expect_everywhere("1", manifest)
    found = await platform.database.read(lambda connection: images.pushes_of(connection, REPOSITORY, 10))
    assert [(push.found_by, push.site) for push in found] == [("comparison", "west")]


async def test_a_source_that_gives_wrong_bytes_is_passed_over(platform: Platform) -> None:
    await platform.end()
    manifest = await platform.push("east", "1", os.urandom(100_000), told=False)
    _, blobs = make_image()
    platform.registries["west"].put_image(
        REPOSITORY, "1", manifest, blobs | platform.registries["east"].blobs_of(REPOSITORY)
    )
    platform.registries["west"].wrong_bytes = True
    platform.start()
    await platform.expect_everywhere("1", manifest)
    cloud = platform.registries["cloud"].blobs_of(REPOSITORY)
    assert all(digest_of(content) == digest for digest, content in cloud.items())


async def test_what_fails_is_tried_again_and_says_why(platform: Platform) -> None:
    west = platform.registries["west"]
    west.fail("put_manifest", Rejected("no room for that"), times=3)
    manifest = await platform.push("east", "1", b"x")
    await platform.expect_everywhere("1", manifest)
    failed = await platform.events("copy-failed")
    assert failed and all("no room for that" in event.words for event in failed)
    west.fail("begin_upload", DriverError("disk full"))
    manifest = await platform.push("east", "1", b"y")
    await platform.expect_everywhere("1", manifest)


async def test_what_is_collected_leaves_every_registry(platform: Platform) -> None:
    old = await platform.push("east", "1", b"old")
    await platform.expect_everywhere("1", old)
    new = await platform.push("east", "1", b"new")
    await platform.expect_everywhere("1", new)

    def collect(connection: images.Connection) -> None:
        for copy in images.copies(connection):
            if copy.digest == old.digest:
                after = images.replace(copy, state=CopyState.REMOVING, reason="nobody needs it")
                images.put_copy(connection, copy, after)

    platform.registries["west"].fail("delete_manifest", DriverError("not now"))
    await platform.database.write(collect)
    for registry in platform.registries.values():
        await until(lambda r=registry: _absent(r, old))
        assert await registry.resolve(REPOSITORY, "1") == new.digest
    await until(lambda: _forgotten(platform, old))
    assert len(await platform.events("collected")) == 3


async def _absent(registry: FakeRegistry, manifest: Manifest) -> bool:
    return await registry.resolve(REPOSITORY, manifest.digest) is None


async def _forgotten(platform: Platform, manifest: Manifest) -> bool:
    return not await platform.copies(manifest.digest)
