"""An event loop on virtual time: waiting costs nothing and every run of the same program is the same.

When nothing is ready, the loop's clock jumps to the next timer. There are no sockets and no threads in a simulation;
a loop with neither timer nor ready task can never go on, which is reported as a deadlock.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

from dcp.simulation.crash import SimulatedCrash

T = TypeVar("T")


class Deadlock(RuntimeError):
    """Every task waits for something that cannot happen."""


class _JumpingSelector(selectors.SelectSelector):
    """Instead of waiting for sockets, moves the loop's clock on."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Deadlock("no task is ready and no timer is set")
        self.now_s += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """A selector event loop whose time is its selector's."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s


def run_virtual(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` to its end on a fresh virtual loop and return its result."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.get_loop().set_exception_handler(_report_all_but_crashes)
        return runner.run(work)


def _report_all_but_crashes(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Tasks of a dead controller end with SimulatedCrash and nobody awaits them: that is meant."""
    if not _only_crashes(context.get("exception")):
        loop.default_exception_handler(context)


def _only_crashes(error: BaseException | None) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(_only_crashes(inner) for inner in error.exceptions)
    return isinstance(error, SimulatedCrash)
