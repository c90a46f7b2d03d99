"""Brings one image to one site: blobs first, then the manifest by digest, then the tag.

What is there is skipped, what another repository of the site has is mounted, and an upload that was interrupted goes on
where it stands: its place is written down after every chunk, under the worker's lease. Two images that share a layer
send it once.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

from dcp.engine.context import Context
from dcp.engine.images.sites import ImageSites, SiteRegistry
from dcp.images.manifests import digest_of, read_configuration
from dcp.images.model import Blob, ImageConfiguration, Manifest
from dcp.images.ports import Upload
from dcp.images.rate import Rate
from dcp.images.replication.decide import CopyOrder
from dcp.kernel.errors import DcpError, LeaseLost, NotFound, Rejected
from dcp.store import image_content, images
from dcp.store.leases import Lease

PARALLEL_BLOBS = 3
"""Of one image at once."""
CHUNK_BYTES = 1 << 20
"""Sent at once and then written down. So much fits into the buffers of a connection, and arrives whole or not at all
also when the controller is killed."""
SMALLEST_CHUNK_BYTES = 256 << 10
CONFIGURATION_LIMIT_BYTES = 1 << 20


@dataclass(slots=True)
class Progress:
    """Bytes of one copy: all of it, what the site has, and what crossed the line."""

    size_bytes: int = 0
    there_bytes: int = 0
    moved_bytes: int = 0
    sites: set[str] = field(default_factory=set)
    """Where it came from."""


class Copier:
    """Copies for one worker, under its lease."""

    def __init__(self, context: Context, sites: ImageSites) -> None:
        self._context = context
        self._sites = sites
        self._rates: dict[tuple[str, str], Rate] = {}
        self._locks: dict[tuple[str, str], tuple[asyncio.Lock, list[None]]] = {}
        self._arrived: dict[tuple[str, str], str] = {}

    async def bring(self, lease: Lease, order: CopyOrder) -> Progress:
        """Bring the image of `order` to its site; raise what the last source failed with."""
        task = _Bringing(self, lease, order)
        await task.content()
        await task.tag()
        return task.progress

    def registry(self, site: str) -> SiteRegistry:
        """Return a site's registry."""
        return self._sites.registries[site]

    @property
    def context(self) -> Context:
        return self._context

    def rate(self, source: str, target: str) -> Rate:
        """Return the bound of a line."""
        limit = self._sites.limits.rate_bytes_per_s
        return self._rates.setdefault((source, target), Rate(self._context.clock, limit))

    @property
    def chunk_bytes(self) -> int:
        """Half a second of a slow line, so that its pieces take turns and little is lost in a crash."""
        limit = self._sites.limits.rate_bytes_per_s
        return CHUNK_BYTES if limit is None else min(CHUNK_BYTES, max(SMALLEST_CHUNK_BYTES, round(limit / 2)))

    @asynccontextmanager
    async def alone(self, site: str, digest: str) -> AsyncIterator[None]:
        """Let one at a time send a blob to a site; who waited finds it there."""
        lock, users = self._locks.setdefault((site, digest), (asyncio.Lock(), []))
        users.append(None)
        try:
            async with lock:
                yield
        finally:
            users.pop()
            if not users:
                self._locks.pop((site, digest), None)

    def arrived(self, site: str, digest: str, repository: str) -> None:
        """Remember who has a blob, for images that share it and are copied now."""
        if len(self._arrived) > 10_000:
            self._arrived.clear()
        self._arrived[site, digest] = repository

    async def elsewhere(self, site: str, digest: str) -> str:
        """Return a repository of the site that has the blob; empty if none is known."""
        if found := self._arrived.get((site, digest)):
            return found
        return await self._context.database.read(lambda connection: image_content.holding(connection, site, digest))


