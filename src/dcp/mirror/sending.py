"""Sends a blob, or a range of it, to one reader: from the file by the kernel, as far as the bytes are there.

A slow reader holds nobody up but itself: it reads from the file, behind the others.
"""

import asyncio
import contextlib
from dataclasses import dataclass

from aiohttp import web

from dcp.mirror.blobs import Reading
from dcp.mirror.fetch import Cut
from dcp.mirror.model import MIB, Counters

BURST_BYTES = 8 * MIB
"""Handed to the kernel at once at most; bounds how long a reader is looked away from."""


class BadRange(ValueError):
    """The range lies outside of the blob."""


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes `start` to `end` (excluded) of `size`."""

    start: int
    end: int
    size: int

    @property
    def partial(self) -> bool:
        return (self.start, self.end) != (0, self.size)

    def headers(self) -> dict[str, str]:
        """Return what the answer says about it."""
        length = {"Content-Length": str(self.end - self.start)}
        return {**length, "Content-Range": f"bytes {self.start}-{self.end - 1}/{self.size}"} if self.partial else length


def span_of(header: str, size: int) -> Span:
    """Return the span that a Range header asks for; the whole blob without one, or for several. Raises BadRange."""
    unit, _, text = header.partition("=")
    first, dash, last = text.partition("-")
    if not header or unit.strip() != "bytes" or not dash or "," in text:
        return Span(0, size, size)
    try:
        if not first.strip():
            start, end = max(0, size - int(last)), size
        else:
            start, end = int(first), min(size, int(last) + 1) if last.strip() else size
    except ValueError:
        return Span(0, size, size)
    if not 0 <= start < end:
        raise BadRange(f"bytes {start}-{end - 1} of {size}")
    return Span(start, end, size)


async def send(
    request: web.Request,
    response: web.StreamResponse,
    reading: Reading,
    span: Span,
    counters: Counters,
    stall_s: float,
) -> None:
    """Send the span. A reader whose blob turns out wrong, or who takes nothing for `stall_s`, is cut off."""
    await response.prepare(request)
    counters.readers += 1
    try:
        await _send(request, reading, span, counters, stall_s)
        await response.write_eof()
    except (Cut, TimeoutError, OSError):
        cut(request)
    finally:
        counters.readers -= 1


def cut(request: web.Request) -> None:
    """Break the connection: the reader must not take what it has for the whole."""
    if request.transport is not None:
        request.transport.abort()


async def _send(request: web.Request, reading: Reading, span: Span, counters: Counters, stall_s: float) -> None:
    loop = asyncio.get_running_loop()
    offset = span.start
    while offset < span.end:
        available = await _available(request, reading, offset)
        count = min(available, span.end, offset + BURST_BYTES) - offset
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the reader went away")
        async with asyncio.timeout(stall_s):
            await loop.sendfile(transport, reading.file, offset, count)
        counters.served_bytes += count
        offset += count


async def _available(request: web.Request, reading: Reading, offset: int) -> int:
    """Wait for bytes, but not for a reader that has gone."""
    while True:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5.0):
                return await reading.available(offset)
        if request.transport is None or request.transport.is_closing():
            raise ConnectionResetError("the reader went away")
