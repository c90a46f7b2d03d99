"""The shared secret: a file in the state directory, beside the store and not in it.

Whoever copies the database alone can neither sign tokens nor speak for a host.
"""

import contextlib
import hashlib
import hmac
import os
import secrets
from base64 import urlsafe_b64encode
from pathlib import Path

from dcp.kernel.errors import Unavailable

SECRET_BYTES = 32


class FileVault:
    """Derives secrets from the one in a file, which is made when it is not there."""

    def __init__(self, path: Path) -> None:
        """Raises Unavailable if the file can be neither read nor made."""
        try:
            self._secret = _read_or_make(path)
        except (OSError, ValueError) as error:
            hint = "it must be readable by the user who runs `dcp serve`, and hold 64 hexadecimal digits"
            raise Unavailable(f"the secret {path} cannot be used: {error}", hint=hint) from error

    def derive(self, purpose: str) -> str:
        return urlsafe_b64encode(self.key(purpose)).decode().rstrip("=")

    def matches(self, purpose: str, given: str) -> bool:
        return hmac.compare_digest(self.derive(purpose).encode(), given.encode("utf-8", "replace"))

    def key(self, purpose: str) -> bytes:
        """Return 32 bytes for one purpose."""
        return hmac.new(self._secret, purpose.encode("utf-8", "replace"), hashlib.sha256).digest()


def _read_or_make(path: Path) -> bytes:
    with contextlib.suppress(FileNotFoundError):
        return _read(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, secrets.token_hex(SECRET_BYTES).encode() + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        # A link, unlike a rename, never replaces a secret that another controller already uses.
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(temporary)
    finally:
        temporary.unlink()
    return _read(path)


def _read(path: Path) -> bytes:
    found = bytes.fromhex(path.read_text().strip())
    if len(found) != SECRET_BYTES:
        raise ValueError(f"it holds {len(found)} bytes, not {SECRET_BYTES}")
    return found
