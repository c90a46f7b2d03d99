"""What an engine calls the image of an order.

A reference without a digest is used as the engine has it. One with a digest starts from exactly that content, under
whatever name it came: an image pulled from a mirror carries the mirror's name.
"""

import json
from collections.abc import Mapping
from typing import Any

from dcp.drivers.runtimes.docker.api import EngineApi
from dcp.kernel.errors import Rejected


class ImageNames:
    """Digests and the engine's own ids for them, of one engine."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}

    async def find(self, api: EngineApi, image: str) -> str:
        """Return what to create a container from. Raises Rejected: `image-missing`."""
        digest = digest_of(image)
        if not digest:
            return image
        if digest not in self._ids:
            for item in await list_images(api):
                for one in (*digests_of(item), item["Id"]):
                    self._ids[one] = item["Id"]
        try:
            return self._ids[digest]
        except KeyError:
            raise Rejected(f"image-missing: {image} is not on this host") from None

    def forget(self, image: str = "") -> None:
        """The engine says that it has it no more; without a name, nothing is known any more."""
        if image:
            self._ids.pop(digest_of(image), None)
        else:
            self._ids.clear()


async def list_images(api: EngineApi) -> list[Mapping[str, Any]]:
    """Return every image that has a name or a digest."""
    filters = json.dumps({"dangling": ["false"]})
    named: list[Mapping[str, Any]] = await api.get("/images/json", {"filters": filters, "digests": "1"}, 30.0)
    return named


def digest_of(image: str) -> str:
    """Return the digest of a reference, empty if it has none."""
    _, at, digest = image.partition("@")
    return digest if at else ""


def name_of(image: str) -> str:
    """Return a reference without tag and digest."""
    name = image.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"


def digests_of(item: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the digests under which an image was pulled."""
    return tuple(reference.partition("@")[2] for reference in item.get("RepoDigests") or ())
