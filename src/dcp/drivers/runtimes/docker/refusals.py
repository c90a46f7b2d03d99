"""What an engine's refusals mean to dcp. Pure: from status and words to the tree of kernel/errors.py.

Docker Engine has no codes of its own beside HTTP's, so its words decide; each is one that its source writes.
"""

from dcp.drivers.runtimes.docker.api import EngineRefused
from dcp.kernel.errors import DriverError, Rejected

_PORT_TAKEN = ("port is already allocated", "address already in use", "ports are not available")
_NO_COMMAND = (
    "executable file not found",
    "no such file or directory: unknown",
    "exec format error",
    "permission denied: unknown",
    "is a directory: unknown",
    "no command specified",
)
_IMAGE_MISSING = (
    "no such image",
    "manifest unknown",
    "not found: manifest",
    "repository does not exist",
    "name unknown",
)
_DENIED = ("unauthorized", "denied", "no basic auth credentials", "authentication required", "forbidden")
_WRONG_DIGEST = (
    "digest mismatch",
    "does not match digest",
    "verification failed",
    "digest did not match",
    "failed precondition",
    "invalid checksum digest",
    "filesystem layer verification failed",
)
_REGISTRY_DOWN = (
    "connection refused",
    "i/o timeout",
    "no such host",
    "no route to host",
    "network is unreachable",
    "client.timeout exceeded",
    "tls handshake timeout",
    "connection reset",
    "unexpected eof",
    "service unavailable",
    "bad gateway",
    "internal server error",
    "gateway timeout",
    "http response to https client",
    "x509:",
    "context deadline exceeded",
    ": eof",
)


def is_port_taken(error: EngineRefused) -> bool:
    return _says(error.message, _PORT_TAKEN)


def is_image_missing(error: EngineRefused) -> bool:
    return error.status == 404 and _says(error.message, _IMAGE_MISSING)


def translate(subject: str, error: EngineRefused) -> DriverError:
    """Return what to raise for a refused call about an instance."""
    words = f"{subject}: {error.message}"
    if is_image_missing(error):
        return Rejected(f"image-missing: {words}")
    if _says(error.message, ("no space left on device",)):
        return DriverError(f"disk-full: {words}")
    if is_port_taken(error):
        return Rejected(f"port-taken: {words}")
    if error.status == 400 or _says(error.message, _NO_COMMAND):
        return Rejected(words)
    return DriverError(words)


def translate_pull(image: str, message: str) -> DriverError:
    """Return what to raise for a pull that failed with these words."""
    words = f"{image}: {message}"
    if _says(message, ("no space left on device",)):
        return DriverError(f"disk-full: {words}")
    if _says(message, _WRONG_DIGEST):
        return Rejected(f"wrong-digest: {words}")
    if _says(message, _REGISTRY_DOWN):
        return DriverError(f"registry-down: {words}")
    # An engine says of a missing image that access "is denied" or the repository "does not exist", in one sentence.
    if _says(message, ("manifest unknown", "manifest for", "name unknown", "not found")):
        return Rejected(f"image-missing: {words}")
    if _says(message, _DENIED):
        return Rejected(f"denied: {words}")
    return DriverError(words)


def _says(message: str, words: tuple[str, ...]) -> bool:
    lower = message.lower()
    return any(word in lower for word in words)
