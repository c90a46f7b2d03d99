"""Calls to one engine's API over HTTP: bounded in time and in number, counted, with its errors as values to translate.

The vendor's library is not used: what is needed are some twenty calls, each with a bound of its own, and connections
that are opened by us (forwarded sockets, client certificates).
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import aiohttp

from dcp.kernel.errors import Unreachable

CONNECT_S = 2.0
ANSWER_S = 5.0
NEWEST_API = (1, 50)
"""The newest version of the API that this driver was tried with."""
KEPT_ALIVE_S = 30.0
_LINE_BYTES = 4 << 20


class EngineRefused(Exception):
    """The engine answered with an error. Never leaves this package: `refusals` says what it means."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


@dataclass(slots=True)
class Spent:
    """How many calls the engine answered and how long it took for them, for measurements."""

    calls: int = 0
    seconds: float = 0.0
    by_call: dict[str, list[float]] = field(default_factory=dict)
    """Durations by kind of call; filled only if `detailed`."""
    detailed: bool = False

    def add(self, call: str, seconds: float) -> None:
        self.calls += 1
        self.seconds += seconds
        if self.detailed:
            self.by_call.setdefault(call, []).append(seconds)


class EngineApi:
    """One engine. Raises Unreachable if it does not answer in time, EngineRefused if it answers with an error."""

    def __init__(self, name: str, connector: aiohttp.BaseConnector, base: str, *, calls_at_once: int) -> None:
        self._name = name
        self._base = base
        self._session = aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), read_bufsize=_LINE_BYTES, max_line_size=65536
        )
        self._free = asyncio.Semaphore(calls_at_once)
        self._version = ""
        self.answered_at = float("-inf")
        """When it last answered anything, in the event loop's time."""
        self.spent = Spent()

    async def aclose(self) -> None:
        await self._session.close()

    async def ping(self, limit_s: float = ANSWER_S) -> None:
        """Return if the engine answers; settles the version of the API to speak."""
        async with self._answer("GET", "/_ping", limit_s=limit_s, versioned=False) as response:
            await response.read()
            self._version = _choose_version(response.headers.get("Api-Version", ""))

    async def get(self, path: str, params: Mapping[str, str] | None = None, limit_s: float = ANSWER_S) -> Any:
        """Return what the engine answers, decoded."""
        return await self.call("GET", path, params=params, limit_s=limit_s)

    async def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        data: bytes | None = None,
        limit_s: float = ANSWER_S,
    ) -> Any:
        """Make one call when there is room for it; return its decoded answer, None if it has none."""
        async with self._free:
            began = perf_counter()
            try:
                async with self._answer(method, path, params=params, body=body, data=data, limit_s=limit_s) as response:
                    raw = await response.read()
            finally:
                self.spent.add(f"{method} {path.split('/')[-1].split('?')[0]}", perf_counter() - began)
        if not raw:
            return None
        if response.content_type != "application/json":
            return raw
        try:
            return json.loads(raw)
        except ValueError as error:
            raise EngineRefused(response.status, f"its answer to {method} {path} cannot be read") from error

    @asynccontextmanager
    async def lines(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        silence_s: float | None = None,
    ) -> AsyncIterator[AsyncIterator[Any]]:
        """Give the objects that the engine writes, a line each, until it ends or writes nothing for `silence_s`."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=silence_s)
        async with self._request(method, path, timeout, params=params, headers=headers) as response:
            yield self._objects(response)

    @asynccontextmanager
    async def _answer(
        self,
        method: str,
        path: str,
        *,
        limit_s: float,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        data: bytes | None = None,
        versioned: bool = True,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        timeout = aiohttp.ClientTimeout(total=limit_s, sock_connect=CONNECT_S)
        async with self._request(
            method, path, timeout, params=params, body=body, data=data, versioned=versioned
        ) as response:
            yield response

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        path: str,
        timeout: aiohttp.ClientTimeout,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        versioned: bool = True,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._session.closed:
            raise Unreachable(f"{self._name}: the session was closed meanwhile")
        url = f"{self._base}{self._version if versioned else ''}{path}"
        try:
            async with self._session.request(
                method, url, params=params, json=body, data=data, headers=headers, timeout=timeout
            ) as response:
                self.answered_at = asyncio.get_running_loop().time()
                if response.status >= 400:
                    raise EngineRefused(response.status, _message(await response.read()))
                yield response
        except TimeoutError as error:
            raise Unreachable(f"{self._name}: no answer within {timeout.total or CONNECT_S:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"{self._name}: {error or type(error).__name__}") from error

    async def _objects(self, response: aiohttp.ClientResponse) -> AsyncIterator[Any]:
        async for line in response.content:
            self.answered_at = asyncio.get_running_loop().time()
            if line.strip():
                yield json.loads(line)


def _choose_version(offered: str) -> str:
    """Return the path's beginning for the newest version that both sides know."""
    major, _, minor = offered.partition(".")
    if not (major.isdigit() and minor.isdigit()):
        return ""
    version = min((int(major), int(minor)), NEWEST_API)
    return f"/v{version[0]}.{version[1]}"


def _message(raw: bytes) -> str:
    try:
        decoded = json.loads(raw)
        return str(decoded["message"] if isinstance(decoded, dict) else decoded)
    except (ValueError, KeyError):
        return raw.decode(errors="replace").strip()[:500]
