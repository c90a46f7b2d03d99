"""HAProxy's processes: a master that is started once, found again by whoever has its directory, ended on request.

It runs in a session of its own, so that neither the controller's end nor a signal to its group reaches it. Who it is
stands in the directory as pid, start time and boot; a reload keeps all three, as the master replaces its own program.
If the controller was killed before it could write that down, the master is found by its environment: it leads the
session. Workers end with their master, and the master ends when its serving worker does, so that one process killed
is the whole proxy gone, and the next look starts it again.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path

from dcp.drivers.balancers.haproxy.configuration import MASTER_SOCKET
from dcp.drivers.balancers.haproxy.directory import COMMON, SERVED, BalancerDirectory
from dcp.drivers.balancers.haproxy.runtime_api import RuntimeApi
from dcp.drivers.balancers.waiting import wait_until
from dcp.drivers.runtimes.process.processes import (
    OWNER_VARIABLE,
    Leader,
    Stat,
    boot_id,
    find_leader,
    find_owned,
    read_stat,
    reap,
    send_signal,
)
from dcp.kernel.clock import Clock
from dcp.kernel.errors import DriverError, Unavailable

START_BOUND_S = 15.0
STOP_BOUND_S = 5.0
_PLACES = f"{os.defpath}:/usr/local/sbin:/usr/sbin:/sbin"
_INSTALL = "install the Debian package haproxy (apt-get install haproxy), or name the program as balancer.binary"
_RESET_SIGNALS = (
    signal.SIGPIPE,
    signal.SIGXFSZ,
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
)


class Proxy:
    """Starts, finds and ends the HAProxy of one directory. `start` and `stop` need its lock."""

    def __init__(self, directory: BalancerDirectory, clock: Clock, binary: str | None) -> None:
        self._directory = directory
        self._clock = clock
        self._binary = binary

    def running(self) -> bool:
        """Return whether the recorded master runs. Reads one file of /proc."""
        return self._recorded() is not None

    def found(self) -> bool:
        """Return whether our master runs, recorded or not; record one that was not."""
        if self.running():
            return True
        for stat in self._owned():
            if stat.session == stat.pid:
                self._directory.write_leader(Leader(stat.pid, stat.start_ticks, boot_id()))
                return True
        return False

    async def start(self, api: RuntimeApi) -> None:
        """Start the proxy with what the directory holds, and return once it serves.

        Unavailable: HAProxy is not installed. DriverError: it ends at once; the log says why.
        """
        binary = find_binary(self._binary)
        await self._end(self._owned(), signal.SIGKILL)
        self._directory.forget_leader()
        self._directory.trim_log()
        pid = self._execute(binary)
        stat = read_stat(pid)
        if stat is not None:
            self._directory.write_leader(Leader(pid, stat.start_ticks, boot_id()))
        if not await self.serves(api):
            words = f"the proxy ended as soon as it was started: {self.last_trouble()}"
            raise DriverError(words, hint=f"see {self._directory.log}")

    async def serves(self, api: RuntimeApi) -> bool:
        """Return True once the proxy serves, False once it has ended. DriverError: neither in START_BOUND_S."""

        async def decided() -> bool:
            return not self.running() or await api.ready()

        if not await wait_until(self._clock, decided, START_BOUND_S):
            words = f"the proxy runs but does not serve after {START_BOUND_S:g} s"
            raise DriverError(words, hint=f"see {self._directory.log}")
        return self.running()

    async def stop(self) -> None:
        """End the proxy: SIGTERM to the master, then SIGKILL to all. Absent is success."""
        if self.found():
            master = self._recorded()
            if not await self._end([master] if master is not None else [], signal.SIGTERM):
                await self._end(self._owned(), signal.SIGKILL)
        if not await self._end(self._owned(), signal.SIGKILL):
            raise DriverError(f"the proxy does not end within {STOP_BOUND_S:g} s of SIGKILL")
        self._directory.forget_leader()

    def last_trouble(self) -> str:
        """Return the last complaint in the log."""
        try:
            lines = self._directory.log.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return "without a word"
        complaints = [line.partition(" : ")[2] for line in lines if line.startswith("[ALERT]")]
        telling = [words for words in complaints if "Some protocols failed" not in words]
        return telling[-1] if telling else "without a word"

    def _recorded(self) -> Stat | None:
        leader = self._directory.leader()
        stat = find_leader(leader, boot_id()) if leader is not None else None
        if stat is None or not stat.ended:
            return stat
        reap(stat)
        return None

    def _owned(self) -> list[Stat]:
        """Return every process of ours that runs: the master and its workers."""
        stats = (read_stat(pid) for pid in find_owned(self._directory.owner))
        return [stat for stat in stats if stat is not None and not stat.ended]

    async def _end(self, processes: Iterable[Stat], number: int) -> bool:
        """Send a signal to the processes and return whether nothing of ours runs any more."""
        for stat in processes:
            send_signal(stat, number)

        async def gone() -> bool:
            # Looking at the record also collects a master that is our child.
            return not self.running() and not self._owned()

        return await wait_until(self._clock, gone, STOP_BOUND_S)

    def _execute(self, binary: Path) -> int:
        root = self._directory.root
        command = [str(binary), "-W", "-S", f"unix@{MASTER_SOCKET},mode,600", "-C", str(root)]
        command += ["-f", COMMON, "-f", SERVED]
        environment = {"PATH": os.defpath, OWNER_VARIABLE: self._directory.owner}
        log = os.open(self._directory.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            return os.posix_spawn(
                binary,
                command,
                environment,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, log, 1),
                    (os.POSIX_SPAWN_DUP2, log, 2),
                ],
                setsid=True,
                setsigmask=(),
                setsigdef=_RESET_SIGNALS,
            )
        except OSError as error:
            raise Unavailable(f"the proxy cannot be started: {error}", hint=_INSTALL) from error
        finally:
            os.close(log)


def find_binary(named: str | None) -> Path:
    """Return the program. Unavailable: it is not installed, or is older than 2.6."""
    words = named or "haproxy"
    found = shutil.which(words, path=_PLACES)
    if found is None:
        raise Unavailable(f"HAProxy is not installed: there is no program {words}", hint=_INSTALL)
    said = subprocess.run([found, "-v"], capture_output=True, text=True, timeout=START_BOUND_S, check=False).stdout
    version = said.partition("version ")[2].split(" ")[0]
    numbers = [int(part) for part in version.split("-")[0].split(".")[:2] if part.isdigit()]
    if numbers < [2, 6]:
        what = version or "of no known version"
        raise Unavailable(f"{found} is HAProxy {what}, but 2.6 or later is needed", hint=_INSTALL)
    return Path(found)
