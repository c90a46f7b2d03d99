"""What the runtime keeps on disk, so that instances outlive the controller and two controllers can share them.

    DIRECTORY/
      owner                       who we are: the value of DCP_OWNER in every process we started
      ports/                      see `port_range`
      logs/ID.log, logs/old/      see `logs`
      instances/ID/
        lock                      flock: held by whoever starts or ends this instance at this moment
        spec.json                 the order and its port; 0600, as an environment may hold secrets
        leader                    "PID START_TICKS BOOT_ID": written once by the launched process itself; this is the
                                  moment from which the instance counts as started
        ended.json                written once nothing of the instance runs any more
      trash/                      folders of forgotten instances, for the moment that removing them takes

Nothing is synced to the platter: after a crash of the machine no process lives either, so an instance whose files were
lost really was not started.
"""

import fcntl
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dcp.drivers.runtimes.process.processes import Leader
from dcp.hosts.model import Resources
from dcp.kernel.errors import Rejected
from dcp.orchestration.services.model import HealthCheck, ServiceKey, StartOrder

_SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,200}")


@dataclass(frozen=True, slots=True)
class Spec:
    """An order and the port it was given."""

    order: StartOrder
    port: int


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing of the instance runs any more. `exit_code` None: nobody saw it."""

    exit_code: int | None


class StateDirectory:
    """Reads and writes the files above. Every write is atomic; readers need no lock."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._instances = root / "instances"
        self._instances.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._trash = root / "trash"
        self._trash.mkdir(exist_ok=True, mode=0o700)
        for left in self._trash.iterdir():
            shutil.rmtree(left, ignore_errors=True)
        self.owner = _claim_owner(root)
        self._specs: dict[str, tuple[tuple[int, int], Spec]] = {}

    def path(self, instance_id: str) -> Path:
        """Return the folder of an instance. Rejected: the id cannot be a file name."""
        if not _SAFE_ID.fullmatch(instance_id):
            raise Rejected(f"instance id {instance_id!r} cannot be a file name", hint="use letters, digits, - _ .")
        return self._instances / instance_id

    def ids(self) -> Iterator[str]:
        """Yield every instance that has a folder, started or not."""
        with os.scandir(self._instances) as entries:
            for entry in entries:
                yield entry.name

    def try_lock(self, instance_id: str, *, create: bool = False) -> "Lock | None":
        """Return the instance's lock, or None if somebody else holds it or the instance is unknown.

        Quick enough for the event loop, so that a cancelled caller can never lose a lock that a thread has taken.
        """
        folder = self.path(instance_id)
        if create:
            folder.mkdir(exist_ok=True, mode=0o700)
        return take_lock(folder / "lock", wait=False)

    def spec(self, instance_id: str) -> Spec | None:
        """Return the stored order, or None. Remembered: once an instance is started its spec never changes."""
        path = self.path(instance_id) / "spec.json"
        try:
            status = path.stat()
            version = (status.st_ino, status.st_mtime_ns)
            known = self._specs.get(instance_id)
            if known is not None and known[0] == version:
                return known[1]
            spec = _decode(json.loads(path.read_text()))
        except FileNotFoundError:
            self._specs.pop(instance_id, None)
            return None
        self._specs[instance_id] = (version, spec)
        return spec

    def write_spec(self, spec: Spec) -> None:
        write_file(self.path(spec.order.instance_id) / "spec.json", json.dumps(_encode(spec)))

    def leader_path(self, instance_id: str) -> Path:
        return self.path(instance_id) / "leader"

    def leader(self, instance_id: str) -> Leader | None:
        """Return who was started; None if nothing was, or the line is not complete (it was never executed)."""
        try:
            text = self.leader_path(instance_id).read_text()
        except FileNotFoundError:
            return None
        parts = text.split()
        if len(parts) != 3 or not text.endswith("\n"):
            return None
        return Leader(int(parts[0]), int(parts[1]), parts[2])

    def ended(self, instance_id: str) -> Ended | None:
        try:
            return Ended(**json.loads((self.path(instance_id) / "ended.json").read_text()))
        except FileNotFoundError:
            return None

    def write_ended(self, instance_id: str, ended: Ended) -> None:
        write_file(self.path(instance_id) / "ended.json", json.dumps(asdict(ended)))

    def remove(self, instance_id: str) -> None:
        """Drop an instance's folder; the caller holds its lock. What is absent is success."""
        self._specs.pop(instance_id, None)
        # Renamed first, so that nobody can see half a folder.
        target = self._trash / f"{instance_id}.{secrets.token_hex(4)}"
        try:
            self.path(instance_id).rename(target)
        except FileNotFoundError:
            return
        shutil.rmtree(target, ignore_errors=True)


class Lock:
    """A held flock. Close it, or let it go with the process."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def release(self) -> None:
        os.close(self.descriptor)

    def __enter__(self) -> "Lock":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def take_lock(path: Path, *, wait: bool) -> Lock | None:
    """Return the flock on `path`; None if its folder is gone or, without `wait`, if somebody holds it."""
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            # The folder may have been dropped and made again between open and lock: then this lock protects nothing.
            if os.fstat(descriptor).st_ino == path.stat().st_ino:
                return Lock(descriptor)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except FileNotFoundError:
            pass
        os.close(descriptor)


def write_file(path: Path, text: str) -> None:
    """Replace a file in one step; readable by its owner only."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.replace(path)


def read_owner(root: Path) -> str | None:
    """Return the identifier of a state directory, or None if it was never used."""
    try:
        return (root / "owner").read_text().strip()
    except FileNotFoundError:
        return None


def _claim_owner(root: Path) -> str:
    """Return the directory's identifier, made at first use: the first of several writers wins."""
    path = root / "owner"
    if not path.exists():
        temporary = root / f".owner.{secrets.token_hex(4)}"
        temporary.write_text(secrets.token_hex(8) + "\n")
        try:
            os.link(temporary, path)
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    return path.read_text().strip()


def _encode(spec: Spec) -> dict[str, Any]:
    order = asdict(spec.order)
    for given_to_containers_only in ("container", "address"):
        del order[given_to_containers_only]
    return {"port": spec.port, "order": order}


def _decode(data: dict[str, Any]) -> Spec:
    order = dict(data["order"])
    health = order["health"]
    if health is not None:
        health = HealthCheck(**{**health, "command": tuple(health["command"])})
    order |= {
        "service": ServiceKey(**order["service"]),
        "command": tuple(order["command"]),
        "resources": _resources(order["resources"]),
        "environment": tuple((name, value) for name, value in order["environment"]),
        "health": health,
    }
    return Spec(StartOrder(**order), data["port"])


def _resources(data: dict[str, Any]) -> Resources:
    extra = tuple((name, amount) for name, amount in data.get("extra", ()))
    return Resources(**{**data, "extra": extra})
