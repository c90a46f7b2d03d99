"""One blob on its way: fetched once, read by many while it arrives, whole only once its digest is right.

The blob is a row of pieces in a temporary file. With one upstream a single request fills them in order; with several
parents each one's stripe of pieces is asked for beside the others. Readers follow what is there; the last byte is held
back until the digest was verified, so that nobody, above all no mirror below, takes a wrong blob for a whole one.
"""

import asyncio
import hashlib
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from dcp.mirror.copying import Copier
from dcp.mirror.disk import READ_BYTES, Blob
from dcp.mirror.model import PIECE_BYTES, Counters, MirrorSettings
from dcp.mirror.upstream import Ask, NoUpstream, Refused, UpstreamFailed, Upstreams, headers_of

LOOK_AHEAD_PIECES = 8
"""How far a reader's question looks for bytes at a time: more than one burst of sending."""
RETRY_S = 0.2


class Cut(Exception):
    """What the reader was given so far does not belong to this blob, or the rest cannot be had."""


class Fetch:
    """Owned by the blobs of a mirror; `run` is its task."""

    def __init__(
        self,
        digest: str,
        size: int,
        partial: Path,
        upstreams: Upstreams,
        copier: Copier,
        settings: MirrorSettings,
        counters: Counters,
    ) -> None:
        self.digest = digest
        self.size = size
        self.partial = partial
        self.generation = 0
        """Rises when everything is thrown away because the digest was wrong."""
        self.whole = False
        self.error: Exception | None = None
        self.asks: list[Ask] = []
        """How its readers asked, newest first: the rights of any of them carry the fetch on."""
        self.readers = 0
        self.blob: Blob | None = None
        """What it has become; pinned by the readers that still follow."""
        self.file = partial.open("w+b", buffering=0)
        self._written = [0] * max(1, -(-size // PIECE_BYTES))
        self._hash = hashlib.sha256()
        self._hashed = 0
        self._from: Counter[str] = Counter()
        self._excluded: set[str] = set()
        self._alone = False
        """After a wrong digest of several upstreams, each is tried alone, so that the wrong one shows."""
        self._event = asyncio.Event()
        self._upstreams = upstreams
        self._copier = copier
        self._settings = settings
        self._counters = counters

    @property
    def have_bytes(self) -> int:
        """Bytes that have arrived."""
        return sum(self._written)

    def available(self, offset: int, generation: int) -> int:
        """Return up to where bytes can be read from `offset` on without a gap. Raises Cut."""
        if generation != self.generation:
            raise Cut(f"{self.digest} turned out wrong and is fetched again")
        if self.whole:
            return self.size
        if self.error is not None:
            raise Cut(str(self.error)) from self.error
        return min(self._contiguous(offset), self.size - 1)

    async def changed(self) -> None:
        """Wait for more bytes, or for the end."""
        await self._event.wait()

    def add_reader(self, ask: Ask) -> None:
        """Count a reader and keep its rights for as long as the fetch runs."""
        self.readers += 1
        if ask not in self.asks:
            self.asks.insert(0, ask)
            del self.asks[8:]

    async def run(self) -> None:
        """Fetch until whole. Raises Refused or NoUpstream; `error` holds it then."""
        try:
            while not await self._attempt():
                pass
            self.whole = True
        except (Refused, NoUpstream, OSError) as error:
            self.error = error
            raise
        finally:
            if not self.whole and self.error is None:
                self.error = NoUpstream("the mirror stops")
            self._notify()

    async def _attempt(self) -> bool:
        """Fetch all that is missing; False if the digest was wrong and everything was dropped."""
        hashing = asyncio.create_task(self._follow_with_hash())
        try:
            async with asyncio.TaskGroup() as group:
                for stripe, runs in enumerate(self._stripes()):
                    group.create_task(self._fill(stripe, runs))
            digest = await hashing
        except ExceptionGroup as failures:
            raise _first(failures) from None
        finally:
            hashing.cancel()
            await asyncio.gather(hashing, return_exceptions=True)
        if digest == self.digest:
            return True
        self._drop_all()
        return False

    def _stripes(self) -> list[list[tuple[int, int]]]:
        """Return the runs of bytes (start, end) that each stripe fills, in order."""
        count = len(self._upstreams.route.stripes)
        pieces = len(self._written)
        if count < 2 or pieces < 2 or self._alone:
            return [[(0, self.size)]]
        starts = [piece * PIECE_BYTES for piece in range(pieces)]
        runs = [(start, min(self.size, start + PIECE_BYTES)) for start in starts]
        return [runs[stripe::count] for stripe in range(min(count, pieces))]

    async def _fill(self, stripe: int, runs: list[tuple[int, int]]) -> None:
        for start, end in runs:
            await self._fill_run(stripe, start, end)

    async def _fill_run(self, stripe: int, start: int, end: int) -> None:
        progress, failures, refusals = _Progress(start), 0, dict[str, Refused]()
        while progress.position < end:
            url = self._choose(stripe, refusals)
            before = progress.position
            try:
                await self._copy(url, self._ask(failures), progress, end)
                return
            except Refused as refused:
                refusals[url] = refused
                continue
            except UpstreamFailed as error:
                self._upstreams.failed(url)
                failures = 0 if progress.position > before else failures + 1
                if failures >= self._settings.attempts:
                    raise NoUpstream(str(error)) from error
            if failures and failures % max(1, len(self._upstreams.route.authorities())) == 0:
                await asyncio.sleep(RETRY_S * min(10, failures))

    def _choose(self, stripe: int, refusals: dict[str, Refused]) -> str:
        """Return the next upstream to ask. Raises Refused when all of them said no, NoUpstream when none is left."""
        route = self._upstreams.route
        urls = route.authorities() if self._alone else route.order(stripe)
        left = [url for url in urls if url not in self._excluded]
        willing = [url for url in left if url not in refusals]
        if willing:
            if self._alone and self._from:
                started = next(iter(self._from))
                if started in willing:
                    return started
            return self._upstreams.in_order(willing)[0]
        if refusals:
            raise next(iter(refusals.values()))
        raise NoUpstream(f"every upstream sent something else than {self.digest}")

    def _ask(self, failures: int) -> Ask:
        return self.asks[failures % len(self.asks)]

    async def _copy(self, url: str, ask: Ask, progress: "_Progress", end: int) -> None:
        def arrived(count: int) -> None:
            self._count(progress.position, count)
            progress.position += count
            self._from[url] += count
            self._counters.from_upstream[url] += count
            self._notify()

        headers, span = headers_of(ask, self._settings.name), (progress.position, end, self.size)
        await self._copier.copy(url, ask.path, headers, span, self.file.fileno(), arrived)

    def _count(self, position: int, length: int) -> None:
        while length > 0:
            piece, inside = divmod(position, PIECE_BYTES)
            part = min(length, PIECE_BYTES - inside)
            self._written[piece] = max(self._written[piece], inside + part)
            position += part
            length -= part

    def _contiguous(self, offset: int) -> int:
        piece = min(offset // PIECE_BYTES, len(self._written) - 1)
        last = min(piece + LOOK_AHEAD_PIECES, len(self._written) - 1)
        while piece < last and self._written[piece] == PIECE_BYTES:
            piece += 1
        return min(piece * PIECE_BYTES + self._written[piece], self.size)

    async def _follow_with_hash(self) -> str:
        """Hash behind the writers, in a thread, and return the digest once everything was written."""
        while self._hashed < self.size:
            end = min(self._contiguous(self._hashed), self._hashed + READ_BYTES)
            if end <= self._hashed:
                await self.changed()
                continue
            await asyncio.to_thread(self._hash_range, self._hashed, end)
            self._hashed = end
        return f"sha256:{self._hash.hexdigest()}"

    def _hash_range(self, start: int, end: int) -> None:
        while start < end:
            block = os.pread(self.file.fileno(), end - start, start)
            if not block:
                raise OSError(f"{self.partial} is shorter than what was written to it")
            self._hash.update(block)
            start += len(block)

    def _drop_all(self) -> None:
        """The digest is wrong: cut all readers, start again without whoever must have sent it."""
        for url in self._from:
            self._counters.wrong_digests[url] += 1
        if len(self._from) == 1:
            self._excluded.update(self._from)
        else:
            self._alone = True
        self._from.clear()
        self._written = [0] * len(self._written)
        self._hash, self._hashed = hashlib.sha256(), 0
        self.generation += 1
        self._notify()

    def _notify(self) -> None:
        event, self._event = self._event, asyncio.Event()
        event.set()


@dataclass(slots=True)
class _Progress:
    """Up to where a run of bytes is there."""

    position: int


def _first(failures: ExceptionGroup[Exception]) -> Exception:
    """Return the refusal among them, which says most, or the first."""
    flat = list(failures.exceptions)
    return next((one for one in flat if isinstance(one, Refused)), flat[0])
