"""Blobs: whole ones from disk, coming ones joined, missing ones fetched, and what the disk cannot hold passed on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import BinaryIO

from dcp.kernel.clock import Clock
from dcp.mirror.copying import Copier
from dcp.mirror.disk import Disk
from dcp.mirror.fetch import Cut, Fetch
from dcp.mirror.model import Counters, MirrorSettings
from dcp.mirror.rights import Rights
from dcp.mirror.upstream import Ask, NoUpstream, Refused, Upstreams, client_tls


@dataclass(slots=True)
class Reading:
    """A blob that one reader has open: whole, or following its fetch. `file` stays open as long as it reads."""

    size: int
    file: BinaryIO
    fetch: Fetch | None = None
    generation: int = 0

    async def available(self, offset: int) -> int:
        """Wait until there are bytes from `offset` on, and return up to where. Raises Cut."""
        if self.fetch is None:
            return self.size
        while (end := self.fetch.available(offset, self.generation)) <= offset:
            await self.fetch.changed()
        return end


class Blobs:
    """Every blob of a mirror."""

    def __init__(
        self,
        disk: Disk,
        upstreams: Upstreams,
        rights: Rights,
        settings: MirrorSettings,
        clock: Clock,
        counters: Counters,
    ) -> None:
        self._disk = disk
        self._upstreams = upstreams
        self._rights = rights
        self._settings = settings
        self._clock = clock
        self._counters = counters
        self.coming: dict[str, Fetch] = {}
        self._copier = Copier(settings.connect_s, settings.stall_s, client_tls(settings), counters)
        self._tasks: set[asyncio.Task[None]] = set()

    async def size_of(self, repository: str, digest: str, ask: Ask) -> int:
        """Return the blob's size if the reader may have it. Raises Refused or NoUpstream."""
        now = self._clock.now()
        known = self._rights.size_in(repository, digest)
        if known is not None and self._rights.may_read(ask.authorization, repository, now):
            return known
        self._counters.rights_asked += 1
        try:
            answer = await self._upstreams.ask("HEAD", ask, self._upstreams.route.authorities())
        except NoUpstream:
            if known is None or not self._rights.could_read(ask.authorization, repository, now):
                raise
            return known
        if answer.status != 200:
            if answer.status in (401, 403):
                self._rights.forget(ask.authorization, repository)
            raise Refused(answer)
        self._rights.learn(ask.authorization, repository, self._clock.now())
        size = int(answer.headers.get("Content-Length", "-1"))
        if size < 0:
            raise NoUpstream(f"{answer.upstream} does not say how large {digest} is")
        self._rights.learn_content(repository, digest, size)
        return size

    @asynccontextmanager
    async def reading(self, digest: str, size: int, ask: Ask) -> AsyncIterator[Reading | None]:
        """Open a blob for one reader; None if there is no room for it on disk: then it has to be passed through."""
        blob = await self._disk.find(digest)
        if blob is not None:
            self._counters.hits += 1
            blob.readers += 1
            try:
                with blob.path.open("rb", buffering=0) as file:
                    yield Reading(blob.size, file)
            finally:
                blob.readers -= 1
            return
        fetch = self.coming.get(digest)
        if fetch is None:
            fetch = self._begin(digest, size, ask)
            if fetch is None:
                self._counters.passed_through += 1
                yield None
                return
        else:
            self._counters.joined += 1
        fetch.add_reader(ask)
        try:
            yield Reading(fetch.size, fetch.file, fetch, fetch.generation)
        finally:
            fetch.readers -= 1
            if fetch.blob is not None:
                fetch.blob.readers -= 1
            self._let_go(fetch)

    async def warm(self, digest: str, size: int, ask: Ask) -> None:
        """Have the blob here, whole. Raises Refused or NoUpstream (also if there is no room)."""
        while True:
            async with self.reading(digest, size, ask) as reading:
                if reading is None:
                    raise NoUpstream(f"there is no room for {digest} ({size} bytes)")
                if reading.fetch is None:
                    return
                while not reading.fetch.whole and reading.fetch.error is None:
                    await reading.fetch.changed()
                if reading.fetch.error is not None:
                    raise reading.fetch.error
                return

    async def close(self) -> None:
        """End every fetch; what had arrived of it is dropped at the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._copier.close()

    def _begin(self, digest: str, size: int, ask: Ask) -> Fetch | None:
        if not self._disk.reserve(size):
            return None
        self._counters.misses += 1
        partial = self._disk.new_partial(digest)
        try:
            fetch = Fetch(digest, size, partial, self._upstreams, self._copier, self._settings, self._counters)
        except OSError:
            self._disk.release(size)
            return None
        fetch.asks.append(ask)
        self.coming[digest] = fetch
        task = asyncio.create_task(self._run(fetch))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return fetch

    async def _run(self, fetch: Fetch) -> None:
        try:
            await fetch.run()
            fetch.blob = self._disk.commit(fetch.digest, fetch.partial, fetch.size)
            fetch.blob.readers = fetch.readers
        except (Refused, NoUpstream, OSError, Cut):
            self._disk.release(fetch.size)
            fetch.partial.unlink(missing_ok=True)
        finally:
            self.coming.pop(fetch.digest, None)
            self._let_go(fetch)

    def _let_go(self, fetch: Fetch) -> None:
        """Close the file after its last reader, once nothing arrives any more."""
        ended = fetch.whole or fetch.error is not None
        if ended and not fetch.readers and self.coming.get(fetch.digest) is not fetch:
            fetch.file.close()
