"""What the balancer keeps on disk: everything HAProxy is told, so that it comes back as it was.

    DIRECTORY/
      owner                 who we are: the value of DCP_OWNER in the environment of our processes
      proxy                 "PID START_TICKS BOOT_ID" of the master that was started or found last
      routes.json           the routes that were set last, whether or not their port could be had
      endpoints/NAME.json   fence and endpoints of one service; stays when its route goes, so that no fence is lost
      common.cfg            what HAProxy reads first when it starts and at every reload
      served/NAME.cfg       what it reads then: each route that is served with its present servers, so that they are
                            right whoever restarts it
      counted.json          what processes that were replaced have counted, see `counters`
      master.sock runtime.sock    HAProxy's own, for this user only
      proxy.log             what it says
      proxy.lock            flock: one change at a time, also among several controllers

Every file is replaced in one step. Nothing is synced to the platter: after a crash of the machine the proxy is gone
too, and a file that was lost is made again by the next controller.
"""

import asyncio
import json
import os
import secrets
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dcp.drivers.balancers.haproxy.configuration import section
from dcp.drivers.balancers.haproxy.names import proxy_name
from dcp.drivers.runtimes.process.directory import Lock, take_lock, write_file
from dcp.drivers.runtimes.process.processes import Leader
from dcp.kernel.clock import Clock
from dcp.kernel.errors import DriverError, LeaseLost
from dcp.orchestration.services.model import ServiceKey
from dcp.orchestration.traffic.model import Endpoint, Route

COMMON, SERVED = "common.cfg", "served"
LOCK_BOUND_S = 10.0
_LOCK_POLL_S = 0.002
_KEPT_LOG_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Told:
    """The endpoints of one service, and the highest lease token that wrote them."""

    fence: int = 0
    endpoints: tuple[Endpoint, ...] = ()


class BalancerDirectory:
    """Reads and writes the files above. Readers need no lock."""

    def __init__(self, root: Path, clock: Clock) -> None:
        self.root = root.resolve()
        self._clock = clock
        self._turn = asyncio.Lock()
        self._endpoints = self.root / "endpoints"
        self._served = self.root / SERVED
        for folder in (self.root, self._endpoints, self._served):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.log = self.root / "proxy.log"
        self._proxy = self.root / "proxy"
        self._routes = self.root / "routes.json"
        self._counted = self.root / "counted.json"
        self.owner = _claim(self.root / "owner")

    @asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        """Let one change happen at a time. DriverError: another holds the lock for more than LOCK_BOUND_S."""
        lock: Lock | None = None
        try:
            async with asyncio.timeout(LOCK_BOUND_S):
                await self._turn.acquire()
        except TimeoutError as error:
            raise _busy() from error
        try:
            async with asyncio.timeout(LOCK_BOUND_S):
                while (lock := take_lock(self.root / "proxy.lock", wait=False)) is None:
                    await self._clock.sleep(_LOCK_POLL_S)
            with lock:
                yield
        except TimeoutError as error:
            if lock is not None:
                raise
            raise _busy() from error
        finally:
            self._turn.release()

    def leader(self) -> Leader | None:
        """Return the recorded master, running or not."""
        try:
            pid, ticks, boot = self._proxy.read_text().split()
        except (FileNotFoundError, ValueError):
            return None
        return Leader(int(pid), int(ticks), boot)

    def write_leader(self, leader: Leader) -> None:
        write_file(self._proxy, f"{leader.pid} {leader.start_ticks} {leader.boot_id}\n")

    def forget_leader(self) -> None:
        self._proxy.unlink(missing_ok=True)

    def routes(self) -> tuple[Route, ...]:
        """Return the routes that were set last."""
        stored = _read(self._routes)
        return tuple(Route(**{**one, "service": ServiceKey(**one["service"])}) for one in stored.get("routes", ()))

    def write_routes(self, routes: Iterable[Route]) -> None:
        write_file(self._routes, json.dumps({"routes": [asdict(route) for route in routes]}))

    def told(self, service: ServiceKey) -> Told:
        """Return what was told last of a service."""
        stored = _read(self._endpoints / f"{proxy_name(service)}.json")
        return Told(stored.get("fence", 0), tuple(Endpoint(**one) for one in stored.get("endpoints", ())))

    def tell(self, service: ServiceKey, wanted: Told) -> None:
        """Replace endpoints and fence in one step. LeaseLost: a higher fence was seen before. Needs the lock."""
        before = self.told(service)
        if wanted.fence < before.fence:
            raise LeaseLost(f"endpoints of {service}: token {wanted.fence} is older than {before.fence}")
        if wanted != before:
            write_file(self._endpoints / f"{proxy_name(service)}.json", json.dumps(asdict(wanted)))

    def write_common(self, text: str) -> None:
        _write_if_different(self.root / COMMON, text)

    def write_section(self, route: Route) -> None:
        """Make the route's file what it must be with the present endpoints. Needs the lock."""
        text = section(route, self.told(route.service).endpoints, self.owner)
        _write_if_different(self._served / f"{proxy_name(route.service)}.cfg", text)

    def write_sections(self, routes: Iterable[Route]) -> None:
        """Make the files those of these routes, no others. Needs the lock."""
        wanted = {proxy_name(route.service): route for route in routes}
        for name, path in self._sections().items():
            if name not in wanted:
                path.unlink(missing_ok=True)
        for route in wanted.values():
            self.write_section(route)

    def is_served(self, service: ServiceKey) -> bool:
        """Return whether the service's route is in what HAProxy reads."""
        return (self._served / f"{proxy_name(service)}.cfg").exists()

    def counted(self) -> dict[str, Any]:
        return _read(self._counted)

    def write_counted(self, document: dict[str, Any]) -> None:
        _write_if_different(self._counted, json.dumps(document))

    def trim_log(self) -> None:
        """Begin the log again when it is long: HAProxy writes a line for every server that comes or goes."""
        try:
            if self.log.stat().st_size > _KEPT_LOG_BYTES:
                os.truncate(self.log, 0)
        except FileNotFoundError:
            return

    def _sections(self) -> dict[str, Path]:
        return {path.stem: path for path in self._served.glob("*.cfg")}


def _busy() -> DriverError:
    return DriverError(f"another change of the balancer has held its lock for {LOCK_BOUND_S:g} s")


def _read(path: Path) -> dict[str, Any]:
    """Return the file's content; empty if it is absent or was lost in a crash of the machine."""
    try:
        content = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _write_if_different(path: Path, text: str) -> None:
    try:
        if path.read_text() == text:
            return
    except FileNotFoundError:
        pass
    write_file(path, text)


def _claim(path: Path) -> str:
    """Return the directory's identifier, made at first use: the first of several writers wins."""
    if not path.exists():
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        temporary.touch(0o600)
        temporary.write_text(f"balancer-{secrets.token_hex(8)}")
        try:
            os.link(temporary, path)
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    return path.read_text()
