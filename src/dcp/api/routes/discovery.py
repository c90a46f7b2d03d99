"""Discovery: what clients find by asking, in the words of Consul and Prometheus; and the rule over it, for people."""

import base64
import random
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from dcp import __version__
from dcp.api.dependencies import Controller
from dcp.api.shapes import Shape
from dcp.engine import commands
from dcp.engine.published_watch import PublishedWatch, View
from dcp.kernel.errors import InvalidInput, NotFound, Problem
from dcp.kernel.units import parse_duration_s
from dcp.orchestration.discovery import consul
from dcp.orchestration.discovery.model import Published, name_of

DATACENTER = "dcp"
LONGEST_WAIT_S, USUAL_WAIT_S = 600.0, 300.0
"""As in Consul: 10 minutes at most, 5 if the client does not say."""

clients = APIRouter(tags=["discovery"])
router = APIRouter(prefix="/discovery", tags=["discovery"])
Index = Annotated[int, Query(ge=0, description="Wait until the answer is newer than this index")]
Wait = Annotated[str, Query(description="How long to wait at most, such as 30s or 5m")]


class PublishedShape(Shape):
    """What clients see of one service."""

    service: str
    name: str
    entries: list[str]
    index: int
    allow_all: bool
    zombies: int

    @classmethod
    def of(cls, found: Published) -> "PublishedShape":
        return cls(
            service=str(found.service),
            name=name_of(found.service),
            entries=[consul.address_text(entry) for entry in found.entries],
            index=found.index,
            allow_all=found.allow_all,
            zombies=found.zombies,
        )


class PublishedList(Shape):
    """Everything that is published. `enabled`: whether it follows the services."""

    enabled: bool
    services: list[PublishedShape]


class AllowedShape(Shape):
    """The next step may cut as much as it likes."""

    service: str
    allow_all: bool


@router.get("")
async def list_published(controller: Controller) -> PublishedList:
    """What clients of discovery see."""
    _, view = await PublishedWatch(controller.database, controller.clock).now()
    enabled = controller.settings.discovery is not None
    return PublishedList(enabled=enabled, services=[PublishedShape.of(one) for one in view])


@router.post("/{application}/{service}/allow")
async def allow(
    application: Annotated[str, Path(description="The application")],
    service: Annotated[str, Path(description="The service")],
    controller: Controller,
) -> AllowedShape:
    """Let the next step cut more than the usual share of a service's entries. Holds for one step."""
    key = await commands.allow_cut(controller, application, service)
    return AllowedShape(service=str(key), allow_all=True)


@clients.get("/v1/agent/self")
async def agent_self() -> dict[str, Any]:
    """Which data centre this is."""
    return consul.agent_self(DATACENTER, __version__)


@clients.get("/v1/status/leader")
async def leader(request: Request) -> str:
    """Who answers: every controller does."""
    return request.url.netloc


@clients.get("/v1/catalog/datacenters")
async def datacenters() -> list[str]:
    """The one data centre that clients are shown; sites are tags."""
    return [DATACENTER]


@clients.get("/v1/catalog/services")
async def catalog_services(request: Request, response: Response, index: Index = 0, wait: Wait = "") -> Any:
    """Every published service with its tags."""
    at, view = await _watch(request).after(index, _wait_s(index, wait), lambda newest, _: newest)
    _note(response, at)
    return consul.catalog_services(view)


@clients.get("/v1/catalog/service/{name}")
async def catalog_service(name: str, request: Request, response: Response, index: Index = 0, wait: Wait = "") -> Any:
    """The entries of one service."""
    return consul.catalog_service(await _service(name, request, response, index, wait), DATACENTER)


@clients.get("/v1/health/service/{name}")
async def health_service(name: str, request: Request, response: Response, index: Index = 0, wait: Wait = "") -> Any:
    """The entries of one service with their checks; every one is passing."""
    return consul.health_service(await _service(name, request, response, index, wait), DATACENTER)


@clients.get("/v1/kv/{key:path}")
async def key_values(
    key: str,
    request: Request,
    response: Response,
    index: Index = 0,
    wait: Wait = "",
    recurse: Annotated[str | None, Query(description="Everything below the key")] = None,
    raw: Annotated[str | None, Query(description="Only the value")] = None,
) -> Any:
    """Entries as keys, `upstreams/APPLICATION.SERVICE/ADDRESS:PORT`, as nginx-upsync reads them."""
    deep = recurse is not None

    def index_of(newest: int, view: View) -> int:
        below = [one.index for one in view if f"{consul.KEY_PREFIX}{name_of(one.service)}/".startswith(key.rstrip("/"))]
        return max(below, default=newest)

    at, view = await _watch(request).after(index, _wait_s(index, wait), index_of)
    found = consul.keys(view, key, recurse=deep)
    _note(response, index_of(at, view))
    if not found:
        response.status_code = 404
        return []
    return Response(base64.b64decode(found[0]["Value"])) if raw is not None else found


@clients.get("/discovery/prometheus")
async def prometheus(request: Request) -> Any:
    """Targets for Prometheus' http_sd."""
    _, view = await _watch(request).now()
    return consul.http_sd(view)


async def _service(name: str, request: Request, response: Response, index: int, wait: str) -> Published | None:
    def find(view: View) -> Published | None:
        return next((one for one in view if name_of(one.service) == name), None)

    def index_of(newest: int, view: View) -> int:
        found = find(view)
        return found.index if found else newest

    at, view = await _watch(request).after(index, _wait_s(index, wait), index_of)
    _note(response, index_of(at, view))
    return find(view)


def _watch(request: Request) -> PublishedWatch:
    found: PublishedWatch | None = request.app.state.published
    if found is None:
        raise NotFound("nothing is published here", hint="set discovery.enabled in dcp.yaml")
    return found


def _wait_s(index: int, wait: str) -> float:
    """Without an index nobody waits. A sixteenth is added at random, as Consul does, so that clients spread out."""
    if not index:
        return 0.0
    try:
        stated_s = parse_duration_s(wait) if wait else USUAL_WAIT_S
    except ValueError as error:
        raise InvalidInput((Problem("wait", str(error), "such as 30s or 5m"),)) from error
    return min(LONGEST_WAIT_S, stated_s) * (1 + random.Random().uniform(0, 1 / 16))


def _note(response: Response, index: int) -> None:
    """Consul's clients take an index below 1 for a fault."""
    response.headers["X-Consul-Index"] = str(max(1, index))
    response.headers["X-Consul-KnownLeader"] = "true"
    response.headers["X-Consul-LastContact"] = "0"
