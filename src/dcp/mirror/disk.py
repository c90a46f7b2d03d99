"""Blobs on disk: whole ones by digest, bounded in bytes, the one not used for longest dropped first.

A blob becomes whole by a rename, so a crash leaves only files that are whole or that are thrown away at the next start.
Nothing is flushed on the way; instead a file from before this start is hashed once before it is first used, which also
finds what the disk lost or changed.
"""

import asyncio
import fcntl
import hashlib
import os
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from dcp.kernel.errors import Unavailable
from dcp.mirror.model import MIB, Counters

READ_BYTES = 8 * MIB


@dataclass(slots=True)
class Blob:
    """A whole blob on disk."""

    digest: str
    path: Path
    size: int
    checked: bool
    """Its digest was verified since this start."""
    readers: int = 0


class Disk:
    """Owns one directory. Not for two processes at once: the second is refused."""

    def __init__(self, directory: Path, capacity_bytes: int, counters: Counters) -> None:
        self.capacity_bytes = capacity_bytes
        self._blobs = directory / "blobs"
        self._partial = directory / "partial"
        self._counters = counters
        self._whole: OrderedDict[str, Blob] = OrderedDict()
        self._reserved_bytes = 0
        self._checks: dict[str, asyncio.Lock] = {}
        self._number = 0
        try:
            self._blobs.mkdir(parents=True, exist_ok=True)
            self._partial.mkdir(exist_ok=True)
            self._lock = _locked(directory / "lock")
        except OSError as error:
            raise Unavailable(f"{directory} cannot be used by this mirror: {error}", hint="name another one") from error
        self._load()

    @property
    def used_bytes(self) -> int:
        """Bytes of whole blobs, and of those that are arriving in full."""
        return sum(blob.size for blob in self._whole.values()) + self._reserved_bytes

    def __len__(self) -> int:
        return len(self._whole)

    def close(self) -> None:
        """Let go of the directory."""
        os.close(self._lock)

    async def find(self, digest: str) -> Blob | None:
        """Return the whole blob, counted as used now; None if it is not there. A wrong one is dropped."""
        blob = self._whole.get(digest)
        if blob is not None and not blob.checked:
            await self._check(blob)
        if digest not in self._whole:
            return None
        self._whole.move_to_end(digest)
        return self._whole[digest]

    def has(self, digest: str) -> bool:
        """Return whether the blob is there, without counting this as a use."""
        return digest in self._whole

    def reserve(self, size: int) -> bool:
        """Make room for a blob that is about to arrive; False if what is being read or arriving leaves too little."""
        needed = self.used_bytes + size - self.capacity_bytes
        droppable = [blob for blob in self._whole.values() if not blob.readers]
        if needed > sum(blob.size for blob in droppable):
            return False
        for blob in droppable:
            if needed <= 0:
                break
            needed -= blob.size
            self._counters.evicted_bytes += blob.size
            self._drop(blob)
        self._reserved_bytes += size
        return True

    def release(self, size: int) -> None:
        """Give back what was reserved."""
        self._reserved_bytes -= size

    def new_partial(self, digest: str) -> Path:
        """Return a path for a blob that is arriving."""
        self._number += 1
        return self._partial / f"{digest.removeprefix('sha256:')}.{self._number}"

    def commit(self, digest: str, partial: Path, size: int) -> Blob:
        """Make a verified file the whole blob; what was reserved for it is now its own."""
        path = self._path(digest)
        path.parent.mkdir(exist_ok=True)
        partial.replace(path)
        self.release(size)
        blob = Blob(digest, path, size, checked=True)
        self._whole[digest] = blob
        return blob

    async def _check(self, blob: Blob) -> None:
        lock = self._checks.setdefault(blob.digest, asyncio.Lock())
        async with lock:
            if blob.checked or self._whole.get(blob.digest) is not blob:
                return
            blob.readers += 1
            try:
                found = await asyncio.to_thread(digest_of, blob.path)
            finally:
                blob.readers -= 1
            if found == blob.digest:
                blob.checked = True
            else:
                self._drop(blob)
        self._checks.pop(blob.digest, None)

    def _drop(self, blob: Blob) -> None:
        self._whole.pop(blob.digest, None)
        blob.path.unlink(missing_ok=True)

    def _path(self, digest: str) -> Path:
        name = digest.removeprefix("sha256:")
        return self._blobs / name[:2] / name

    def _load(self) -> None:
        """Take over what an earlier run left: whole blobs in the order of their last change, no partial ones."""
        for left in self._partial.iterdir():
            left.unlink()
        found = [(path.stat(), path) for path in self._blobs.glob("??/*")]
        for status, path in sorted(found, key=lambda one: (one[0].st_mtime, one[1])):
            digest = f"sha256:{path.name}"
            self._whole[digest] = Blob(digest, path, status.st_size, checked=False)
        self.reserve(0)


def digest_of(path: Path) -> str:
    """Return the digest of a file."""
    hashed = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(READ_BYTES):
                hashed.update(block)
    except OSError:
        return ""
    return f"sha256:{hashed.hexdigest()}"


def _locked(path: Path) -> int:
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise
    return lock
