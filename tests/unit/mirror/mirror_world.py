"""Images in a real registry, mirrors in this process, and an upstream that can be told to misbehave."""

import asyncio
import hashlib
import io
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
from aiohttp import web

from dcp.images.manifests import OCI_MANIFEST, digest_of
from dcp.kernel.clock import SystemClock
from dcp.mirror.model import MirrorSettings, Route
from dcp.mirror.server import Mirror

REPOSITORY = "shop/feed"
BYTES = {"Content-Type": "application/octet-stream"}
CONTROL = {"Authorization": "Bearer control"}


@dataclass(frozen=True, slots=True)
class Image:
    """An image as its registry holds it."""

    manifest: bytes
    blobs: tuple[bytes, ...]

    @property
    def digest(self) -> str:
        return digest_of(self.manifest)

    @property
    def size(self) -> int:
        return sum(len(blob) for blob in self.blobs)


def image_of(*layers: bytes) -> Image:
    config = json.dumps({"architecture": "amd64", "os": "linux", "layers": len(layers)}).encode()

    def descriptor(blob: bytes, kind: str) -> dict[str, object]:
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": digest_of(blob), "size": len(blob)}

    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(config, "config.v1+json"),
        "layers": [descriptor(layer, "layer.v1.tar+gzip") for layer in layers],
    }
    return Image(json.dumps(manifest).encode(), (config, *layers))


def layer(size: int, seed: int = 0) -> bytes:
    """Bytes that differ everywhere."""
    block = hashlib.sha256(str(seed).encode()).digest()
    row = b"".join(hashlib.sha256(block + number.to_bytes(4, "big")).digest() for number in range(2048))
    return (row * (size // len(row) + 1))[:size]


async def push(url: str, image: Image, *, tag: str = "v1", repository: str = REPOSITORY) -> None:
    async with aiohttp.ClientSession() as session:
        for blob in image.blobs:
            async with session.post(f"{url}/v2/{repository}/blobs/uploads/") as begun:
                location = begun.headers["Location"]
            separator = "&" if "?" in location else "?"
            target = f"{location}{separator}digest={digest_of(blob)}"
            async with session.put(
                target, data=io.BytesIO(blob), headers={"Content-Type": "application/octet-stream"}
            ) as put:
                assert put.status == 201, await put.text()
        headers = {"Content-Type": OCI_MANIFEST}
        target = f"{url}/v2/{repository}/manifests/{tag}"
        async with session.put(target, data=image.manifest, headers=headers) as put:
            assert put.status == 201, await put.text()


@dataclass(frozen=True, slots=True)
class Got:
    """What a reader was answered."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Running:
    """A mirror that listens."""

    mirror: Mirror
    url: str
    session: aiohttp.ClientSession

    async def blob(self, blob: bytes, *, token: str = "", headers: dict[str, str] | None = None) -> bytes:
        """Read a blob as an engine does; raises ClientError if it is cut."""
        async with self.session.get(
            f"{self.url}/v2/{REPOSITORY}/blobs/{digest_of(blob)}", headers={**auth(token), **(headers or {})}
        ) as response:
            response.raise_for_status()
            return await response.read()

    async def manifest(self, reference: str, *, token: str = "") -> "Got":
        target = f"{self.url}/v2/{REPOSITORY}/manifests/{reference}"
        async with self.session.get(target, headers={"Accept": OCI_MANIFEST, **auth(token)}) as response:
            return Got(response.status, dict(response.headers), await response.read())

    async def pull(self, image: Image, *, token: str = "") -> None:
        """Read all of an image, as an engine does, and check every byte."""
        response = await self.manifest(image.digest, token=token)
        assert (response.status, response.body) == (200, image.manifest)
        for blob in image.blobs:
            assert await self.blob(blob, token=token) == blob

    @property
    def from_upstream(self) -> Counter[str]:
        return self.mirror.counters.from_upstream


def auth(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


@asynccontextmanager
async def mirror_at(
    folder: Path,
    *registries: str,
    parents: tuple[str, ...] = (),
    name: str = "m",
    port: int = 0,
    **changes: object,
) -> AsyncIterator[Running]:
    settings = MirrorSettings(
        name=name,
        directory=folder,
        route=Route(tuple((url,) for url in parents), registries),
        host="127.0.0.1",
        port=port,
        control_token="control",
        stall_s=2.0,
        connect_s=1.0,
        cool_down_s=0.5,
    )
    mirror = Mirror(replace(settings, **changes), SystemClock())
    port = await mirror.start()
    try:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=30)) as session:
            yield Running(mirror, f"http://127.0.0.1:{port}", session)
    finally:
        await mirror.close()


class Upstream:
    """A registry of one image that does what a test tells it. Counts what it was asked."""

    def __init__(self, image: Image) -> None:
        self.image = image
        self.asked: Counter[str] = Counter()
        self.sent_bytes = 0
        self.wrong = False
        """Send other bytes than the digest says."""
        self.stop_after: int | None = None
        """Break every answer with a blob after so many bytes."""
        self.stall_after: int | None = None
        self.chunk_s = 0.0
        """Wait so long before every 64 KiB."""
        self.denied: set[str] = set()
        """Tokens that may not read."""
        self.down = False
        self.url = ""

    @asynccontextmanager
    async def serve(self) -> AsyncIterator["Upstream"]:
        application = web.Application()
        application.router.add_route("*", "/v2/{rest:.*}", self._answer)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        kind = "manifests" if "/manifests/" in request.path else "blobs" if "/blobs/" in request.path else "other"
        self.asked[f"{request.method} {kind}"] += 1
        if self.down:
            return web.Response(status=500)
        if request.headers.get("Authorization", "").removeprefix("Bearer ") in self.denied:
            challenge = {"WWW-Authenticate": 'Bearer realm="http://token/",service="dcp"'}
            return web.json_response({"errors": [{"code": "UNAUTHORIZED"}]}, status=401, headers=challenge)
        reference = request.path.rsplit("/", 1)[-1]
        if kind == "manifests" and reference in ("v1", self.image.digest):
            headers = {"Docker-Content-Digest": self.image.digest, "Content-Type": OCI_MANIFEST}
            return web.Response(body=self.image.manifest, headers=headers)
        for blob in self.image.blobs:
            if digest_of(blob) == reference:
                return await self._send(request, blob)
        return web.json_response({"errors": [{"code": "BLOB_UNKNOWN"}]}, status=404)

    async def _send(self, request: web.Request, blob: bytes) -> web.StreamResponse:
        span = request.http_range
        body = blob[span]
        start = span.start or 0
        status = 206 if "Range" in request.headers else 200
        headers = {"Content-Length": str(len(body))}
        if status == 206:
            headers["Content-Range"] = f"bytes {start}-{start + len(body) - 1}/{len(blob)}"
        response = web.StreamResponse(status=status, headers=headers)
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        body = bytes(len(body)) if self.wrong else body
        for offset in range(0, len(body), 65536):
            if self.stop_after is not None and offset >= self.stop_after:
                assert request.transport is not None
                request.transport.abort()
                return response
            if self.stall_after is not None and offset >= self.stall_after:
                await asyncio.sleep(20)
            if self.chunk_s:
                await asyncio.sleep(self.chunk_s)
            chunk = body[offset : offset + 65536]
            await response.write(chunk)
            self.sent_bytes += len(chunk)
        return response
