"""An engine's socket forwarded over SSH by the OpenSSH client, which knows the user's keys, jump hosts and known hosts.

One client process a host; no password is ever asked for. It ends with us: when its own standard input closes, the
remote command `cat` ends, and with it the connection.
"""

import asyncio
import hashlib
import os
from contextlib import suppress
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from dcp.drivers.ssh.access import SshAccess
from dcp.kernel.errors import Unreachable

REMOTE_SOCKET = "/run/docker.sock"
OPEN_S = 4.0
MAX_SOCKET_PATH = 104
"""The kernel takes 107 bytes."""
_POLL_S = 0.02


class Forwarding:
    """One forwarded socket."""

    def __init__(self, engine: str, folder: Path, access: SshAccess | None = None) -> None:
        self._engine = engine
        self._access = access or SshAccess()
        self._url = urlsplit(engine)
        name = hashlib.sha256(f"{engine} {id(self)}".encode()).hexdigest()[:12]
        self._socket = folder / f"{os.getpid()}-{name}.sock"
        self._process: asyncio.subprocess.Process | None = None

    async def open(self) -> Path:
        """Return the local socket once connections to it are forwarded. Raises Unreachable with what SSH said."""
        if len(str(self._socket)) > MAX_SOCKET_PATH:
            hint = "use a state directory with a shorter path"
            raise Unreachable(f"{self._engine}: {self._socket} is too long for a socket", hint=hint)
        self._socket.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._socket.unlink(missing_ok=True)
        self._process = await asyncio.create_subprocess_exec(
            *ssh_command(self._url, self._socket, self._access.engine_options(self._url)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(OPEN_S):
                while not self._socket.exists():
                    if self._process.returncode is not None:
                        raise Unreachable(f"{self._engine}: {await self._said()}")
                    await asyncio.sleep(_POLL_S)
        except TimeoutError as error:
            await self.aclose()
            raise Unreachable(f"{self._engine}: no SSH session within {OPEN_S:g} s") from error
        except BaseException:
            await self.aclose()
            raise
        return self._socket

    async def aclose(self) -> None:
        """End the client and remove the socket."""
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        self._socket.unlink(missing_ok=True)

    async def _said(self) -> str:
        assert self._process is not None and self._process.stderr is not None
        text = (await self._process.stderr.read()).decode(errors="replace").strip()
        return text.splitlines()[-1] if text else f"ssh ended with {self._process.returncode}"


def remove_leftovers(folder: Path) -> None:
    """Remove the sockets of processes that are no more."""
    for socket in folder.glob("*.sock"):
        if not Path("/proc", socket.name.partition("-")[0]).exists():
            socket.unlink(missing_ok=True)


def ssh_command(url: SplitResult, socket: Path, access: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the client's command line. A path in the URL is the engine's socket on the host."""
    remote = url.path if url.path not in ("", "/") else REMOTE_SOCKET
    options = {
        "BatchMode": "yes",
        "ConnectTimeout": "3",
        "ServerAliveInterval": "5",
        "ServerAliveCountMax": "2",
        "ExitOnForwardFailure": "yes",
        "StreamLocalBindUnlink": "yes",
        "StreamLocalBindMask": "0177",
        "ControlPath": "none",
    }
    port = ("-p", str(url.port)) if url.port else ()
    user = f"{url.username}@" if url.username else ""
    flags = [flag for name, value in options.items() for flag in ("-o", f"{name}={value}")]
    return ("ssh", "-T", *flags, *access, *port, "-L", f"{socket}:{remote}", f"{user}{url.hostname}", "cat")
