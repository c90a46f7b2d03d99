"""Tells the instances of one service which of their features are off, each once; who fails is told again soon.

What was told is remembered in this process only: the next controller tells every instance again.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from dcp.engine.context import Context, log
from dcp.kernel.errors import DriverError
from dcp.orchestration.services.model import Instance
from dcp.orchestration.services.states import InstanceState

TOLD_IN = frozenset({InstanceState.HELD, InstanceState.SERVING})
"""Before an instance takes traffic, and while it does."""
AGAIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Switches:
    """Where instances are told, and what is off."""

    path: str
    off: tuple[str, ...]


class Features:
    """The switches of one service."""

    def __init__(self, context: Context, subject: str) -> None:
        self._context = context
        self._subject = subject
        self._told: dict[str, tuple[str, ...]] = {}
        self._again_at: dict[str, float] = {}
        self._telling: dict[str, asyncio.Task[None]] = {}

    def tell(self, every: Iterable[Instance], switches: Switches | None) -> None:
        """Begin to tell those that do not know it yet."""
        if switches is None or self._context.features is None:
            return
        now = self._context.clock.now()
        there = {one.id: one for one in every if one.state in TOLD_IN and one.port}
        for known in (self._told, self._again_at):
            for gone in known.keys() - there.keys():
                del known[gone]
        for one in there.values():
            knows = self._told.get(one.id) == switches.off
            if not knows and one.id not in self._telling and now >= self._again_at.get(one.id, now):
                task = asyncio.create_task(self._tell(one, switches), name=f"features:{one.id}")
                self._telling[one.id] = task

    async def close(self) -> None:
        """Cancel what is under way."""
        for task in self._telling.values():
            task.cancel()
        await asyncio.gather(*self._telling.values(), return_exceptions=True)

    async def _tell(self, instance: Instance, switches: Switches) -> None:
        assert self._context.features is not None
        try:
            await self._context.features.tell(instance.address, instance.port, switches.path, switches.off)
        except DriverError as error:
            self._again_at[instance.id] = self._context.clock.now() + AGAIN_S
            log.warning("features not told", instance=instance.id, error=str(error))
        else:
            self._told[instance.id] = switches.off
        finally:
            self._telling.pop(instance.id, None)
        self._context.wakes.wake(self._subject)
