"""The verbs of `Registry` and `Catalogue` over the registry API."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from urllib.parse import quote, urljoin

import httpx

from dcp.drivers.registries.distribution.connection import Connection, RegistryAddress
from dcp.drivers.registries.distribution.upload_state import at_offset
from dcp.images.manifests import ACCEPTED, digest_of, read_manifest
from dcp.images.model import Manifest, is_digest
from dcp.images.ports import Upload
from dcp.kernel.clock import Clock
from dcp.kernel.errors import DriverError, NotFound, Rejected

PAGE = 500
PIECE_BYTES = 1 << 20
MANIFEST_LIMIT_BYTES = 4 << 20
"""What registries themselves accept at most."""
_ACCEPT = {"Accept": ", ".join(ACCEPTED)}


class DistributionRegistry:
    """One registry. Nothing is asked of it before the first verb."""

    def __init__(
        self, address: RegistryAddress, clock: Clock, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._connection = Connection(address, clock, transport)
        self._upload_secret = address.upload_secret
        self.url = self._connection.url

    async def aclose(self) -> None:
        """Close what is open."""
        await self._connection.aclose()

    async def resolve(self, repository: str, reference: str) -> str | None:
        url = _manifest(repository, reference)
        response = await self._connection.request("HEAD", url, _pull(repository), headers=_ACCEPT, missing=True)
        if response.status_code == 404:
            return None
        digest = response.headers.get("docker-content-digest", "")
        return digest if is_digest(digest) else (await self.get_manifest(repository, reference)).digest

    async def get_manifest(self, repository: str, reference: str) -> Manifest:
        url = _manifest(repository, reference)
        response = await self._connection.request("GET", url, _pull(repository), headers=_ACCEPT, missing=True)
        if response.status_code == 404:
            raise NotFound(f"{self.url} has no {repository} {reference}")
        body = response.content
        if is_digest(reference) and digest_of(body) != reference:
            raise Rejected(f"{self.url} answers for {repository}@{reference} with other content: {digest_of(body)}")
        try:
            return read_manifest(body, response.headers.get("content-type", ""))
        except ValueError as error:
            raise Rejected(f"{repository} {reference} at {self.url}: {error}") from error

    async def put_manifest(self, repository: str, reference: str, manifest: Manifest) -> None:
        headers = {"Content-Type": manifest.media_type}
        url = _manifest(repository, reference)
        await self._connection.request("PUT", url, _push(repository), headers=headers, content=manifest.body)

    async def blob_size(self, repository: str, digest: str) -> int | None:
        url = f"/v2/{repository}/blobs/{digest}"
        response = await self._connection.request("HEAD", url, _pull(repository), missing=True)
        if response.status_code == 404:
            return None
        try:
            return int(response.headers["content-length"])
        except (KeyError, ValueError) as error:
            raise DriverError(f"{self.url} does not say how long {digest} is") from error

    async def read_blob(self, repository: str, digest: str, offset_bytes: int = 0) -> AsyncGenerator[bytes, None]:
        headers = {"Range": f"bytes={offset_bytes}-"} if offset_bytes else {}
        url = f"/v2/{repository}/blobs/{digest}"
        async with self._connection.stream("GET", url, _pull(repository), headers=headers) as response:
            skip = offset_bytes if response.status_code == 200 else 0
            async for piece in response.aiter_raw(PIECE_BYTES):
                if len(piece) <= skip:
                    skip -= len(piece)
                    continue
                yield piece[skip:]
                skip = 0

    async def begin_upload(
        self, repository: str, digest: str, *, resume: Upload | None = None, mount_from: str = ""
    ) -> Upload:
        if resume is not None:
            for place in self._places(resume):
                known = await self._where_it_stands(place)
                if known is not None:
                    return known
        scope, params = _push(repository), None
        if mount_from:
            scope = " ".join(sorted({scope, _pull(mount_from)}))
            params = {"mount": digest, "from": mount_from}
        response = await self._connection.request("POST", f"/v2/{repository}/blobs/uploads/", scope, params=params)
        if response.status_code == 201:
            return Upload(repository, digest, complete=True)
        return Upload(repository, digest, self._location(response))

    async def append_upload(self, upload: Upload, chunk: bytes) -> Upload:
        end = upload.offset_bytes + len(chunk)
        headers = {"Content-Type": "application/octet-stream", "Content-Range": f"{upload.offset_bytes}-{end - 1}"}
        response = await self._connection.request(
            "PATCH", upload.location, _push(upload.repository), headers=headers, content=chunk
        )
        return Upload(upload.repository, upload.digest, self._location(response), end)

    async def finish_upload(self, upload: Upload) -> None:
        joint = "&" if "?" in upload.location else "?"
        url = f"{upload.location}{joint}digest={quote(upload.digest)}"
        await self._connection.request("PUT", url, _push(upload.repository), content=b"")

    async def repositories(self) -> AsyncIterator[str]:
        async for page in self._linked(f"/v2/_catalog?n={PAGE}", "registry:catalog:*"):
            for name in _names(page, "repositories"):
                yield name

    async def tags(self, repository: str) -> tuple[str, ...]:
        found: set[str] = set()
        async for page in self._linked(f"/v2/{repository}/tags/list?n={PAGE}", _pull(repository)):
            found.update(_names(page, "tags"))
        return tuple(sorted(found))

    async def delete_manifest(self, repository: str, digest: str) -> None:
        scope = f"repository:{repository}:delete"
        await self._connection.request("DELETE", _manifest(repository, digest), scope, missing=True)

    def _places(self, upload: Upload) -> Iterator[Upload]:
        """Yield where an upload may stand: as it was written down, or with what was sent after that."""
        yield upload
        after = upload.offset_bytes + upload.pending_bytes
        if upload.pending_bytes and self._upload_secret:
            location = at_offset(upload.location, self._upload_secret, after)
            if location is not None:
                yield Upload(upload.repository, upload.digest, location, after)

    async def _where_it_stands(self, upload: Upload) -> Upload | None:
        """Ask the registry; None if it does not know this upload (any more, or not at this offset)."""
        try:
            response = await self._connection.request("GET", upload.location, _push(upload.repository), missing=True)
        except Rejected:
            return None
        if response.status_code == 404:
            return None
        _, _, last = response.headers.get("range", "").partition("-")
        # Registries write 0-0 for nothing as well as for one byte.
        offset = int(last) + 1 if last.isdigit() and int(last) > 0 else 0
        return Upload(upload.repository, upload.digest, self._location(response), offset)

    def _location(self, response: httpx.Response) -> str:
        """Registries answer with whole addresses or with paths."""
        location: str = response.headers.get("location", "")
        if not location:
            raise DriverError(f"{self.url} does not say where an upload goes on")
        return urljoin(f"{self.url}/", location)

    async def _linked(self, url: str, scope: str) -> AsyncIterator[httpx.Response]:
        while url:
            response = await self._connection.request("GET", url, scope, missing=True)
            if response.status_code == 404:
                return
            yield response
            following = response.links.get("next", {}).get("url", "")
            url = urljoin(str(response.url), following) if following else ""


def _manifest(repository: str, reference: str) -> str:
    return f"/v2/{repository}/manifests/{reference}"


def _pull(repository: str) -> str:
    return f"repository:{repository}:pull"


def _push(repository: str) -> str:
    return f"repository:{repository}:pull,push"


def _names(response: httpx.Response, key: str) -> list[str]:
    """A registry writes null for an empty list."""
    try:
        return [str(name) for name in response.json()[key] or []]
    except (ValueError, KeyError, TypeError) as error:
        raise DriverError(f"{response.url} does not list its {key}") from error
