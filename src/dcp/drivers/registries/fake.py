"""Registry `fake`: repositories, blobs and uploads in memory, misbehaving exactly as it is told.

For simulation and tests. It keeps the contract of a real one: a manifest needs its blobs, a blob needs its digest, an
upload is gone on with from where it stands. Keep the object and it outlives the controller.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field

from dcp.images.manifests import digest_of
from dcp.images.model import Manifest, is_digest
from dcp.images.ports import Upload
from dcp.kernel.clock import Clock
from dcp.kernel.errors import DcpError, NotFound, Rejected, Unreachable

PIECE_BYTES = 64 << 10


@dataclass(slots=True)
class _Repository:
    manifests: dict[str, Manifest] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class FakeRegistry:
    """The attributes may be changed at any time."""

    clock: Clock
    url: str = "fake://registry"
    away: bool = False
    """Nothing answers."""
    may_delete: bool = True
    delays_s: dict[str, float] = field(default_factory=dict)
    """Seconds that a verb takes before it has its effect."""
    wrong_bytes: bool = False
    """Blobs are read with one bit changed."""
    calls: Counter[str] = field(default_factory=Counter)
    received: Counter[str] = field(default_factory=Counter)
    """Bytes of each digest that were appended to uploads."""
    sent: Counter[str] = field(default_factory=Counter)
    """Bytes of each digest that were read."""
    _repositories: dict[str, _Repository] = field(default_factory=dict)
    _uploads: dict[str, bytearray] = field(default_factory=dict)
    _faults: dict[str, deque[DcpError]] = field(default_factory=dict)
    _number: int = 0

    # What a test or a simulation does to it.

    def fail(self, verb: str, error: DcpError, *, times: int = 1) -> None:
        """Let the next `times` calls of `verb` raise `error`."""
        self._faults.setdefault(verb, deque()).extend([error] * times)

    def wipe(self) -> None:
        """Lose everything, as a registry whose storage is gone."""
        self._repositories.clear()
        self._uploads.clear()

    def put_image(self, repository: str, tag: str, manifest: Manifest, blobs: dict[str, bytes]) -> None:
        """Have an image as if somebody had pushed it."""
        own = self._repository(repository)
        own.blobs.update(blobs)
        own.manifests[manifest.digest] = manifest
        if tag:
            own.tags[tag] = manifest.digest

    def blobs_of(self, repository: str) -> dict[str, bytes]:
        """Return what is stored below a repository, by digest."""
        return dict(self._repositories.get(repository, _Repository()).blobs)

    def digests_of(self, repository: str) -> tuple[str, ...]:
        """Return the manifests that are stored below a repository."""
        return tuple(sorted(self._repositories.get(repository, _Repository()).manifests))

    # The contract.

    async def resolve(self, repository: str, reference: str) -> str | None:
        await self._enter("resolve")
        own = self._repositories.get(repository, _Repository())
        digest = reference if is_digest(reference) else own.tags.get(reference, "")
        return digest if digest in own.manifests else None

    async def get_manifest(self, repository: str, reference: str) -> Manifest:
        await self._enter("get_manifest")
        own = self._repositories.get(repository, _Repository())
        found = own.manifests.get(reference if is_digest(reference) else own.tags.get(reference, ""))
        if found is None:
            raise NotFound(f"{self.url} has no {repository} {reference}")
        return found

    async def put_manifest(self, repository: str, reference: str, manifest: Manifest) -> None:
        await self._enter("put_manifest")
        own = self._repository(repository)
        missing = [blob.digest for blob in manifest.blobs if blob.digest not in own.blobs]
        missing += [part.digest for part in manifest.parts if part.digest not in own.manifests]
        if missing:
            raise Rejected(f"{repository} has no {', '.join(missing)}")
        if is_digest(reference) and reference != manifest.digest:
            raise Rejected(f"{reference} is not the digest of this manifest")
        own.manifests[manifest.digest] = manifest
        if not is_digest(reference):
            own.tags[reference] = manifest.digest

    async def blob_size(self, repository: str, digest: str) -> int | None:
        await self._enter("blob_size")
        content = self._repositories.get(repository, _Repository()).blobs.get(digest)
        return None if content is None else len(content)

    async def read_blob(self, repository: str, digest: str, offset_bytes: int = 0) -> AsyncGenerator[bytes, None]:
        await self._enter("read_blob")
        content = self._repositories.get(repository, _Repository()).blobs.get(digest)
        if content is None:
            raise NotFound(f"{self.url} has no {repository} {digest}")
        if self.wrong_bytes:
            content = bytes([content[0] ^ 1]) + content[1:]
        for start in range(offset_bytes, len(content), PIECE_BYTES):
            self._refuse_if_away()
            piece = content[start : start + PIECE_BYTES]
            self.sent[digest] += len(piece)
            yield piece
            await asyncio.sleep(0)

    async def begin_upload(
        self, repository: str, digest: str, *, resume: Upload | None = None, mount_from: str = ""
    ) -> Upload:
        await self._enter("begin_upload")
        if resume is not None and resume.location in self._uploads:
            return Upload(repository, digest, resume.location, len(self._uploads[resume.location]))
        content = self._repositories.get(mount_from, _Repository()).blobs.get(digest)
        if content is not None:
            self._repository(repository).blobs[digest] = content
            return Upload(repository, digest, complete=True)
        self._number += 1
        location = f"{self.url}/uploads/{self._number}"
        self._uploads[location] = bytearray()
        return Upload(repository, digest, location)

    async def append_upload(self, upload: Upload, chunk: bytes) -> Upload:
        await self._enter("append_upload")
        content = self._uploads.get(upload.location)
        if content is None or len(content) != upload.offset_bytes:
            raise NotFound(f"{self.url} does not go on with this upload at {upload.offset_bytes}")
        content += chunk
        self.received[upload.digest] += len(chunk)
        return Upload(upload.repository, upload.digest, upload.location, len(content))

    async def finish_upload(self, upload: Upload) -> None:
        await self._enter("finish_upload")
        content = self._uploads.pop(upload.location, None)
        if content is None:
            raise NotFound(f"{self.url} does not know this upload")
        if digest_of(bytes(content)) != upload.digest:
            raise Rejected(f"what was sent is not {upload.digest}")
        self._repository(upload.repository).blobs[upload.digest] = bytes(content)

    async def repositories(self) -> AsyncIterator[str]:
        await self._enter("repositories")
        for name in sorted(self._repositories):
            yield name

    async def tags(self, repository: str) -> tuple[str, ...]:
        await self._enter("tags")
        return tuple(sorted(self._repositories.get(repository, _Repository()).tags))

    async def delete_manifest(self, repository: str, digest: str) -> None:
        await self._enter("delete_manifest")
        if not self.may_delete:
            raise Rejected(f"{self.url} does not allow deleting")
        own = self._repositories.get(repository, _Repository())
        own.manifests.pop(digest, None)
        own.tags = {tag: known for tag, known in own.tags.items() if known != digest}

    def _repository(self, name: str) -> _Repository:
        return self._repositories.setdefault(name, _Repository())

    async def _enter(self, verb: str) -> None:
        self.calls[verb] += 1
        if verb in self.delays_s:
            await self.clock.sleep(self.delays_s[verb])
        if faults := self._faults.get(verb):
            raise faults.popleft()
        self._refuse_if_away()

    def _refuse_if_away(self) -> None:
        if self.away:
            raise Unreachable(f"registry {self.url} cannot be reached")
