"""Containers on the hosts of a lab, straight through the engine's API: for tests of the lab itself."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from dcp.lab.lab import Lab


async def engine(
    lab: Lab,
    host: str,
    method: str,
    path: str,
    body: Any = None,
    *,
    text: bool = False,
    headers: dict[str, str] | None = None,
) -> Any:
    """Call the host's engine; return its answer, as text if asked for (also of an error)."""
    connector = aiohttp.UnixConnector(path=str(lab.host(host).socket))
    timeout = aiohttp.ClientTimeout(total=30)
    async with (
        aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
        session.request(method, f"http://engine{path}", json=body, headers=headers) as response,
    ):
        said = await response.text()
        if text:
            return said
        assert response.status < 400, said
        last = said.strip().splitlines()[-1:]
        if headers:
            assert "error" not in said, said
            return said
        return json.loads(said) if last else None


@asynccontextmanager
async def container(
    lab: Lab, host: str, image: str, command: Sequence[str], *, network: str = "host", publish: int = 0
) -> AsyncIterator[str]:
    """Run a container on the host meanwhile; yield its identifier."""
    ports = {f"{publish}/tcp": [{"HostPort": str(publish)}]} if publish and network == "bridge" else {}
    body = {
        "Image": image,
        "Cmd": list(command),
        "ExposedPorts": {port: {} for port in ports},
        "HostConfig": {"NetworkMode": network, "PortBindings": ports},
    }
    name = (await engine(lab, host, "POST", "/containers/create", body))["Id"]
    try:
        await engine(lab, host, "POST", f"/containers/{name}/start")
        yield name
    finally:
        await engine(lab, host, "DELETE", f"/containers/{name}?force=true")


async def exec_in(lab: Lab, host: str, name: str, script: str) -> str:
    """Run a shell script in a container; return what it printed."""
    body = {"Cmd": ["sh", "-c", script], "AttachStdout": True, "AttachStderr": True, "Tty": True}
    made = await engine(lab, host, "POST", f"/containers/{name}/exec", body)
    return await engine(lab, host, "POST", f"/exec/{made['Id']}/start", {"Detach": False, "Tty": True}, text=True)
