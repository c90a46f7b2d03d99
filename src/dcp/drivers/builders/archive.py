"""A folder as the stream of tar that the builder reads, made as it is sent: nothing is held or written.

Order, owners and times are the same for the same files, so that the builder's cache fits on every machine.
"""

import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

from dcp.drivers.builders.ignore import Ignore, is_always_sent

PIECE_BYTES = 1 << 20


def archive(folder: Path, ignore: Ignore, dockerfile: str) -> Iterator[bytes]:
    """Yield the folder as tar. Links stay links; sockets and devices are left out. Raises OSError."""
    for path in _paths(folder, "", ignore, dockerfile):
        yield from _entry(folder / path, path)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _paths(folder: Path, below: str, ignore: Ignore, dockerfile: str) -> Iterator[str]:
    with os.scandir(folder / below) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        path = f"{below}/{entry.name}" if below else entry.name
        left_out = ignore.fits(path) and not is_always_sent(path, dockerfile)
        is_folder = entry.is_dir(follow_symlinks=False)
        if not left_out:
            yield path
        if is_folder and (not left_out or ignore.takes_back or dockerfile.startswith(path + "/")):
            yield from _paths(folder, path, ignore, dockerfile)


def _entry(path: Path, name: str) -> Iterator[bytes]:
    status = path.lstat()
    info = tarfile.TarInfo(name)
    info.mode = stat.S_IMODE(status.st_mode)
    info.mtime = int(status.st_mtime)
    if stat.S_ISLNK(status.st_mode):
        info.type, info.linkname = tarfile.SYMTYPE, str(path.readlink())
    elif stat.S_ISDIR(status.st_mode):
        info.type = tarfile.DIRTYPE
    elif stat.S_ISREG(status.st_mode):
        info.size = status.st_size
    else:
        return
    yield info.tobuf(tarfile.PAX_FORMAT)
    if info.isreg():
        yield from _content(path, info.size)


def _content(path: Path, size: int) -> Iterator[bytes]:
    """Yield as many bytes as the header said: a file that shrinks meanwhile is filled up."""
    left = size
    with path.open("rb") as file:
        while left and (piece := file.read(min(PIECE_BYTES, left))):
            left -= len(piece)
            yield piece
    if left:
        yield bytes(left)
    yield bytes(-size % tarfile.BLOCKSIZE)
