"""Manifests: small, kept on disk like blobs, and read for what they say a repository holds."""

import asyncio
from dataclasses import dataclass

from dcp.images.manifests import digest_of, read_manifest
from dcp.images.model import Blob, ManifestPart, is_digest
from dcp.kernel.clock import Clock
from dcp.mirror.disk import Disk
from dcp.mirror.model import Counters, MirrorSettings
from dcp.mirror.rights import Rights
from dcp.mirror.upstream import Answer, Ask, NoUpstream, Refused, Upstreams

UNKNOWN_TYPE = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Manifest:
    """One manifest with its digest and media type."""

    digest: str
    media_type: str
    body: bytes


class Manifests:
    """Answers by tag and by digest; every answer is from a reader whom the registry lets read."""

    def __init__(
        self,
        disk: Disk,
        upstreams: Upstreams,
        rights: Rights,
        settings: MirrorSettings,
        clock: Clock,
        counters: Counters,
    ) -> None:
        self._disk = disk
        self._upstreams = upstreams
        self._rights = rights
        self._settings = settings
        self._clock = clock
        self._counters = counters
        self._tags: dict[tuple[str, str], tuple[str, float]] = {}
        self._coming: dict[str, asyncio.Lock] = {}

    async def find(self, repository: str, reference: str, ask: Ask) -> Manifest:
        """Return the manifest under a tag or digest. Raises Refused or NoUpstream."""
        if is_digest(reference):
            return await self._by_digest(repository, reference, ask)
        known = self._tags.get((repository, reference))
        now = self._clock.now()
        if (
            known
            and now - known[1] < self._settings.tag_s
            and self._rights.may_read(ask.authorization, repository, now)
        ):
            return await self._by_digest(repository, known[0], ask)
        try:
            digest = await self._resolve(repository, reference, ask)
        except NoUpstream:
            if known is None or not self._rights.could_read(ask.authorization, repository, now):
                raise
            return await self._by_digest(repository, known[0], ask)
        self._tags[repository, reference] = (digest, now)
        return await self._by_digest(repository, digest, ask)

    async def _resolve(self, repository: str, tag: str, ask: Ask) -> str:
        answer = await self._ask("HEAD", repository, ask)
        digest = answer.headers.get("Docker-Content-Digest", "")
        if is_digest(digest):
            return digest
        manifest = await self._fetched("", repository, ask)
        return manifest.digest

    async def _by_digest(self, repository: str, digest: str, ask: Ask) -> Manifest:
        here = await self._on_disk(digest)
        if here is None:
            lock = self._coming.setdefault(digest, asyncio.Lock())
            async with lock:
                here = await self._on_disk(digest)
                if here is None:
                    fetched = await self._fetched(digest, repository, _at(ask, repository, digest))
                    self._coming.pop(digest, None)
                    return fetched
        await self._check_rights(repository, digest, ask)
        self._learn_contents(repository, here)
        return here

    async def _check_rights(self, repository: str, digest: str, ask: Ask) -> None:
        """Return if the reader may have what is here. Raises Refused or NoUpstream."""
        now = self._clock.now()
        known = self._rights.size_in(repository, digest) is not None
        if known and self._rights.may_read(ask.authorization, repository, now):
            return
        try:
            await self._ask("HEAD", repository, _at(ask, repository, digest))
        except NoUpstream:
            if not (known and self._rights.could_read(ask.authorization, repository, now)):
                raise

    async def _ask(self, method: str, repository: str, ask: Ask) -> Answer:
        """Ask upstream and learn from it whether this reader may read. Raises Refused or NoUpstream."""
        self._counters.rights_asked += 1
        answer = await self._upstreams.ask(method, ask, self._upstreams.route.authorities())
        if answer.status != 200:
            if answer.status in (401, 403):
                self._rights.forget(ask.authorization, repository)
            raise Refused(answer)
        self._rights.learn(ask.authorization, repository, self._clock.now())
        return answer

    async def _fetched(self, digest: str, repository: str, ask: Ask) -> Manifest:
        """Get a manifest from the first upstream whose bytes are what the digest says ("": whatever the tag shows)."""
        wrong: list[str] = []
        urls = self._upstreams.route.order(0)
        while left := [url for url in urls if url not in wrong]:
            answer = await self._upstreams.ask("GET", ask, left)
            if answer.status != 200:
                raise Refused(answer)
            found = digest_of(answer.body)
            if digest in ("", found):
                return self._keep(repository, found, answer, ask)
            self._counters.wrong_digests[answer.upstream] += 1
            wrong.append(answer.upstream)
        raise NoUpstream(f"every upstream sent something else than {digest}")

    def _keep(self, repository: str, digest: str, answer: Answer, ask: Ask) -> Manifest:
        self._rights.learn(ask.authorization, repository, self._clock.now())
        manifest = Manifest(digest, answer.headers.get("Content-Type", "") or media_type_of(answer.body), answer.body)
        if not self._disk.has(digest) and self._disk.reserve(len(answer.body)):
            partial = self._disk.new_partial(digest)
            partial.write_bytes(answer.body)
            self._disk.commit(digest, partial, len(answer.body))
        self._learn_contents(repository, manifest)
        return manifest

    async def _on_disk(self, digest: str) -> Manifest | None:
        blob = await self._disk.find(digest)
        if blob is None:
            return None
        try:
            body = blob.path.read_bytes()
        except OSError:
            return None
        return Manifest(digest, media_type_of(body), body)

    def _learn_contents(self, repository: str, manifest: Manifest) -> None:
        self._rights.learn_content(repository, manifest.digest, len(manifest.body))
        for blob in parts_of(manifest.body)[0]:
            self._rights.learn_content(repository, blob.digest, blob.size_bytes)


def parts_of(body: bytes) -> tuple[tuple[Blob, ...], tuple[ManifestPart, ...]]:
    """Return the blobs and manifests that a manifest names; nothing of one that cannot be read."""
    try:
        manifest = read_manifest(body)
    except ValueError:
        return (), ()
    return manifest.blobs, manifest.parts


def media_type_of(body: bytes) -> str:
    """Return the media type that a manifest names, or that its form shows."""
    try:
        return read_manifest(body).media_type
    except ValueError:
        return UNKNOWN_TYPE


def _at(ask: Ask, repository: str, digest: str) -> Ask:
    return Ask(f"/v2/{repository}/manifests/{digest}", ask.authorization, ask.accept, ask.hops)
