"""Calls of vendor libraries that block: in a few threads, each with a connection of its own."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from dcp.kernel.errors import DriverError

Connection = TypeVar("Connection")
Result = TypeVar("Result")

CALL_LIMIT_S = 50.0
"""A call that takes longer is not waited for; a source answers within 60 s."""


class BlockingCalls(Generic[Connection]):
    """Runs blocking work with a connection. Vendor errors leave as ours, by `translate`."""

    def __init__(
        self,
        name: str,
        connect: Callable[[], Connection],
        translate: Callable[[Exception], DriverError],
        *,
        threads: int = 8,
        limit_s: float = CALL_LIMIT_S,
    ) -> None:
        self._name = name
        self._connect = connect
        self._translate = translate
        self._limit_s = limit_s
        self._own = threading.local()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=f"dcp-{name}")

    async def run(self, work: Callable[[Connection], Result]) -> Result:
        """Return what `work` returns. After DriverError for its time it may still be done, or be done later."""
        future = asyncio.get_running_loop().run_in_executor(self._pool, self._run, work)
        try:
            async with asyncio.timeout(self._limit_s):
                return await future
        except TimeoutError as error:
            raise DriverError(f"{self._name}: no answer within {self._limit_s:.0f} s") from error

    def close(self) -> None:
        """Start no further call. Those under way end by themselves."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(self, work: Callable[[Connection], Result]) -> Result:
        try:
            if not hasattr(self._own, "connection"):
                self._own.connection = self._connect()
            connection: Connection = self._own.connection
            return work(connection)
        except DriverError:
            raise
        except Exception as error:
            raise self._translate(error) from error
