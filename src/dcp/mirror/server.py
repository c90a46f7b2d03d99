"""The doors of a mirror: the registry's read API for engines and mirrors, and its own control for the controller."""

import asyncio
import hmac
import json
import ssl
from collections.abc import Awaitable, Callable

from aiohttp import web

from dcp.images.model import is_digest, is_repository, is_tag
from dcp.kernel.clock import Clock
from dcp.kernel.errors import InvalidInput, Problem, Unavailable
from dcp.mirror.blobs import Blobs
from dcp.mirror.disk import Disk
from dcp.mirror.manifests import Manifests
from dcp.mirror.model import Counters, MirrorSettings
from dcp.mirror.rights import Rights
from dcp.mirror.sending import BadRange, cut, send, span_of
from dcp.mirror.status import exposition, status_of
from dcp.mirror.upstream import HOP_HEADER, Answer, Ask, NoUpstream, Refused, UpstreamFailed, Upstreams
from dcp.mirror.warm import BadOrder, Warming, read_route, read_warm_order

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
API_VERSION = {"Docker-Distribution-Api-Version": "registry/2.0"}


class Mirror:
    """One mirror: parts and doors. `start` listens, `close` ends everything."""

    def __init__(self, settings: MirrorSettings, clock: Clock) -> None:
        self.settings = settings
        self.counters = Counters()
        self.disk = Disk(settings.directory, settings.capacity_bytes, self.counters)
        self.upstreams = Upstreams(settings, clock, self.counters)
        self.rights = Rights(settings)
        parts = (self.disk, self.upstreams, self.rights, settings, clock, self.counters)
        self.manifests = Manifests(*parts)
        self.blobs = Blobs(*parts)
        self.warming = Warming(self.manifests, self.blobs, clock)
        self._runner: web.AppRunner | None = None

    async def start(self) -> int:
        """Listen and return the port. Raises Unavailable if it is taken."""
        await self.upstreams.start()
        # Not the handler's own cancellation but the transport's state tells that a reader is gone.
        self._runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(
            self._runner, self.settings.host, self.settings.port, ssl_context=_tls(self.settings), backlog=1024
        )
        try:
            await site.start()
        except OSError as error:
            await self.close()
            where = f"{self.settings.host}:{self.settings.port}"
            raise Unavailable(f"cannot listen on {where}: {error}", hint="choose another --listen") from error
        port: int = self._runner.addresses[0][1]
        return port

    async def close(self) -> None:
        """Cut every reader, end every fetch, let go of the directory."""
        await self.warming.close()
        await self.blobs.close()
        if self._runner is not None:
            await self._runner.cleanup()
        await self.upstreams.close()
        self.disk.close()

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[_errors], client_max_size=1 << 20)
        add = application.router.add_route
        add("GET", "/metrics", self._metrics)
        add("GET", "/mirror/health", self._health)
        add("GET", "/mirror/status", self._controlled(self._status))
        add("PUT", "/mirror/route", self._controlled(self._put_route))
        add("POST", "/mirror/warm", self._controlled(self._warm))
        add("*", "/v2/", self._pass)
        add("*", "/v2/{name:.+}/tags/list", self._pass)
        add("*", "/v2/{name:.+}/manifests/{reference}", self._manifest)
        add("*", "/v2/{name:.+}/blobs/{digest}", self._blob)
        return application

    def _controlled(self, handler: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            wanted, given = self.settings.control_token, request.headers.get("Authorization", "")
            if not wanted or not hmac.compare_digest(given.encode(), f"Bearer {wanted}".encode()):
                raise web.HTTPForbidden(text="the mirror's control token is needed")
            return await handler(request)

        return guarded

    async def _manifest(self, request: web.Request) -> web.StreamResponse:
        repository, reference = _repository(request), request.match_info["reference"]
        if not is_digest(reference) and not is_tag(reference):
            return _error(400, "DIGEST_INVALID", f"{reference} is neither a tag nor a sha256 digest")
        found = await self.manifests.find(repository, reference, self._ask(request))
        headers = {
            **API_VERSION,
            "Content-Type": found.media_type,
            "Content-Length": str(len(found.body)),
            "Docker-Content-Digest": found.digest,
            "ETag": f'"{found.digest}"',
        }
        self.counters.served_bytes += len(found.body) if request.method == "GET" else 0
        return web.Response(body=found.body if request.method == "GET" else b"", headers=headers)

    async def _blob(self, request: web.Request) -> web.StreamResponse:
        repository, digest = _repository(request), request.match_info["digest"]
        if not is_digest(digest):
            return _error(400, "DIGEST_INVALID", f"{digest} is no sha256 digest")
        ask = self._ask(request)
        size = await self.blobs.size_of(repository, digest, ask)
        try:
            span = span_of(request.headers.get("Range", ""), size)
        except BadRange:
            return _error(416, "RANGE_INVALID", f"{digest} has {size} bytes", {"Content-Range": f"bytes */{size}"})
        headers = {
            **API_VERSION,
            **span.headers(),
            "Content-Type": "application/octet-stream",
            "Docker-Content-Digest": digest,
            "ETag": f'"{digest}"',
            "Accept-Ranges": "bytes",
        }
        status = 206 if span.partial else 200
        if request.method == "HEAD":
            return web.Response(status=status, headers=headers)
        response = web.StreamResponse(status=status, headers=headers)
        async with self.blobs.reading(digest, size, ask) as reading:
            if reading is not None:
                await send(request, response, reading, span, self.counters, self.settings.reader_stall_s)
                return response
        return await self._pass_through(request, response, ask, span.start, span.end, size)

    async def _pass_through(
        self, request: web.Request, response: web.StreamResponse, ask: Ask, start: int, end: int, size: int
    ) -> web.StreamResponse:
        """A blob that the disk has no room for: from the first upstream that sends it; no one else gains from it."""
        for url in self.upstreams.in_order(self.upstreams.route.order(0)):
            try:
                async for chunk in self.upstreams.stream(url, ask, start, end, size):
                    if not response.prepared:
                        await response.prepare(request)
                    await response.write(chunk)
                    self.counters.served_bytes += len(chunk)
                return response
            except UpstreamFailed:
                self.upstreams.failed(url)
                if response.prepared:
                    cut(request)
                    return response
        raise NoUpstream("no upstream sends it, and there is no room for it here")

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        """Hand the question up as it is, and the answer down: challenges come through here."""
        if request.method not in ("GET", "HEAD"):
            raise web.HTTPMethodNotAllowed(request.method, ["GET", "HEAD"])
        answer = await self.upstreams.ask(request.method, self._ask(request), self.upstreams.route.authorities())
        return _answer(answer, request)

    def _ask(self, request: web.Request) -> Ask:
        """What to send on for this request; refuses writes and routes that lead back here."""
        if request.method not in ("GET", "HEAD"):
            raise web.HTTPMethodNotAllowed(request.method, ["GET", "HEAD"])
        hops = ", ".join(request.headers.getall(HOP_HEADER, ()))
        if f"1.1 {self.settings.name}" in [hop.strip() for hop in hops.split(",")]:
            raise NoUpstream("the routes of these mirrors lead in a circle")
        return Ask(
            path=request.path_qs,
            authorization=request.headers.get("Authorization", ""),
            accept=tuple(request.headers.getall("Accept", ())),
            hops=hops,
        )

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(text=exposition(self), content_type="text/plain")

    async def _health(self, _request: web.Request) -> web.Response:
        return web.json_response({"name": self.settings.name})

    async def _status(self, _request: web.Request) -> web.Response:
        return web.json_response(status_of(self))

    async def _put_route(self, request: web.Request) -> web.Response:
        self.upstreams.route = read_route(await request.read())
        return web.json_response(status_of(self)["route"])

    async def _warm(self, request: web.Request) -> web.Response:
        order = read_warm_order(await request.read())
        return web.json_response(self.warming.begin(order), status=202)


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn what went wrong into the registry's form of errors."""
    try:
        return await handler(request)
    except Refused as error:
        return _answer(error.answer, request)
    except NoUpstream as error:
        return _error(503, "UNAVAILABLE", str(error), {"Retry-After": "1"})
    except BadOrder as error:
        return _error(400, "UNSUPPORTED", str(error))
    except OSError as error:
        return _error(503, "UNAVAILABLE", str(error), {"Retry-After": "1"})


def _repository(request: web.Request) -> str:
    name = request.match_info["name"]
    if not is_repository(name):
        raise web.HTTPBadRequest(
            text=json.dumps({"errors": [{"code": "NAME_INVALID", "message": f"{name} is no name of a repository"}]}),
            content_type="application/json",
        )
    return name


_CODES = {401: "UNAUTHORIZED", 403: "DENIED", 404: "NAME_UNKNOWN"}


def _answer(answer: Answer, request: web.Request) -> web.Response:
    """Pass an answer on. It may be one to HEAD, with the length of a body that it does not have."""
    if request.method == "HEAD":
        return web.Response(status=answer.status, headers=answer.headers)
    headers = {name: value for name, value in answer.headers.items() if name != "Content-Length"}
    if answer.status < 400 or answer.body:
        return web.Response(status=answer.status, headers=headers, body=answer.body)
    headers.pop("Content-Type", None)
    return _error(answer.status, _CODES.get(answer.status, "UNKNOWN"), f"upstream answered {answer.status}", headers)


def _error(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> web.Response:
    document = {"errors": [{"code": code, "message": message}]}
    return web.json_response(document, status=status, headers={**API_VERSION, **(headers or {})})


def _tls(settings: MirrorSettings) -> ssl.SSLContext | None:
    if settings.certificate_file is None or settings.key_file is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(settings.certificate_file, settings.key_file)
    except OSError as error:
        problem = Problem("--tls-certificate", str(error), "give PEM files of a certificate and its key")
        raise InvalidInput((problem,), subject="mirror") from error
    return context


async def run_mirror(settings: MirrorSettings, clock: Clock, ready: Callable[[int], None]) -> None:
    """Serve until cancelled."""
    mirror = Mirror(settings, clock)
    ready(await mirror.start())
    try:
        await asyncio.Event().wait()
    finally:
        await mirror.close()
