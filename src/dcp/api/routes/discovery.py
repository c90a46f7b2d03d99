"""Discovery: what clients find by asking, in the words of Consul and Prometheus; and the rule over it, for people."""

import base64
import random
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response

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


@dataclass(frozen=True, slots=True)
class Question:
    """What Consul's clients may add to a question."""

    index: int
    wait_s: float
    tags: frozenset[str]


def question(
    index: Annotated[int, Query(ge=0, description="Wait until the answer is newer than this index")] = 0,
    wait: Annotated[str, Query(description="How long to wait at most, such as 30s or 5m")] = "",
    tag: Annotated[list[str] | None, Query(description="Only entries with this tag, such as site=a")] = None,
    dc: Annotated[str, Query(description=f"The data centre; there is one, {DATACENTER}")] = "",
    filter: Annotated[str, Query(description="Refused: filters are not evaluated here")] = "",
    node_meta: Annotated[str, Query(alias="node-meta", description="Refused: use tags")] = "",
) -> Question:
    """Read the question; what would change the answer and is not known here is refused, not ignored."""
    problems = []
    if dc not in ("", DATACENTER):
        problems.append(Problem("dc", f"there is no data centre {dc!r}", f"leave it out, or say {DATACENTER}"))
    if filter:
        problems.append(Problem("filter", "filters are not evaluated here", "ask with tag, or filter the answer"))
    if node_meta:
        problems.append(Problem("node-meta", "nodes cannot be chosen by this", "ask with tag=site=NAME"))
    wait_s = USUAL_WAIT_S
    try:
        wait_s = parse_duration_s(wait) if wait else USUAL_WAIT_S
    except ValueError as error:
        problems.append(Problem("wait", str(error), "such as 30s or 5m"))
    if problems:
        raise InvalidInput(tuple(problems), subject="the question")
    return Question(index, _spread(min(LONGEST_WAIT_S, wait_s)), frozenset(tag or ()))


def _spread(wait_s: float) -> float:
    """Add up to a sixteenth at random, as Consul does, so that clients do not all come back at once."""
    return wait_s * (1 + random.Random().uniform(0, 1 / 16))


Asked = Annotated[Question, Depends(question)]


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
    view = await PublishedWatch(controller.database, controller.clock).now()
    enabled = controller.settings.discovery is not None
    return PublishedList(enabled=enabled, services=[PublishedShape.of(one) for one in view.services])


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
async def catalog_services(request: Request, response: Response, asked: Asked) -> Any:
    """Every published service with its tags."""
    view = await _watch(request).after(asked.index, asked.wait_s, lambda view: view.index)
    _note(response, view.index)
    return consul.catalog_services(view.services)


@clients.get("/v1/catalog/service/{name}")
async def catalog_service(name: str, request: Request, response: Response, asked: Asked) -> Any:
    """The entries of one service."""
    return consul.catalog_service(await _service(name, request, response, asked), DATACENTER)


@clients.get("/v1/health/service/{name}")
async def health_service(name: str, request: Request, response: Response, asked: Asked) -> Any:
    """The entries of one service with their checks; every one is passing."""
    return consul.health_service(await _service(name, request, response, asked), DATACENTER)


@clients.get("/v1/kv/{key:path}")
async def key_values(
    key: str,
    request: Request,
    response: Response,
    asked: Asked,
    recurse: Annotated[str | None, Query(description="Everything below the key")] = None,
    raw: Annotated[str | None, Query(description="Only the value")] = None,
) -> Any:
    """Entries as keys, `upstreams/APPLICATION.SERVICE/ADDRESS:PORT`, as nginx-upsync reads them."""
    name = consul.service_of_key(key)

    def index_of(view: View) -> int:
        return view.index_of(name) if name else view.index

    view = await _watch(request).after(asked.index, asked.wait_s, index_of)
    _note(response, index_of(view))
    own = view.by_name.get(name)
    found = consul.keys([own] if own else () if name else view.services, key, recurse=recurse is not None)
    if not found:
        response.status_code = 404
        return []
    if raw is not None:
        return Response(base64.b64decode(found[0]["Value"]), headers=dict(response.headers))
    return found


@clients.get("/discovery/prometheus")
async def prometheus(request: Request) -> Any:
    """Targets for Prometheus' http_sd."""
    return consul.http_sd((await _watch(request).now()).services)


async def _service(name: str, request: Request, response: Response, asked: Question) -> Published | None:
    view = await _watch(request).after(asked.index, asked.wait_s, lambda view: view.index_of(name))
    _note(response, view.index_of(name))
    found = view.by_name.get(name)
    if found is None or not asked.tags:
        return found
    return replace(found, entries=tuple(one for one in found.entries if asked.tags <= set(consul.tags(one))))


def _watch(request: Request) -> PublishedWatch:
    found: PublishedWatch | None = request.app.state.published
    if found is None:
        raise NotFound("nothing is published here", hint="set discovery.enabled in dcp.yaml")
    return found


def _note(response: Response, index: int) -> None:
    """Consul's clients take an index below 1 for a fault."""
    response.headers["X-Consul-Index"] = str(max(1, index))
    response.headers["X-Consul-KnownLeader"] = "true"
    response.headers["X-Consul-LastContact"] = "0"
