"""Which instance has which port.

A reservation is a symbolic link `ports/PORT -> INSTANCE_ID`: made in one step, together with its content, and seen by
every controller that shares the directory. Ports are given in turn, not lowest first: a port that was just freed may
still be in somebody's list of endpoints. Whoever reserves holds the lock until the instance's spec names the port, so
a link without such a spec was left by a crash and is taken back.
"""

import os
import socket
from collections.abc import Callable
from pathlib import Path

from dcp.drivers.runtimes.process.directory import Lock, take_lock
from dcp.kernel.errors import DriverError


class PortRange:
    """Reserves ports from `first` to `last`, both included.

    The very first one is `offset` further on (modulo the size): other state directories on this machine use the same
    range, know nothing of our reservations, and should not begin where we do.
    """

    def __init__(self, folder: Path, first: int, last: int, *, offset: int = 0) -> None:
        self._folder = folder
        self._first = first
        self._last = last
        self._begin = first + offset % (last - first + 1)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def lock(self) -> Lock:
        """Wait for the range's lock; held for well under a millisecond by everybody."""
        lock = take_lock(self._folder / "lock", wait=True)
        if lock is None:
            raise DriverError(f"the state directory {self._folder.parent} is gone")
        return lock

    def reserve(self, lock: Lock, instance_id: str, in_use: Callable[[int, str], bool]) -> int:
        """Return a port that nobody has and nothing uses; the caller holds `lock` and keeps it.

        `in_use(port, instance_id)` tells whether a reservation that we meet still stands for a living instance.
        DriverError: the range is used up.
        """
        port = self._take_next(lock, instance_id)
        if port is None:
            self._take_back(in_use)
            port = self._take_next(lock, instance_id) or self._take_next(lock, instance_id, used_lately=True)
        if port is None:
            raise DriverError(
                f"no free port between {self._first} and {self._last}", hint="widen the runtime's port range"
            )
        return port

    def release(self, port: int, instance_id: str) -> None:
        """Give a port back if this instance has it."""
        with self.lock():
            self._release(port, instance_id)

    def exchange(self, lock: Lock, old: int, instance_id: str, in_use: Callable[[int, str], bool]) -> int:
        """Give `old` back and reserve another; the caller holds `lock`."""
        self._release(old, instance_id)
        return self.reserve(lock, instance_id, in_use)

    def _release(self, port: int, instance_id: str) -> None:
        path = self._folder / str(port)
        try:
            if str(path.readlink()) == instance_id:
                path.unlink()
        except FileNotFoundError:
            return

    def take_back(self, in_use: Callable[[int, str], bool]) -> None:
        """Drop every reservation that stands for no living instance."""
        with self.lock():
            self._take_back(in_use)

    def _take_next(self, lock: Lock, instance_id: str, *, used_lately: bool = False) -> int | None:
        # The lock file holds the next port to try, for all controllers and over restarts.
        text = os.pread(lock.descriptor, 16, 0)
        start = int(text) if text.strip().isdigit() else self._begin
        size = self._last - self._first + 1
        for step in range(size):
            port = self._first + (start - self._first + step) % size
            if self._take(port, instance_id, used_lately):
                os.pwrite(lock.descriptor, f"{port + 1:<16}".encode(), 0)
                return port
        return None

    def _take(self, port: int, instance_id: str, used_lately: bool) -> bool:
        path = self._folder / str(port)
        try:
            path.symlink_to(instance_id)
        except FileExistsError:
            return False
        if _is_free(port, used_lately):
            return True
        path.unlink()
        return False

    def _take_back(self, in_use: Callable[[int, str], bool]) -> None:
        for path in self._folder.iterdir():
            if path.name.isdigit() and not in_use(int(path.name), str(path.readlink())):
                path.unlink()


def _is_free(port: int, used_lately: bool) -> bool:
    """Return whether a program could listen on `port`, on any address.

    A connection that ended less than a minute ago keeps its port from programs that do not set SO_REUSEADDR; with
    `used_lately` such a port is good enough.
    """
    with socket.socket() as probe:
        if used_lately:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
