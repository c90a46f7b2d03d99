"""One `up` or `down` at a time in a lab's directory. The lock ends with its process, however that ends."""

import fcntl
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from dcp.kernel.clock import Clock
from dcp.kernel.errors import Conflict
from dcp.lab.down import FOLDER_MADE, LOCK
from dcp.lab.journal import Entry, Journal

LIMIT_S = 60.0


@asynccontextmanager
async def hold(directory: Path, clock: Clock) -> AsyncIterator[None]:
    """Hold the directory (made if absent). Raises Conflict if another process has it for longer than a minute."""
    until = clock.now() + LIMIT_S
    while (descriptor := _take(directory)) is None:
        if clock.now() > until:
            raise Conflict(f"another dcp lab is at work in {directory}", hint="wait for it, or end it")
        await clock.sleep(0.1)
    try:
        yield
    finally:
        os.close(descriptor)


def drop_unfinished(directory: Path) -> None:
    """Remove what is left if making the directory was interrupted."""
    shutil.rmtree(_unfinished(directory), ignore_errors=True)


def _unfinished(directory: Path) -> Path:
    return directory.with_name(f".{directory.name}.new")


def _make(directory: Path) -> None:
    """Make the directory with its journal in it at once, so that it always says that it is ours."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    drop_unfinished(directory)
    new = _unfinished(directory)
    with suppress(OSError):
        # Another process may be doing the same: one of the two succeeds, the other looks again.
        new.mkdir()
        Journal(new).add([Entry(FOLDER_MADE, str(directory))])
        new.rename(directory)


def _take(directory: Path) -> int | None:
    if not directory.is_dir():
        _make(directory)
    path = directory / LOCK
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except FileNotFoundError:
        return None
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # `down` removes the file that it holds: whoever waited has a lock on nothing.
        if path.exists() and os.fstat(descriptor).st_ino == path.stat().st_ino:
            return descriptor
    os.close(descriptor)
    return None
