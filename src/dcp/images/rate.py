"""A bound on bytes per second that many senders of one line share."""

from dcp.kernel.clock import Clock


class Rate:
    """A bucket of tokens, one a byte; `bytes_per_s` None is no bound.

    Who takes more than there is waits until the debt is paid, so that pieces of any size pass and the mean holds.
    """

    def __init__(self, clock: Clock, bytes_per_s: float | None, burst_s: float = 0.25) -> None:
        self._clock = clock
        self._bytes_per_s = bytes_per_s
        self._burst_bytes = (bytes_per_s or 0.0) * burst_s
        self._tokens = 0.0
        self._at = clock.now()

    async def take(self, size_bytes: int) -> None:
        """Return when `size_bytes` more may be sent."""
        if self._bytes_per_s is None:
            return
        now = self._clock.now()
        gained = max(0.0, now - self._at) * self._bytes_per_s
        self._at = now
        self._tokens = min(self._burst_bytes, self._tokens + gained) - size_bytes
        if self._tokens < 0:
            await self._clock.sleep(-self._tokens / self._bytes_per_s)
