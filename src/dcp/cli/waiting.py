"""Waiting in a verb: through the kernel's clock, like everything else."""

import asyncio

from dcp.kernel.clock import Clock, SystemClock


class Patience:
    """A bounded wait; without a limit it never ends by itself."""

    def __init__(self, limit_s: float | None = None, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._until = None if limit_s is None else self._clock.now() + limit_s

    @property
    def is_over(self) -> bool:
        """Return whether the limit has passed."""
        return self._until is not None and self._clock.now() >= self._until

    def wait(self, seconds: float) -> None:
        """Wait a little."""
        asyncio.run(self._clock.sleep(seconds))
