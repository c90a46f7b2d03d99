"""An API over an in-memory store and fake drivers; the application that tests apply; waiting for it."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx

from dcp.api.app import create_app
from dcp.drivers.tokens import Es256Signer, FileVault, ScryptPasswords
from dcp.drivers.tokens.passwords import Cost
from dcp.engine.context import Context
from dcp.engine.registry.settings import AccessSettings
from dcp.engine.registry.tokens import TokenServer
from dcp.kernel.clock import Clock
from dcp.store.database import Database

TOKEN = "right-token"
SPEC = {
    "name": "shop",
    "services": [
        {
            "name": "feed",
            "command": ["serve", "--token=hunter2"],
            "resources": {"cpu_millis": 500, "memory_bytes": 64 << 20},
            "replicas": 2,
            "environment": [["PASSWORD", "hunter2"]],
            "published_port": 18080,
            "depends_on": [{"service": "user"}],
            "calls": [{"service": "user", "per_request": 0.4}],
        },
        {"name": "user", "command": ["serve"], "resources": {"cpu_millis": 500, "memory_bytes": 64 << 20}},
    ],
}


def make_token_server(
    clock: Clock, database: Database, folder: Path, settings: AccessSettings | None = None
) -> TokenServer:
    """Return a token server whose passwords cost nothing."""
    vault = FileVault(folder / "registry.secret")
    return TokenServer(
        clock,
        database,
        settings or AccessSettings(),
        signer=Es256Signer(vault),
        passwords=ScryptPasswords(Cost(n=16)),
        vault=vault,
    )


def anonymous(context: Context) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(create_app(context, TOKEN), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://dcp")


async def serves(api: httpx.AsyncClient) -> bool:
    services = (await api.get("/api/v1/services")).json()["services"]
    return bool(services) and all(one["serving"] == one["target"] for one in services)


async def until(holds: Callable[[], Awaitable[bool]], timeout_s: float = 20.0) -> None:
    async with asyncio.timeout(timeout_s):
        while True:
            if await holds():
                return
            await asyncio.sleep(0.02)
