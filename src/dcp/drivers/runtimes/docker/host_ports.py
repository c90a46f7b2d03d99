"""Which port of a host an instance gets.

No two containers of ours on a host have the same: within one controller by a reservation, between controllers by the
labels of what the engine has (see `starting`). Whether somebody else listens is asked by connecting.
"""

import asyncio
import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from dcp.kernel.errors import DriverError

ASK_S = 0.3


class HostPorts:
    """The ports of one host that are given out now or were found taken a moment ago."""

    def __init__(self, ports: tuple[int, int], seed: str) -> None:
        self._first, self._last = ports
        self._random = random.Random(seed)
        self._reserved: set[int] = set()
        self._foreign: set[int] = set()

    def choose(self, used: Iterable[int]) -> int:
        """Return a port that nobody is known to have and reserve it. Raises DriverError if there is none."""
        count = self._last - self._first + 1
        taken = {*used, *self._reserved}
        for avoided in (taken | self._foreign, taken):
            start = self._random.randrange(count)
            for step in range(count):
                port = self._first + (start + step) % count
                if port not in avoided:
                    self._reserved.add(port)
                    return port
        raise DriverError(f"no port of {self._first}-{self._last} is free")

    def note_foreign(self, port: int) -> None:
        """Somebody else has it: chosen again only when nothing else is left."""
        self._foreign.add(port)

    def release(self, port: int) -> None:
        self._reserved.discard(port)

    @contextmanager
    def reserved(self, port: int) -> Iterator[None]:
        self._reserved.add(port)
        try:
            yield
        finally:
            self.release(port)


async def somebody_listens(address: str, port: int) -> bool:
    """Return whether a connection is taken there; no answer counts as nobody."""
    if not address:
        return False
    try:
        async with asyncio.timeout(ASK_S):
            _, writer = await asyncio.open_connection(address, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True
