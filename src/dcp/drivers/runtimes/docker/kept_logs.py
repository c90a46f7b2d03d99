"""The last lines of forgotten instances: the engine drops a container's log with the container.

Kept in the state of the controller that forgot it, one small file each, the newest ones only.
"""

from pathlib import Path

MAX_LINES = 500
MAX_BYTES = 256 << 10
MAX_LOGS = 500


class KeptLogs:
    """Writes and tails them. Blocking, but of small files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def keep(self, instance_id: str, lines: tuple[str, ...]) -> None:
        """Keep the last lines of an instance, and drop those of the oldest instances beyond the bound."""
        text = "\n".join(lines[-MAX_LINES:]).encode()[-MAX_BYTES:]
        path = self._path(instance_id)
        path.touch(mode=0o600)
        path.write_bytes(text)
        newest_first = sorted(self._folder.glob("*.log"), key=lambda one: one.stat().st_mtime_ns, reverse=True)
        for old in newest_first[MAX_LOGS:]:
            old.unlink(missing_ok=True)

    def tail(self, instance_id: str, lines: int) -> tuple[str, ...]:
        try:
            kept = self._path(instance_id).read_bytes().decode(errors="replace").splitlines()
        except FileNotFoundError:
            return ()
        return tuple(kept[-lines:]) if lines > 0 else ()

    def _path(self, instance_id: str) -> Path:
        return self._folder / f"{instance_id}.log"
