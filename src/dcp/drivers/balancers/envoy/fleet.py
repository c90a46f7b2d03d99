"""All proxies of the edge together: what they are asked at once, and who is waited for.

A change is in force when every proxy that is counted on has acknowledged it and its workers have caught up. A proxy
that is connected to this controller says so on its stream; one that is connected to another controller is asked. One
that does neither within `away_after_s` is **away**: that is written down, and it is not waited for until it has taken
over the present state. The embedded proxy is never away: without it nothing is known to serve, so its silence is an
error. The same goes for the last proxy that is left.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from dcp.drivers.balancers.envoy.options import EMBEDDED, EnvoyOptions
from dcp.drivers.balancers.envoy.server import Connected, XdsServer
from dcp.drivers.balancers.envoy.status import Status
from dcp.kernel.clock import Clock
from dcp.kernel.errors import DriverError
from dcp.orchestration.traffic.ports import EdgeLedger

T = TypeVar("T")
EMBEDDED_BOUND_S = 5.0
_ASK_AGAIN_S = 0.1


class Fleet:
    """`statuses` by node: one for every proxy that the options name."""

    def __init__(
        self, server: XdsServer, ledger: EdgeLedger, statuses: Mapping[str, Status], options: EnvoyOptions, clock: Clock
    ) -> None:
        self._server = server
        self._ledger = ledger
        self._statuses = statuses
        self._options = options
        self._clock = clock
        self._silent_since: dict[str, float] = {}

    async def members(self) -> tuple[str, ...]:
        """Return the nodes that are counted on now. DriverError: there is none."""
        counted = await self._ledger.counted()
        embedded = (EMBEDDED,) if self._options.embedded else ()
        found = (*embedded, *sorted(node for node in counted if self._options.remote(node) is not None))
        if not found:
            raise DriverError("no proxy is there", hint="start one of balancer.proxies, or set balancer.embedded")
        return found

    async def ask(self, question: Callable[[Status], Awaitable[T]]) -> list[T]:
        """Return the answers of all that are counted on. DriverError: one does not answer."""
        return await asyncio.gather(*(question(self._statuses[node]) for node in await self.members()))

    async def accepted(
        self,
        connected: Callable[[Connected], bool],
        elsewhere: Callable[[str, Status], Awaitable[bool]],
        what: str,
        more_s: float = 0.0,
    ) -> None:
        """Return once all have accepted, their workers included.

        `connected` looks at the stream of a proxy that is connected here and may raise DriverError for one that
        refused; `elsewhere` asks a proxy. `more_s` is added to what a proxy has time for. DriverError: one that must
        not be away has not accepted in time.
        """
        confirmed: set[str] = set()
        while waiting := [node for node in await self.members() if node not in confirmed]:
            outcomes = await asyncio.gather(
                *(self._one(node, connected, elsewhere, self._bound_s(node) + more_s) for node in waiting)
            )
            late = [node for node, accepted in zip(waiting, outcomes, strict=True) if not accepted]
            confirmed |= set(waiting) - set(late)
            if late and (EMBEDDED in late or not confirmed):
                bound_s = self._bound_s(late[0]) + more_s
                raise DriverError(f"{self._statuses[late[0]].name} has not taken over {what} in {bound_s:g} s")
            for node in late:
                await self._ledger.discount(node, f"it has not taken over {what} in {self._bound_s(node) + more_s:g} s")

    async def embedded_accepted(
        self,
        connected: Callable[[Connected], bool],
        elsewhere: Callable[[str, Status], Awaitable[bool]],
        more_s: float = 0.0,
    ) -> bool:
        """Return whether the embedded proxy accepts within its bound; its workers are not asked."""
        try:
            async with asyncio.timeout(EMBEDDED_BOUND_S + more_s):
                while not await self._has_accepted(EMBEDDED, connected, elsewhere):
                    await self._server.moved(_ASK_AGAIN_S)
        except TimeoutError:
            return False
        return True

    async def note_silence(self) -> None:
        """Stop counting on proxies that are neither connected here nor answer for `away_after_s`."""
        counted = await self._ledger.counted()
        for node in sorted(counted & self._statuses.keys()):
            if self._server.connected(node) is not None or await self._statuses[node].alive():
                self._silent_since.pop(node, None)
                continue
            since = self._silent_since.setdefault(node, self._clock.now())
            if self._clock.now() - since >= self._options.away_after_s:
                await self._ledger.discount(node, f"it has been silent for {self._options.away_after_s:g} s")

    def _bound_s(self, node: str) -> float:
        return EMBEDDED_BOUND_S if node == EMBEDDED else self._options.away_after_s

    async def _one(
        self,
        node: str,
        connected: Callable[[Connected], bool],
        elsewhere: Callable[[str, Status], Awaitable[bool]],
        bound_s: float,
    ) -> bool:
        status = self._statuses[node]
        try:
            async with asyncio.timeout(bound_s):
                while not await self._has_accepted(node, connected, elsewhere):
                    await self._server.moved(_ASK_AGAIN_S)
                await self._caught_up(status, give_up=node == EMBEDDED)
        except TimeoutError:
            return False
        return True

    async def _has_accepted(
        self, node: str, connected: Callable[[Connected], bool], elsewhere: Callable[[str, Status], Awaitable[bool]]
    ) -> bool:
        here = self._server.connected(node)
        if here is not None:
            return connected(here)
        try:
            return await elsewhere(node, self._statuses[node])
        except DriverError:
            if node == EMBEDDED:
                raise
            return False

    async def _caught_up(self, status: Status, *, give_up: bool) -> None:
        while True:
            try:
                return await status.pass_gate()
            except DriverError:
                if give_up:
                    raise
                await self._clock.sleep(_ASK_AGAIN_S)
