"""One health check of one instance, by HTTP on its own port or by a command; always bounded by the check's time-out.

The bound is real time, not the kernel's clock: what is waited for is a real process. A command runs with the instance's
environment and folder but outside its limits, so that an instance at its CPU limit can still be asked.
"""

import asyncio
import os
import signal
from collections.abc import Mapping
from contextlib import suppress

import aiohttp

from dcp.orchestration.services.model import HealthCheck


class HealthProbe:
    """Asks instances how they are; keeps one HTTP session."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def ask_http(self, health: HealthCheck, port: int) -> str:
        """Return "" for a status from 200 to 399, else what was wrong."""
        if self._session is None:
            # No connection is kept: an idle one would hold up an instance that waits for its clients to leave.
            connector = aiohttp.TCPConnector(force_close=True, limit=0)
            self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        path = health.http_path if health.http_path.startswith("/") else "/" + health.http_path
        timeout = aiohttp.ClientTimeout(total=health.timeout_s)
        try:
            async with self._session.get(
                f"http://127.0.0.1:{port}{path}", timeout=timeout, allow_redirects=False
            ) as response:
                return "" if 200 <= response.status < 400 else f"GET {path} answered {response.status}"
        except TimeoutError:
            return f"GET {path} gave no answer within {health.timeout_s:g} s"
        except aiohttp.ClientConnectorError:
            return f"port {port} refuses connections"
        except aiohttp.ClientError as error:
            return f"GET {path} failed: {error or type(error).__name__}"

    async def ask_command(self, health: HealthCheck, environment: Mapping[str, str], working_dir: str) -> str:
        """Return "" if the command exits with 0 in time, else what was wrong; its whole group is killed on time-out."""
        name = health.command[0]
        try:
            process = await asyncio.create_subprocess_exec(
                *health.command,
                env=environment,
                cwd=working_dir or "/",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            return f"{name} cannot be run: {error.strerror}"
        try:
            code = await asyncio.wait_for(process.wait(), health.timeout_s)
        except TimeoutError:
            return f"{name} did not end within {health.timeout_s:g} s"
        finally:
            # Also when we are cancelled; and what the command left behind goes with it.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        return "" if code == 0 else f"{name} exited with {code}"

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None
