"""What a run of the demo stands on: slices of this machine with processes, or a lab's real engines with containers.

Each kind says in words what is real about it and what stands in; every output repeats them.
"""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from dcp.kernel.errors import Conflict
from dcp.lab import platform_file
from dcp.lab.image_files import tree_files
from dcp.lab.images import build_python
from dcp.lab.lab import Lab, remove
from dcp.lab.programs import require
from dcp.lab.rooms import find_directory
from dcp.lab.spec import LabSpec
from dcp.lab.topology import LabHost
from dcp.orchestration.scaling.model import Policy
from dcp.orchestration.services.model import ApplicationSpec, ServiceSpec

TIME_SCALE = 60
"""A minute becomes a second: the published windows of an hour fit into a run of minutes."""
INTERNAL_PORTS = "17800-17899"
CLOUD_PRICE_USD_PER_HOUR = 0.048
LAB_NAME = "demo"
LAB_OCTET = 98
MIN_LAB_HOSTS = 4
HOST_CPU_MILLIS = 2000
HOST_MEMORY_BYTES = 1 << 30
IMAGE = "lab/hot-event:latest"
FOLDER_IN_IMAGE = "app"


class DemoRuntime(StrEnum):
    """What instances of a demonstration run in."""

    PROCESS = "process"
    DOCKER = "docker"


class Ground(Protocol):
    """What a run stands on."""

    @property
    def hosts(self) -> str:
        """What its hosts and instances are, in words."""

    @property
    def cloud(self) -> str:
        """What its cloud is, in words."""

    def configuration(self, policy: Policy) -> dict[str, Any]:
        """Return the `dcp.yaml`: sources `private` and `cloud`, runtime, balancer."""
        ...

    def adapt(self, spec: ApplicationSpec) -> ApplicationSpec:
        """Return the application as it runs here."""
        ...

    def left_behind(self) -> int:
        """Return how many instances run here still."""
        ...


@dataclass(frozen=True, slots=True)
class ProcessGround:
    """A small private pool of slices of this machine, and a cloud behind it that is a fake."""

    hosts: str = "slices of this machine; an instance is a process group"
    cloud: str = (
        "fake: a simulated provider; its boot delay and price are configured, its hosts are slices of this machine"
    )

    def configuration(self, policy: Policy) -> dict[str, Any]:
        price = CLOUD_PRICE_USD_PER_HOUR
        return _settings(policy) | {
            "balancer": {"internal_ports": INTERNAL_PORTS},
            "sources": [
                {"name": "private", "kind": "private", "hosts": 4, "cpus": 1, "memory": "512M"},
                {
                    "name": "cloud",
                    "kind": "fake-cloud",
                    "types": [{"name": "c1", "cpus": 1, "memory": "512M", "price_usd_per_hour": price, "boot_s": 3}],
                },
            ],
        }

    def adapt(self, spec: ApplicationSpec) -> ApplicationSpec:
        return spec

    def left_behind(self) -> int:
        return 0


class LabGround:
    """A lab: half of its hosts are the private pool, the other half are priced as a cloud's."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._private = (len(lab.hosts) + 1) // 2
        count = len(lab.hosts)
        self.hosts = f"{count} real Docker Engines on this machine, a network namespace each (a lab); real containers"
        self.cloud = (
            f"stand-in: {count - self._private} of these engines with a configured price, ready at once; "
            "all of them share this machine's processors"
        )

    def configuration(self, policy: Policy) -> dict[str, Any]:
        lab = self._lab
        private, cloud = lab.hosts[: self._private], lab.hosts[self._private :]
        gateway = lab.topology.sites[0].gateway
        return _settings(policy) | {
            "balancer": {"internal_ports": INTERNAL_PORTS, "listen_address": gateway},
            "runtime": platform_file.runtime(lab.topology, lab.client),
            "sources": [
                {"name": "private", "kind": "engines", "hosts": [self._entry(host, 0.0) for host in private]},
                {
                    "name": "cloud",
                    "kind": "engines",
                    "billing": "cloud",
                    "hosts": [self._entry(host, CLOUD_PRICE_USD_PER_HOUR) for host in cloud],
                },
            ],
        }

    def adapt(self, spec: ApplicationSpec) -> ApplicationSpec:
        return replace(spec, services=tuple(_in_container(service) for service in spec.services))

    def left_behind(self) -> int:
        return asyncio.run(self._containers())

    async def _containers(self) -> int:
        return sum([await self._lab.containers(host.name) or 0 for host in self._lab.hosts])

    def _entry(self, host: LabHost, price: float) -> dict[str, Any]:
        entry = platform_file.host_entry(self._lab.spec, host, HOST_CPU_MILLIS, HOST_MEMORY_BYTES)
        return entry | {"price_usd_per_hour": price}


@contextmanager
def ground(runtime: DemoRuntime, hosts: int, program: Path, folder: Path) -> Iterator[Ground]:
    """Make what the run stands on; remove it afterwards, whatever happened. `program` is the folder of its services."""
    if runtime is DemoRuntime.PROCESS:
        yield ProcessGround()
        return
    require(images=True)
    # The kernel forgets this name with the process, so that a killed run is in nobody's way.
    with socket.socket(socket.AF_UNIX) as reservation:
        try:
            reservation.bind(f"\0dcp-lab-{LAB_NAME}")
        except OSError as error:
            raise Conflict("another demonstration with real engines runs on this machine") from error
        if left := find_directory(LAB_NAME):
            asyncio.run(remove(left, LAB_NAME))
        lab = Lab(LabSpec(name=LAB_NAME, hosts=hosts, octet=LAB_OCTET), folder / "lab")
        try:
            asyncio.run(_make(lab, program, folder))
            yield LabGround(lab)
        finally:
            asyncio.run(lab.down())


async def _make(lab: Lab, program: Path, folder: Path) -> None:
    archive = folder / "image.tar"
    files = [file for file in tree_files(program, FOLDER_IN_IMAGE) if "__pycache__" not in file.path]
    environment = {"HOST": "0.0.0.0"}
    build = partial(build_python, archive, IMAGE, files=files, working_directory=f"/{FOLDER_IN_IMAGE}")
    await asyncio.gather(lab.up(), asyncio.to_thread(build, environment=environment))
    await lab.load(archive)
    archive.unlink()


def _in_container(service: ServiceSpec) -> ServiceSpec:
    container = replace(service.container, working_dir=f"/{FOLDER_IN_IMAGE}", read_only=True)
    return replace(service, image=service.image or IMAGE, working_dir="", container=container)


def _settings(policy: Policy) -> dict[str, Any]:
    return {"policy": str(policy), "time_scale": TIME_SCALE}
