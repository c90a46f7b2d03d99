"""What the balancer keeps on disk: which process the proxy is, and how it and its controllers find each other.

    DIRECTORY/
      owner                 who we are: the value of DCP_OWNER in the environment of our proxy
      proxy                 "PID START_TICKS BOOT_ID" of the proxy that was started or adopted last
      admin                 address of its admin interface, written by the proxy itself
      bootstrap.json        what it was started with
      xds.sock              where it finds a controller; a path that is too long for a socket moves to the temporary
                            directory of the machine
      authority.pem .key    who signs the certificates of controllers and of proxies elsewhere
      proxy.log             what it says
      proxy.lock workers.lock     flocks: several controllers may share the directory

What the proxy serves stands in the store, and reaches it over xDS.
"""

import asyncio
import os
import secrets
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from dcp.drivers.runtimes.process.directory import Lock, take_lock, write_file
from dcp.drivers.runtimes.process.processes import Leader
from dcp.kernel.clock import Clock
from dcp.kernel.errors import DriverError

LOCK_BOUND_S = 5.0
_LOCK_POLL_S = 0.002
_LONGEST_SOCKET_PATH = 100  # the kernel takes 107


class BalancerDirectory:
    """Reads and writes the files above. Every write is atomic."""

    def __init__(self, root: Path, clock: Clock) -> None:
        self.root = root.resolve()
        self._clock = clock
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.bootstrap = self.root / "bootstrap.json"
        self.admin = self.root / "admin"
        self.log = self.root / "proxy.log"
        self._proxy = self.root / "proxy"
        _write_if_absent(self.root / "owner", f"balancer-{secrets.token_hex(8)}")
        self.owner = (self.root / "owner").read_text()
        self.socket = self._socket_path()

    @asynccontextmanager
    async def locked(self, what: str) -> AsyncIterator[None]:
        """Hold one of the locks. DriverError: another controller holds it for more than LOCK_BOUND_S."""
        lock: Lock | None = None
        try:
            async with asyncio.timeout(LOCK_BOUND_S):
                while (lock := self._try_lock(what)) is None:
                    await self._clock.sleep(_LOCK_POLL_S)
        except TimeoutError as error:
            raise DriverError(
                f"another controller has held {what}.lock of the balancer for {LOCK_BOUND_S:g} s"
            ) from error
        with lock:
            yield

    def leader(self) -> Leader | None:
        """Return the recorded proxy, running or not."""
        try:
            pid, ticks, boot = self._proxy.read_text().split()
        except (FileNotFoundError, ValueError):
            return None
        return Leader(int(pid), int(ticks), boot)

    def write_leader(self, leader: Leader) -> None:
        write_file(self._proxy, f"{leader.pid} {leader.start_ticks} {leader.boot_id}\n")

    def forget_leader(self) -> None:
        self._proxy.unlink(missing_ok=True)
        self.admin.unlink(missing_ok=True)

    def _socket_path(self) -> Path:
        path = self.root / "xds.sock"
        if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
            return path
        folder = Path(tempfile.gettempdir()) / f"dcp-{self.owner}"
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.stat().st_uid != os.getuid():
            raise DriverError(f"{folder} belongs to somebody else", hint="use a state directory with a shorter path")
        return folder / "xds.sock"

    def _try_lock(self, what: str) -> Lock | None:
        return take_lock(self.root / f"{what}.lock", wait=False)


def _write_if_absent(path: Path, text: str) -> None:
    """Make the file in one step unless it exists: of several writers the first wins."""
    if path.exists():
        return
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    temporary.touch(0o600)
    temporary.write_text(text)
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
