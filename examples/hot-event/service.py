"""One HTTP service that saturates the way real ones do: so many requests at a time, so long each, the rest queue.

It waits instead of computing, so that a score of instances fit on a laptop and what runs out is the stated
concurrency, not the processor. A request takes a slot (first come, first served), waits `SERVICE_MS`, then calls its
dependencies side by side and keeps its slot until all have answered: a slow dependency makes its callers slow too.

Settings come from the environment: `PORT`, `HOST`, `NAME`, `CONCURRENCY`, `SERVICE_MS`, `CALLS` (`user=0.4,card=0.3`:
calls per request) and `DCP_URL_<NAME>` for the address of each dependency. Standard library only. README.md says what
it was measured to carry and to cost.
"""

import sys

# No TLS here. asyncio works without the ssl module, and every instance starts sooner and 5 MB smaller.
sys.modules["ssl"] = None  # type: ignore[assignment]

import asyncio  # noqa: E402
import os  # noqa: E402
import signal  # noqa: E402
from collections.abc import Mapping  # noqa: E402
from typing import NamedTuple  # noqa: E402

BACKLOG = 4096
"""Connections that may wait to be accepted: a surge must queue here, never be refused."""
CALL_TIMEOUT_S = 50.0
"""Longer than any queue of the demo, shorter than the 60 s after which the load generator gives up."""
LAST_ACCEPT_S = 0.05
"""After SIGTERM the listener stays open this long, so that connections already queued in the kernel are answered."""
REASONS = {200: "OK", 404: "Not Found", 501: "Not Implemented", 502: "Bad Gateway"}


class CallFailed(Exception):
    """A dependency could not be reached, timed out, or answered 5xx."""


class Stale(Exception):
    """The connection ended before the first byte of an answer: it was closed while idle."""


class Message(NamedTuple):
    """A request or an answer: its first line, whether the connection stays open, and what could not be read."""

    start: str
    keep_alive: bool
    unreadable: bool


