"""Questions and commands to HAProxy over its unix sockets: the serving process's own, and the master's for all.

Every question has a connection of its own: a fraction of a millisecond, and nothing to close when the controller ends.
The sockets are reached through a descriptor of their directory, as the path of a socket may be no longer than 107
bytes. While the master reloads it refuses connections for some 50 ms; whoever asks tries again meanwhile.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from dcp.drivers.balancers.haproxy.answers import Workers, read_workers
from dcp.drivers.balancers.haproxy.configuration import LATENCIES, MASTER_SOCKET, RUNTIME_SOCKET
from dcp.kernel.clock import Clock
from dcp.kernel.errors import DriverError

ANSWER_BOUND_S = 5.0
_RETRY_S = 0.005
_END = "\n\n"
"""Every answer ends with an empty line; without it the process has ended while it spoke."""
_GONE = "Can't find the target"  # what the master says of a process that has ended
_LINE_BYTES = 8000
"""HAProxy reads a line of commands into a buffer of 16 kB."""


class RuntimeApi:
    """Asks the processes whose sockets are in `root`."""

    def __init__(self, root: Path, clock: Clock) -> None:
        self._root = root
        self._clock = clock

    async def ready(self) -> bool:
        """Return whether a process serves now. Tries once."""
        try:
            return "\nPid: " in await _ask(self._root, RUNTIME_SOCKET, "show info")
        except OSError:
            return False

    async def workers(self) -> Workers:
        return read_workers(await self._question(MASTER_SOCKET, "show proc"))

    async def reload(self) -> None:
        """Let the master replace itself and start a new serving process. Returns before it has."""
        await self._patiently(MASTER_SOCKET, "reload", question=False)

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Keep the process that serves now from ending: it waits for its last connection, and this is one."""
        try:
            async with asyncio.timeout(ANSWER_BOUND_S):
                reader, writer = await _connect(self._root, RUNTIME_SOCKET)
                # Its prompt shows that this process has taken the connection, and not one that comes after it.
                writer.write(b"prompt\n")
                await reader.readuntil(b"> ")
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            raise DriverError(f"the proxy does not run or does not answer: {error!r}") from error
        try:
            yield
        finally:
            writer.close()

    async def stat(self, kinds: int, proxy: str = "-1", pid: int | None = None) -> str:
        """Return a table of statistics; of the serving process, or of the one named."""
        return await self._of(pid, f"show stat {proxy} {kinds} -1")

    async def latencies(self, pid: int) -> str:
        return await self._of(pid, f"show table {LATENCIES}")

    async def info(self, pid: int) -> str:
        return await self._of(pid, "show info")

    async def command(self, commands: Iterable[str]) -> str:
        """Give commands to the serving process in this order and return what it says to them."""
        return "".join([await self._patiently(RUNTIME_SOCKET, line, question=False) for line in _lines(commands)])

    async def _of(self, pid: int | None, question: str) -> str:
        if pid is None:
            return await self._question(RUNTIME_SOCKET, question)
        return await self._question(MASTER_SOCKET, f"@!{pid} {question}")

    async def _question(self, socket: str, line: str) -> str:
        return await self._patiently(socket, line, question=True)

    async def _patiently(self, socket: str, line: str, *, question: bool) -> str:
        """Ask until there is an answer. What is not a question is not repeated once it may have been read."""
        try:
            async with asyncio.timeout(ANSWER_BOUND_S):
                while not (answer := await self._try(socket, line, question=question)):
                    if not await self._reloading():
                        raise DriverError("the proxy does not run")
                return answer
        except TimeoutError as error:
            raise DriverError(f"the proxy has not answered {line[:80]!r} in {ANSWER_BOUND_S:g} s") from error

    async def _try(self, socket: str, line: str, *, question: bool) -> str:
        """Return the answer, or "" if it must be asked again."""
        try:
            answer = await _ask(self._root, socket, line)
            if question:
                return answer if answer.endswith(_END) or answer.startswith(_GONE) else ""
            return answer or "\n"
        except (ConnectionRefusedError, FileNotFoundError):
            return ""
        except OSError as error:
            # A command may have been read: whoever gave it looks whether it was done.
            return "" if question else f"the connection ended: {error!r}\n"

    async def _reloading(self) -> bool:
        """Return whether it is the master alone that does not listen, after a moment."""
        await self._clock.sleep(_RETRY_S)
        return await self.ready()


async def _connect(root: Path, socket: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    folder = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return await asyncio.open_unix_connection(f"/proc/self/fd/{folder}/{socket}")
    finally:
        os.close(folder)


async def _ask(root: Path, socket: str, line: str) -> str:
    reader, writer = await _connect(root, socket)
    try:
        writer.write(line.encode() + b"\n")
        writer.write_eof()
        return (await reader.read()).decode(errors="replace")
    finally:
        writer.close()


def _lines(commands: Iterable[str]) -> Iterator[str]:
    """Yield the commands joined to lines that HAProxy can read at once."""
    line = ""
    for command in commands:
        if line and len(line) + len(command) > _LINE_BYTES:
            yield line
            line = ""
        line = f"{line};{command}" if line else command
    if line:
        yield line
