"""Copies of images on virtual time: pushes to two masters, lost events, sites that vanish and come back empty,
registries that fail, and a controller that dies at any boundary. In the end every site has everything, and nothing
acknowledged is lost. A failure names its seed.
"""

import asyncio
import hashlib
import json
import logging
import os
import random
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog

from dcp.drivers.balancers.fake import FakeBalancer
from dcp.drivers.registries.fake import FakeRegistry
from dcp.drivers.runtimes.fake import FakeRuntime
from dcp.engine.context import Context
from dcp.engine.controller import Controller
from dcp.engine.images.sites import ImageSites
from dcp.engine.settings import EngineSettings
from dcp.images.access.model import PUSH, ImagePush
from dcp.images.manifests import OCI_MANIFEST, digest_of, read_manifest
from dcp.images.model import Manifest, Site, SiteRole
from dcp.images.replication.model import ImageLimits
from dcp.images.states import CopyState
from dcp.kernel.clock import LoopClock
from dcp.kernel.errors import DriverError, Rejected, Throttled
from dcp.orchestration.services.ports import OneRuntime
from dcp.simulation.crash import CrashingDatabase, Fuse
from dcp.simulation.virtual_time import run_virtual
from dcp.store import images, pushes
from dcp.store.database import InlineDatabase

SITES = (
    Site("east", SiteRole.MASTER, "fake://east"),
    Site("west", SiteRole.MASTER, "fake://west"),
    Site("cloud", SiteRole.FOLLOWER, "fake://cloud", follows="west"),
)
SEEDS = int(os.environ.get("DCP_IMAGE_SEEDS", "20" if os.environ.get("CI") else "10"))
BATCH = 5
BUSY_S = 90.0
SETTLE_S = 900.0
LIMITS = ImageLimits(rate_bytes_per_s=400_000.0, parallel_copies=3, compare_s=20.0)
VERBS = ("resolve", "get_manifest", "put_manifest", "blob_size", "read_blob", "begin_upload", "append_upload", "tags")
_OWN = ("delete_manifest", "finish_upload", *VERBS)


class CrashingRegistry:
    """A registry whose caller may die before a call has its effect, or after it and before it hears of it."""

    def __init__(self, inner: FakeRegistry, fuse: Fuse) -> None:
        self._inner = inner
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._inner, name)
        if name not in _OWN or name == "read_blob":
            return verb

        async def call(*words: Any, **options: Any) -> Any:
            self._fuse.boundary()
            answer = await verb(*words, **options)
            self._fuse.boundary()
            return answer

        return call

    async def read_blob(self, repository: str, digest: str, offset_bytes: int = 0) -> AsyncGenerator[bytes, None]:
        async for piece in self._inner.read_blob(repository, digest, offset_bytes):
            self._fuse.boundary()
            yield piece


