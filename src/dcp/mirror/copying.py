"""Copies bodies from upstreams into files, each in a thread of its own: receiving, writing and hashing leave the
interpreter free, so that one mirror fills a fast link. Connections are kept for the next piece.
"""

import asyncio
import http.client
import os
import socket
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urljoin, urlsplit

from dcp.mirror.model import MIB, Counters
from dcp.mirror.upstream import REDIRECTS, Answer, Refused, UpstreamFailed, passed_on

BUFFER_BYTES = MIB // 2
RECEIVE_BUFFER_BYTES = 4 * MIB
"""Twice as fast between two mirrors as the kernel's own growing window."""
COPIES_AT_ONCE = 128
"""Threads at most; a mirror rarely has more than a few blobs times a few parents under way."""
KEPT_PER_UPSTREAM = 16
REFUSAL_LIMIT_BYTES = MIB
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_FAILURES = (OSError, http.client.HTTPException, ssl.SSLError)


class Copier:
    """The threads and the connections that they keep."""

    def __init__(self, connect_s: float, stall_s: float, tls: ssl.SSLContext | None, counters: Counters) -> None:
        self._connect_s = connect_s
        self._stall_s = stall_s
        self._tls = tls
        self._counters = counters
        self._threads = ThreadPoolExecutor(COPIES_AT_ONCE, thread_name_prefix="dcp-mirror-copy")
        self._kept: dict[tuple[str, str], list[http.client.HTTPConnection]] = {}
        self._lock = threading.Lock()

    async def copy(
        self, url: str, path: str, headers: dict[str, str], span: tuple[int, int, int], file: int, arrived: "Arrived"
    ) -> None:
        """Write bytes `start` to `end` of a blob of `size` bytes (the span) to the same place of `file`.

        `arrived` is called in the loop with what was written. Raises Refused for a no, UpstreamFailed for anything
        else that is not those bytes; what arrived before stays. Cancelled, it ends its thread before it returns, so
        that nothing is written to a file that is closed.
        """
        loop = asyncio.get_running_loop()
        one = _Copy(url, path, headers, span, file, lambda count: loop.call_soon_threadsafe(arrived, count))
        running = loop.run_in_executor(self._threads, self._run, one)
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            one.stop()
            await asyncio.gather(running, return_exceptions=True)
            raise

    def close(self) -> None:
        """End the threads and close what is kept."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        for connections in self._kept.values():
            for connection in connections:
                connection.close()

    def _run(self, one: "_Copy") -> None:
        try:
            self._copy(one)
        except _FAILURES as error:
            raise UpstreamFailed(f"{one.url}: {error or type(error).__name__}") from error

    def _copy(self, one: "_Copy") -> None:
        target, headers = one.url + one.path, one.headers
        for _ in range(REDIRECTS):
            connection, response = self._ask(one, target, headers)
            if response.status not in _REDIRECTS:
                break
            response.read()
            self._keep(target, connection)
            following = urljoin(target, response.getheader("Location", ""))
            if urlsplit(following).netloc != urlsplit(target).netloc:
                headers = {name: value for name, value in headers.items() if name != "Authorization"}
            target = following
        try:
            one.check(response)
            self._receive(one, response)
        except BaseException:
            connection.close()
            raise
        self._keep(target, connection)

    def _ask(
        self, one: "_Copy", target: str, headers: dict[str, str]
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        parts = urlsplit(target)
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        kept = True
        while kept:
            connection, kept = self._take(parts.scheme, parts.netloc)
            one.use(connection)
            try:
                if not kept:
                    connection.connect()
                    connection.sock.settimeout(self._stall_s)
                    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
                connection.request("GET", path, headers=headers)
                return connection, connection.getresponse()
            except _FAILURES:
                connection.close()
                if not kept or one.stopped:
                    raise
        raise AssertionError("unreachable")

    def _receive(self, one: "_Copy", response: http.client.HTTPResponse) -> None:
        start, end, _size = one.span
        while start < end:
            chunk = response.read1(min(BUFFER_BYTES, end - start))  # what is there now: readers wait for it
            count, done = len(chunk), 0
            if not count:
                raise UpstreamFailed(f"{one.url} ended {end - start} bytes early")
            while done < count:
                done += os.pwrite(one.file, memoryview(chunk)[done:], start + done)
            start += count
            one.arrived(count)
        if not response.isclosed():
            response.read(1)  # nothing is left; this lets the connection be used again

    def _take(self, scheme: str, netloc: str) -> tuple[http.client.HTTPConnection, bool]:
        with self._lock:
            kept = self._kept.get((scheme, netloc))
            if kept:
                return kept.pop(), True
        if scheme == "https":
            return http.client.HTTPSConnection(netloc, timeout=self._connect_s, context=self._tls), False
        return http.client.HTTPConnection(netloc, timeout=self._connect_s), False

    def _keep(self, target: str, connection: http.client.HTTPConnection) -> None:
        parts = urlsplit(target)
        with self._lock:
            kept = self._kept.setdefault((parts.scheme, parts.netloc), [])
            if connection.sock is not None and len(kept) < KEPT_PER_UPSTREAM:
                kept.append(connection)
                return
        connection.close()


Arrived = Callable[[int], None]


class _Copy:
    """One body on its way, seen from its thread and from the loop that may stop it."""

    def __init__(
        self,
        url: str,
        path: str,
        headers: dict[str, str],
        span: tuple[int, int, int],
        file: int,
        arrived: Callable[[int], object],
    ) -> None:
        self.url = url
        self.path = path
        self.headers = dict(headers)
        self.span = span
        self.file = file
        self.arrived = arrived
        self.stopped = False
        self._connection: http.client.HTTPConnection | None = None
        if not self.whole:
            self.headers["Range"] = f"bytes={span[0]}-{span[1] - 1}"

    @property
    def whole(self) -> bool:
        return self.span[:2] == (0, self.span[2])

    def use(self, connection: http.client.HTTPConnection) -> None:
        """Remember where to pull the plug. Raises UpstreamFailed if that was asked for already."""
        self._connection = connection
        if self.stopped:
            raise UpstreamFailed(f"{self.url} is not needed any more")

    def stop(self) -> None:
        """Have the thread end soon."""
        self.stopped = True
        connection = self._connection
        if connection is not None and connection.sock is not None:
            try:
                connection.sock.shutdown(2)
            except OSError:
                return

    def check(self, response: http.client.HTTPResponse) -> None:
        """Return if these are the bytes that were asked for. Raises Refused or UpstreamFailed."""
        start, end, size = self.span
        if response.status in (401, 403, 404):
            body = response.read(REFUSAL_LIMIT_BYTES)
            raise Refused(Answer(self.url, response.status, passed_on(dict(response.headers.items())), body))
        if response.status != (200 if self.whole else 206):
            raise UpstreamFailed(f"{self.url} answered {response.status}")
        if self.whole and response.length not in (None, size):
            raise UpstreamFailed(f"{self.url} has {response.length} bytes of it, not {size}")
        if not self.whole and not response.getheader("Content-Range", "").startswith(f"bytes {start}-{end - 1}/"):
            raise UpstreamFailed(f"{self.url} sent another range than was asked for")
