"""Tokens per second of one controller, over HTTP, as container engines ask for them. Prints JSON. About 20 seconds.

A scale-out asks for one token a host and image: hosts with the passwords that dcp gives them, over a ledger of 2,600
hosts with 10 instances each. People are measured with a password that was right a moment ago and with one that was not.
"""

import asyncio
import base64
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import uvicorn

from dcp.api.app import create_app
from dcp.api.server import bind
from dcp.drivers.balancers.fake import FakeBalancer
from dcp.drivers.runtimes.fake import FakeRuntime
from dcp.drivers.tokens import Es256Signer, FileVault, ScryptPasswords
from dcp.engine.context import Context
from dcp.engine.registry.identity import Credentials, Identities
from dcp.engine.registry.settings import AccessSettings
from dcp.engine.registry.tokens import TokenServer
from dcp.engine.settings import EngineSettings
from dcp.hosts.model import Host, HostType, Resources, SourceKind
from dcp.hosts.states import HostState
from dcp.images.access.model import Account, AccountKind, Member, Project, Role
from dcp.kernel.clock import SystemClock
from dcp.orchestration.services.model import ApplicationSpec, Instance, ServiceSpec
from dcp.orchestration.services.ports import OneRuntime
from dcp.orchestration.services.states import InstanceState
from dcp.store import accounts, applications, hosts, instances
from dcp.store.database import Database, open_database

HOSTS, INSTANCES_EACH, PROJECTS = 2_600, 10, 200
AT_ONCE = 32
RUN_S = 4.0
PASSWORD = "correct horse battery"


def basic(given: Credentials) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{given.name}:{given.password}".encode()).decode()}


async def fill(url: str) -> None:
    """Write hosts, instances, a person and projects into a store that no controller has yet."""
    database = open_database(url)
    size = Resources(100, 64 << 20)
    kind = HostType("t", Resources(8000, 32 << 30), labels=(("site", "a"),))
    every_host = [Host(f"h{n}", "elsewhere", SourceKind.PRIVATE, kind, HostState.READY, 1.0) for n in range(HOSTS)]
    serving = InstanceState.SERVING
    every_instance = [
        Instance(f"i{n}", "shop", f"s{n % 20}", f"h{n % HOSTS}", 1, serving, "p", 1.0, size)
        for n in range(HOSTS * INSTANCES_EACH)
    ]
    services = tuple(ServiceSpec(f"s{n}", ("run",), size, image=f"registry:5000/shop/s{n}:1") for n in range(20))
    hashed = ScryptPasswords().hash(PASSWORD)

    def work(connection) -> None:
        applications.put(connection, ApplicationSpec("shop", services), None, 1.0)
        hosts.add(connection, every_host)
        instances.add(connection, every_instance)
        accounts.add(connection, Account("ann", secret_hash=hashed))
        for number in range(PROJECTS):
            accounts.put_project(connection, Project(f"project-{number}"))
            accounts.put_member(connection, Member(f"project-{number}", "ann", Role.DEVELOPER))

    await database.write(work)
    database.close()


async def run(
    client: httpx.AsyncClient, server: psutil.Process, ask: Callable[[int], tuple[str, Credentials, str]]
) -> dict[str, float]:
    """Keep AT_ONCE requests under way for RUN_S seconds; every one must be granted what it asks for."""
    waits: list[float] = []
    before = server.cpu_times()
    stop_at = time.perf_counter() + RUN_S
    numbers = iter(range(10**9))

    async def worker() -> None:
        while (begun := time.perf_counter()) < stop_at:
            repository, who, actions = ask(next(numbers))
            query = {"service": "dcp-registry", "scope": f"repository:{repository}:{actions}"}
            answer = await client.get("/registry/token", params=query, headers=basic(who))
            assert answer.status_code == 200, answer.text
            claims = json.loads(base64.urlsafe_b64decode(answer.json()["token"].split(".")[1] + "=="))
            assert claims["access"][0]["actions"] == actions.split(","), claims
            waits.append(time.perf_counter() - begun)

    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    after = server.cpu_times()
    cpu_s = after.user + after.system - before.user - before.system
    quantiles = statistics.quantiles(waits, n=100)
    return {
        "tokens_per_s": round(len(waits) / RUN_S),
        "cpu_ms_per_token": round(1000 * cpu_s / len(waits), 2),
        "p50_ms": round(1000 * quantiles[49], 1),
        "p99_ms": round(1000 * quantiles[98], 1),
    }


async def measure(url: str, server: psutil.Process, database: Database, folder: Path) -> dict[str, object]:
    vault, clock = FileVault(folder / "registry.secret"), SystemClock()
    identities = Identities(clock, database, AccessSettings(), ScryptPasswords(), vault)
    own = [identities.own(AccountKind.HOST, f"h{number}") for number in range(HOSTS)]
    ann = Credentials("ann", PASSWORD)
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as client:
        begun = time.perf_counter()
        await client.get("/registry/token", headers=basic(ann))
        first_ms = 1000 * (time.perf_counter() - begun)
        return {
            "host": await run(client, server, lambda n: (f"shop/s{n % HOSTS % 20}", own[n % HOSTS], "pull")),
            "person": await run(client, server, lambda n: (f"project-{n % PROJECTS}/x", ann, "pull,push")),
            "person_first_ms": round(first_ms),
        }


def serve(folder: Path) -> None:
    """Answer as `dcp serve` does, with nothing that works on the ledger beside it."""
    clock, database = SystemClock(), open_database(f"sqlite:///{folder}/dcp.sqlite")
    vault = FileVault(folder / "registry.secret")
    tokens = TokenServer(
        clock, database, AccessSettings(), signer=Es256Signer(vault), passwords=ScryptPasswords(), vault=vault
    )
    context = Context(
        controller_id="bench",
        clock=clock,
        database=database,
        runtimes=OneRuntime(FakeRuntime(clock)),
        balancer=FakeBalancer(clock),
        sources=(),
        settings=EngineSettings(),
        token_server=tokens,
    )
    listener = bind("127.0.0.1", 0)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    config = uvicorn.Config(create_app(context, "token"), log_config=None, access_log=False, lifespan="off")
    asyncio.run(uvicorn.Server(config).serve([listener]))


def main() -> None:
    """Serve in a process of its own, ask, print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        asyncio.run(fill(f"sqlite:///{folder}/dcp.sqlite"))
        process = subprocess.Popen([sys.executable, __file__, name], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        try:
            here = process.stdout.readline().strip()
            database = open_database("sqlite://")
            found = asyncio.run(measure(here, psutil.Process(process.pid), database, folder))
            database.close()
        finally:
            process.terminate()
            process.wait(20)
    about = {"hosts": HOSTS, "instances": HOSTS * INSTANCES_EACH, "at_once": AT_ONCE, "processors": os.cpu_count()}
    print(json.dumps({**about, **found}, indent=2))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        serve(Path(sys.argv[1]))
    else:
        main()
