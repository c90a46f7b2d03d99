"""An engine on a unix socket that keeps containers in memory and misbehaves exactly as it is told."""

import asyncio
import json
import struct
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import time
from typing import Any

from aiohttp import web

STATES = {"created": "Created", "running": "Up 1 second", "exited": "Exited ({code}) 1 second ago"}


class ScriptedEngine:
    """The part of Docker Engine that the driver speaks to."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.containers: dict[str, dict[str, Any]] = {}
        self.images: list[dict[str, Any]] = []
        self.calls: list[str] = []
        self.bodies: list[Any] = []
        self.refuse: deque[tuple[str, int, str]] = deque()
        """Answers to the next calls whose "METHOD path" contains the first word."""
        self.silent = False
        self.mute = False
        """Events are lost."""
        self.stale: dict[str, str] = {}
        """States that a listing still shows, by container id."""
        self.progress: list[dict[str, Any]] = []
        self.delay_s = 0.0
        self.at_once = self.most_at_once = 0
        self._past: list[tuple[float, dict[str, Any]]] = []
        self._streams: list[asyncio.Queue[dict[str, Any] | None]] = []
        self._made = 0
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["ScriptedEngine"]:
        await self.open()
        try:
            yield self
        finally:
            await self.close()

    async def open(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.05)
        await self._runner.setup()
        await web.UnixSite(self._runner, str(self.socket)).start()

    async def close(self) -> None:
        """The engine is gone: nobody listens any more."""
        self.break_streams()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        self.socket.unlink(missing_ok=True)

    def break_streams(self) -> None:
        for stream in self._streams:
            stream.put_nowait(None)
        self._streams.clear()

    def put(self, instance_id: str, state: str = "running", **labels: str) -> str:
        """A container that is there already."""
        self._made += 1
        container_id = f"c{self._made}"
        own = {"dcp.owner": "me", "dcp.instance": instance_id, "dcp.host": "h1", "dcp.port": "20001", **labels}
        name = f"dcp-me-{instance_id}"
        self.containers[container_id] = {"name": name, "state": state, "labels": own, "code": 0}
        return container_id

    def end(self, container_id: str, code: int = 0) -> None:
        self.containers[container_id].update(state="exited", code=code)
        self._tell(container_id, "die", exitCode=str(code))

    def remove(self, container_id: str) -> None:
        container = self.containers.pop(container_id)
        self._tell(container_id, "destroy", labels=container["labels"])

    def tell(self, container_id: str, action: str) -> None:
        self._tell(container_id, action)

    def _tell(self, container_id: str, action: str, labels: Any = None, **attributes: str) -> None:
        now = time()
        event = {
            "Type": "container",
            "Action": action,
            "Actor": {"ID": container_id, "Attributes": attributes},
            "timeNano": int(now * 1e9),
        }
        if not self.mute:
            self._past.append((now, event))
            for stream in self._streams:
                stream.put_nowait(event)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        if path.startswith("/v1."):
            path = "/" + path.split("/", 2)[2]
        call = f"{request.method} {path}"
        self.calls.append(call)
        if self.silent:
            await asyncio.sleep(3600)
        for answer in list(self.refuse):
            if answer[0] in call:
                self.refuse.remove(answer)
                return web.json_response({"message": answer[2]}, status=answer[1])
        if path == "/_ping":
            return web.Response(text="OK", headers={"Api-Version": "1.41"})
        if path == "/info":
            now = time()
            stamp = f"{_iso(now)}"
            return web.json_response({"SystemTime": stamp, "NCPU": 2, "MemoryLimit": True, "CpuCfsQuota": True})
        if path == "/events":
            return await self._events(request)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.delay_s)
            return await self._answer(request, path)
        finally:
            self.at_once -= 1

    async def _answer(self, request: web.Request, path: str) -> web.StreamResponse:
        words = path.strip("/").split("/")
        match request.method, words:
            case "GET", ["containers", "json"]:
                wanted = json.loads(request.query["filters"])["label"]
                return web.json_response(
                    [self._listed(one, c) for one, c in self.containers.items() if _has(c, wanted)]
                )
            case "POST", ["containers", "create"]:
                return await self._create(request)
            case "GET", ["images", "json"]:
                return web.json_response(self.images)
            case "POST", ["images", "create"]:
                self.bodies.append({**request.query, "auth": request.headers.get("X-Registry-Auth", "")})
                return web.Response(text="".join(json.dumps(one) + "\r\n" for one in self.progress))
            case "GET", ["images", *name, "json"]:
                return web.json_response({"Id": f"sha256:{'/'.join(name)}"})
            case "POST", ["images", *_, "tag"]:
                self.bodies.append(dict(request.query))
                return web.Response(status=201)
            case _, ["containers", named, *rest]:
                return self._on_container(request, named, rest)
        return web.json_response({"message": "page not found"}, status=404)

    async def _create(self, request: web.Request) -> web.Response:
        body, name = await request.json(), request.query["name"]
        self.bodies.append(body)
        if any(c["name"] == name for c in self.containers.values()):
            return web.json_response({"message": f"Conflict. The container name {name} is in use"}, status=409)
        self._made += 1
        container_id = f"c{self._made}"
        self.containers[container_id] = {"name": name, "state": "created", "labels": body["Labels"], "code": 0}
        return web.json_response({"Id": container_id}, status=201)

    def _on_container(self, request: web.Request, named: str, rest: list[str]) -> web.Response:
        found = [one for one, c in self.containers.items() if named in (one, c["name"])]
        if not found:
            return web.json_response({"message": f"No such container: {named}"}, status=404)
        container_id, container = found[0], self.containers[found[0]]
        match request.method, rest:
            case "GET", ["json"]:
                state = {"Status": container["state"], "ExitCode": container["code"]}
                return web.json_response(
                    {"Id": container_id, "State": state, "Config": {"Labels": container["labels"], "StopSignal": ""}}
                )
            case "POST", ["start"]:
                container["state"] = "running"
                self._tell(container_id, "start")
                return web.Response(status=204)
            case "POST", ["kill"]:
                self.end(container_id, 143 if request.query["signal"] == "SIGTERM" else 137)
                return web.Response(status=204)
            case "GET", ["logs"]:
                text = b"line 1\nline 2\n"
                return web.Response(body=struct.pack(">BxxxL", 1, len(text)) + text)
            case "DELETE", []:
                self.remove(container_id)
                return web.Response(status=204)
            case "PUT", ["archive"]:
                return web.Response()
        return web.json_response({"message": "page not found"}, status=404)

    def _listed(self, container_id: str, container: dict[str, Any]) -> dict[str, Any]:
        state = self.stale.get(container_id, container["state"])
        status = STATES[state].format(code=container["code"])
        return {"Id": container_id, "Labels": container["labels"], "State": state, "Status": status}

    async def _events(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_type = "application/json"
        await response.prepare(request)
        stream: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        since = float(request.query.get("since", "0"))
        for at, event in self._past:
            if at >= since:
                stream.put_nowait(event)
        if "until" in request.query:
            stream.put_nowait(None)
        else:
            self._streams.append(stream)
        while (event := await stream.get()) is not None:
            await response.write(json.dumps(event).encode() + b"\n")
        return response


def _has(container: dict[str, Any], wanted: list[str]) -> bool:
    return all(container["labels"].get(one.partition("=")[0]) == one.partition("=")[2] for one in wanted)


def _iso(now: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(now, UTC).isoformat().replace("+00:00", "000Z")
