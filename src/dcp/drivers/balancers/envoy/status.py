"""Questions to a proxy about itself, and the requests that show that its workers have caught up.

One that dcp started is asked over loopback, one elsewhere over mutual TLS; the questions are the same. Every question
has a connection of its own: nothing to close when the controller ends. Errors of the HTTP client become DriverError.
"""

import asyncio
import json
import ssl
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import aiohttp

from dcp.drivers.balancers.envoy.bootstrap import GATE
from dcp.drivers.balancers.envoy.certificates import Identity, proxy_name
from dcp.drivers.balancers.envoy.options import RemoteProxy
from dcp.kernel.clock import Clock
from dcp.kernel.errors import DriverError

ANSWER_BOUND_S = 2.0
_GATE_PAUSE_S = 0.005
_GATE_TRIES = 200
_OK = 200


class Place(Protocol):
    """Where a proxy is asked. DriverError: it does not run."""

    tls: ssl.SSLContext | None
    server_name: str | None

    def url(self) -> str:
        """Return where its questions are answered."""
        ...

    def gate(self) -> tuple[str, int] | None:
        """Return where its gate listens; None: ask the proxy."""
        ...


class Beside:
    """The proxy that dcp started: it writes down itself where it is."""

    tls: ssl.SSLContext | None = None
    server_name: str | None = None

    def __init__(self, address_path: Path) -> None:
        self._path = address_path

    def url(self) -> str:
        try:
            return f"http://{self._path.read_text().strip()}"
        except FileNotFoundError as error:
            raise DriverError("the proxy does not run") from error

    def gate(self) -> tuple[str, int] | None:
        return None


class Elsewhere:
    """A proxy that an operator runs."""

    def __init__(self, proxy: RemoteProxy, identity: Identity) -> None:
        host = f"[{proxy.status_address}]" if ":" in proxy.status_address else proxy.status_address
        self._url = f"https://{host}:{proxy.status_port}"
        self._gate = (proxy.status_address, proxy.status_port + 1)
        self.server_name: str | None = proxy_name(proxy.node)
        self.tls: ssl.SSLContext | None = _context(identity)

    def url(self) -> str:
        return self._url

    def gate(self) -> tuple[str, int] | None:
        return self._gate


class Status:
    """What one proxy answers. `name` is what errors call it; `workers`, where given, how many threads it must have."""

    def __init__(self, name: str, place: Place, clock: Clock, workers: int | None = None) -> None:
        self._workers = workers
        self.name = name
        self._place = place
        self._clock = clock
        self._passing = asyncio.Lock()
        self._asked = 0
        self._passed = 0

    async def alive(self) -> bool:
        """Return whether the proxy answers, whatever it serves."""
        try:
            await self._ask("/ready", {})
        except DriverError:
            return False
        return True

    async def trouble(self) -> str:
        """Return why the proxy cannot be counted on although it is connected; empty if it can."""
        try:
            has = await self._concurrency()
            if self._workers is not None and has != self._workers:
                return f"it runs with --concurrency {has}, and its bootstrap is for {self._workers}"
            await self.pass_gate()
        except DriverError as error:
            return str(error)
        return ""

    async def json(self, path: str, **query: str) -> dict[str, Any]:
        """Return an answer; DriverError if there is none or it is not one."""
        status, text = await self._ask(path, query)
        if status != _OK:
            raise DriverError(f"{self.name} answered {status} to {path}: {text[:200]}")
        try:
            answer = json.loads(text)
        except ValueError as error:
            raise DriverError(f"the answer of {self.name} to {path} is not JSON: {text[:200]}") from error
        return answer if isinstance(answer, dict) else {}

    async def told(self, cluster: str) -> int:
        """Return the revision of the last endpoints of a cluster that the proxy has acknowledged; -1 for none."""
        answer = await self.json("/stats", format="json", type="TextReadouts", filter=f"^cluster[.]{cluster}[.]version")
        texts = (str(entry["value"]) for entry in answer["stats"] if "name" in entry)
        return next((int(text) for text in texts if text.isdigit()), -1)

    async def listeners(self) -> frozenset[str]:
        """Return the names of what the proxy listens on."""
        answer = await self.json("/listeners", format="json")
        return frozenset(one["name"] for one in answer.get("listener_statuses", ()))

    async def pass_gate(self) -> None:
        """Return once every worker has taken over all that the proxy's main thread has acknowledged.

        The main thread hands changes to its workers through a queue each. A request that a worker accepts afterwards
        is answered after it has emptied that queue. The gate takes as many connections as there are workers and gives
        each worker one: whoever has them all has asked every worker. Other controllers wait for their turn; here one
        pass answers everybody who asked before it began.
        """
        self._asked += 1
        mine = self._asked
        async with self._passing:
            if self._passed < mine:
                begun = self._asked
                await self._pass_gate()
                self._passed = begun

    async def _pass_gate(self) -> None:
        workers = await self._concurrency()
        host, port = self._place.gate() or await self._find_gate()
        for attempt in range(_GATE_TRIES):
            try:
                async with asyncio.timeout(ANSWER_BOUND_S):
                    await _ask_at_once(host, port, workers, self._place.tls, self._place.server_name)
            except TimeoutError as error:
                raise DriverError(f"a worker of {self.name} does not answer") from error
            except (OSError, asyncio.IncompleteReadError) as error:
                if attempt == _GATE_TRIES - 1:
                    raise DriverError(f"a worker of {self.name} does not answer: {error!r}") from error
                await self._clock.sleep(_GATE_PAUSE_S)
            else:
                return

    async def _concurrency(self) -> int:
        return int((await self.json("/server_info"))["command_line_options"]["concurrency"])

    async def _find_gate(self) -> tuple[str, int]:
        answer = await self.json("/listeners", format="json")
        for listener in answer.get("listener_statuses", ()):
            if listener["name"] == GATE:
                address = listener["local_address"]["socket_address"]
                return address["address"], address["port_value"]
        raise DriverError(f"{self.name} has no listener {GATE}", hint="was it started by another program?")

    async def _ask(self, path: str, query: dict[str, str]) -> tuple[int, str]:
        url = self._place.url() + path
        timeout = aiohttp.ClientTimeout(total=ANSWER_BOUND_S)
        secured: dict[str, Any] = {}
        if self._place.tls is not None:
            secured = {"ssl": self._place.tls, "server_hostname": self._place.server_name}
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(url, params=query, **secured) as response,
            ):
                return response.status, await response.text()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise DriverError(f"{self.name} does not answer {path}: {error!r}") from error


async def _ask_at_once(
    host: str, port: int, connections: int, tls: ssl.SSLContext | None, server_name: str | None
) -> None:
    """Send a request on each of so many connections that are all open until the last is answered."""
    opened: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    try:
        for _ in range(connections):
            opened.append(await asyncio.open_connection(host, port, ssl=tls, server_hostname=server_name))
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


def _context(identity: Identity) -> ssl.SSLContext:
    made = ssl.create_default_context(cadata=identity.authority)
    # The standard library reads a chain from files only.
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(identity.chain + identity.key)
        file.flush()
        made.load_cert_chain(file.name)
    return made