def take_message(buffer: bytearray) -> Message | None:
    """Remove a complete message from the front of `buffer` and return it; None while it is incomplete."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = buffer[:end].decode("latin-1")
    lowered = head.lower()
    size = end + 4
    if (at := lowered.find("\r\ncontent-length:")) >= 0:
        size += int(lowered[at + 17 :].split("\r\n", 1)[0])
    if len(buffer) < size:
        return None
    del buffer[:size]
    keep_alive = "\r\nconnection: close" not in lowered
    return Message(head.split("\r\n", 1)[0], keep_alive, "\r\ntransfer-encoding:" in lowered)


class Outgoing(asyncio.Protocol):
    """A kept-alive connection to a dependency; one request at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.closed = False
        self._buffer = bytearray()
        self._answer: asyncio.Future[Message] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def send(self, request: bytes) -> asyncio.Future[Message]:
        """Send a request; the result is the answer, Stale or CallFailed."""
        self._answer = asyncio.get_running_loop().create_future()
        if self.closed:
            self._answer.set_exception(Stale())
        else:
            self.transport.write(request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        message = take_message(self._buffer)
        if message and self._answer and not self._answer.done():
            self._answer.set_result(message)

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        if self._answer and not self._answer.done():
            self._answer.set_exception(CallFailed("cut in the middle") if self._buffer else Stale())


class Dependency:
    """Another service and how often to call it, spread evenly: 0.4 gives 0, 0, 1, 0, 1 and again."""

    def __init__(self, url: str, per_request: float) -> None:
        host, _, port = url.removeprefix("http://").rstrip("/").partition(":")
        self._address = (host, int(port or "80"))
        self._request = f"GET / HTTP/1.1\r\nHost: {host}:{port or '80'}\r\n\r\n".encode()
        self._per_request = per_request
        self._owed = 0.0
        self._idle: list[Outgoing] = []

    def calls_due(self) -> int:
        """Return how many calls this request makes."""
        self._owed += self._per_request
        count = int(self._owed + 1e-9)
        self._owed -= count
        return count

    async def call(self) -> None:
        """Call once. A kept connection that turns out to be closed is replaced by a fresh one, once."""
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                if self._idle:
                    try:
                        return await self._exchange(self._idle.pop())
                    except Stale:
                        pass
                _, fresh = await asyncio.get_running_loop().create_connection(Outgoing, *self._address)
                await self._exchange(fresh)
        except (OSError, Stale) as error:
            raise CallFailed(repr(error)) from error

    async def _exchange(self, connection: Outgoing) -> None:
        try:
            message = await connection.send(self._request)
        except BaseException:
            connection.transport.abort()
            raise
        if message.keep_alive:
            self._idle.append(connection)
        else:
            connection.transport.close()
        status = message.start.split(" ", 2)[1]
        if status.startswith("5"):
            raise CallFailed(f"status {status}")


class Service:
    """The slots, the dependencies, and the requests under way."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.name = environment.get("NAME", "service")
        self.stopping = False
        self.finished = asyncio.Event()
        self.under_way = 0
        self._service_s = float(environment.get("SERVICE_MS", "50")) / 1000
        self._slots = asyncio.Semaphore(int(environment.get("CONCURRENCY", "2")))  # first come, first served
        self._dependencies = read_dependencies(environment)
        self._body = b'{"service":"%s","pid":%d}\n' % (self.name.encode(), os.getpid())

    async def answer(self, request: Message) -> bytes:
        """Do what a request asks for and return the whole answer."""
        status = await self._status(request)
        close = self.stopping or request.unreadable or not request.keep_alive
        connection = "Connection: close\r\n" if close else ""
        head = f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Type: application/json\r\n{connection}"
        return f"{head}Content-Length: {len(self._body)}\r\n\r\n".encode() + self._body

    async def _status(self, request: Message) -> int:
        if request.unreadable:
            return 501
        path = request.start.split(" ", 2)[1]
        if path == "/healthz":
            return 200
        if path != "/":
            return 404
        async with self._slots:
            await asyncio.sleep(self._service_s)
            return await self._call_dependencies()

    async def _call_dependencies(self) -> int:
        due = [dependency.call() for dependency in self._dependencies for _ in range(dependency.calls_due())]
        failures: list[BaseException | None] = []
        if len(due) == 1:  # the usual case, without the cost of further tasks
            try:
                await due[0]
            except CallFailed as failure:
                failures = [failure]
        elif due:
            failures = [failure for failure in await asyncio.gather(*due, return_exceptions=True) if failure]
        for failure in failures:
            print(f"{self.name}: a dependency failed: {failure}", file=sys.stderr, flush=True)
        return 502 if failures else 200

    def stop(self) -> None:
        """Finish once no request is under way."""
        self.stopping = True
        self.note_ended(0)

    def note_ended(self, count: int) -> None:
        """Count requests that have been answered or whose caller is gone."""
        self.under_way -= count
        if self.stopping and self.under_way == 0:
            self.finished.set()


class Incoming(asyncio.Protocol):
    """A caller's connection; its requests are answered one after the other."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._transport: asyncio.Transport
        self._buffer = bytearray()
        self._busy: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._busy is None:
            self._begin_next()

    def _begin_next(self) -> None:
        request = take_message(self._buffer)
        if request is None:
            self._busy = None
            return
        self._service.under_way += 1
        self._busy = asyncio.get_running_loop().create_task(self._serve(request))

    async def _serve(self, request: Message) -> None:
        try:
            answer = await self._service.answer(request)
            self._transport.write(answer)
            if b"\r\nConnection: close\r\n" in answer:
                self._transport.close()
        finally:
            self._service.note_ended(1)
        self._begin_next()

    def connection_lost(self, error: Exception | None) -> None:
        if self._busy is not None:
            self._busy.cancel()  # nobody waits for the answer any more: leave the queue


def read_dependencies(environment: Mapping[str, str]) -> list[Dependency]:
    """Return the dependencies that `CALLS` names, with the addresses that dcp put beside it."""
    dependencies = []
    for part in filter(None, environment.get("CALLS", "").split(",")):
        name, _, per_request = part.strip().partition("=")
        url = environment["DCP_URL_" + name.upper().replace("-", "_")]
        dependencies.append(Dependency(url, float(per_request)))
    return dependencies


async def main() -> None:
    """Serve until SIGTERM, finish the requests under way, and return."""
    service = Service(os.environ)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    host, port = os.environ.get("HOST", "127.0.0.1"), int(os.environ["PORT"])
    server = await loop.create_server(lambda: Incoming(service), host, port, backlog=BACKLOG)
    await stop.wait()
    await asyncio.sleep(LAST_ACCEPT_S)
    server.close()
    service.stop()
    await service.finished.wait()


if __name__ == "__main__":
    asyncio.run(main())
