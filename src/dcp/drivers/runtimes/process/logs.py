"""What instances write: one file each, appended to by the processes themselves.

A file that has passed `max_bytes` when it is looked at becomes `ID.log.1` by copy and truncate, because the writers
keep it open: lines written between the two steps are lost, and between two looks a file may grow past the bound. The
log of a forgotten instance moves to `old/`, of which the newest `max_old` are kept.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

MAX_BYTES = 10 << 20
MAX_OLD = 100
_BLOCK_BYTES = 64 << 10


class LogFiles:
    """Opens, trims, tails and retires the log files under `folder`."""

    def __init__(self, folder: Path, *, max_bytes: int = MAX_BYTES, max_old: int = MAX_OLD) -> None:
        self._folder = folder
        self._old = folder / "old"
        self._max_bytes = max_bytes
        self._max_old = max_old
        self._old.mkdir(parents=True, exist_ok=True, mode=0o700)

    def open(self, instance_id: str) -> int:
        """Return a descriptor that appends to the instance's log; the caller closes it."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        return os.open(self._current(instance_id), flags, 0o600)

    def is_too_long(self, instance_id: str) -> bool:
        try:
            return self._current(instance_id).stat().st_size > self._max_bytes
        except FileNotFoundError:
            return False

    def trim(self, instance_id: str) -> None:
        """Copy the log to `.log.1` and empty it. Takes some 10 ms for 10 MiB: not for the event loop."""
        path = self._current(instance_id)
        copy = path.with_suffix(f".copy.{os.getpid()}")
        try:
            shutil.copyfile(path, copy)
            copy.chmod(0o600)
            copy.replace(_previous(path))
            os.truncate(path, 0)
        except FileNotFoundError:
            copy.unlink(missing_ok=True)

    def tail(self, instance_id: str, lines: int) -> tuple[str, ...]:
        """Return the last `lines` lines, read from the end; of a forgotten instance too while its log is kept."""
        if lines <= 0:
            return ()
        path = self._current(instance_id)
        if not path.exists():
            path = self._old / path.name
        newest = _tail(path, lines)
        older = _tail(_previous(path), lines - len(newest)) if len(newest) < lines else []
        return tuple(older + newest)

    def retire(self, instance_id: str) -> None:
        """Move a forgotten instance's log away and drop the oldest such logs."""
        current = self._current(instance_id)
        for path in (current, _previous(current)):
            if path.exists():
                path.replace(self._old / path.name)
        kept = sorted(self._old.glob("*.log"), key=_modified_at, reverse=True)
        for path in kept[self._max_old :]:
            path.unlink(missing_ok=True)
            _previous(path).unlink(missing_ok=True)

    def _current(self, instance_id: str) -> Path:
        return self._folder / f"{instance_id}.log"


def _previous(path: Path) -> Path:
    return path.with_name(path.name + ".1")


def _modified_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _tail(path: Path, lines: int) -> list[str]:
    try:
        with path.open("rb") as file:
            text = b""
            for block in _blocks_from_end(file.fileno()):
                text = block + text
                # One more line end than lines, as the first line found may be a part.
                if text.count(b"\n") > lines:
                    break
    except FileNotFoundError:
        return []
    return [line.decode(errors="replace") for line in text.splitlines()[-lines:]]


def _blocks_from_end(descriptor: int) -> Iterator[bytes]:
    end = os.fstat(descriptor).st_size
    while end > 0:
        start = max(0, end - _BLOCK_BYTES)
        yield os.pread(descriptor, end - start, start)
        end = start
