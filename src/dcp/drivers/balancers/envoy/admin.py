"""Questions to Envoy's admin interface, and the one request that shows that its workers have caught up.

Every question has a connection of its own: half a millisecond on loopback, and nothing to close when the controller
ends. Errors of the HTTP client become DriverError here.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp

from dcp.drivers.balancers.envoy.documents import GATE
from dcp.kernel.clock import Clock
from dcp.kernel.errors import DriverError

ANSWER_BOUND_S = 2.0
_FIRST_POLL_S, _LAST_POLL_S = 0.001, 0.05
_LIVE = 200


class Admin:
    """`address_path` is the file in which the proxy says where it listens."""

    def __init__(self, address_path: Path) -> None:
        self._address_path = address_path

    async def ready(self) -> bool:
        """Return whether the proxy has taken over its files and serves."""
        try:
            status, _ = await self._ask("/ready", {})
        except DriverError:
            return False
        return status == _LIVE

    async def json(self, path: str, **query: str) -> dict[str, Any]:
        """Return an answer; DriverError if there is none or it is not one."""
        status, text = await self._ask(path, query)
        if status != _LIVE:
            raise DriverError(f"the proxy answered {status} to {path}: {text[:200]}")
        try:
            answer = json.loads(text)
        except ValueError as error:
            raise DriverError(f"the proxy's answer to {path} is not JSON: {text[:200]}") from error
        return answer if isinstance(answer, dict) else {}

    async def numbers(self, pattern: str) -> dict[str, int]:
        """Return the counters and gauges whose names match."""
        answer = await self.json("/stats", format="json", filter=pattern)
        return {entry["name"]: int(entry["value"]) for entry in answer["stats"] if "value" in entry}

    async def version(self, subject: str) -> str:
        """Return the version of the file that the proxy has taken over last; empty before the first."""
        pattern = rf"^{subject.replace('.', '[.]')}[.]version_text$"
        answer = await self.json("/stats", format="json", type="TextReadouts", filter=pattern)
        return next((str(entry["value"]) for entry in answer["stats"] if "name" in entry), "")

    async def pass_gate(self) -> None:
        """Return once every worker has taken over all that the proxy's main thread has acknowledged.

        The main thread hands changes to its workers through a queue each. A request that a worker accepts afterwards
        is answered after it has emptied that queue. As many connections at once as there are workers reach them all.
        """
        options = (await self.json("/server_info"))["command_line_options"]
        host, port = await self._gate()
        try:
            async with asyncio.timeout(ANSWER_BOUND_S):
                await _ask_at_once(host, port, int(options["concurrency"]))
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            raise DriverError(f"a worker of the proxy does not answer: {error!r}") from error

    async def _gate(self) -> tuple[str, int]:
        listeners = await self.json("/listeners", format="json")
        for listener in listeners.get("listener_statuses", ()):
            if listener["name"] == GATE:
                address = listener["local_address"]["socket_address"]
                return address["address"], address["port_value"]
        raise DriverError(f"the proxy has no listener {GATE}", hint="was it started by another program?")

    async def _ask(self, path: str, query: dict[str, str]) -> tuple[int, str]:
        try:
            address = self._address_path.read_text().strip()
        except FileNotFoundError as error:
            raise DriverError("the proxy does not run") from error
        timeout = aiohttp.ClientTimeout(total=ANSWER_BOUND_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(f"http://{address}{path}", params=query) as response,
            ):
                return response.status, await response.text()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise DriverError(f"the proxy does not answer {path}: {error!r}") from error


async def wait_until(clock: Clock, condition: Callable[[], Awaitable[bool]], bound_s: float) -> bool:
    """Ask again and again, less and less often; return whether the condition came true within `bound_s`."""
    pause_s = _FIRST_POLL_S
    with suppress(TimeoutError):
        async with asyncio.timeout(bound_s):
            while not await condition():
                await clock.sleep(pause_s)
                pause_s = min(_LAST_POLL_S, pause_s * 2)
            return True
    return False


async def _ask_at_once(host: str, port: int, connections: int) -> None:
    """Send a request on each of so many connections that are all open until the last is answered."""
    opened = [await asyncio.open_connection(host, port) for _ in range(connections)]
    try:
        for _, writer in opened:
            writer.write(b"GET / HTTP/1.1\r\nhost: gate\r\n\r\n")
        for reader, _ in opened:
            await reader.readuntil(b"\r\n\r\n")
    finally:
        for _, writer in opened:
            writer.close()
        for _, writer in opened:
            with suppress(OSError):
                await writer.wait_closed()
