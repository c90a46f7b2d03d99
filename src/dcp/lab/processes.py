"""The processes of a lab: found by namespace, control group and environment, ended without hitting another.

A process is held by a descriptor before it is looked at, so that the signal reaches the process that was looked at even
if its number is used again.
"""

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dcp.kernel.clock import Clock
from dcp.kernel.errors import Unavailable
from dcp.lab.commands import MARK

_PROC = Path("/proc")
_NAMESPACES = ("net", "mnt", "uts")


@dataclass(frozen=True, slots=True)
class Marks:
    """How to recognise the processes of a lab, or of one host of it: any of these is enough."""

    namespaces: frozenset[int] = frozenset()
    """Inodes of namespaces."""
    cgroup: str = ""
    """A control group; those below it count."""
    lab: str = ""
    """The lab that started it, by its environment."""


@dataclass(frozen=True, slots=True)
class Found:
    """A process: its number and what it is called."""

    pid: int
    name: str


def namespace_inodes(files: Iterable[Path]) -> frozenset[int]:
    """Return the inodes of the namespaces that `files` hold; a file without one gives none, nor does our own."""
    own = [Path(f"/proc/self/ns/{kind}").stat() for kind in _NAMESPACES]
    device = own[0].st_dev
    found = set()
    for file in files:
        with suppress(OSError):
            about = file.stat()
            if about.st_dev == device:
                found.add(about.st_ino)
    return frozenset(found) - {one.st_ino for one in own}


def find(marks: Marks) -> tuple[Found, ...]:
    """Return the live processes that carry one of the marks, never this one."""
    found = []
    for pid in [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]:
        if pid != os.getpid() and (name := _matches(pid, marks)) is not None:
            found.append(Found(pid, name))
    return tuple(found)


def kill(pid: int, marks: Marks) -> None:
    """Kill one process if it carries a mark still; one that is gone is success."""
    try:
        held = os.pidfd_open(pid)
    except OSError:
        return
    try:
        if _matches(pid, marks) is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(held, signal.SIGKILL)
    finally:
        os.close(held)


async def kill_all(marks: Marks, clock: Clock, limit_s: float = 30.0) -> int:
    """Kill until nothing carries a mark; return how many there were. Raises Unavailable after `limit_s`."""
    killed: set[int] = set()
    until = clock.now() + limit_s
    while found := find(marks):
        if clock.now() > until:
            names = ", ".join(f"{one.name} ({one.pid})" for one in found[:5])
            raise Unavailable(f"{len(found)} processes do not end within {limit_s:g} s: {names}")
        for one in found:
            kill(one.pid, marks)
            killed.add(one.pid)
        await clock.sleep(0.02)
    return len(killed)


def _matches(pid: int, marks: Marks) -> str | None:
    """Return the process's name if it is alive and carries a mark."""
    base = f"/proc/{pid}"
    stat = _read(f"{base}/stat")
    if not stat:
        return None
    name, state = stat[stat.index(b"(") + 1 : stat.rindex(b")")], stat[stat.rindex(b")") + 2 :][:1]
    if state in b"ZX":
        return None
    if _in_namespace(base, marks.namespaces) or _in_cgroup(base, marks.cgroup) or _marked(base, marks.lab):
        return name.decode(errors="replace")
    return None


def _in_namespace(base: str, inodes: frozenset[int]) -> bool:
    for kind in _NAMESPACES if inodes else ():
        with suppress(OSError):
            if Path(f"{base}/ns/{kind}").stat().st_ino in inodes:
                return True
    return False


def _in_cgroup(base: str, cgroup: str) -> bool:
    if not cgroup:
        return False
    for line in _read(f"{base}/cgroup").decode(errors="replace").splitlines():
        path = line.split(":", 2)[-1]
        if path == cgroup or path.startswith(f"{cgroup}/"):
            return True
    return False


def _marked(base: str, lab: str) -> bool:
    return bool(lab) and f"{MARK}={lab}".encode() in _read(f"{base}/environ").split(b"\0")


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""
