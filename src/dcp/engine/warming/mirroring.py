"""Acts on mirrors: starts and stops their containers, tells them from whom to take, asks how they are."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from dcp.engine.context import Context, log
from dcp.engine.warming.parts import Origins, WarmingParts
from dcp.engine.warming.pulling import pull_from_any
from dcp.hosts.model import Resources
from dcp.images.warming.model import Mirror, as_pulled, pinned_digest
from dcp.images.warming.ports import MirrorOrder, MirrorReport
from dcp.images.warming.states import MirrorState
from dcp.kernel.errors import DcpError, DriverError, Unreachable
from dcp.orchestration.services.container import (
    ContainerSpec,
    Mount,
    NetworkMode,
    Secret,
    SecretFile,
    VolumeKind,
)
from dcp.orchestration.services.model import ServiceKey, StartOrder
from dcp.orchestration.services.ports import ImageRuntime

SERVICE = ServiceKey("dcp", "mirror")
VOLUME = "dcp-mirror"
DIRECTORY = "/var/lib/dcp-mirror"
SECRETS = "/run/secrets"
MEMORY_BYTES = 512 << 20
CPU_MILLIS = 1000
STOP_GRACE_S = 5.0
SILENT_AFTER_S = 10.0
"""A mirror that does not answer for so long is gone round. Its children have gone on elsewhere by themselves before."""
ASKED_AT_ONCE = 64
ASK_EVERY_S = 2.0
"""A thousand mirrors asked at every look would keep the controller busy with nothing else."""


@dataclass(slots=True)
class Mirroring:
    """The mirrors of one site, seen from one controller."""

    context: Context
    parts: WarmingParts
    origins: Origins
    reports: dict[str, MirrorReport] = field(default_factory=dict)
    _silent_since: dict[str, float] = field(default_factory=dict)
    _routes: dict[str, object] = field(default_factory=dict)
    _asked_at: dict[str, float] = field(default_factory=dict)

    async def ask(self, mirrors: tuple[Mirror, ...]) -> None:
        """Ask every mirror that should answer how it is; of many, those that answer only now and then."""
        limit = asyncio.Semaphore(ASKED_AT_ONCE)
        asked = [one for one in mirrors if one.state != MirrorState.LEAVING]
        every_s = ASK_EVERY_S if len(asked) > ASKED_AT_ONCE else 0.0
        now = self.context.clock.now()

        async def one(mirror: Mirror) -> None:
            async with limit:
                await self._ask_one(mirror)

        due = [m for m in asked if m.id not in self.reports or now - self._asked_at.get(m.id, 0.0) >= every_s]
        self._asked_at.update((mirror.id, now) for mirror in due)
        await asyncio.gather(*(one(mirror) for mirror in due))
        known = {mirror.id for mirror in asked}
        for table in (self.reports, self._silent_since, self._routes, self._asked_at):
            for gone in [name for name in table if name not in known]:
                table.pop(gone, None)

    async def _ask_one(self, mirror: Mirror) -> None:
        try:
            report = await self.parts.control.report(mirror.url)
        except DriverError as error:
            self.reports.pop(mirror.id, None)
            self._routes.pop(mirror.id, None)
            if self._silent_since.setdefault(mirror.id, now := self.context.clock.now()) == now:
                log.debug("mirror does not answer", mirror=mirror.id, error=str(error))
            return
        if report.name != mirror.id:  # another one has its place, or it had no chance to stop
            self._silent_since.setdefault(mirror.id, self.context.clock.now())
            return
        self.reports[mirror.id] = report
        self._silent_since.pop(mirror.id, None)

    def answering(self) -> frozenset[str]:
        return frozenset(self.reports)

    def silent(self) -> frozenset[str]:
        limit = self.context.clock.now() - SILENT_AFTER_S
        return frozenset(name for name, since in self._silent_since.items() if since <= limit)

    def having(self, images: tuple[str, ...]) -> tuple[frozenset[tuple[str, str]], frozenset[tuple[str, str]]]:
        """Return (mirror, image) that flow, and that were ordered."""
        names = {self._name(image): image for image in images}
        flowing = {(m, names[one]) for m, report in self.reports.items() for one in report.flowing if one in names}
        ordered = {(m, names[one]) for m, report in self.reports.items() for one in report.ordered if one in names}
        return frozenset(flowing), frozenset(ordered)

    async def tell_routes(self, mirrors: tuple[Mirror, ...]) -> None:
        """Give every mirror that answers its route, unless it has it from us."""
        urls = {mirror.id: mirror.url for mirror in mirrors}
        due = [m for m in mirrors if m.id in self.reports and self._routes.get(m.id) != self._route(m, urls)]
        for start in range(0, len(due), ASKED_AT_ONCE):
            await asyncio.gather(*(self._tell(mirror, urls) for mirror in due[start : start + ASKED_AT_ONCE]))

    async def _tell(self, mirror: Mirror, urls: Mapping[str, str]) -> None:
        stripes, registries = route = self._route(mirror, urls)
        try:
            await self.parts.control.set_route(mirror.url, stripes, registries)
        except DriverError as error:
            log.warning("mirror was not told its parents", mirror=mirror.id, error=str(error))
            return
        self._routes[mirror.id] = route

    def _route(self, mirror: Mirror, urls: Mapping[str, str]) -> tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]:
        stripes = tuple(tuple(urls[name] for name in upward if name in urls) for upward in mirror.stripes.upward)
        return (stripes if any(stripes) else ()), self.origins.registries()

    async def warm(self, mirror: Mirror, image: str) -> None:
        """Have a mirror fetch an image before hosts ask."""
        repository, digest = self._name(image)
        try:
            authorization = await self.origins.mirror_authorization(repository)
            await self.parts.control.warm(mirror.url, MirrorOrder(repository, digest, authorization))
        except DcpError as error:
            log.warning("mirror was not told to warm", mirror=mirror.id, image=image, error=str(error))

    async def start(self, mirror: Mirror) -> None:
        """Start its container once. Raises DriverError."""
        runtime = self.context.runtimes.of(mirror.host_id)
        image = as_pulled(self.parts.settings.mirror_image)
        if image and isinstance(runtime, ImageRuntime):
            await pull_from_any(runtime, self.origins.pull_orders(image, mirror.host_id, None))
        await runtime.start(self._order(mirror, image or self.parts.settings.mirror_image))

    async def stop(self, mirror: Mirror) -> bool:
        """Stop its container; return whether it is gone. A host that cannot be asked has to wait."""
        runtime = self.context.runtimes.of(mirror.host_id)
        try:
            await runtime.stop(mirror.id, STOP_GRACE_S)
            await runtime.forget(mirror.id)
        except Unreachable:
            return False
        except DriverError as error:
            log.warning("mirror cannot be stopped", mirror=mirror.id, error=str(error))
            return False
        return True

    def _order(self, mirror: Mirror, image: str) -> StartOrder:
        settings = self.parts.settings
        environment = {
            "DCP_MIRROR_NAME": mirror.id,
            "DCP_MIRROR_LISTEN": f"0.0.0.0:{mirror.port}",
            "DCP_MIRROR_DIRECTORY": DIRECTORY,
            "DCP_MIRROR_CAPACITY": str(settings.mirror_capacity_bytes),
            "DCP_MIRROR_REGISTRIES": " ".join(self.origins.registries()),
            "DCP_MIRROR_TOKEN_FILE": f"{SECRETS}/mirror-token",
        }
        secrets = [SecretFile("mirror-token", Secret(self.parts.control_token), f"{SECRETS}/mirror-token")]
        if self.parts.certificates:
            environment["DCP_MIRROR_CA"] = f"{SECRETS}/registry-ca"
            secrets.append(SecretFile("registry-ca", Secret(self.parts.certificates), f"{SECRETS}/registry-ca"))
        mount = Mount(VolumeKind.VOLUME, DIRECTORY, VOLUME)
        return StartOrder(
            instance_id=mirror.id,
            host_id=mirror.host_id,
            service=SERVICE,
            command=self.parts.mirror_command,
            resources=Resources(CPU_MILLIS, MEMORY_BYTES),
            image=image,
            environment=tuple(sorted(environment.items())),
            container=ContainerSpec(network=NetworkMode.HOST, mounts=(mount,), secrets=tuple(secrets)),
        )

    def _name(self, image: str) -> tuple[str, str]:
        """Return (repository, digest) as mirrors know an image."""
        name = image.partition("@")[0]
        registry = f"{self.origins.images.name}/" if self.origins.images else ""
        return name.removeprefix(registry), pinned_digest(image)
