"""The state directory: who owns it, the token, and where controllers listen.

Light on purpose: clients read it too, so it imports no server and no store.
"""

import contextlib
import fcntl
import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from dcp.kernel.errors import Denied, Unavailable

DATABASE = "dcp.sqlite"
TOKEN_BYTES = 32


def default_state() -> Path:
    """Return `$DCP_STATE`, else `dcp` in the user's folder for state."""
    if given := os.environ.get("DCP_STATE"):
        return Path(given)
    folder = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(folder).expanduser() / "dcp"


@dataclass(frozen=True, slots=True)
class Listening:
    """Where one controller answers."""

    url: str
    pid: int


class StateDirectory:
    """One controller's hold on a state directory; `close` lets go of it."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    @property
    def database_url(self) -> str:
        """The store that is used where no other is named."""
        return f"sqlite:///{self.path / DATABASE}"

    def token(self) -> str:
        """Return the token, made if there is none yet; of two controllers that start together both get the same."""
        path = self.path / "token"
        with contextlib.suppress(FileNotFoundError):
            return read_token(self.path)
        temporary = self.path / f".token.{os.getpid()}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, secrets.token_hex(TOKEN_BYTES).encode() + b"\n")
        finally:
            os.close(descriptor)
        try:
            # A link, unlike a rename, never replaces a token that somebody already uses.
            with contextlib.suppress(FileExistsError):
                path.hardlink_to(temporary)
        finally:
            temporary.unlink()
        return read_token(self.path)

    def announce(self, here: Listening) -> None:
        """Tell clients where this controller listens; the newest controller is the one they ask first."""
        folder = self.path / "controllers"
        folder.mkdir(mode=0o700, exist_ok=True)
        for dead in set(announced(self.path)) - set(living(self.path)):
            (folder / f"{dead.pid}.json").unlink(missing_ok=True)
        _replace(folder / f"{here.pid}.json", here)
        _replace(self.path / "server.json", here)

    def withdraw(self, here: Listening) -> None:
        """Take the announcement back; another controller that lives, if there is one, takes its place."""
        (self.path / "controllers" / f"{here.pid}.json").unlink(missing_ok=True)
        if _read(self.path / "server.json") != here:
            return
        others = living(self.path)
        if others:
            _replace(self.path / "server.json", others[-1])
        else:
            (self.path / "server.json").unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the lock."""
        os.close(self._descriptor)


def take(path: Path, *, alone: bool) -> StateDirectory:
    """Take a state directory, made 0700 if it is not there, alone or beside others that share it too.

    Raises Unavailable, with nothing changed, if another controller has it.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(path, error) from error
    lock = path / "controller.lock"
    descriptor = lock_file(lock, alone=alone)
    if descriptor is None:
        hint = "stop it first, or give this one a directory of its own with --state"
        raise Unavailable(f"state directory {path} is in use by controller {_holder(path)}", hint=hint)
    return StateDirectory(path, descriptor)


def lock_file(path: Path, *, alone: bool) -> int | None:
    """Return the descriptor that holds a lock as long as it is open; None if somebody else has it.

    Who has it alone is written into the file. Raises Unavailable if the file cannot be made.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unusable(path.parent, error) from error
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    os.ftruncate(descriptor, 0)
    if alone:
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def read_token(path: Path) -> str:
    """Return the token of a state directory. Raises FileNotFoundError, or Denied if it cannot be read."""
    try:
        return (path / "token").read_text().strip()
    except PermissionError as error:
        hint = "run this as the user who runs `dcp serve`, or set DCP_TOKEN"
        raise Denied(f"the token in {path} cannot be read: {error.strerror}", hint=hint) from error


def found_server(path: Path) -> Listening | None:
    """Return where a controller of this directory listens: the newest that lives, else what was announced last."""
    announced = _read(path / "server.json")
    if announced is not None and _lives(announced.pid):
        return announced
    others = living(path)
    return others[-1] if others else announced


def living(path: Path) -> tuple[Listening, ...]:
    """Return the controllers of this directory whose process lives, oldest announcement first."""
    return tuple(one for one in announced(path) if _lives(one.pid))


def announced(path: Path) -> tuple[Listening, ...]:
    """Return every announcement in this directory, also of controllers that died, oldest first."""
    files: list[tuple[float, Path]] = []
    for file in path.glob("controllers/*.json"):
        with contextlib.suppress(FileNotFoundError):  # withdrawn while we looked
            files.append((file.stat().st_mtime, file))
    found = (_read(file) for _, file in sorted(files))
    return tuple(one for one in found if one is not None)


def _holder(path: Path) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        text = (path / "controller.lock").read_text().strip()
        if text.isdigit():
            return f"pid {text}"
    return ", ".join(f"pid {one.pid}" for one in living(path)) or "of unknown pid"


def _unusable(path: Path, error: OSError) -> Unavailable:
    return Unavailable(f"state directory {path} cannot be used: {error.strerror}", hint="name another with --state")


def _read(path: Path) -> Listening | None:
    try:
        data = json.loads(path.read_text())
        return Listening(url=str(data["url"]), pid=int(data["pid"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _replace(path: Path, here: Listening) -> None:
    temporary = path.with_name(f".{path.name}.{here.pid}")
    temporary.write_text(json.dumps(asdict(here)) + "\n")
    temporary.replace(path)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it lives, and belongs to somebody else
        return True
    return True