@dataclass
class World:
    seed: int
    clock: LoopClock = field(default_factory=LoopClock)
    database: InlineDatabase = field(default_factory=InlineDatabase)
    acknowledged: set[tuple[str, str]] = field(default_factory=set)
    pushed: dict[str, Manifest] = field(default_factory=dict)
    last: dict[tuple[str, str], str] = field(default_factory=dict)
    """What each tag was last pushed as, where every push is told at once."""
    crashes: int = 0
    wipes: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.registries = {site.name: FakeRegistry(self.clock, site.registry_url) for site in SITES}
        self.tells_all = self.seed % 2 == 0
        self._calm = False

    async def controllers(self) -> None:
        """One controller after the other; each dies somewhere."""
        number = 0
        while True:
            number += 1
            fuse = Fuse(None if self._calm else self.random.randint(60, 1500))
            registries = {name: CrashingRegistry(one, fuse) for name, one in self.registries.items()}
            context = Context(
                controller_id=f"c{number}",
                clock=self.clock,
                database=CrashingDatabase(self.database, fuse),
                runtimes=OneRuntime(FakeRuntime(self.clock)),
                balancer=FakeBalancer(self.clock),
                sources=(),
                settings=EngineSettings(),
                images=ImageSites("registry.example.com", SITES, registries, LIMITS),  # type: ignore[arg-type]
            )
            controller = asyncio.create_task(Controller(context).run())
            try:
                await fuse.burnt.wait()
                self.crashes += 1
            finally:
                controller.cancel()
                await asyncio.gather(controller, return_exceptions=True)
                assert list(context.unexpected) == [], context.unexpected
            await self.clock.sleep(self.random.uniform(0.0, 10.0))

    async def trouble(self) -> None:
        """Push, and let things go wrong."""
        until = self.clock.now() + BUSY_S
        lost_site_until = 0.0
        while self.clock.now() < until:
            await self.clock.sleep(self.random.uniform(0.2, 4.0))
            await self.note_acknowledged()
            draw = self.random.random()
            if draw < 0.6:
                await self.push()
            elif draw < 0.75:
                self.fail()
            elif self.clock.now() > lost_site_until and await self.is_everywhere():
                lost_site_until = self.clock.now() + 15.0
                self.lose(self.random.choice(SITES).name)
        for registry in self.registries.values():
            registry.away = registry.wrong_bytes = False
        self._calm = True

    async def push(self) -> None:
        site = self.random.choice(["east", "west"])
        if self.registries[site].away:
            return
        repository, tag = self.random.choice(["shop/a", "shop/b"]), self.random.choice(["1", "2", "3"])
        manifest, blobs = self.make_image()
        self.registries[site].put_image(repository, tag, manifest, blobs)
        self.pushed[manifest.digest] = manifest
        if self.tells_all:
            self.last[repository, tag] = manifest.digest
            await self.tell(site, repository, tag, manifest)
        elif self.random.random() < 0.8:
            await self.clock.sleep(self.random.uniform(0.0, 3.0))
            await self.tell(site, repository, tag, manifest)

    async def tell(self, site: str, repository: str, tag: str, manifest: Manifest) -> None:
        told = ImagePush(f"e{manifest.digest}", site, repository, PUSH, self.clock.now(), tag, manifest.digest)
        await self.database.write(lambda connection: pushes.add(connection, [told]))

    def make_image(self) -> tuple[Manifest, dict[str, bytes]]:
        base = hashlib.shake_256(b"base%d" % self.random.randint(0, 2)).digest(200_000)
        own = hashlib.shake_256(b"%d" % len(self.pushed)).digest(self.random.randint(1, 600_000))
        contents = [b'{"n": %d}' % len(self.pushed), base, own]
        described = [
            {"mediaType": "application/x", "digest": digest_of(content), "size": len(content)} for content in contents
        ]
        document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": described[0], "layers": described[1:]}
        return read_manifest(json.dumps(document).encode()), {digest_of(content): content for content in contents}

    def fail(self) -> None:
        error = self.random.choice([DriverError("down"), Rejected("no"), Throttled("slow", delay_s=1.0)])
        registry = self.registries[self.random.choice(SITES).name]
        registry.fail(self.random.choice(VERBS), error, times=self.random.randint(1, 3))

    def lose(self, name: str) -> None:
        registry = self.registries[name]
        registry.away = True
        if self.random.random() < 0.6:
            registry.wipe()
            self.wipes += 1
        asyncio.get_running_loop().call_later(self.random.uniform(0.5, 12.0), setattr, registry, "away", False)

    async def note_acknowledged(self) -> None:
        heads = await self.database.read(images.heads)
        self.acknowledged |= {(one.repository, one.digest) for one in heads if one.acknowledged_at is not None}

    async def is_everywhere(self) -> bool:
        """Whether every site holds all that any of them holds, and says so."""
        held = [{(name, digest) for name, digest, _ in everything(one)} for one in self.registries.values()]
        copies = await self.database.read(images.copies)
        return held[0] == held[1] == held[2] and all(copy.state == CopyState.PRESENT for copy in copies)

    async def unsettled(self) -> str:
        """Return what is not yet as it should be; what no site has any more cannot be, and was never acknowledged."""
        await self.note_acknowledged()
        copies = await self.database.read(images.copies)
        held = {name: {one[:2] for one in everything(registry)} for name, registry in self.registries.items()}
        anywhere = set.union(*held.values())
        for copy in copies:
            content = (copy.repository, copy.digest)
            if content in anywhere and (copy.state != CopyState.PRESENT or content not in held[copy.site]):
                return f"{copy}"
        for head in await self.database.read(images.heads):
            for name, registry in self.registries.items():
                if (head.repository, head.digest) in anywhere:
                    found = await registry.resolve(head.repository, head.tag)
                    if found != head.digest:
                        return f"{name} says {found} for {head}"
        return ""

    async def check(self) -> None:
        heads = {(head.repository, head.tag): head.digest for head in await self.database.read(images.heads)}
        assert not self.tells_all or heads == self.last, "a tag means something else than its last push"
        for name, registry in self.registries.items():
            held = {(repository, digest): blobs for repository, digest, blobs in everything(registry)}
            missing = self.acknowledged - set(held)
            assert not missing, f"{name} lost {missing}"
            for (_, digest), blobs in held.items():
                for blob in self.pushed[digest].blobs:
                    assert digest_of(blobs[blob.digest]) == blob.digest, f"{name} holds wrong bytes"


def everything(registry: FakeRegistry) -> list[tuple[str, str, dict[str, bytes]]]:
    """Return (repository, digest, blobs) of what a registry holds, away or not."""
    found = []
    for repository in ("shop/a", "shop/b"):
        blobs = registry.blobs_of(repository)
        found += [(repository, digest, blobs) for digest in registry.digests_of(repository)]
    return found


async def live(seed: int) -> World:
    world = World(seed)
    running = asyncio.create_task(world.controllers())
    await world.trouble()
    until = world.clock.now() + SETTLE_S
    while words := await world.unsettled():
        assert not running.done(), running
        assert world.clock.now() < until, f"never settles: {words}"
        await world.clock.sleep(1.0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await world.check()
    world.database.close()
    return world


@pytest.fixture(autouse=True)
def quiet_log() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


@pytest.mark.parametrize("first", range(0, SEEDS, BATCH))
def test_every_site_ends_with_everything(first: int) -> None:
    worlds = []
    for seed in range(first, first + BATCH):
        try:
            worlds.append(run_virtual(live(seed)))
        except Exception as error:
            raise AssertionError(f"seed {seed}: {error!r}") from error
    assert sum(len(world.acknowledged) for world in worlds) > 10
    assert sum(world.crashes for world in worlds) > 3
