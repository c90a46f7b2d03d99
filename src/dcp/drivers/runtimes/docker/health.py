"""One health check of one container, always bounded by its time-out: HTTP from here, a command inside it."""

import asyncio
from typing import Any

import aiohttp

from dcp.drivers.runtimes.docker.api import EngineApi, EngineRefused
from dcp.orchestration.services.model import HealthCheck

_POLL_S = (0.02, 0.2)


async def ask_http(session: aiohttp.ClientSession, health: HealthCheck, address: str, port: int) -> str:
    """Return "" for a status from 200 to 399, else what was wrong."""
    path = health.http_path if health.http_path.startswith("/") else "/" + health.http_path
    host = f"[{address}]" if ":" in address else address
    timeout = aiohttp.ClientTimeout(total=health.timeout_s)
    try:
        async with session.get(f"http://{host}:{port}{path}", timeout=timeout, allow_redirects=False) as response:
            return "" if 200 <= response.status < 400 else f"GET {path} answered {response.status}"
    except TimeoutError:
        return f"GET {path} gave no answer within {health.timeout_s:g} s"
    except (aiohttp.ClientError, OSError) as error:
        return f"GET {path} on port {port} failed: {error or type(error).__name__}"


async def ask_command(api: EngineApi, container_id: str, health: HealthCheck) -> str:
    """Return "" if the command exits with 0 in time, else what was wrong.

    The engine has no call that ends a command in a container: one that is over its time goes on until the container
    ends, and is not asked again meanwhile by the same controller.
    """
    name = health.command[0]
    body = {"Cmd": list(health.command), "AttachStdout": False, "AttachStderr": False}
    try:
        made = await api.call("POST", f"/containers/{container_id}/exec", body=body)
        await api.call("POST", f"/exec/{made['Id']}/start", body={"Detach": True})
        code = await _exit_code(api, made["Id"], health.timeout_s)
    except EngineRefused as error:
        return f"{name} cannot be run: {error.message}"
    if code is None:
        return f"{name} did not end within {health.timeout_s:g} s"
    return "" if code == 0 else f"{name} exited with {code}"


async def _exit_code(api: EngineApi, exec_id: str, limit_s: float) -> int | None:
    pause_s, longest = _POLL_S
    try:
        async with asyncio.timeout(limit_s):
            while True:
                state: dict[str, Any] = await api.get(f"/exec/{exec_id}/json")
                if not state["Running"] and state["ExitCode"] is not None:
                    return int(state["ExitCode"])
                await asyncio.sleep(pause_s)
                pause_s = min(longest, pause_s * 1.5)
    except TimeoutError:
        return None
