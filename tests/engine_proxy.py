"""Stands between a driver and a real engine on unix sockets, and cuts the way at a chosen call.

A call is cut before it reaches the engine, or after the engine has done it and before its answer is heard; from then on
every call is. What the engine has to say by itself (events) goes through until then.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NoReturn

import aiohttp
from aiohttp import web


class EngineProxy:
    """Passes everything on until it is told to cut."""

    def __init__(self, engine: Path, socket: Path) -> None:
        self._engine = engine
        self.socket = socket
        self.calls: list[str] = []
        self._cut_at: int | None = None
        self._after = False
        self.refusals: dict[str, tuple[int, str]] = {}
        """Answers given in the engine's stead, once each: end of the path, then status and message."""

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def cut(self, number: int, *, after: bool) -> None:
        """Cut the call of this number from now on (0 is the next), before or after the engine has done it."""
        self.calls.clear()
        self._cut_at, self._after = number, after

    def mend(self) -> None:
        self._cut_at = None

    @property
    def is_cut(self) -> bool:
        return self._cut_at is not None and len(self.calls) > self._cut_at

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["EngineProxy"]:
        connector = aiohttp.UnixConnector(path=str(self._engine), limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as session:
            self._session = session
            app = web.Application(client_max_size=1 << 30)
            app.router.add_route("*", "/{path:.*}", self._pass_on)
            runner = web.AppRunner(app, shutdown_timeout=0.1)
            await runner.setup()
            await web.UnixSite(runner, str(self.socket)).start()
            try:
                yield self
            finally:
                await runner.cleanup()

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        if request.path.endswith(("/events", "/_ping")):
            if self.is_cut:
                _abort(request)
            return await self._forward(request)
        number = len(self.calls)
        self.calls.append(f"{request.method} {request.path.partition('/v1.')[2].partition('/')[2]}")
        for end, (status, message) in list(self.refusals.items()):
            if request.path.endswith(end):
                del self.refusals[end]
                return web.json_response({"message": message}, status=status)
        if self._cut_at is not None and number >= self._cut_at:
            if self._after and number == self._cut_at:
                await self._forward(request, hear=False)
            _abort(request)
        return await self._forward(request)

    async def _forward(self, request: web.Request, *, hear: bool = True) -> web.StreamResponse:
        kept = {"Content-Type": request.headers["Content-Type"]} if "Content-Type" in request.headers else {}
        async with self._session.request(
            request.method, f"http://engine{request.raw_path}", data=await request.read(), headers=kept
        ) as answer:
            if not hear:
                await answer.read()
                _abort(request)
            response = web.StreamResponse(status=answer.status)
            for name in ("Content-Type", "Api-Version"):
                if name in answer.headers:
                    response.headers[name] = answer.headers[name]
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                if self.is_cut:
                    _abort(request)
                await response.write(chunk)
            await response.write_eof()
            return response


def _abort(request: web.Request) -> NoReturn:
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionResetError


async def wait_until(condition, limit_s: float = 10.0) -> None:
    """Return once the condition, which may be asynchronous, holds."""
    async with asyncio.timeout(limit_s):
        while True:
            found = condition()
            if await found if asyncio.iscoroutine(found) else found:
                return
            await asyncio.sleep(0.02)
