"""Clouds that exist only in tests, answering over a real socket: what all of them have in common.

They live in the loop of the test, with the test's clock; drivers ask them from threads, as they ask real ones.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from dcp.kernel.clock import Clock, LoopClock

BOOT_S = 20.0


class MovingClock(LoopClock):
    """Waiting costs no time; `later` is added to the time of the loop."""

    later = 0.0

    def now(self) -> float:
        return super().now() + self.later

    async def sleep(self, seconds: float) -> None:
        self.later += max(0.0, seconds)


@dataclass(slots=True)
class CloudMachine:
    """One machine. Times are seconds of the test's clock."""

    id: str
    name: str
    machine: str
    made_at: float
    zone: str = ""
    gone_at: float | None = None
    details: dict[str, Any] = field(default_factory=dict)


class CloudServer:
    """Machines in memory, stock by machine type, and faults that a test orders."""

    def __init__(self, clock: Clock, stock: dict[str, int]) -> None:
        self.clock = clock
        self.stock = stock
        self.machines: dict[str, CloudMachine] = {}
        self.made = 0
        self.requests: list[str] = []
        self.delete_s = 5.0
        self.page_limit = 1000
        self.silent_creations = 0
        """So many of the next creations are done and never answered."""
        self.between_pages: Callable[[], None] | None = None
        self._refusals: dict[str, deque[web.Response]] = {}
        self.url = ""
        self.port = 0

    def refuse(
        self, verb: str, status: int, body: Any, *, headers: dict[str, str] | None = None, times: int = 1
    ) -> None:
        """Let the next calls of a verb (create, delete, list) end with this answer, without effect."""
        for _ in range(times):
            answer = web.json_response(body, status=status, headers=headers)
            self._refusals.setdefault(verb, deque()).append(answer)

    def refusal(self, verb: str) -> web.Response | None:
        """Return the answer that a test ordered for this call, once."""
        self.requests.append(verb)
        waiting = self._refusals.get(verb)
        return waiting.popleft() if waiting else None

    def present(self) -> list[CloudMachine]:
        """Return the machines that are there now, oldest first."""
        now = self.clock.now()
        for machine in [m for m in self.machines.values() if m.gone_at is not None and m.gone_at <= now]:
            del self.machines[machine.id]
        return list(self.machines.values())

    def left(self, machine: str) -> int:
        """Return how many more of this type can be made."""
        used = sum(1 for one in self.present() if one.machine == machine)
        return self.stock.get(machine, 10_000) - used

    def add(self, name: str, machine: str, **details: Any) -> CloudMachine:
        """Make a machine, as a user of the cloud may do as well."""
        self.made += 1
        made = CloudMachine(f"m-{self.made:06d}", name, machine, self.clock.now(), details=details)
        self.machines[made.id] = made
        return made

    def runs(self, machine: CloudMachine) -> bool:
        """Return whether it has booted."""
        return self.clock.now() >= machine.made_at + BOOT_S

    def answered(self, request: web.Request) -> bool:
        """Return whether a creation that was carried out is answered; if not, the line is cut."""
        if self.silent_creations <= 0:
            return True
        self.silent_creations -= 1
        if request.transport is not None:
            request.transport.close()
        return False

    def routes(self) -> list[web.RouteDef]:
        """Return what is answered."""
        raise NotImplementedError

    async def __aenter__(self) -> Any:
        app = web.Application()
        app.add_routes(self.routes())
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()
