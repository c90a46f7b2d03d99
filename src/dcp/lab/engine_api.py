"""The few calls of the Docker Engine API that a lab itself needs, over an engine's unix socket."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp

from dcp.kernel.errors import Unavailable

_CHUNK_BYTES = 1 << 20


async def answers(socket: Path, limit_s: float = 2.0) -> bool:
    """Return whether the engine answers."""
    try:
        async with _session(socket, limit_s) as session, session.get("http://engine/_ping") as response:
            return response.status == 200
    except (aiohttp.ClientError, OSError, TimeoutError):
        return False


async def images(socket: Path) -> dict[str, str]:
    """Return the engine's images: tag to identifier."""
    found: list[dict[str, Any]] = json.loads(await _call(socket, "GET", "/images/json"))
    return {tag: image["Id"] for image in found for tag in image.get("RepoTags") or ()}


async def containers(socket: Path) -> int:
    """Return how many containers run on the engine."""
    return len(json.loads(await _call(socket, "GET", "/containers/json")))


async def load(socket: Path, archive: Path, limit_s: float = 600.0) -> str:
    """Load an archive as `docker save` writes it; return what the engine said. Loading it again changes nothing."""
    said = await _call(socket, "POST", "/images/load?quiet=1", archive, limit_s)
    for line in said.splitlines():
        if line.strip() and (error := json.loads(line).get("error")):
            raise Unavailable(f"{archive.name}: the engine refused it: {error}")
    return said


async def tag(socket: Path, identifier: str, name: str) -> None:
    """Give an image of the engine a further name."""
    repository, _, label = name.rpartition(":") if ":" in name.rpartition("/")[2] else (name, "", "latest")
    await _call(socket, "POST", f"/images/{identifier}/tag?{urlencode({'repo': repository, 'tag': label})}")


async def _call(socket: Path, method: str, path: str, body: Path | None = None, limit_s: float = 30.0) -> str:
    try:
        async with (
            _session(socket, limit_s) as session,
            session.request(
                method,
                f"http://engine{path}",
                data=_chunks(body) if body else None,
                headers={"Content-Type": "application/x-tar"} if body else None,
            ) as response,
        ):
            text = await response.text()
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise Unavailable(f"the engine at {socket} does not answer: {error!r}") from error
    if response.status >= 400:
        raise Unavailable(f"the engine at {socket} refused {method} {path}: {text.strip()[:300]}")
    return text


@asynccontextmanager
async def _session(socket: Path, limit_s: float) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.UnixConnector(path=str(socket))
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=limit_s)) as session:
        yield session


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk
