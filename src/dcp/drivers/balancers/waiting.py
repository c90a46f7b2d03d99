"""Waiting for a proxy: ask again and again, less and less often, for a bounded time."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from dcp.kernel.clock import Clock

_FIRST_POLL_S, _LAST_POLL_S = 0.001, 0.05


async def wait_until(clock: Clock, condition: Callable[[], Awaitable[bool]], bound_s: float) -> bool:
    """Return whether the condition came true within `bound_s`."""
    pause_s = _FIRST_POLL_S
    with suppress(TimeoutError):
        async with asyncio.timeout(bound_s):
            while not await condition():
                await clock.sleep(pause_s)
                pause_s = min(_LAST_POLL_S, pause_s * 2)
            return True
    return False
