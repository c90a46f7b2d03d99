"""What one controller remembers of log-ins, in memory: wrong ones to slow guessing, right ones to spare work.

Both are bounded, and forgetting is safe: a forgotten failure gives one more guess, a forgotten success costs one hash.
"""

import hashlib
import hmac
import secrets
from collections import OrderedDict, deque

from dcp.kernel.clock import Clock

ENTRIES = 10_000
VERIFIED_S = 60.0
"""A right password is not hashed again for so long. A new password is another entry, so it counts at once."""


class Failures:
    """Wrong passwords by account and address."""

    def __init__(self, clock: Clock, limit: int, window_s: float) -> None:
        self._clock = clock
        self._limit = limit
        self._window_s = window_s
        self._times: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()

    def blocked_for_s(self, account: str, address: str) -> float:
        """Return how long this account is refused unheard from this address; 0 if it is not."""
        times = self._recent((account, address))
        if len(times) < self._limit:
            return 0.0
        return max(0.0, times[0] + self._window_s - self._clock.now())

    def count(self, account: str, address: str) -> int:
        """Note a wrong password; return how many there were in the window."""
        key = (account, address)
        times = self._recent(key)
        times.append(self._clock.now())
        self._times[key] = times
        self._times.move_to_end(key)
        while len(self._times) > ENTRIES:
            self._times.popitem(last=False)
        return len(times)

    def forget(self, account: str, address: str) -> None:
        """The right password was given."""
        self._times.pop((account, address), None)

    def _recent(self, key: tuple[str, str]) -> deque[float]:
        times = self._times.get(key, deque(maxlen=self._limit))
        since = self._clock.now() - self._window_s
        while times and times[0] <= since:
            times.popleft()
        return times


class Verified:
    """Passwords that were right a moment ago, by a digest that is worth nothing outside this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def knows(self, account: str, stored: str, password: str) -> bool:
        """Return whether this password was right for what is stored now, less than VERIFIED_S ago."""
        return self._until.get(self._digest(account, stored, password), 0.0) > self._clock.now()

    def add(self, account: str, stored: str, password: str) -> None:
        """Note that it is right."""
        self._until[self._digest(account, stored, password)] = self._clock.now() + VERIFIED_S
        while len(self._until) > ENTRIES:
            self._until.popitem(last=False)

    def _digest(self, *parts: str) -> bytes:
        text = b"".join(len(part.encode()).to_bytes(8) + part.encode() for part in parts)
        return hmac.new(self._key, text, hashlib.sha256).digest()


class Repeats:
    """Lets the first of equal things through, and not more than so many in a minute: the event log is no guest book."""

    def __init__(self, clock: Clock, *, again_after_s: float = 60.0, per_minute: int = 120) -> None:
        self._clock = clock
        self._again_after_s = again_after_s
        self._times: deque[float] = deque(maxlen=per_minute)
        self._last: OrderedDict[tuple[str, ...], float] = OrderedDict()

    def is_news(self, *key: str) -> bool:
        """Return whether it should be told."""
        now = self._clock.now()
        full = len(self._times) == self._times.maxlen and self._times[0] > now - 60.0
        if full or self._last.get(key, float("-inf")) > now - self._again_after_s:
            return False
        self._times.append(now)
        self._last[key] = now
        self._last.move_to_end(key)
        while len(self._last) > ENTRIES:
            self._last.popitem(last=False)
        return True
