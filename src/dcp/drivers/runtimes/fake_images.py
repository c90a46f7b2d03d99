"""Fake engines with images: pulls take time, fail as told, and are counted."""

from collections import Counter

from dcp.drivers.runtimes.fake import FakeRuntime
from dcp.drivers.runtimes.fake_engines import FakeEngines, OneFakeEngine
from dcp.kernel.clock import Clock
from dcp.kernel.errors import DriverError
from dcp.orchestration.services.ports import HostImage, PullOrder, Runtime


class FakeImageEngines(FakeEngines):
    """`FakeEngines` whose hosts must have an image before an instance starts."""

    def __init__(self, runtime: FakeRuntime, clock: Clock, *, pull_s: float = 0.1, size_bytes: int = 1_000_000) -> None:
        super().__init__(runtime, clock)
        self.runtime = runtime
        self.clock = clock
        self.pull_s = pull_s
        self.size_bytes = size_bytes
        self.there: dict[str, set[str]] = {}
        """Images by host."""
        self.pulled: list[tuple[str, PullOrder]] = []
        """Every pull that was asked for, with its host."""
        self.under_way: Counter[str] = Counter()
        """Pulls now, by the registry that they are from."""
        self._faults: dict[str, list[DriverError]] = {}

    def fail_pull(self, host_id: str, error: DriverError, times: int = 1) -> None:
        """Have the next pulls of a host fail after their time."""
        self._faults.setdefault(host_id, []).extend([error] * times)

    def of(self, host_id: str) -> Runtime:
        return _ImageEngine(host_id, self)

    def next_fault(self, host_id: str) -> DriverError | None:
        """Return the error of the next pull of a host, if one was told."""
        faults = self._faults.get(host_id)
        return faults.pop(0) if faults else None


class _ImageEngine(OneFakeEngine):
    """The runtime of one host, with images."""

    def __init__(self, host_id: str, engines: FakeImageEngines) -> None:
        super().__init__(host_id, engines.runtime, engines, engines.clock)
        self._images = engines

    async def images(self) -> tuple[HostImage, ...]:
        await self._reach()
        there = sorted(self._images.there.get(self._host_id, ()))
        return tuple(HostImage((image,), self._images.size_bytes) for image in there)

    async def pull(self, order: PullOrder) -> int:
        await self._reach()
        images = self._images
        images.pulled.append((self._host_id, order))
        if order.image in images.there.get(self._host_id, set()):
            return 0
        images.under_way[order.registry] += 1
        try:
            await images.clock.sleep(images.pull_s)
        finally:
            images.under_way[order.registry] -= 1
        fault = images.next_fault(self._host_id)
        if fault is not None:
            raise fault
        images.there.setdefault(self._host_id, set()).add(order.image)
        return images.size_bytes

    async def remove_image(self, image: str) -> None:
        await self._reach()
        self._images.there.get(self._host_id, set()).discard(image)
