"""All time in dcp flows through here, so that simulation can replace it.

Code that needs the time takes a `Clock`. The engine's tasks sleep with `Clock.sleep`; under simulation the event loop
itself runs on virtual time and `LoopClock` reads it.
"""

import asyncio
import time
from typing import Protocol


def stopwatch_s() -> float:
    """Return seconds that only rise, for how long work of this process takes; no decision is made from them."""
    return time.monotonic()


class Clock(Protocol):
    """Seconds since the epoch, and a way to wait."""

    def now(self) -> float:
        """Return seconds since the epoch (UTC)."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds` (0 or less yields once)."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


class LoopClock:
    """The running event loop's own time, shifted to `epoch`: virtual under simulation."""

    def __init__(self, epoch: float = 1_700_000_000.0) -> None:
        self._epoch = epoch

    def now(self) -> float:
        return self._epoch + asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))
