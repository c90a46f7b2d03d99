"""Asking upstreams: parents and registries in an order, each left for the next when it fails.

The only module of the mirror that opens connections. An upstream that failed is asked last for a while, not excluded:
when all have failed, the first that comes back is used.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field

import aiohttp

from dcp.kernel.clock import Clock
from dcp.kernel.errors import InvalidInput, Problem
from dcp.mirror.model import MIB, Counters, MirrorSettings, Route

MANIFEST_LIMIT_BYTES = 8 * MIB
CONNECTIONS_PER_UPSTREAM = 64
HOP_HEADER = "Via"
REDIRECTS = 5
_FAILURES = (aiohttp.ClientError, TimeoutError, OSError, ssl.SSLError)


class UpstreamFailed(Exception):
    """This upstream did not give what was asked; another one may."""


class Refused(Exception):
    """The registry answered, and the answer is no (401, 403, 404, …): it is passed on as it is."""

    def __init__(self, answer: "Answer") -> None:
        super().__init__(f"{answer.upstream} answered {answer.status}")
        self.answer = answer


class NoUpstream(Exception):
    """None of the upstreams answered."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an upstream said, with the headers that matter to a reader."""

    upstream: str
    status: int
    headers: dict[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Ask:
    """One request of a reader, as it is sent on."""

    path: str
    authorization: str = ""
    accept: tuple[str, ...] = ()
    hops: str = ""
    """Names of the mirrors that it came through."""
    headers: dict[str, str] = field(default_factory=dict)


_PASSED_ON = (
    "Content-Type",
    "Content-Length",
    "Docker-Content-Digest",
    "Docker-Distribution-Api-Version",
    "ETag",
    "Link",
    "Retry-After",
    "WWW-Authenticate",
)


class Upstreams:
    """The way up. `route` may be replaced at any time; what is under way goes on where it was."""

    def __init__(self, settings: MirrorSettings, clock: Clock, counters: Counters) -> None:
        self.route: Route = settings.route
        self._settings = settings
        self._clock = clock
        self._counters = counters
        self._cooling: dict[str, float] = {}
        self._session: aiohttp.ClientSession | None = None
        self._tls = client_tls(settings)

    async def start(self) -> None:
        """Open the pool of connections."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, limit_per_host=CONNECTIONS_PER_UPSTREAM, ssl=self._tls),
            auto_decompress=False,
            read_bufsize=MIB,
        )

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    def in_order(self, urls: Iterable[str]) -> tuple[str, ...]:
        """Return `urls` with those that failed a moment ago last."""
        now = self._clock.now()
        return tuple(sorted(urls, key=lambda url: self._cooling.get(url, 0.0) > now))

    def failed(self, url: str) -> None:
        """Remember that `url` did not do what it was asked."""
        self._counters.upstream_failures[url] += 1
        self._cooling[url] = self._clock.now() + self._settings.cool_down_s

    async def ask(self, method: str, ask: Ask, urls: Iterable[str]) -> Answer:
        """Return the first answer that settles the matter: a good one, or a refusal that no other would lift.

        An upstream that lacks it (404) is not the last word while another one may have it. Raises NoUpstream.
        """
        missing: Answer | None = None
        reasons = []
        for url in self.in_order(urls):
            try:
                answer = await self._ask_one(method, url, ask)
            except UpstreamFailed as error:
                self.failed(url)
                reasons.append(str(error))
                continue
            if answer.status != 404:
                return answer
            missing = missing or answer
        if missing is None:
            raise NoUpstream("; ".join(reasons) or "no upstream is configured")
        return missing

    async def stream(self, url: str, ask: Ask, start: int, end: int, size: int) -> AsyncIterator[bytes]:
        """Yield bytes `start` to `end` (excluded) of a blob of `size` bytes.

        Raises Refused for an answer that is a no, and UpstreamFailed for everything else that is not those bytes. What
        was yielded before stays good.
        """
        headers = headers_of(ask, self._settings.name)
        whole = start == 0 and end == size
        if not whole:
            headers["Range"] = f"bytes={start}-{end - 1}"
        try:
            async with self._open().get(
                url + ask.path, headers=headers, timeout=self._timeout(), max_redirects=REDIRECTS
            ) as response:
                await self._refuse_wrong_answers(url, response, start, end, whole)
                left = end - start
                while left > 0:
                    chunk = await response.content.readany()
                    if not chunk:
                        raise UpstreamFailed(f"{url} ended {left} bytes early")
                    chunk = chunk[:left]
                    left -= len(chunk)
                    self._counters.from_upstream[url] += len(chunk)
                    yield chunk
        except _FAILURES as error:
            raise UpstreamFailed(f"{url}: {error or type(error).__name__}") from error

    async def _refuse_wrong_answers(
        self, url: str, response: aiohttp.ClientResponse, start: int, end: int, whole: bool
    ) -> None:
        status = response.status
        if status in (401, 403, 404):
            raise Refused(await _answer(url, response))
        if status != (200 if whole else 206):
            raise UpstreamFailed(f"{url} answered {status}")
        if whole and response.content_length not in (None, end):
            raise UpstreamFailed(f"{url} has {response.content_length} bytes of it, not {end}")
        if not whole and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-{end - 1}/"):
            raise UpstreamFailed(f"{url} sent another range than was asked for")

    async def _ask_one(self, method: str, url: str, ask: Ask) -> Answer:
        headers = headers_of(ask, self._settings.name)
        try:
            async with (
                asyncio.timeout(self._settings.connect_s + self._settings.stall_s),
                self._open().request(
                    method, url + ask.path, headers=headers, timeout=self._timeout(), max_redirects=REDIRECTS
                ) as response,
            ):
                if response.status >= 500 or response.status == 429:
                    raise UpstreamFailed(f"{url} answered {response.status}")
                answer = await _answer(url, response)
        except _FAILURES as error:
            raise UpstreamFailed(f"{url}: {error or type(error).__name__}") from error
        self._counters.from_upstream[url] += len(answer.body)
        return answer

    def _timeout(self) -> aiohttp.ClientTimeout:
        return aiohttp.ClientTimeout(
            total=None, sock_connect=self._settings.connect_s, sock_read=self._settings.stall_s
        )

    def _open(self) -> aiohttp.ClientSession:
        assert self._session is not None, "not started"
        return self._session


def headers_of(ask: Ask, name: str) -> dict[str, str]:
    headers = {**ask.headers, HOP_HEADER: f"{ask.hops}, 1.1 {name}" if ask.hops else f"1.1 {name}"}
    if ask.authorization:
        headers["Authorization"] = ask.authorization
    if ask.accept:
        headers["Accept"] = ", ".join(ask.accept)
    return headers


async def _answer(url: str, response: aiohttp.ClientResponse) -> Answer:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MANIFEST_LIMIT_BYTES:
            raise UpstreamFailed(f"{url} sent more than {MANIFEST_LIMIT_BYTES} bytes where a manifest was asked for")
    return Answer(url, response.status, passed_on(response.headers), bytes(body))


def passed_on(headers: Mapping[str, str]) -> dict[str, str]:
    """Return those headers of an upstream that its readers get as well."""
    given = {name.lower(): value for name, value in headers.items()}
    return {name: given[name.lower()] for name in _PASSED_ON if name.lower() in given}


def client_tls(settings: MirrorSettings) -> ssl.SSLContext:
    """Return how upstreams are checked. Raises InvalidInput."""
    try:
        context = ssl.create_default_context()
        if settings.ca_file is not None:
            context.load_verify_locations(settings.ca_file)
        return context
    except OSError as error:
        problem = Problem("--ca", f"{settings.ca_file} cannot be used: {error}", "give a file of PEM certificates")
        raise InvalidInput((problem,), subject="mirror") from error
