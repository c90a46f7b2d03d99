"""Warming: on the controller's order a mirror fetches an image before any host asks for it."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from dcp.images.manifests import ACCEPTED
from dcp.images.model import is_digest, is_repository, is_tag
from dcp.kernel.clock import Clock
from dcp.mirror.blobs import Blobs
from dcp.mirror.manifests import Manifests, parts_of
from dcp.mirror.model import Route
from dcp.mirror.upstream import Ask, NoUpstream, Refused

BLOBS_AT_ONCE = 3
"""As many as an engine pulls beside each other; more would only share the same link."""
REMEMBERED = 200


class BadOrder(ValueError):
    """The controller's request cannot be read."""


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _RouteForm(_Form):
    stripes: list[list[str]] = []
    registries: list[str] = []


class _WarmForm(_Form):
    repository: str
    reference: str
    platform: str = ""
    authorization: str = ""


@dataclass(frozen=True, slots=True)
class WarmOrder:
    """Fetch `reference` of `repository`, of an index only what is for `platform` ("": all of it)."""

    repository: str
    reference: str
    platform: str = ""
    authorization: str = field(default="", repr=False)


def read_route(body: bytes) -> Route:
    """Return the route that a request holds. Raises BadOrder."""
    form = _read(_RouteForm, body)
    for url in (*form.registries, *(url for stripe in form.stripes for url in stripe)):
        if not url.startswith(("http://", "https://")):
            raise BadOrder(f"{url} is no URL of an upstream")
    stripes = tuple(tuple(url.rstrip("/") for url in stripe) for stripe in form.stripes)
    return Route(stripes, tuple(url.rstrip("/") for url in form.registries))


def read_warm_order(body: bytes) -> WarmOrder:
    """Return the order that a request holds. Raises BadOrder."""
    form = _read(_WarmForm, body)
    if not is_repository(form.repository) or not (is_digest(form.reference) or is_tag(form.reference)):
        raise BadOrder(f"{form.repository} with {form.reference} names no image")
    return WarmOrder(form.repository, form.reference, form.platform, form.authorization)


@dataclass(slots=True)
class _State:
    order: WarmOrder
    state: str = "arriving"
    reason: str = ""
    size: int = 0
    began_at: float = 0.0
    ended_at: float = 0.0

    def shown(self) -> dict[str, Any]:
        return {
            "repository": self.order.repository,
            "reference": self.order.reference,
            "state": self.state,
            "reason": self.reason,
            "bytes": self.size,
            "began_at": self.began_at,
            "ended_at": self.ended_at,
        }


class Warming:
    """Orders under way and those that ended, one for each image."""

    def __init__(self, manifests: Manifests, blobs: Blobs, clock: Clock) -> None:
        self._manifests = manifests
        self._blobs = blobs
        self._clock = clock
        self._states: dict[tuple[str, str], _State] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, order: WarmOrder) -> dict[str, Any]:
        """Begin unless it is under way; return its state (`arriving`, `flowing`, `here` or `failed`)."""
        key = order.repository, order.reference
        state = self._states.get(key)
        if state is None or state.state in ("failed", "here"):
            state = self._states[key] = _State(order, began_at=self._clock.now())
            task = asyncio.create_task(self._run(state))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            while len(self._states) > REMEMBERED:
                self._states.pop(next(iter(self._states)))
        return state.shown()

    def states(self) -> list[dict[str, Any]]:
        """Return what was ordered, oldest first."""
        return [state.shown() for state in self._states.values()]

    async def close(self) -> None:
        """End what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, state: _State) -> None:
        try:
            await self._fetch(state)
            state.state = "here"
        except Refused as error:
            words = {401: "denied", 403: "denied", 404: "image-missing"}
            state.state, state.reason = "failed", words.get(error.answer.status, "refused")
        except (NoUpstream, OSError) as error:
            state.state, state.reason = "failed", str(error)
        finally:
            state.ended_at = self._clock.now()

    async def _fetch(self, state: _State) -> None:
        order = state.order
        wanted = dict(await self._blobs_of(order, order.reference))
        state.size = sum(wanted.values())
        state.state = "flowing"
        limit = asyncio.Semaphore(BLOBS_AT_ONCE)

        async def one(digest: str, size: int) -> None:
            async with limit:
                path = f"/v2/{order.repository}/blobs/{digest}"
                await self._blobs.warm(digest, size, Ask(path, order.authorization))

        tasks = [asyncio.create_task(one(digest, size)) for digest, size in wanted.items()]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _blobs_of(self, order: WarmOrder, reference: str) -> list[tuple[str, int]]:
        path = f"/v2/{order.repository}/manifests/{reference}"
        manifest = await self._manifests.find(order.repository, reference, Ask(path, order.authorization, ACCEPTED))
        blobs, parts = parts_of(manifest.body)
        found = [(blob.digest, blob.size_bytes) for blob in blobs]
        for part in parts:
            if order.platform in ("", part.platform):
                found += await self._blobs_of(order, part.digest)
        return found


def _read(form: type[Any], body: bytes) -> Any:
    try:
        return form.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadOrder(f"{where}: {first['msg']}") from error