class _Bringing:
    """One image on its way to one site."""

    def __init__(self, copier: Copier, lease: Lease, order: CopyOrder) -> None:
        self._copier = copier
        self._lease = lease
        self._order = order
        self._copy = order.copy
        self._target = copier.registry(order.copy.site)
        self._manifest: Manifest | None = None
        self._blobs = asyncio.Semaphore(PARALLEL_BLOBS)
        self.progress = Progress(moved_bytes=order.copy.moved_bytes)

    async def content(self) -> None:
        """Have the site hold the digest whole."""
        repository, digest = self._copy.repository, self._copy.digest
        if await self._target.resolve(repository, digest) is not None:
            self._manifest = await self._target.get_manifest(repository, digest)
            await self._measure(self._target, self._manifest)
            self.progress.there_bytes = self.progress.size_bytes
            await self._note()
            return
        failure: DcpError = NotFound(f"no other site has {repository}@{digest}")
        for source in self._order.sources:
            try:
                await self._from(source)
                return
            except (DcpError, ExceptionGroup) as error:
                found = _first(error)
                if isinstance(found, LeaseLost):
                    raise found from error
                if isinstance(failure, NotFound):  # that one has nothing tells less than what another one failed with
                    failure = found
        await self._restore(failure)

    async def tag(self) -> None:
        """Have the site's tag name the digest, if that is what the tag means now."""
        copy = self._copy
        if not copy.tag:
            return
        context = self._copier.context
        head = await context.write_under(
            self._lease, lambda connection: images.head(connection, copy.repository, copy.tag)
        )
        if head is None or head.digest != copy.digest:
            return
        if await self._target.resolve(copy.repository, copy.tag) != copy.digest:
            assert self._manifest is not None, "the content came first"
            await self._target.put_manifest(copy.repository, copy.tag, self._manifest)

    async def _from(self, source: str) -> None:
        registry = self._copier.registry(source)
        manifest = await registry.get_manifest(self._copy.repository, self._copy.digest)
        self.progress = Progress(moved_bytes=self.progress.moved_bytes)
        await self._measure(registry, manifest)
        await self._note()
        await self._bring(source, manifest)
        self._manifest = manifest

    async def _bring(self, source: str, manifest: Manifest) -> None:
        repository = self._copy.repository
        for part in manifest.parts:
            if await self._target.resolve(repository, part.digest) is None:
                await self._bring(source, await self._copier.registry(source).get_manifest(repository, part.digest))
        async with asyncio.TaskGroup() as group:
            for blob in manifest.blobs:
                group.create_task(self._bring_blob(source, blob))
        await self._target.put_manifest(repository, manifest.digest, manifest)

    async def _bring_blob(self, source: str, blob: Blob) -> None:
        site, repository = self._copy.site, self._copy.repository
        async with self._blobs, self._copier.alone(site, blob.digest):
            if await self._target.blob_size(repository, blob.digest) is None:
                await self._send(source, blob)
            else:
                self.progress.there_bytes += blob.size_bytes
            self._copier.arrived(site, blob.digest, repository)
            await self._note()

    async def _send(self, source: str, blob: Blob) -> None:
        """Send what is missing of a blob, from where an earlier upload stands."""
        site, repository = self._copy.site, self._copy.repository
        database = self._copier.context.database
        kept = await database.read(lambda connection: image_content.upload(connection, site, repository, blob.digest))
        mount = "" if kept else await self._copier.elsewhere(site, blob.digest)
        upload = await self._target.begin_upload(
            repository, blob.digest, resume=kept, mount_from=mount if mount != repository else ""
        )
        if upload.complete:
            self.progress.there_bytes += blob.size_bytes
            return
        if upload.offset_bytes > blob.size_bytes:
            upload = await self._target.begin_upload(repository, blob.digest)
        upload = await self._stream(source, blob, upload)
        async with self._unless_refused(blob):
            await self._target.finish_upload(upload)
        await self._forget(blob)

    async def _stream(self, source: str, blob: Blob, upload: Upload) -> Upload:
        self.progress.there_bytes += upload.offset_bytes
        rate, limit = self._copier.rate(source, self._copy.site), self._copier.chunk_bytes
        waiting = bytearray()
        if upload.offset_bytes < blob.size_bytes:
            pieces = self._copier.registry(source).read_blob(self._copy.repository, blob.digest, upload.offset_bytes)
            async with aclosing(pieces):
                async for piece in pieces:
                    waiting += piece
                    while len(waiting) >= limit:
                        upload = await self._append(blob, upload, rate, bytes(waiting[:limit]))
                        del waiting[:limit]
        if waiting:
            upload = await self._append(blob, upload, rate, bytes(waiting))
        self.progress.sites.add(source)
        return upload

    async def _append(self, blob: Blob, upload: Upload, rate: Rate, chunk: bytes) -> Upload:
        await rate.take(len(chunk))
        async with self._unless_refused(blob):
            after = await self._target.append_upload(upload, chunk)
        self.progress.moved_bytes += len(chunk)
        self.progress.there_bytes += len(chunk)
        await self._note(
            replace(after, pending_bytes=min(self._copier.chunk_bytes, blob.size_bytes - after.offset_bytes))
        )
        return after

    @asynccontextmanager
    async def _unless_refused(self, blob: Blob) -> AsyncIterator[None]:
        """Where the registry does not go on with an upload, the next attempt begins a new one."""
        try:
            yield
        except (NotFound, Rejected):
            await self._forget(blob)
            raise

    async def _note(self, upload: Upload | None = None) -> None:
        """Write down how far it is. Raises LeaseLost where somebody else goes on with it."""
        context, copy, progress = self._copier.context, self._copy, self.progress
        now = context.clock.now()

        def work(connection: Connection) -> None:
            images.note_progress(connection, copy.key, progress.size_bytes, progress.there_bytes, progress.moved_bytes)
            if upload is not None:
                image_content.put_upload(connection, copy.site, upload, now)

        await context.write_under(self._lease, work)

    async def _forget(self, blob: Blob) -> None:
        site, repository = self._copy.site, self._copy.repository
        await self._copier.context.write_under(
            self._lease, lambda connection: image_content.drop_upload(connection, site, repository, blob.digest)
        )

    async def _measure(self, registry: SiteRegistry, manifest: Manifest) -> None:
        """Learn how large the image is, and keep what it is made of."""
        parts = [await self._known(registry, part.digest) for part in manifest.parts]
        await self._keep(registry, manifest)
        blobs = {blob.digest: blob.size_bytes for one in (manifest, *parts) if one for blob in one.blobs}
        own = sum(one.size_bytes for one in (manifest, *parts) if one)
        self.progress.size_bytes = own + sum(blobs.values())
        self.progress.there_bytes = own

    async def _known(self, registry: SiteRegistry, digest: str) -> Manifest | None:
        """Return a part of an index; None where the registry has only some of the parts."""
        try:
            part = await registry.get_manifest(self._copy.repository, digest)
        except NotFound:
            return None
        await self._keep(registry, part)
        return part

    async def _keep(self, registry: SiteRegistry, manifest: Manifest) -> None:
        database = self._copier.context.database
        known = await database.read(lambda connection: image_content.manifests(connection, [manifest.digest]))
        if known:
            return
        configuration = await self._configuration(registry, manifest)
        now = self._copier.context.clock.now()
        await database.write(lambda connection: image_content.put_manifest(connection, manifest, configuration, now))

    async def _configuration(self, registry: SiteRegistry, manifest: Manifest) -> ImageConfiguration | None:
        blob = manifest.config
        if blob is None or blob.size_bytes > CONFIGURATION_LIMIT_BYTES:
            return None
        content = bytearray()
        pieces = registry.read_blob(self._copy.repository, blob.digest)
        async with aclosing(pieces):
            async for piece in pieces:
                content += piece
        if digest_of(bytes(content)) != blob.digest:
            raise Rejected(f"{self._copy.repository} has a configuration that is not {blob.digest}")
        return read_configuration(bytes(content))

    async def _restore(self, failure: DcpError) -> None:
        """The manifest may be gone while its blobs are still there; we know what it said."""
        digest = self._copy.digest
        known = await self._copier.context.database.read(
            lambda connection: image_content.manifests(connection, [digest])
        )
        if digest not in known:
            raise failure
        try:
            await self._target.put_manifest(self._copy.repository, digest, known[digest].manifest)
        except Rejected as error:
            raise failure from error
        self._manifest = known[digest].manifest
        await self._measure(self._target, self._manifest)
        self.progress.there_bytes = self.progress.size_bytes


def _first(error: DcpError | ExceptionGroup) -> DcpError:
    """Return what went wrong first in a group of tasks; what is no DcpError goes on up."""
    if isinstance(error, DcpError):
        return error
    for inner in error.exceptions:
        if isinstance(inner, DcpError):
            return inner
    raise error
