"""The verbs, for one host. What is known of its containers is the session's; what an instance is, their labels say."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from dcp.drivers.runtimes.docker import health
from dcp.drivers.runtimes.docker.api import EngineApi, EngineRefused
from dcp.drivers.runtimes.docker.choices import Choices
from dcp.drivers.runtimes.docker.image_names import ImageNames
from dcp.drivers.runtimes.docker.kept_logs import MAX_LINES, KeptLogs
from dcp.drivers.runtimes.docker.log_text import lines_of
from dcp.drivers.runtimes.docker.pulling import Pulling
from dcp.drivers.runtimes.docker.refusals import translate
from dcp.drivers.runtimes.docker.seen import Phase, Seen, of_inspection
from dcp.drivers.runtimes.docker.session import Session
from dcp.drivers.runtimes.docker.starting import LONGEST_S, Starting
from dcp.kernel.errors import DriverError, Unreachable
from dcp.orchestration.services.model import HealthCheck, Observation, StartOrder
from dcp.orchestration.services.ports import HostImage, PullOrder, RuntimeAbilities

KILL_S = 10.0


class DockerRuntime:
    """Instances on one host."""

    def __init__(self, session: Session, logs: KeptLogs, http: aiohttp.ClientSession, choices: Choices) -> None:
        self.session = session
        self._logs = logs
        self._http = http
        self._images = ImageNames()
        self._starting = Starting(session, self._images, choices.underlay, choices.calls_per_host)
        self._pulling = Pulling(self._images)

    def abilities(self) -> RuntimeAbilities:
        lacks = self.session.lacks
        return RuntimeAbilities(
            cpu_limit="CPUCfsQuota" not in lacks,
            memory_limit="MemoryLimit" not in lacks,
            why_not=f"{self.session.host.host_id}: its engine has no {', '.join(lacks)}" if lacks else "",
            containers=True,
        )

    async def start(self, order: StartOrder) -> Observation:
        async with self._talking(order.instance_id):
            return self._show(await self._starting.start(order))

    async def stop(self, instance_id: str, grace_s: float) -> None:
        """Signals are ours and not the engine's `stop`, which would hold a call for as long as the grace lasts."""
        async with self._talking(instance_id) as api:
            await self._starting.settled(instance_id)
            known = self.session.find(instance_id)
            if known is None or known.phase is not Phase.RUNNING:
                return
            if grace_s > 0:
                await self._signal(api, known, "")
                if await self.session.until_ended(instance_id, grace_s):
                    return
            await self._signal(api, known, "SIGKILL")
            if not await self.session.until_ended(instance_id, KILL_S):
                raise DriverError(f"{instance_id}: still runs {KILL_S:g} s after it was killed")

    async def observe(self, instance_id: str) -> Observation | None:
        async with self._talking(instance_id):
            known = self.session.find(instance_id)
            return None if known is None or known.phase is Phase.CREATED else self._show(known)

    async def list_all(self) -> tuple[Observation, ...]:
        """One that was made but never started is listed too, as ended: somebody has to remove it."""
        async with self._talking("listing"):
            return tuple(self._show(known) for known in self.session.all())

    async def check(self, instance_id: str) -> str:
        """An instance that answers by HTTP is healthy, whatever its engine does; any other verdict needs the engine."""
        known = self.session.find(instance_id)
        if known is not None and known.phase is Phase.RUNNING and known.health and known.health.http_path:
            return await self._check_by_http(known, known.health)
        async with self._talking(instance_id) as api:
            known = self.session.find(instance_id)
            if known is None:
                return "never started here"
            if known.phase is not Phase.RUNNING:
                code = "" if known.exit_code is None else f" with exit code {known.exit_code}"
                return f"has ended{code}"
            if known.health is None:
                return ""
            words = await health.ask_command(api, known.container_id, known.health)
            if words:
                await self.session.ask_whether_there()
            return words

    async def logs(self, instance_id: str, tail_lines: int) -> tuple[str, ...]:
        if tail_lines <= 0:
            return ()
        async with self._talking(instance_id) as api:
            known = self.session.find(instance_id)
            if known is None:
                return self._logs.tail(instance_id, tail_lines)
            return await self._tail(api, known, tail_lines)

    async def forget(self, instance_id: str) -> None:
        """Drop the container of an ended instance with its unnamed volumes; its last lines are kept here."""
        async with self._talking(instance_id) as api:
            known = self.session.find(instance_id)
            if known is None:
                return
            await self._starting.settled(instance_id)
            known = self.session.find(instance_id) or known
            if known.phase is Phase.RUNNING:
                raise DriverError(f"{instance_id}: still runs", hint="stop it first")
            lines = await self._tail(api, known, MAX_LINES)
            await asyncio.to_thread(self._logs.keep, instance_id, lines)
            try:
                await api.call("DELETE", f"/containers/{known.container_id}", params={"v": "1"}, limit_s=LONGEST_S)
            except EngineRefused as error:
                in_progress = error.status == 409 and "already in progress" in error.message
                if error.status != 404 and not in_progress:
                    raise
            self.session.drop(known.container_id)

    async def images(self) -> tuple[HostImage, ...]:
        async with self._talking("images") as api:
            return await self._pulling.images(api)

    async def pull(self, order: PullOrder) -> int:
        async with self._talking(order.image) as api:
            return await self._pulling.pull(api, order)

    async def remove_image(self, image: str) -> None:
        async with self._talking(image) as api:
            await self._pulling.remove(api, image)

    async def aclose(self) -> None:
        await self._starting.aclose()
        await self.session.aclose()

    @asynccontextmanager
    async def _talking(self, subject: str) -> AsyncIterator[EngineApi]:
        """Everything is known and the engine answers, or Unreachable; its refusals leave translated."""
        api = await self.session.ready()
        try:
            yield api
        except EngineRefused as error:
            raise translate(subject, error) from error
        except Unreachable:
            self.session.nudge()
            raise

    def _show(self, known: Seen) -> Observation:
        return known.observation(self.session.host.address)

    async def _signal(self, api: EngineApi, known: Seen, signal: str) -> None:
        """Send a signal, by default the order's own; whoever has ended already is known to have."""
        try:
            params = {"signal": signal} if signal else {"signal": await self._stop_signal(api, known)}
            await api.call("POST", f"/containers/{known.container_id}/kill", params=params)
        except EngineRefused as error:
            if error.status == 404:
                self.session.drop(known.container_id)
            elif error.status == 409 or "is not running" in error.message:
                self.session.note(of_inspection(await api.get(f"/containers/{known.container_id}/json")))
            else:
                raise

    async def _stop_signal(self, api: EngineApi, known: Seen) -> str:
        item = await api.get(f"/containers/{known.container_id}/json")
        return str(item["Config"].get("StopSignal") or "SIGTERM")

    async def _check_by_http(self, known: Seen, check: HealthCheck) -> str:
        words = await self._ask_http(known, check)
        if words:
            await self.session.ask_whether_there()
            now = self.session.find(known.instance_id)
            if now is None or now.phase is not Phase.RUNNING:
                return "has ended"
        return words

    async def _ask_http(self, known: Seen, check: HealthCheck) -> str:
        return await health.ask_http(self._http, check, known.address(self.session.host.address), known.port)

    async def _tail(self, api: EngineApi, known: Seen, lines: int) -> tuple[str, ...]:
        params = {"stdout": "1", "stderr": "1", "tail": str(lines)}
        try:
            raw = await api.call("GET", f"/containers/{known.container_id}/logs", params=params)
        except EngineRefused as error:
            # A log driver that cannot be read, or the container is gone.
            if error.status in (400, 404, 501) or "does not support reading" in error.message:
                return ()
            raise
        return lines_of(raw or b"")
