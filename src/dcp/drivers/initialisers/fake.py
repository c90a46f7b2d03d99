"""An initialiser that takes time, fails and breaks as it is told; for simulation and tests."""

import asyncio
from collections.abc import AsyncIterator, Callable

from dcp.hosts.model import Host
from dcp.hosts.ports import InitNews
from dcp.kernel.clock import Clock
from dcp.kernel.errors import DriverError

PHASE = "packages"


class FakeInitialiser:
    """`seconds` says how long a host takes, `fault` why it fails in its given try (empty: it does not)."""

    def __init__(
        self,
        clock: Clock,
        seconds: Callable[[Host], float] = lambda host: 0.0,
        fault: Callable[[Host, int], str] = lambda host, attempt: "",
    ) -> None:
        self._clock = clock
        self._seconds = seconds
        self._fault = fault
        self.broken = ""
        """Why whole runs fail; empty: they do not."""
        self.tries: dict[str, int] = {}
        self.most_at_once = 0
        self._at_once = 0

    async def run(self, batch: tuple[Host, ...]) -> AsyncIterator[InitNews]:
        """See `Initialiser`."""
        if self.broken:
            raise DriverError(self.broken)
        self._at_once += len(batch)
        self.most_at_once = max(self.most_at_once, self._at_once)
        tasks = [asyncio.create_task(self._one(host)) for host in batch]
        try:
            for host in batch:
                yield InitNews(host.id, PHASE)
            for ended in asyncio.as_completed(tasks):
                news = await ended
                self._at_once -= 1
                yield news
        finally:
            self._at_once -= sum(1 for task in tasks if not task.done())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _one(self, host: Host) -> InitNews:
        self.tries[host.id] = self.tries.get(host.id, 0) + 1
        words = self._fault(host, self.tries[host.id])
        await self._clock.sleep(self._seconds(host))
        return InitNews(host.id, PHASE, ended=True, failed_words=words, log=f"fake: {words}" if words else "")
