"""A real server on a free port with a real engine over fakes, in a thread beside the command line under test."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from typer.testing import CliRunner, Result

from dcp.api.app import create_app
from dcp.api.server import bind
from dcp.cli.main import app
from dcp.drivers.balancers.fake import FakeBalancer
from dcp.drivers.clouds.private import PrivateHosts, PrivatePool
from dcp.drivers.runtimes.fake import Behaviour, FakeRuntime
from dcp.drivers.tokens import Es256Signer, FileVault, ScryptPasswords
from dcp.drivers.tokens.passwords import Cost
from dcp.engine.context import Context
from dcp.engine.controller import Controller
from dcp.engine.registry.settings import AccessSettings
from dcp.engine.registry.tokens import TokenServer
from dcp.engine.settings import EngineSettings
from dcp.hosts.model import HostType, Resources
from dcp.kernel.clock import SystemClock
from dcp.orchestration.scaling.model import Timing
from dcp.orchestration.services.ports import OneRuntime
from dcp.store.database import InlineDatabase

TOKEN = "right-token"
COMPOSE = """
name: shop
services:
  feed:
    command: [serve]
    ports: ["18080:80"]
    depends_on: [user]
    environment: {COLOUR: "%(colour)s"}
    deploy: {replicas: %(replicas)d, resources: {limits: {cpus: "%(cpus)s", memory: 64M}}}
  user:
    command: [serve]
    deploy: {resources: {limits: {cpus: "0.5", memory: 64M}}}
"""


@dataclass(frozen=True, slots=True)
class Dcp:
    """The command line, told where the server is."""

    environment: dict[str, str]
    folder: Path

    def __call__(self, *words: str, answer: str | None = None, **environment: str) -> Result:
        return CliRunner().invoke(app, list(words), input=answer, env={**self.environment, **environment})

    def file(self, colour: str = "red", replicas: int = 2, cpus: str = "0.5") -> str:
        path = self.folder / "compose.yaml"
        path.write_text(COMPOSE % {"colour": colour, "replicas": replicas, "cpus": cpus})
        return str(path)


@contextmanager
def served(folder: Path, make: Callable[[Path], Context] | None = None) -> Iterator[Dcp]:
    """Serve until the end of the block; `make` gives another context than the usual one."""
    listener = bind("127.0.0.1", 0)
    port = listener.getsockname()[1]
    started = threading.Event()
    server: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def run() -> None:
        ended = asyncio.Event()
        server.append((asyncio.get_running_loop(), ended))
        context = (make or make_context)(folder)
        config = uvicorn.Config(create_app(context, TOKEN), log_config=None, access_log=False, lifespan="off")
        api = uvicorn.Server(config)
        tasks = [asyncio.create_task(api.serve([listener])), asyncio.create_task(Controller(context, "here").run())]
        started.set()
        await ended.wait()
        api.should_exit = True
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        context.database.close()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    started.wait(10)
    environment = {"DCP_SERVER": f"http://127.0.0.1:{port}", "DCP_TOKEN": TOKEN, "DCP_STATE": str(folder / "state")}
    try:
        yield Dcp(environment, folder)
    finally:
        loop, ended = server[0]
        loop.call_soon_threadsafe(ended.set)
        thread.join(20)
        listener.close()


def make_context(folder: Path) -> Context:
    clock = SystemClock()
    host_type = HostType("host", Resources(1000, 1 << 30), price_usd_per_hour=3.6)
    runtime = FakeRuntime(clock, services={"never": Behaviour(healthy_after_s=(1e9, 1e9))})
    database, vault = InlineDatabase(), FileVault(folder / "registry.secret")
    return Context(
        controller_id="c-1",
        clock=clock,
        database=database,
        runtimes=OneRuntime(runtime),
        balancer=FakeBalancer(clock),
        sources=(PrivatePool("local", None, [PrivateHosts(host_type, 3)]),),
        settings=EngineSettings(poll_s=0.05, busy_poll_s=0.02, timing=Timing(sample_s=0.2)),
        token_server=TokenServer(
            clock,
            database,
            AccessSettings(),
            signer=Es256Signer(vault),
            passwords=ScryptPasswords(Cost(n=16)),
            vault=vault,
        ),
    )
