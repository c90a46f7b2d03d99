"""The engines of many hosts over one fake runtime: each can be cut off, and its instances run on meanwhile."""

from collections.abc import Mapping

from dcp.drivers.runtimes.fake import FakeRuntime
from dcp.kernel.clock import Clock
from dcp.kernel.errors import Unreachable
from dcp.orchestration.services.model import Observation, StartOrder
from dcp.orchestration.services.ports import EngineState, HostEngine, Runtime, RuntimeAbilities

ASK_S = 2.0
"""A silent engine is noticed by a call to it after this long."""


class FakeEngines:
    """`Runtimes` whose engines answer unless they are `cut`. Outlives controllers as long as the object is kept."""

    def __init__(self, runtime: FakeRuntime, clock: Clock) -> None:
        self._runtime = runtime
        self._clock = clock
        self._attached: dict[str, float] = {}
        self._cut: dict[str, float] = {}

    def cut(self, host_id: str) -> None:
        """From now on the engine of a host does not answer."""
        self._cut.setdefault(host_id, self._clock.now())

    def mend(self, host_id: str) -> None:
        """From now on it answers again."""
        if self._cut.pop(host_id, None) is not None and host_id in self._attached:
            self._attached[host_id] = self._clock.now()

    def abilities(self) -> RuntimeAbilities:
        return self._runtime.abilities()

    def of(self, host_id: str) -> Runtime:
        return OneFakeEngine(host_id, self._runtime, self, self._clock)

    def each(self) -> tuple[tuple[str, Runtime], ...]:
        return tuple((host_id, self.of(host_id)) for host_id in self._attached)

    async def attach(self, hosts: tuple[HostEngine, ...]) -> None:
        now = self._clock.now()
        self._attached = {host.host_id: self._attached.get(host.host_id, now) for host in hosts}

    def engines(self) -> Mapping[str, EngineState]:
        return {
            host_id: EngineState(False, max(since, self._cut[host_id]), "cut off")
            if host_id in self._cut
            else EngineState(True, since)
            for host_id, since in self._attached.items()
        }

    def answers(self, host_id: str) -> bool:
        """Return whether a controller can talk to the engine of this host now."""
        return host_id in self._attached and host_id not in self._cut


class OneFakeEngine:
    """The runtime of one host."""

    def __init__(self, host_id: str, runtime: FakeRuntime, engines: FakeEngines, clock: Clock) -> None:
        self._host_id = host_id
        self._runtime = runtime
        self._engines = engines
        self._clock = clock

    def abilities(self) -> RuntimeAbilities:
        return self._runtime.abilities()

    async def start(self, order: StartOrder) -> Observation:
        await self._reach()
        return await self._runtime.start(order)

    async def stop(self, instance_id: str, grace_s: float) -> None:
        await self._reach()
        await self._runtime.stop(instance_id, grace_s)

    async def observe(self, instance_id: str) -> Observation | None:
        await self._reach()
        return await self._runtime.observe(instance_id)

    async def list_all(self) -> tuple[Observation, ...]:
        await self._reach()
        return tuple(seen for seen in await self._runtime.list_all() if dict(seen.labels)["host"] == self._host_id)

    async def check(self, instance_id: str) -> str:
        await self._reach()
        return await self._runtime.check(instance_id)

    async def logs(self, instance_id: str, tail_lines: int) -> tuple[str, ...]:
        await self._reach()
        return await self._runtime.logs(instance_id, tail_lines)

    async def forget(self, instance_id: str) -> None:
        await self._reach()
        await self._runtime.forget(instance_id)

    async def _reach(self) -> None:
        if not self._engines.answers(self._host_id):
            await self._clock.sleep(ASK_S)
            raise Unreachable(f"the engine of {self._host_id} does not answer")
