"""Images of one host: pulled by digest from wherever they are, and known by the one name they have everywhere.

An image that was pulled from a mirror gets a tag of its real name, made of the digest. That tag is how a restarted
controller knows the name again, and it keeps the engine's own clean-up from taking the image for unnamed.
"""

import asyncio
import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dcp.drivers.runtimes.docker.api import EngineApi, EngineRefused
from dcp.drivers.runtimes.docker.image_names import ImageNames, digest_of, digests_of, list_images, name_of
from dcp.drivers.runtimes.docker.refusals import translate_pull
from dcp.kernel.errors import DriverError, Rejected, Unreachable
from dcp.orchestration.services.ports import HostImage, PullOrder

SILENCE_S = 120.0
"""An engine that reports no progress for this long has given up on the pull; it is tried again by whoever asked."""


class Pulling:
    """Pulls, shows and removes; the same image is pulled once at a time."""

    def __init__(self, names: ImageNames) -> None:
        self._names = names
        self._under_way: dict[str, asyncio.Lock] = {}

    async def images(self, api: EngineApi) -> tuple[HostImage, ...]:
        return tuple(
            HostImage(_references(item), int(item["Size"])) for item in await list_images(api) if digests_of(item)
        )

    async def pull(self, api: EngineApi, order: PullOrder) -> int:
        """Return the bytes that were transferred; 0 if it is there already."""
        if not digest_of(order.image):
            raise Rejected(f"{order.image}: only an image with a digest can be pulled")
        lock = self._under_way.setdefault(order.image, asyncio.Lock())
        async with lock:
            try:
                return await self._pull(api, order)
            finally:
                self._under_way.pop(order.image, None)

    async def remove(self, api: EngineApi, image: str) -> None:
        """Remove every name of the image; one that a container uses stays."""
        try:
            image_id = await self._names.find(api, image)
            await api.call("DELETE", f"/images/{image_id}", params={"force": "0"}, limit_s=60.0)
        except Rejected:
            return
        except EngineRefused as error:
            if error.status not in (404, 409):
                raise
            if error.status == 409 and "multiple repositories" in error.message:
                await self._remove_names(api, image)
        self._names.forget(image)

    async def _pull(self, api: EngineApi, order: PullOrder) -> int:
        digest, name = digest_of(order.image), name_of(order.image)
        try:
            image_id = await self._names.find(api, order.image)
            await self._name(api, image_id, name, digest)
            return 0
        except (Rejected, EngineRefused):
            self._names.forget(order.image)
        source = f"{order.registry}/{_repository(name)}" if order.registry else name
        received = await self._transfer(api, order, source, digest)
        item = await self._inspect_pulled(api, order, f"{source}@{digest}")
        self._names.forget()
        await self._name(api, item["Id"], name, digest)
        return received

    async def _transfer(self, api: EngineApi, order: PullOrder, source: str, digest: str) -> int:
        params = {"fromImage": source, "tag": digest}
        layers: dict[str, _Layer] = {}
        try:
            async with api.lines(
                "POST", "/images/create", params=params, headers=_authority(order), silence_s=SILENCE_S
            ) as events:
                async for event in events:
                    if error := event.get("error"):
                        raise translate_pull(order.image, str(error))
                    _count(event, layers)
        except EngineRefused as error:
            raise translate_pull(order.image, error.message) from error
        except Unreachable as error:
            raise DriverError(f"{order.image}: the pull broke off: {error}") from error
        return sum(layer.came for layer in layers.values())

    async def _inspect_pulled(self, api: EngineApi, order: PullOrder, reference: str) -> Mapping[str, Any]:
        try:
            item: Mapping[str, Any] = await api.get(f"/images/{reference}/json")
        except EngineRefused as error:
            if error.status != 404:
                raise
            raise DriverError(f"{order.image}: was pulled, but the engine does not have it") from error
        return item

    async def _name(self, api: EngineApi, image_id: str, name: str, digest: str) -> None:
        await api.call("POST", f"/images/{image_id}/tag", params={"repo": name, "tag": own_tag(digest)})

    async def _remove_names(self, api: EngineApi, image: str) -> None:
        digest = digest_of(image)
        for item in await list_images(api):
            if digest not in digests_of(item):
                continue
            for reference in (*(item.get("RepoTags") or ()), *(item.get("RepoDigests") or ())):
                try:
                    await api.call("DELETE", f"/images/{reference}", limit_s=60.0)
                except EngineRefused as error:
                    if error.status not in (404, 409):
                        raise


def own_tag(digest: str) -> str:
    """Return the tag under which an image of this digest is known by its real name."""
    return f"dcp-{digest.partition(':')[2][:32]}"


def _references(item: Mapping[str, Any]) -> tuple[str, ...]:
    """Return an image's names with digest: those it was pulled by, and those that our tags say."""
    digests = digests_of(item)
    pulled = tuple(item.get("RepoDigests") or ())
    ours = {own_tag(digest): digest for digest in digests}
    tagged = [tag.rpartition(":") for tag in item.get("RepoTags") or ()]
    return tuple(sorted({*pulled, *(f"{name}@{ours[tag]}" for name, _, tag in tagged if tag in ours)}))


def _repository(name: str) -> str:
    """Return a name without its registry: what stands before the first slash, if it looks like a host."""
    first, slash, rest = name.partition("/")
    return rest if slash and ("." in first or ":" in first or first == "localhost") else name


def _authority(order: PullOrder) -> dict[str, str]:
    if not order.username:
        return {}
    words = {"username": order.username, "password": order.password.value, "serveraddress": order.registry}
    return {"X-Registry-Auth": base64.urlsafe_b64encode(json.dumps(words).encode()).decode()}


@dataclass(slots=True)
class _Layer:
    """How much of a layer is known to have come, and how large it is."""

    came: int = 0
    size: int = 0


def _count(event: Mapping[str, Any], layers: dict[str, _Layer]) -> None:
    """Note what an event says of its layer. Engines report seldom: a small layer shows its size only when unpacked."""
    status, detail = event.get("status", ""), event.get("progressDetail") or {}
    if status in ("Downloading", "Extracting") and "current" in detail:
        layer = layers.setdefault(str(event.get("id", "")), _Layer())
        layer.size = max(layer.size, int(detail.get("total", 0)))
        layer.came = max(layer.came, int(detail["current"]) if status == "Downloading" else layer.size)
    elif status == "Download complete" and (known := layers.get(str(event.get("id", "")))):
        known.came = max(known.came, known.size)
