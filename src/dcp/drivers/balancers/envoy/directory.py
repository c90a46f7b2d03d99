"""What the balancer keeps on disk: everything the proxy is told, so that it comes back as it was.

    DIRECTORY/
      owner                 who we are: the value of DCP_OWNER in the environment of our proxy
      proxy                 "PID START_TICKS BOOT_ID" of the proxy that was started or adopted last
      admin                 address of its admin interface, written by the proxy itself
      bootstrap.json        what it was started with
      listeners.json        one listener a route (LDS)
      clusters.json         one cluster a service (CDS)
      endpoints/NAME.json   the endpoints of one service (EDS); stays when its route goes, as the fence must not be lost
      proxy.log             what it says
      proxy.lock routes.lock endpoints.lock workers.lock     flocks: several controllers may share the directory

Envoy reads a file again when it is renamed into place. The version inside says which state the proxy has taken over:
a count for listeners and clusters, "FENCE.COUNT" for endpoints, so that endpoints and fence are replaced in one step.
Nothing is synced to the platter: after a crash of the machine the proxy is gone too, and a file that was lost is made
again by the next controller.
"""

import asyncio
import json
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dcp.drivers.balancers.envoy.documents import Document, assignment, discovery, route_of
from dcp.drivers.balancers.envoy.names import decode, encode
from dcp.drivers.runtimes.process.directory import Lock, take_lock, write_file
from dcp.drivers.runtimes.process.processes import Leader
from dcp.kernel.clock import Clock
from dcp.kernel.errors import DriverError, LeaseLost
from dcp.orchestration.services.model import ServiceKey
from dcp.orchestration.traffic.model import Route

LOCK_BOUND_S = 5.0
_LOCK_POLL_S = 0.002
_NOTHING = json.dumps(discovery("0", ()))


@dataclass(frozen=True, slots=True, order=True)
class EndpointsVersion:
    """Rises with every write. `fence` is the highest lease token that wrote."""

    fence: int = 0
    count: int = 0

    def __str__(self) -> str:
        return f"{self.fence}.{self.count}"

    @classmethod
    def parse(cls, text: str) -> "EndpointsVersion":
        """Return the version that `str` made; the lowest for anything else."""
        fence, _, count = text.partition(".")
        return cls(int(fence), int(count)) if fence.isdigit() and count.isdigit() else cls()


class BalancerDirectory:
    """Reads and writes the files above. Every write is atomic; readers need no lock."""

    def __init__(self, root: Path, clock: Clock) -> None:
        self.root = root.resolve()
        self._clock = clock
        self._endpoints = self.root / "endpoints"
        for folder in (self.root, self._endpoints):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.bootstrap = self.root / "bootstrap.json"
        self.listeners = self.root / "listeners.json"
        self.clusters = self.root / "clusters.json"
        self.admin = self.root / "admin"
        self.log = self.root / "proxy.log"
        self._proxy = self.root / "proxy"
        for path in (self.listeners, self.clusters):
            _write_if_absent(path, _NOTHING)
        _write_if_absent(self.root / "owner", f"balancer-{secrets.token_hex(8)}")
        self.owner = (self.root / "owner").read_text()

    @asynccontextmanager
    async def locked(self, what: str) -> AsyncIterator[None]:
        """Hold one of the locks. DriverError: another controller holds it for more than LOCK_BOUND_S."""
        lock: Lock | None = None
        try:
            async with asyncio.timeout(LOCK_BOUND_S):
                while (lock := self._try_lock(what)) is None:
                    await self._clock.sleep(_LOCK_POLL_S)
        except TimeoutError as error:
            raise DriverError(
                f"another controller has held {what}.lock of the balancer for {LOCK_BOUND_S:g} s"
            ) from error
        with lock:
            yield

    def leader(self) -> Leader | None:
        """Return the recorded proxy, running or not."""
        try:
            pid, ticks, boot = self._proxy.read_text().split()
        except (FileNotFoundError, ValueError):
            return None
        return Leader(int(pid), int(ticks), boot)

    def write_leader(self, leader: Leader) -> None:
        write_file(self._proxy, f"{leader.pid} {leader.start_ticks} {leader.boot_id}\n")

    def forget_leader(self) -> None:
        self._proxy.unlink(missing_ok=True)
        self.admin.unlink(missing_ok=True)

    def mend(self) -> None:
        """Replace files that a crash of the machine left unreadable: the proxy would wait for them. It must not run."""
        for path in (self.listeners, self.clusters):
            if not _read(path):
                write_file(path, _NOTHING)
        for path in self._endpoints.glob("*.json"):
            if not _read(path):
                path.unlink()
        for document in self.resources(self.clusters)[1]:
            self.prepare_endpoints(decode(document["name"]))

    def routes(self) -> tuple[Route, ...]:
        """Return the routes that were set last."""
        return tuple(route_of(document) for document in self.resources(self.listeners)[1])

    def clustered(self) -> frozenset[str]:
        """Return the names of the clusters that the proxy was told of."""
        return frozenset(document["name"] for document in self.resources(self.clusters)[1])

    def endpoints_path(self, service: ServiceKey) -> Path:
        return self._endpoints / f"{encode(service)}.json"

    def prepare_endpoints(self, service: ServiceKey) -> None:
        """Make sure that the service's file exists: a cluster without one would hold back all listeners for seconds."""
        nothing = discovery(str(EndpointsVersion()), [assignment(service, ())])
        _write_if_absent(self.endpoints_path(service), json.dumps(nothing))

    async def write_endpoints(self, service: ServiceKey, wanted: Document, fence: int) -> EndpointsVersion:
        """Replace endpoints and fence in one step and return their version; write nothing if they are the same.

        LeaseLost: a higher fence was seen before.
        """
        async with self.locked("endpoints"):
            stored = _read(self.endpoints_path(service))
            version = EndpointsVersion.parse(stored.get("version_info", ""))
            if fence < version.fence:
                raise LeaseLost(f"endpoints of {service}: token {fence} is older than {version.fence}")
            if fence == version.fence and _resources(stored) == [wanted]:
                return version
            version = EndpointsVersion(fence, version.count + 1)
            write_file(self.endpoints_path(service), json.dumps(discovery(str(version), [wanted])))
            return version

    def resources(self, path: Path) -> tuple[int, list[Document]]:
        """Return version and resources of the listeners' or clusters' file."""
        stored = _read(path)
        version = stored.get("version_info", "")
        return int(version) if version.isdigit() else 0, _resources(stored)

    def write_resources(self, path: Path, resources: list[Document]) -> int:
        """Replace the listeners' or clusters' file, even by the same; return its version. Needs routes.lock."""
        version = self.resources(path)[0] + 1
        write_file(path, json.dumps(discovery(str(version), resources)))
        return version

    def _try_lock(self, what: str) -> Lock | None:
        return take_lock(self.root / f"{what}.lock", wait=False)


def _read(path: Path) -> dict[str, Any]:
    """Return the file's content; empty if it is absent or was lost in a crash of the machine."""
    try:
        content = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _resources(stored: dict[str, Any]) -> list[Document]:
    return list(stored.get("resources", ()))


def _write_if_absent(path: Path, text: str) -> None:
    """Make the file in one step unless it exists: of several writers the first wins."""
    if path.exists():
        return
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    temporary.touch(0o600)
    temporary.write_text(text)
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
