"""The HTTP/1.1 connections of the load generator: one request at a time each, kept alive, never retried.

Written by hand because the generator must count what really happened: client libraries repeat a GET by themselves
when a kept connection turns out to be closed, which would hide a lost request. It is also cheap, and the generator
shares its processors with what it measures.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from dcp.kernel.errors import InvalidInput, Problem

Ended = Callable[[int, str], None]
"""Told once how a request ended: the status (0 if there was none) and, if it was cut, how."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go."""

    host: str
    port: int
    request: bytes

    @classmethod
    def parse(cls, url: str) -> "Target":
        """Read `http://host:port/path`; anything else raises InvalidInput."""
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            problem = Problem("url", f"{url!r} is not an http:// address", "for example http://127.0.0.1:18080/")
            raise InvalidInput((problem,), subject="load generator")
        port = parts.port or 80
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        head = f"GET {path} HTTP/1.1\r\nHost: {parts.hostname}:{port}\r\nUser-Agent: dcp-load\r\n\r\n"
        return cls(parts.hostname, port, head.encode())


class ConnectionPool:
    """As many connections as there are requests under way; idle ones are used again, the newest first."""

    def __init__(self, target: Target) -> None:
        self.opened = 0
        self._target = target
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._opening: dict[asyncio.Task[None], float] = {}
        """Connections that are being opened, and since when by the loop's clock."""

    def send(self, ended: Ended) -> None:
        """Send one request now, on an idle connection or a new one; `ended` is called exactly once."""
        if self._idle:
            self._idle.pop().send(self._target.request, ended)
            return
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._open_and_send(ended))
        self._opening[task] = loop.time()
        task.add_done_callback(self._opening.pop)

    async def _open_and_send(self, ended: Ended) -> None:
        self.opened += 1
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: Connection(self), self._target.host, self._target.port
            )
        except OSError as error:
            ended(0, "refused" if isinstance(error, ConnectionRefusedError) else "unreachable")
        except asyncio.CancelledError:
            ended(0, "timeout")
            raise
        else:
            connection.send(self._target.request, ended)

    def note_open(self, connection: "Connection") -> None:
        self._open.add(connection)

    def note_idle(self, connection: "Connection") -> None:
        self._idle.append(connection)

    def note_closed(self, connection: "Connection") -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def cut_older(self, began_before_s: float) -> None:
        """End as timed out every request that began before this instant of the loop's clock."""
        for task, began_s in tuple(self._opening.items()):
            if began_s < began_before_s:
                task.cancel()
        for connection in tuple(self._open):
            if connection.busy_since_s is not None and connection.busy_since_s < began_before_s:
                connection.cut("timeout")

    def close(self) -> None:
        """Close every connection; requests under way end as timed out."""
        for task in tuple(self._opening):
            task.cancel()
        for connection in tuple(self._open):
            connection.cut("timeout")


class Connection(asyncio.Protocol):
    """One connection. Reads the status, skips the body, notices when the answer is complete."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._ended: Ended | None = None
        self.busy_since_s: float | None = None
        """Since when a request is under way, by the loop's clock."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._pool.note_open(self)

    def send(self, request: bytes, ended: Ended) -> None:
        """Send a request; the connection must be idle."""
        self._ended = ended
        self.busy_since_s = asyncio.get_running_loop().time()
        if self._transport is None or self._transport.is_closing():
            self._finish(0, "reset")
            return
        self._transport.write(request)

    def cut(self, how: str) -> None:
        """Close the connection; a request under way ends as failed, for the reason `how`."""
        self._finish(0, how)
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        try:
            answer = read_answer(self._buffer)
        except (ValueError, IndexError):
            self.cut("malformed")
            return
        if answer is None:
            return
        self._buffer = self._buffer[answer.size_bytes :]
        if self._ended is None or self._buffer:
            self.cut("malformed")  # bytes that nobody asked for
            return
        if answer.keep_alive:
            self._pool.note_idle(self)
        elif self._transport is not None:
            self._transport.close()
        self._finish(answer.status, "")

    def connection_lost(self, error: Exception | None) -> None:
        self._pool.note_closed(self)
        self._finish(0, "reset")

    def _finish(self, status: int, how: str) -> None:
        ended, self._ended, self.busy_since_s = self._ended, None, None
        if ended is not None:
            ended(status, how)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the generator needs of a complete answer."""

    status: int
    keep_alive: bool
    size_bytes: int


def read_answer(buffer: bytes) -> Answer | None:
    """Return the answer at the start of `buffer`, None while it is incomplete; ValueError if it is not HTTP/1."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = buffer[:end].lower().split(b"\r\n")
    if not head[0].startswith(b"http/1."):
        raise ValueError("not an HTTP/1 answer")
    status = int(head[0].split()[1])
    headers = dict(line.split(b":", 1) for line in head[1:])
    keep_alive = headers.get(b"connection", b"").strip() != b"close"
    if headers.get(b"transfer-encoding", b"").strip() == b"chunked":
        last = buffer.find(b"\r\n0\r\n\r\n", end + 2)
        return None if last < 0 else Answer(status, keep_alive, last + 7)
    size = end + 4 + int(headers.get(b"content-length", b"0"))
    return Answer(status, keep_alive, size) if len(buffer) >= size else None
