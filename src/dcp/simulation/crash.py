"""Crashes of the controller at a boundary: just before or just after any write or driver call.

Everything that one incarnation of the controller does goes through proxies that count boundaries. At the planned one
the incarnation is dead: that call and every later one raise, whatever tasks are still running, so nothing of it can
have an effect any more, exactly as after kill -9.
"""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection

from dcp.orchestration.services.ports import Runtime, Runtimes
from dcp.store.database import Database

T = TypeVar("T")


class SimulatedCrash(BaseException):
    """The controller died here. Not an Exception: no handler of the engine may catch it."""


class Fuse:
    """Counts the boundaries of one incarnation and burns at the planned one (None: never)."""

    def __init__(self, burns_at: int | None) -> None:
        self._left = burns_at
        self.burnt = asyncio.Event()
        self.passed = 0
        """Boundaries so far."""

    def check(self) -> None:
        """Die if the incarnation is dead already."""
        if self.burnt.is_set():
            raise SimulatedCrash

    def boundary(self) -> None:
        """Pass one boundary or die."""
        self.check()
        self.passed += 1
        if self._left is None:
            return
        self._left -= 1
        if self._left <= 0:
            self.burnt.set()
            raise SimulatedCrash


class CrashingDatabase:
    """A database whose incarnation may die before a transaction or after its commit.

    With `effects_only` a read is no boundary: dying beside one is dying beside the write before or after it.
    """

    def __init__(self, inner: Database, fuse: Fuse, *, effects_only: bool = False) -> None:
        self._inner = inner
        self._fuse = fuse
        self._before_read = fuse.check if effects_only else fuse.boundary

    async def read(self, work: Callable[[Connection], T]) -> T:
        self._before_read()
        return await self._inner.read(work)

    async def write(self, work: Callable[[Connection], T]) -> T:
        self._fuse.boundary()
        result = await self._inner.write(work)
        self._fuse.boundary()
        return result

    def close(self) -> None:
        """The store outlives every incarnation."""


class CrashingRuntimes:
    """The engines of all hosts, each runtime behind the fuse."""

    def __init__(self, inner: Runtimes, fuse: Fuse) -> None:
        self._inner = inner
        self._fuse = fuse
        self.abilities, self.attach, self.engines = inner.abilities, inner.attach, inner.engines

    def of(self, host_id: str) -> Runtime:
        runtime: Runtime = CrashingDriver(self._inner.of(host_id), self._fuse)
        return runtime

    def each(self) -> tuple[tuple[str, Runtime], ...]:
        return tuple((host_id, self.of(host_id)) for host_id, _ in self._inner.each())


class CrashingDriver:
    """Any driver behind a fuse: its coroutine methods pass a boundary before and after the call.

    Those that are `looking` have no effect, and are no boundaries.
    """

    def __init__(self, inner: Any, fuse: Fuse, looking: frozenset[str] = frozenset()) -> None:
        self._inner = inner
        self._fuse = fuse
        self._looking = looking

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not asyncio.iscoroutinefunction(found):
            return found

        passing = self._fuse.check if name in self._looking else self._fuse.boundary

        async def guarded(*args: Any, **kwargs: Any) -> Any:
            passing()
            result = await found(*args, **kwargs)
            passing()
            return result

        return guarded


async def end_all(tasks: "set[asyncio.Task[object]]") -> None:
    """Cancel tasks in an order that does not vary, and wait for them."""
    for task in sorted(tasks, key=lambda one: one.get_name()):
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
