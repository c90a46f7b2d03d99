"""Where the private pool and the fake cloud keep their machines: a JSON file, or memory.

A real pool and a real cloud outlive the controller, and two controllers may ask them at once. So a file is locked for
each change (flock on a file beside it, as the file itself is replaced), read afresh, and replaced in one step. In
memory there is neither file nor thread, as a simulation allows for neither.
"""

import asyncio
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from dcp.kernel.errors import DriverError

T = TypeVar("T")


@dataclass(slots=True)
class Machine:
    """One machine that a source gave. Times are seconds since the epoch."""

    host_id: str
    type_name: str
    created_at: float = 0.0
    running_at: float = 0.0
    gone_at: float | None = None
    """None until a deletion was really carried out."""
    ignored_deletes: int = 0
    address: str = "127.0.0.1"
    engine: str = ""
    variant: str = ""
    off_at: float | None = None
    """When it is, or was, switched off; None: it is not."""
    leave_by: float | None = None
    """When its source takes it away."""
    leave_words: str = ""


Machines = dict[str, Machine]


class MachineStore:
    """The machines of one source by host id, in `path` or in memory."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._memory: Machines = {}
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)

    async def change(self, work: Callable[[Machines], T]) -> T:
        """Let `work` read and change the machines in one step; what it changed is kept even if it then raises."""
        if self._path is None:
            return work(self._memory)
        return await asyncio.to_thread(self._change_file, self._path, work)

    def _change_file(self, path: Path, work: Callable[[Machines], T]) -> T:
        try:
            with _locked(path):
                machines = _load(path)
                before = _dump(machines)
                try:
                    return work(machines)
                finally:
                    after = _dump(machines)
                    if after != before:
                        _replace(path, after)
        except OSError as error:
            raise DriverError(f"cannot use {path}: {error.strerror}") from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _load(path: Path) -> Machines:
    try:
        text = path.read_text()
    except FileNotFoundError:
        return {}
    try:
        return {entry["host_id"]: Machine(**entry) for entry in json.loads(text)["machines"]}
    except (ValueError, KeyError, TypeError) as error:
        # Never taken for empty: hosts that we no longer see would be bought again.
        raise DriverError(
            f"{path} is damaged: {error}", hint="restore it, or remove it if no host is in use"
        ) from error


def _dump(machines: Machines) -> str:
    return json.dumps({"machines": [asdict(machine) for machine in machines.values()]}, indent=1)


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w") as file:
        file.write(text)
        file.flush()
        # Unlike processes, these machines are meant to survive a crash of this one.
        os.fsync(file.fileno())
    temporary.replace(path)
