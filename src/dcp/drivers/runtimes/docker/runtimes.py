"""The runtimes of all hosts: a session with each, opened and closed as hosts come and go."""

import asyncio
import random
import secrets
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import NoReturn

import aiohttp

from dcp.drivers.runtimes.docker.api import EngineRefused
from dcp.drivers.runtimes.docker.choices import Choices
from dcp.drivers.runtimes.docker.forwarding import remove_leftovers
from dcp.drivers.runtimes.docker.kept_logs import KeptLogs
from dcp.drivers.runtimes.docker.reach import Ways
from dcp.drivers.runtimes.docker.runtime import DockerRuntime
from dcp.drivers.runtimes.docker.session import Session, Shared
from dcp.drivers.ssh.access import SshAccess
from dcp.kernel.clock import Clock
from dcp.kernel.errors import DcpError, Unavailable, Unreachable
from dcp.orchestration.services.model import Observation, StartOrder
from dcp.orchestration.services.ports import EngineState, HostEngine, HostImage, PullOrder, Runtime, RuntimeAbilities

OPENING_AT_ONCE = 64
PROBE_S = 3.0
SSH_FOLDER = "ssh"


class DockerRuntimes:
    """`Runtimes` whose hosts run Docker Engine. Made anywhere; used in one event loop."""

    def __init__(self, settings: Choices, directory: Path, clock: Clock, access: SshAccess | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.owner = settings.owner or _claim_owner(directory)
        self._settings = settings
        self._directory = directory
        self._clock = clock
        self._logs = KeptLogs(directory / "logs")
        self._ways = Ways(settings.tls, settings.calls_per_host, access)
        remove_leftovers(directory / SSH_FOLDER)
        self._shared: Shared | None = None
        self._http: aiohttp.ClientSession | None = None
        self._runtimes: dict[str, DockerRuntime] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def abilities(self) -> RuntimeAbilities:
        each = [runtime.abilities() for runtime in self._runtimes.values()]
        return RuntimeAbilities(
            cpu_limit=all(one.cpu_limit for one in each),
            memory_limit=all(one.memory_limit for one in each),
            why_not="; ".join(one.why_not for one in each if one.why_not),
            containers=True,
        )

    def of(self, host_id: str) -> Runtime:
        return self._runtimes.get(host_id) or _Unattached(host_id)

    def each(self) -> tuple[tuple[str, Runtime], ...]:
        return tuple(self._runtimes.items())

    async def attach(self, hosts: tuple[HostEngine, ...]) -> None:
        self.keep(hosts)

    def keep(self, hosts: tuple[HostEngine, ...]) -> None:
        """Keep sessions with exactly these hosts. Needs a running event loop."""
        wanted = {host.host_id: host for host in hosts}
        for host_id, runtime in list(self._runtimes.items()):
            host = wanted.get(host_id)
            if host is not None and host.engine == runtime.session.host.engine:
                runtime.session.host = host
                continue
            del self._runtimes[host_id]
            task = asyncio.create_task(runtime.aclose())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        for host in hosts:
            if host.host_id not in self._runtimes:
                self._runtimes[host.host_id] = self._open(host)

    def engines(self) -> Mapping[str, EngineState]:
        states = {host_id: runtime.session.state() for host_id, runtime in self._runtimes.items()}
        return {host_id: state for host_id, state in states.items() if state is not None}

    async def aclose(self) -> None:
        """Close every session; containers run on."""
        runtimes = tuple(self._runtimes.values())
        self._runtimes.clear()
        await asyncio.gather(*(runtime.aclose() for runtime in runtimes), *self._closing)
        if self._http is not None:
            await self._http.close()
            self._http = None

    def _open(self, host: HostEngine) -> DockerRuntime:
        if self._shared is None:
            self._shared = Shared(
                owner=self.owner,
                clock=self._clock,
                ways=self._ways,
                sockets=self._directory / SSH_FOLDER,
                ports=self._settings.ports,
                opening=asyncio.Semaphore(OPENING_AT_ONCE),
                random=random.Random(secrets.randbits(64)),
            )
        if self._http is None:
            # No connection is kept: an idle one would hold up an instance that waits for its clients to leave.
            connector = aiohttp.TCPConnector(force_close=True, limit=0)
            self._http = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        runtime = DockerRuntime(Session(host, self._shared), self._logs, self._http, self._settings)
        runtime.session.open()
        return runtime


def engine_probe(settings: Choices, access: SshAccess | None = None) -> Callable[[str], Awaitable[bool]]:
    """Return what asks whether the engine at a URL answers, within 3 s."""
    found: list[Ways] = []

    async def ask(engine: str) -> bool:
        try:
            if not found:
                found.append(Ways(settings.tls, 1, access))
            with tempfile.TemporaryDirectory(prefix="dcp-ssh-") as folder:
                async with asyncio.timeout(PROBE_S):
                    way = await found[0].open(engine, Path(folder))
                    try:
                        await way.api.ping(PROBE_S)
                    finally:
                        await way.aclose()
        except (DcpError, EngineRefused, OSError, TimeoutError, ValueError):
            return False
        return True

    return ask


class _Unattached:
    """The runtime of a host that no session is kept with."""

    def __init__(self, host_id: str) -> None:
        self._host_id = host_id

    def abilities(self) -> RuntimeAbilities:
        return RuntimeAbilities(cpu_limit=False, memory_limit=False, why_not="not attached", containers=True)

    async def start(self, order: StartOrder) -> Observation:
        self._refuse()

    async def stop(self, instance_id: str, grace_s: float) -> None:
        self._refuse()

    async def observe(self, instance_id: str) -> Observation | None:
        self._refuse()

    async def list_all(self) -> tuple[Observation, ...]:
        self._refuse()

    async def check(self, instance_id: str) -> str:
        self._refuse()

    async def logs(self, instance_id: str, tail_lines: int) -> tuple[str, ...]:
        self._refuse()

    async def forget(self, instance_id: str) -> None:
        self._refuse()

    async def images(self) -> tuple[HostImage, ...]:
        self._refuse()

    async def pull(self, order: PullOrder) -> int:
        self._refuse()

    async def remove_image(self, image: str) -> None:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise Unreachable(f"{self._host_id}: no session is kept with its engine")


def _claim_owner(directory: Path) -> str:
    """Return the owner's name kept with the state; made once, also when two begin at the same moment."""
    path = directory / "owner"
    temporary = directory / f".owner.{secrets.token_hex(4)}"
    temporary.write_text(secrets.token_hex(4))
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
    owner = path.read_text().strip()
    if not owner:
        raise Unavailable(f"{path} is empty", hint="it names the owner of containers; restore it")
    return owner
